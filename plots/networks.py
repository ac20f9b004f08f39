"""Figures of what a network sees, and of how a photo becomes points. What they show comes from training/inspection.py.

Cells of filters and of maps are drawn sharp, as they are; photos are smoothed. Matplotlib is imported where it is
needed, as in plots/style.py.
"""

from collections.abc import Sequence

import numpy as np

from face68 import geometry
from face68.draw import BLUE, INK, VERMILION, WHITE, YELLOW, draw_keypoints, fit, region_colors
from face68.landmarks import IBUG68, unit_length, upright_frame
from face68.schemes import Scheme
from plots.style import GRAY, as_picture, new_figure, to_hex

DPI = 120  # of the figures
MOST_FILTERS, MOST_MAPS = 32, 31  # of a figure
TINY = 1e-12  # in place of 0, to divide by
SMALL = 8  # points, of letters beside pictures
CLOSE = 448  # px, the side of a crop or a face that is drawn on


def plot_filters(filters, network: str):
    """The filters of a network's first convolution, and below each what it makes of the picture. A matplotlib Figure.

    filters: `inspection.Filters`; those of an RGB picture are drawn in colour, in which gray weighs nothing.
    """
    weights, responses = filters.weights[:MOST_FILTERS], filters.responses[:MOST_FILTERS]
    in_colour = weights.shape[1] == 3
    columns, rows = _grid(len(weights), 8)
    heaviest = np.abs(weights).max()
    figure, axes = _pictures(columns, 2 * rows)
    for i, (weight, response) in enumerate(zip(weights, responses, strict=True)):
        above, below = axes[2 * (i // columns) :, i % columns][:2]
        cells = 0.5 + weight.transpose(1, 2, 0) / (2 * heaviest) if in_colour else np.hstack(list(weight))
        weighed = above.imshow(cells, _signed(), vmin=-heaviest, vmax=heaviest, interpolation="nearest")
        above.set_title(str(i), fontsize=SMALL)
        shares = _show_map(below, response)
    count = _some(len(weights), len(filters.weights))
    size = " × ".join(map(str, weights.shape[2:]))
    detail = f"layer {filters.layer}: {count} filters of {size}, below each what it finds"
    _title(figure, "What the first layer looks for", detail, network)
    _value_bar(figure, shares, axes, "what a filter finds, as a share of its strongest response")
    if not in_colour:
        _value_bar(figure, weighed, axes, "weight of a filter's cell")
    return figure


def plot_features(layer: str, maps: np.ndarray, picture: np.ndarray, network: str):
    """A picture, and of a layer's maps (C, H, W) those of most contrast, each on its own scale. A matplotlib Figure."""
    contrast = maps.std(axis=(1, 2)) / np.maximum(np.abs(maps).max(axis=(1, 2)), TINY)
    chosen = np.argsort(-contrast, kind="stable")[:MOST_MAPS]
    figure, axes = _pictures(*_grid(len(chosen) + 1, 8))
    first, *panels = axes.flat
    first.imshow(picture, "gray", vmin=0, vmax=255, interpolation="bilinear")
    first.set_title("the picture", fontsize=SMALL)
    for number, panel in zip(chosen, panels, strict=False):
        shares = _show_map(panel, maps[number])
        panel.set_title(f"{number}: {np.abs(maps[number]).max():.2g}", fontsize=SMALL)
    count = _some(len(chosen), len(maps))
    detail = f"{count} maps of {maps.shape[2]} × {maps.shape[1]} cells, those of most contrast first"
    _title(figure, f"What layer {layer} sees", detail, network)
    bar = _value_bar(figure, shares, axes, "share of the map's largest value, which stands behind its number")
    bar.ax.set_xlim(-1 if maps.min() < 0 else 0, 1)
    return figure


def plot_heat_maps(crop: np.ndarray, heat: np.ndarray, outputs, points: Sequence[int], network: str, scheme=IBUG68):
    """The heat maps over the face: first all of them, then those of some points, a panel each. A matplotlib Figure.

    crop: (S, S) uint8. heat: (68, H, W), see `inspection.heat_maps`. outputs: `face68.network.Predictions` of the crop.
    scheme: of the network's points.
    """
    from matplotlib.patches import Circle, Patch

    figure, axes = _pictures(*_grid(len(points) + 1, 4))
    first, *panels = axes.flat
    first.imshow(_heated(crop, heat, scheme))
    first.set_title(f"all {len(scheme)}", fontsize=10)
    colors = region_colors(scheme)
    region_of = {i: region for region, of_region in scheme.regions.items() for i in of_region}
    for point, panel in zip(points, panels, strict=False):
        region, (x, y) = region_of[point], outputs.keypoints[0, point]
        panel.imshow(_heated(crop, heat, scheme, [point]), extent=_extent(crop))
        label = f"{point}, {region}: peak {heat[point].max():.0%}"
        if outputs.errors is not None:
            error = outputs.errors[0, point]
            for color, width in (("black", 2.5), ("white", 1)):  # which shows on any skin
                panel.add_patch(Circle((x, y), error, fill=False, color=color, linewidth=width))
            label += f", ± {error:.1f} px"
        panel.plot(x, y, "o", color=to_hex(colors[region]), markeredgecolor="black", markersize=4)
        panel.set_title(label, fontsize=10)
    detail = f"heat maps of {heat.shape[2]} × {heat.shape[1]} cells over the crop of {len(crop)} × {len(crop)} px"
    _title(figure, "Where the network believes that the points are", detail, network)
    ring = "" if outputs.errors is None else "; ring: its expected error"
    meaning = f"colour: a cell's probability, clear at 0 and full at the map's peak; dot: the point{ring}"
    handles = [Patch(color=to_hex(color), label=region) for region, color in colors.items()]
    figure.legend(handles=handles, title=meaning, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def plot_occlusion(crop: np.ndarray, occlusion, points: Sequence[int], network: str):
    """The points of a crop, how far hiding each place moves them, and the place that does so most. A matplotlib Figure.

    crop: (S, S) uint8. occlusion: `inspection.Occlusion`.
    """
    shifts, scheme = 100 * occlusion.shifts(points), occlusion.scheme
    row, column = np.unravel_index(shifts.argmax(), shifts.shape)
    figure, axes = _pictures(3, 1)
    before, where, worst = axes.flat
    before.imshow(_marked(crop, occlusion.plain, scheme, points))
    before.set_title("nothing is hidden", fontsize=10)
    where.imshow(crop, "gray", vmin=0, vmax=255, interpolation="bilinear")
    most = max(1.0, shifts.max())  # less than 1% is nothing
    moved = where.imshow(shifts, _glow(), vmin=0, vmax=most, extent=_extent(crop), interpolation="bilinear")
    where.set_title("what moves them", fontsize=10)
    hidden = occlusion.hide(crop, row, column)
    worst.imshow(_marked(hidden, occlusion.moved[row, column], scheme, points, occlusion.plain))
    worst.set_title(f"moved most: by {shifts.max():.1f}%; white: before", fontsize=10)
    side, size = occlusion.side, len(crop)
    detail = f"behind a gray square of {side} × {side} px, at each place of {size} × {size} px"
    _title(figure, f"Which parts of the face move {name_points(points, scheme)}", detail, network)
    unit = "eye distance" if scheme.eyes else "length that divides errors"
    label = f"mean shift while the square is there, % of the {unit} ({scheme.norm})"
    _value_bar(figure, moved, axes, label)
    return figure


def plot_annotators(crop: np.ndarray, points: np.ndarray, others: dict, own: str, network: str, scheme=IBUG68):
    """Where other annotators would have put a network's points, and how each region differs. A matplotlib Figure.

    crop: (S, S) uint8. points: (68, 2) px of it, as `own` puts them. others: see `inspection.other_annotators`.
    scheme: of the points.
    """
    figure, axes = _pictures(2, len(others))
    for (name, (theirs, offsets)), (face, bars) in zip(others.items(), axes, strict=True):
        face.imshow(_marked(crop, points, scheme, truth=theirs))
        face.set_title(f"colour: {own}, white: {name}", fontsize=10)
        bars.axis("on")
        out = offsets[:, 0] * np.sign(points[:, 0] - np.median(points[:, 0]))
        ways = {"lower": (offsets[:, 1], BLUE, -0.2), "further out": (out, VERMILION, 0.2)}
        for way, (values, color, beside) in ways.items():
            means = [100 * values[of_region].mean() for of_region in map(list, scheme.regions.values())]
            bars.barh(np.arange(len(scheme.regions)) + beside, means, height=0.38, color=to_hex(color), label=way)
        bars.axvline(0, color=to_hex(INK), linewidth=0.8)
        bars.set_yticks(range(len(scheme.regions)), list(scheme.regions))
        bars.invert_yaxis()
        bars.legend(frameon=False)
        bars.set_title(f"{name}, % of the side of the face's square", fontsize=10)
    _title(figure, "How annotators differ, as the network learned it", "its own points and those of others", network)
    return figure


def plot_trace(trace, network: str):
    """How a photo became points, step by step, each with its sizes. A matplotlib Figure.

    trace: `inspection.PredictionTrace`.
    """
    (box,), _, (degrees,) = trace.found
    first, second, third = trace.points
    scheme = trace.face.scheme
    frame, turn = upright_frame(first, scheme)
    to_face, to_detail = _close_up(frame, 1.6), _close_up(_furthest_apart(second, third, scheme), 1)
    steps = _steps(trace, to_face, to_detail)
    figure, axes = _pictures(5, 2, height=2.65)
    panels = dict(zip(steps, axes.flat, strict=False))
    for number, (name, panel) in enumerate(panels.items(), start=1):
        detail, picture = steps[name]
        panel.imshow(fit(picture, CLOSE), extent=_extent(picture))
        panel.set_anchor("NW")
        panel.set_title(f"{number}  {name}", fontsize=10, fontweight="bold", loc="left")
        panel.text(0, -0.03, detail, fontsize=SMALL, va="top", transform=panel.transAxes)
    _outline(panels["detector's box"], box, degrees, np.eye(2, 3))
    _outline(panels["first points"], frame, turn, to_face)
    for points, color in ((second, BLUE), (third, VERMILION), (trace.face.keypoints, WHITE)):
        points = geometry.transform_points(points, to_detail)
        inside = points[((points > 0) & (points < CLOSE)).all(axis=1)]
        panels["mean of both"].plot(*inside.T, "o", color=to_hex(color), markeredgecolor="black", markersize=5)
    _title(figure, "How a photo becomes points", "the face is looked at three times", network)
    return figure


def _steps(trace, to_face: np.ndarray, to_detail: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
    """What `plot_trace` shows, by name: two lines about it, and the picture. The matrices (2×3) are to close-ups."""
    height, width = trace.image.shape[:2]
    (box,), (score,), (degrees,) = trace.found
    crop = " × ".join(map(str, trace.crops.shape[1:])) + " px"
    searched = " × ".join(map(str, trace.searched[::-1]))
    first, second, third = trace.points
    scheme = trace.face.scheme
    apart = np.linalg.norm(second - third, axis=1)
    face, detail = (geometry.warp(trace.image, matrix, CLOSE, CLOSE) for matrix in (to_face, to_detail))
    steps = {
        "photo": (f"{width} × {height} px", trace.image),
        "detector's box": (
            f"{box[2] - box[0]:.0f} px wide, score {score:.2f},\nsearched from {searched} px up",
            trace.image,
        ),
        "crop": (f"{crop}, RGB, turned\nby the detector's {degrees:.0f}°", trace.colour),
        "gray": (f"{crop}, one channel:\nall that the network sees", _rgb(trace.crops[0])),
    }
    if trace.heat is not None:
        cells = f"{len(scheme)} of {trace.heat.shape[2]} × {trace.heat.shape[1]} cells;\na point is the mean of one"
        steps["heat maps"] = (cells, _heated(trace.crops[0], trace.heat, scheme))
    points = f"{len(scheme)} × (x, y) px"
    second_crop, third_crop = (_marked(trace.crops[i], trace.keypoints[i], scheme) for i in (1, 2))
    return steps | {
        "first points": (f"{points} of the photo;\nthey frame the face anew", _on(face, first, to_face, scheme)),
        "second look": (f"{crop}, level,\nframed by the first points", second_crop),
        "third look": (f"{crop}, mirrored,\nframed by the second points", third_crop),
        "mean of both": (
            f"white; second blue, third red:\n{apart.mean():.1f} px apart, here {apart.max():.1f}",
            detail,
        ),
        "points": (f"{points} of the photo", _on(face, trace.face.keypoints, to_face, scheme)),
    }


def _furthest_apart(one: np.ndarray, other: np.ndarray, scheme: Scheme) -> np.ndarray:
    """The box (x0, y0, x1, y1) around the point that two passes (68, 2) px disagree about most, as wide as an eye."""
    middle = (one + other)[np.linalg.norm(one - other, axis=1).argmax()] / 2
    half = unit_length(one, scheme) / 4
    return np.concatenate([middle - half, middle + half])


def name_points(points: Sequence[int], scheme: Scheme) -> str:
    """Points in words: a region's name, or their numbers."""
    for region, of_region in scheme.regions.items():
        if list(points) == list(of_region):
            return f"the points of the {region}"
    return f"point {points[0]}" if len(points) == 1 else f"points {', '.join(map(str, points))}"


def _some(shown: int, there: int) -> str:
    return str(there) if shown == there else f"{shown} of {there}"


def _title(figure, what: str, detail: str, network: str) -> None:
    figure.suptitle(f"{what}\n{detail}; network: {network}", fontsize=11)


def _show_map(panel, values: np.ndarray):
    """Draw a map (H, W) as shares of its largest magnitude."""
    shares = values / max(np.abs(values).max(), TINY)
    return panel.imshow(shares, _signed(), vmin=-1, vmax=1, interpolation="nearest")


def _grid(count: int, most: int) -> tuple[int, int]:
    """Columns, `most` of them at most, and rows for so many pictures, of which the last row is as full as may be."""
    rows = -(-count // most)
    return -(-count // rows), rows


def _pictures(columns: int, rows: int, height: float | None = None):
    """A figure 10 inches wide for pictures, and its axes (rows, columns). height: of a row, in inches."""
    side = 10 / columns
    figure, axes = new_figure(10, 1.0 + rows * (height or 1.12 * side), columns, rows)
    axes = np.reshape(axes, (rows, columns))
    for one in axes.flat:
        one.axis("off")
    return figure, axes


def _value_bar(figure, values, axes, label: str):
    """A bar below the axes that says which values the colours mean."""
    bar = figure.colorbar(values, ax=axes, location="bottom", shrink=0.5, aspect=50, pad=0.02)
    bar.set_label(label, fontsize=10)
    bar.outline.set(edgecolor=GRAY, linewidth=0.8)  # one end may be white
    return bar


def _signed():
    """Colours of values around 0: blue below, white, vermilion above."""
    from matplotlib.colors import LinearSegmentedColormap

    ends = [(0, 0.15, 0.3), *(np.array(color) / 255 for color in (BLUE, WHITE, VERMILION)), (0.35, 0.1, 0)]
    return LinearSegmentedColormap.from_list("signed", ends)


def _glow():
    """Colours of values from 0 up that lie over a picture: from clear to vermilion."""
    from matplotlib.colors import LinearSegmentedColormap

    low, high = (np.array(color) / 255 for color in (YELLOW, VERMILION))
    return LinearSegmentedColormap.from_list("glow", [(*low, 0), (*low, 0.5), (*high, 0.9)])


def _heated(crop: np.ndarray, heat: np.ndarray, scheme: Scheme, points: Sequence[int] | None = None) -> np.ndarray:
    """The crop (S, S) uint8 enlarged, and over it heat maps (68, H, W) in the colours of their regions."""
    picture, colors = fit(_rgb(crop), CLOSE).astype(np.float32), region_colors(scheme)
    for region, of_region in scheme.regions.items():
        chosen = [point for point in of_region if points is None or point in points]
        if chosen:
            shares = heat[chosen] / heat[chosen].max(axis=(1, 2), keepdims=True)
            alpha = geometry.resize(shares.max(axis=0), *picture.shape[:2])[..., None]
            picture += alpha * (np.float32(colors[region]) - picture)
    return np.round(picture).astype(np.uint8)


def _marked(
    crop: np.ndarray,
    keypoints: np.ndarray,
    scheme: Scheme,
    points: Sequence[int] | None = None,
    truth: np.ndarray | None = None,
) -> np.ndarray:
    """The crop (S, S) uint8 enlarged, and some of its points (68, 2) px on it; `truth` as in `draw_keypoints`."""
    picture = fit(_rgb(crop), CLOSE)
    matrix = geometry.resize_matrix(*crop.shape, *picture.shape[:2])
    hidden = [] if points is None else np.setdiff1d(range(len(scheme)), points)
    keypoints = geometry.transform_points(keypoints, matrix)
    keypoints[hidden] = np.nan  # isn't drawn
    if truth is not None:
        truth = geometry.transform_points(truth, matrix)
        truth[hidden] = np.nan
    return draw_keypoints(picture, keypoints, truth, radius=CLOSE / 110, scheme=scheme)


def _close_up(box: np.ndarray, margin: float) -> np.ndarray:
    """The 2×3 matrix to a picture of the square around a box, `margin` times as wide."""
    return geometry.crop_matrix(box, geometry.CropPolicy(CLOSE, margin))


def _on(picture: np.ndarray, keypoints: np.ndarray, matrix: np.ndarray, scheme: Scheme) -> np.ndarray:
    return draw_keypoints(picture, geometry.transform_points(keypoints, matrix), scheme=scheme)


def _outline(panel, box: np.ndarray, degrees: float, matrix: np.ndarray) -> None:
    """Draw the square that is `box` once it is turned clockwise by `degrees` around its middle."""
    x0, y0, x1, y1 = box
    center = ((x0 + x1) / 2, (y0 + y1) / 2)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    corners = geometry.transform_points(corners, geometry.similarity(center, center, degrees=-degrees))
    panel.plot(*geometry.transform_points(corners, matrix).T, color=to_hex(VERMILION), linewidth=1.5)


def _extent(picture: np.ndarray) -> tuple[float, float, float, float]:
    """Where the edges of a picture lie, as `imshow` takes them: pixel centres are at integers."""
    height, width = picture.shape[:2]
    return -0.5, width - 0.5, height - 0.5, -0.5


def _rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


def rendered(figure) -> np.ndarray:
    """A figure as a picture (H, W, 3) uint8 RGB, without what is empty at its foot."""
    picture = as_picture(figure, DPI)
    inked = np.flatnonzero((picture < 255).any(axis=(1, 2)))
    return picture[: inked[-1] + DPI // 10].copy()
