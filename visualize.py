"""Look at the data and at what becomes of it; and the plots and sheets of faces that training and evaluation write.

    python visualize.py samples                  # faces of a data set with their keypoints
    python visualize.py transforms               # one face through each transform of data_load.py; mosaics
    python visualize.py landmarks                # the numbered picture of the 68 points
    python visualize.py overlays                 # the face filters, on a photograph and on drawn heads that turn
    python visualize.py photo --image me.jpg     # how a photo becomes points, step by step
    python visualize.py filters                  # the filters that a network begins with, and what they find
    python visualize.py features --layer stem.1  # the maps of a layer
    python visualize.py heatmaps --points 8,30   # where a network believes that points are
    python visualize.py occlusion --points eyes  # which parts of a face move its points when they are hidden

Plots are matplotlib figures; sheets are arrays, (H, W, 3) uint8 RGB, of what face68/draw.py draws.
"""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import metrics
from face68 import geometry
from face68.command.arguments import add_overwrite, parser, positive_int, run, whole_number
from face68.command.inputs import demonstration_photo
from face68.command.places import check_places
from face68.draw import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    WHITE,
    YELLOW,
    contact_sheet,
    draw_keypoints,
    draw_landmarks,
    draw_squares,
    face_tile,
    fit,
)
from face68.draw import COLORS as REGION_COLORS
from face68.files import MARK, InputError, atomic_path
from face68.images import read_image, write_image
from face68.landmarks import NAMES, NUM_LANDMARKS, REGIONS, Face, inter_ocular, upright_frame
from face68.overlays import draw_overlays, load_overlay
from networks import default_checkpoint

COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, YELLOW, INK)  # of what stands side by side
DPI = 120  # of the figures of what a network sees
MOSAIC_PHOTOS = 40  # of which the mosaics of a sheet are laid

# --- Plots ----------------------------------------------------------------------------------------------------
# Figures of their own, without pyplot: nothing global is touched. Matplotlib is imported where it is needed: those who
# train or look at samples shouldn't wait for it.


def plot_training_curves(history: dict[str, list[float]], column: str, measure: str):
    """Loss (left, logarithmic) and what validation measures (right) by epoch, the best marked. A matplotlib Figure.

    history: lists of one length under epoch, train_loss, val_loss and `column`, fractions of which less is better.
    measure: what people call them.
    """
    figure, (left, right) = _figure(10, 4, columns=2)
    epochs = history["epoch"]
    marker = "o" if len(epochs) < 3 else None  # a line of one point can't be seen
    left.plot(epochs, history["train_loss"], color=_hex(BLUE), marker=marker, label="training")
    left.plot(epochs, history["val_loss"], color=_hex(VERMILION), marker=marker, label="validation")
    left.set(xlabel="epoch", ylabel="loss", yscale="log", title="Loss")
    left.legend(frameon=False)

    percent = 100 * np.asarray(history[column], dtype=np.float64)
    right.plot(epochs, percent, color=_hex(VERMILION), marker=marker)
    if np.isfinite(percent).any():
        best = int(np.nanargmin(percent))
        label = f"best: {percent[best]:.2f}% in epoch {epochs[best]:g}"
        right.plot(epochs[best], percent[best], "o", color=_hex(BLUE), markersize=9, label=label)
        right.legend(frameon=False)
    _plain_log_ticks(left.yaxis)
    right.set(xlabel="epoch", ylabel=f"{measure}, %", title="Validation on unseen people")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # 1: also where there is one epoch
    return figure


def plot_ced(errors_by_name: dict[str, np.ndarray], threshold: float = metrics.FAILURE):
    """Cumulative error curves, one a name: the share of faces whose NME stays below each value. A matplotlib Figure.

    errors_by_name: NME of each face (N,), as a fraction of the inter-ocular distance.
    """
    figure, axes = _figure(6.4, 4.6)
    axes.set_prop_cycle(color=[_hex(color) for color in COLORS])
    for name, errors in errors_by_name.items():
        thresholds, shares = metrics.cumulative_errors(errors, threshold)
        area = metrics.auc(errors, threshold)
        label = f"{name}: NME {100 * np.mean(errors):.2f}%, AUC@{100 * threshold:g}% {area:.3f}"
        axes.plot(100 * thresholds, 100 * shares, label=label)
    axes.set(xlim=(0, 100 * threshold), ylim=(0, 101), title="Cumulative error distribution")
    axes.set(xlabel="NME (inter-ocular), %", ylabel="faces at or below, %")
    axes.legend(frameon=False, loc="best")
    return figure


def plot_calibration(table):
    """Measured against expected errors, a dot a bin of points; on the line they agree. A matplotlib Figure.

    table: expected and measured error of each bin (B, 2), as fractions of the inter-ocular distance.
    """
    figure, axes = _figure(5, 4.6)
    expected, measured = 100 * np.asarray(table, dtype=np.float64).T
    ends = np.array([min(expected.min(), measured.min()), max(expected.max(), measured.max())]) * (0.9, 1.1)
    axes.fill_between(ends, 0.85 * ends, 1.15 * ends, color="0.92", label="within 15%")
    axes.plot(ends, ends, color=_hex(INK), linewidth=1)
    axes.plot(expected, measured, "o", color=_hex(BLUE), label="a tenth of all points" if len(expected) == 10 else None)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title="Does the network know its errors?")
    axes.set(xlabel="expected error (inter-ocular), %", ylabel="measured error (inter-ocular), %")
    for axis in (axes.xaxis, axes.yaxis):
        _plain_log_ticks(axis)
    axes.legend(frameon=False, loc="upper left")
    return figure


def plot_speed(rows: Sequence[dict]):
    """Error against time, a dot for each way to find faces, on a line where 80% of its times lie. A matplotlib Figure.

    rows: name; ms, the median for a photo; ms_p10 and ms_p90; nme_all, the mean NME with missed faces, a fraction.
    """
    figure, axes = _figure(6.4, 4.6)
    axes.set_prop_cycle(color=[_hex(color) for color in COLORS])
    axes.set(xscale="log", title="Error against time", xlabel="ms a photo, one core")
    axes.set(ylabel="NME (inter-ocular), missed faces too, %")
    for i, row in enumerate(sorted(rows, key=lambda row: row["nme_all"])):
        percent = 100 * row["nme_all"]
        (dot,) = axes.plot(row["ms"], percent, "o")
        axes.plot([row["ms_p10"], row["ms_p90"]], [percent, percent], color=dot.get_color(), linewidth=1)
        side = {"xytext": (0, 5), "va": "bottom"} if i % 2 else {"xytext": (0, -5), "va": "top"}  # away from the next
        axes.annotate(row["name"], (row["ms"], percent), textcoords="offset points", ha="center", **side)
    axes.margins(x=0.2)
    axes.set_ylim(bottom=0, top=1.15 * axes.get_ylim()[1])
    _plain_log_ticks(axes.xaxis)
    return figure


def plot_parts(rows: Sequence[dict]):
    """What a photo's time divides into, one after the other. A matplotlib Figure.

    rows: name, ms and share of each part, in their order.
    """
    figure, axes = _figure(8, 2.8)
    start = 0.0
    for row, color in zip(rows, itertools.cycle(COLORS), strict=False):
        label = f"{row['name']}: {row['ms']:.2f} ms, {row['share']:.0%}"
        axes.barh(0, row["ms"], left=start, color=_hex(color), edgecolor="white", label=label)
        start += row["ms"]
    axes.set(xlim=(0, start), yticks=[], xlabel="ms", title="Where the time of a photo goes")
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def plot_signals(panels: Sequence[dict]):
    """Signals over time, a panel each, one above the other. A matplotlib Figure.

    panels: title; times (T,) in seconds; lines: by name (T,) in % of the eye distance, in one order in all of them.
    """
    figure, axes = _figure(8, 2.4 * len(panels) + 0.4, rows=len(panels))
    for panel, place in zip(panels, np.atleast_1d(axes), strict=True):
        for (name, values), color in zip(panel["lines"].items(), (INK, SKY, VERMILION, GREEN), strict=True):
            width = 1.0 if color == SKY else 1.6
            place.plot(panel["times"], values, color=_hex(color), linewidth=width, label=name)
        place.set(title=panel["title"], ylabel="% of the eye distance", xlim=(panel["times"][0], panel["times"][-1]))
    np.atleast_1d(axes)[-1].set(xlabel="seconds")
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def save_figure(figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the suffix chooses the format.

    Raises:
        InputError: the suffix is no format of matplotlib's, or the place can't be written to.
    """
    formats = figure.canvas.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in formats:
        raise InputError(f"{path}: not a picture's suffix; use one of .{' .'.join(sorted(formats))}")
    with atomic_path(path) as temporary:
        png = Path(path).suffix.lower() == ".png"
        figure.savefig(temporary, dpi=150, metadata={"Software": MARK} if png else None)


def _figure(width: float, height: float, columns: int = 1, rows: int = 1):
    """A figure in inches with axes side by side or below each other, and the axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns)
    for one in np.ravel(axes):
        one.grid(color="0.9")
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _plain_log_ticks(axis) -> None:
    """Ticks of a logarithmic axis as plain numbers: 0.2, 0.3, 0.5, 1, 2, …"""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


# --- What a network sees --------------------------------------------------------------------------------------
# What they show comes from insight.py. Cells of filters and of maps are drawn sharp, as they are; photos are smoothed.

SEEING = {
    "photo": "how a photo becomes points, step by step",
    "filters": "the filters that a network begins with, and what they find",
    "features": "the maps of a layer",
    "heatmaps": "where a network believes that points are",
    "occlusion": "which parts of a face move its points when they are hidden",
}
POINTS = {"heatmaps": "3,8,21,30,36,48,57", "occlusion": "mouth"}  # what is looked at unless somebody asks for others
MOST_FILTERS, MOST_MAPS = 32, 31  # of a figure
TINY = 1e-12  # in place of 0, to divide by
SMALL = 8  # points, of letters beside pictures
CLOSE = 448  # px, the side of a crop or a face that is drawn on


def plot_filters(filters, network: str):
    """The filters of a network's first convolution, and below each what it makes of the picture. A matplotlib Figure.

    filters: `insight.Filters`; those of an RGB picture are drawn in colour, in which gray weighs nothing.
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
    first, *places = axes.flat
    first.imshow(picture, "gray", vmin=0, vmax=255, interpolation="bilinear")
    first.set_title("the picture", fontsize=SMALL)
    for number, place in zip(chosen, places, strict=False):
        shares = _show_map(place, maps[number])
        place.set_title(f"{number}: {np.abs(maps[number]).max():.2g}", fontsize=SMALL)
    count = _some(len(chosen), len(maps))
    detail = f"{count} maps of {maps.shape[2]} × {maps.shape[1]} cells, those of most contrast first"
    _title(figure, f"What layer {layer} sees", detail, network)
    bar = _value_bar(figure, shares, axes, "share of the map's largest value, which stands behind its number")
    bar.ax.set_xlim(-1 if maps.min() < 0 else 0, 1)
    return figure


def plot_heat_maps(crop: np.ndarray, heat: np.ndarray, said, points: Sequence[int], network: str):
    """The heat maps over the face: first all of them, then those of some points, a panel each. A matplotlib Figure.

    crop: (S, S) uint8. heat: (68, H, W), see `insight.heat_maps`. said: `network.Outputs` about the crop.
    """
    from matplotlib.patches import Circle, Patch

    figure, axes = _pictures(*_grid(len(points) + 1, 4))
    first, *places = axes.flat
    first.imshow(_heated(crop, heat))
    first.set_title("all 68", fontsize=10)
    for point, place in zip(points, places, strict=False):
        region, (x, y) = NAMES[point].partition("_")[0], said.keypoints[0, point]
        place.imshow(_heated(crop, heat, [point]), extent=_extent(crop))
        label = f"{point}, {region}: peak {heat[point].max():.0%}"
        if said.errors is not None:
            error = said.errors[0, point]
            place.add_patch(Circle((x, y), error, fill=False, color="white", linewidth=1))
            label += f", ± {error:.1f} px"
        place.plot(x, y, "o", color=_hex(REGION_COLORS[region]), markeredgecolor="black", markersize=4)
        place.set_title(label, fontsize=10)
    detail = f"heat maps of {heat.shape[2]} × {heat.shape[1]} cells over the crop of {len(crop)} × {len(crop)} px"
    _title(figure, "Where the network believes that the points are", detail, network)
    ring = "" if said.errors is None else "; ring: its expected error"
    meaning = f"colour: a cell's probability, clear at 0 and full at the map's peak; dot: the point{ring}"
    handles = [Patch(color=_hex(color), label=region) for region, color in REGION_COLORS.items()]
    figure.legend(handles=handles, title=meaning, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def plot_occlusion(crop: np.ndarray, occlusion, points: Sequence[int], network: str):
    """The points of a crop, how far hiding each place moves them, and the place that does so most. A matplotlib Figure.

    crop: (S, S) uint8. occlusion: `insight.Occlusion`.
    """
    shifts = 100 * occlusion.shifts(points)
    row, column = np.unravel_index(shifts.argmax(), shifts.shape)
    figure, axes = _pictures(3, 1)
    before, where, worst = axes.flat
    before.imshow(_marked(crop, occlusion.plain, points))
    before.set_title("nothing is hidden", fontsize=10)
    where.imshow(crop, "gray", vmin=0, vmax=255, interpolation="bilinear")
    most = max(1.0, shifts.max())  # less than 1% is nothing
    moved = where.imshow(shifts, _glow(), vmin=0, vmax=most, extent=_extent(crop), interpolation="bilinear")
    where.set_title("what moves them", fontsize=10)
    hidden = occlusion.hide(crop, row, column)
    worst.imshow(_marked(hidden, occlusion.moved[row, column], points, occlusion.plain))
    worst.set_title(f"moved most: by {shifts.max():.1f}%; white: before", fontsize=10)
    side, size = occlusion.side, len(crop)
    detail = f"behind a gray square of {side} × {side} px, at each place of {size} × {size} px"
    _title(figure, f"Which parts of the face move {name_points(points)}", detail, network)
    _value_bar(figure, moved, axes, "mean shift while the square is there, % of the eye distance (inter-ocular)")
    return figure


def plot_way(way, network: str):
    """How a photo became points, step by step, each with its sizes. A matplotlib Figure.

    way: `insight.Way`.
    """
    (box,), _, (degrees,) = way.found
    first, second, third = way.points
    frame, turn = upright_frame(first)
    to_face, to_detail = _close_up(frame, 1.6), _close_up(_furthest_apart(second, third), 1)
    steps = _steps(way, to_face, to_detail)
    figure, axes = _pictures(5, 2, height=2.65)
    places = dict(zip(steps, axes.flat, strict=False))
    for number, (name, place) in enumerate(places.items(), start=1):
        detail, picture = steps[name]
        place.imshow(fit(picture, CLOSE), extent=_extent(picture))
        place.set_anchor("NW")
        place.set_title(f"{number}  {name}", fontsize=10, fontweight="bold", loc="left")
        place.text(0, -0.03, detail, fontsize=SMALL, va="top", transform=place.transAxes)
    _outline(places["detector's box"], box, degrees, np.eye(2, 3))
    _outline(places["first points"], frame, turn, to_face)
    for points, color in ((second, BLUE), (third, VERMILION), (way.face.keypoints, WHITE)):
        points = geometry.transform_points(points, to_detail)
        inside = points[((points > 0) & (points < CLOSE)).all(axis=1)]
        places["mean of both"].plot(*inside.T, "o", color=_hex(color), markeredgecolor="black", markersize=5)
    _title(figure, "How a photo becomes points", "the face is looked at three times", network)
    return figure


def _steps(way, to_face: np.ndarray, to_detail: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
    """What `plot_way` shows, by name: two lines about it, and the picture. The matrices (2×3) are to close-ups."""
    height, width = way.image.shape[:2]
    (box,), (score,), (degrees,) = way.found
    crop = " × ".join(map(str, way.crops.shape[1:])) + " px"
    searched = " × ".join(map(str, way.searched[::-1]))
    first, second, third = way.points
    apart = np.linalg.norm(second - third, axis=1)
    face, detail = (geometry.warp(way.image, matrix, CLOSE, CLOSE) for matrix in (to_face, to_detail))
    steps = {
        "photo": (f"{width} × {height} px", way.image),
        "detector's box": (
            f"{box[2] - box[0]:.0f} px wide, score {score:.2f},\nsearched from {searched} px up",
            way.image,
        ),
        "crop": (f"{crop}, RGB, turned\nby the detector's {degrees:.0f}°", way.colour),
        "gray": (f"{crop}, one channel:\nall that the network sees", _rgb(way.crops[0])),
    }
    if way.heat is not None:
        cells = f"68 of {way.heat.shape[2]} × {way.heat.shape[1]} cells;\na point is the mean of one"
        steps["heat maps"] = (cells, _heated(way.crops[0], way.heat))
    return steps | {
        "first points": ("68 × (x, y) px of the photo;\nthey frame the face anew", _on(face, first, to_face)),
        "second look": (f"{crop}, level,\nframed by the first points", _marked(way.crops[1], way.keypoints[1])),
        "third look": (f"{crop}, mirrored,\nframed by the second points", _marked(way.crops[2], way.keypoints[2])),
        "mean of both": (
            f"white; second blue, third red:\n{apart.mean():.1f} px apart, here {apart.max():.1f}",
            detail,
        ),
        "points": ("68 × (x, y) px of the photo", _on(face, way.face.keypoints, to_face)),
    }


def _furthest_apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The box (x0, y0, x1, y1) around the point that two passes (68, 2) px disagree about most, as wide as an eye."""
    middle = (one + other)[np.linalg.norm(one - other, axis=1).argmax()] / 2
    half = inter_ocular(one) / 4
    return np.concatenate([middle - half, middle + half])


def name_points(points: Sequence[int]) -> str:
    """Points in words: a region's name, or their numbers."""
    for region, of_region in REGIONS.items():
        if list(points) == list(of_region):
            return f"the points of the {region}"
    return f"point {points[0]}" if len(points) == 1 else f"points {', '.join(map(str, points))}"


def _some(shown: int, there: int) -> str:
    return str(there) if shown == there else f"{shown} of {there}"


def _title(figure, what: str, detail: str, network: str) -> None:
    figure.suptitle(f"{what}\n{detail}; network: {network}", fontsize=11)


def _show_map(place, values: np.ndarray):
    """Draw a map (H, W) as shares of its largest magnitude."""
    shares = values / max(np.abs(values).max(), TINY)
    return place.imshow(shares, _signed(), vmin=-1, vmax=1, interpolation="nearest")


def _grid(count: int, most: int) -> tuple[int, int]:
    """Columns, `most` of them at most, and rows for so many pictures, of which the last row is as full as may be."""
    rows = -(-count // most)
    return -(-count // rows), rows


def _pictures(columns: int, rows: int, height: float | None = None):
    """A figure 10 inches wide for pictures, and its axes (rows, columns). height: of a row, in inches."""
    side = 10 / columns
    figure, axes = _figure(10, 1.0 + rows * (height or 1.12 * side), columns, rows)
    axes = np.reshape(axes, (rows, columns))
    for one in axes.flat:
        one.axis("off")
    return figure, axes


def _value_bar(figure, values, axes, label: str):
    """A bar below the axes that says which values the colours mean."""
    bar = figure.colorbar(values, ax=axes, location="bottom", shrink=0.5, aspect=50, pad=0.02)
    bar.set_label(label, fontsize=10)
    bar.outline.set_visible(False)
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


def _heated(crop: np.ndarray, heat: np.ndarray, points: Sequence[int] = range(NUM_LANDMARKS)) -> np.ndarray:
    """The crop (S, S) uint8 enlarged, and over it heat maps (68, H, W) in the colours of their regions."""
    picture = fit(_rgb(crop), CLOSE).astype(np.float32)
    for region, of_region in REGIONS.items():
        chosen = [point for point in of_region if point in points]
        if chosen:
            shares = heat[chosen] / heat[chosen].max(axis=(1, 2), keepdims=True)
            alpha = geometry.resize(shares.max(axis=0), *picture.shape[:2])[..., None]
            picture += alpha * (np.float32(REGION_COLORS[region]) - picture)
    return np.round(picture).astype(np.uint8)


def _marked(
    crop: np.ndarray,
    keypoints: np.ndarray,
    points: Sequence[int] = range(NUM_LANDMARKS),
    truth: np.ndarray | None = None,
) -> np.ndarray:
    """The crop (S, S) uint8 enlarged, and some of its points (68, 2) px on it; `truth` as in `draw_keypoints`."""
    picture = fit(_rgb(crop), CLOSE)
    matrix = geometry.resize_matrix(*crop.shape, *picture.shape[:2])
    hidden = np.setdiff1d(range(NUM_LANDMARKS), points)
    keypoints = geometry.transform_points(keypoints, matrix)
    keypoints[hidden] = np.nan  # isn't drawn
    if truth is not None:
        truth = geometry.transform_points(truth, matrix)
        truth[hidden] = np.nan
    return draw_keypoints(picture, keypoints, truth, radius=CLOSE / 110)


def _close_up(box: np.ndarray, margin: float) -> np.ndarray:
    """The 2×3 matrix to a picture of the square around a box, `margin` times as wide."""
    return geometry.crop_matrix(box, geometry.CropPolicy(CLOSE, margin))


def _on(picture: np.ndarray, keypoints: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return draw_keypoints(picture, geometry.transform_points(keypoints, matrix))


def _outline(place, box: np.ndarray, degrees: float, matrix: np.ndarray) -> None:
    """Draw the square that is `box` once it is turned clockwise by `degrees` around its middle."""
    x0, y0, x1, y1 = box
    center = ((x0 + x1) / 2, (y0 + y1) / 2)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    corners = geometry.transform_points(corners, geometry.similarity(center, center, degrees=-degrees))
    place.plot(*geometry.transform_points(corners, matrix).T, color=_hex(VERMILION), linewidth=1.5)


def _extent(picture: np.ndarray) -> tuple[float, float, float, float]:
    """Where the edges of a picture lie, as `imshow` takes them: pixel centres are at integers."""
    height, width = picture.shape[:2]
    return -0.5, width - 0.5, height - 0.5, -0.5


def _rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


def rendered(figure) -> np.ndarray:
    """A figure as a picture (H, W, 3) uint8 RGB, without what is empty at its foot."""
    figure.set_dpi(DPI)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    inked = np.flatnonzero((picture < 255).any(axis=(1, 2)))
    return picture[: inked[-1] + DPI // 10].copy()


# --- Sheets of faces ------------------------------------------------------------------------------------------


def sample_sheet(dataset, count: int, seed: int) -> np.ndarray:
    """`count` faces of the data set, drawn at random, with keypoints and file names."""
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    boxes = {i: geometry.box_of(dataset.keypoints[i]) for i in chosen}
    tiles = [face_tile(dataset.image(i), dataset.keypoints[i], box=box) for i, box in boxes.items()]
    return contact_sheet(tiles, captions=[Path(dataset.names[i]).stem for i in chosen])


def transform_sheet(dataset, seed: int) -> np.ndarray:
    """One face through each transform: a row of those that draw nothing at random, then a row of draws for each; and
    two of mosaics, on which a detector is trained.
    """
    import torch

    import data_load as d

    policy = geometry.CropPolicy()
    sample = dataset[int(np.random.default_rng(seed).integers(len(dataset)))]
    height, width = sample["image"].shape[:2]
    side = max(1, round(0.8 * min(height, width)))
    cut = d.CropFace(policy)(sample)
    gray = d.Normalize()(cut)
    gray_image = np.repeat(np.round(gray["image"][..., None] * 255).astype(np.uint8), 3, axis=2)
    gray_points = geometry.denormalize_keypoints(gray["keypoints"], *gray_image.shape[:2])
    shown = [
        ("the image", sample),
        ("Rescale(64)", d.Rescale(64)(sample)),
        ("Resize((96, 160))", d.Resize((96, 160))(sample)),
        ("CropFace", cut),
        ("Normalize: gray", {"image": gray_image, "keypoints": gray_points}),
    ]
    torch.manual_seed(seed)
    for source, transform in (
        (sample, d.RandomCrop(side)),
        (sample, d.RandomCropFace(policy)),
        (cut, d.RandomLight()),
        (cut, d.RandomErase(probability=1)),
    ):
        shown += [(type(transform).__name__, transform(source)) for _ in range(5)]
    captions = [f"{name}, {one['image'].shape[1]}×{one['image'].shape[0]}" for name, one in shown]
    tiles = [face_tile(one["image"], one["keypoints"]) for _, one in shown] + mosaic_tiles(dataset, 10)
    return contact_sheet(tiles, columns=5, captions=captions + ["Mosaics"] * 10)


def mosaic_tiles(dataset, count: int) -> list[np.ndarray]:
    """`count` mosaics of the first photos that chance takes, with the faces that a detector is to find in them."""
    import torch

    from mosaics import lay

    laid = lay(dataset.subset(torch.randperm(len(dataset))[:MOSAIC_PHOTOS].tolist(), None))
    tiles = []
    for i in range(count):
        mosaic = laid[i % len(laid)]
        x, y, sides, rolls = mosaic["faces"].T
        tiles.append(draw_squares(mosaic["image"], np.column_stack([x, y]), sides, rolls, WHITE))
    return tiles


def overlay_sheet(tile: int = 160) -> np.ndarray:
    """The overlays on the photograph that comes with matplotlib, then on invented people who turn by 45° to each side,
    where their exact labels are.
    """
    from curation.drawn import Frame, draw, random_person, random_video  # here: nothing else needs these
    from face68.landmarker import Landmarker

    photo = read_image(demonstration_photo())
    (face,) = Landmarker()(photo)
    matrix = geometry.crop_matrix(
        geometry.box_of(face.keypoints), geometry.CropPolicy(tile, margin=2.1), shift=(0, 0.1)
    )
    shown = []
    for names in (["glasses"], ["sunglasses"], ["moustache"], ["sunglasses", "moustache"], ["ears", "nose"]):
        shown.append((names, geometry.warp(_wearing(photo, face, names), matrix, tile, tile)))
    rng = np.random.default_rng(3)
    for names in (["glasses", "moustache", "hat"], ["ears", "nose"]):
        person = replace(random_person(rng), glasses=False, beard="none")
        video = replace(random_video(rng), size=(2 * tile, 2 * tile), noise=0.0)
        for yaw in (-45, -22, 0, 22, 45):
            image, labels = draw(person, video, Frame(yaw=yaw, roll=yaw / 4, face_width=0.34, centre=(0.5, 0.66)))
            drawn = _wearing(image, Face(tuple(geometry.box_of(labels)), None, labels), names)
            shown.append((names, geometry.resize(drawn, tile, tile)))
    captions = [", ".join(names) for names, _ in shown]
    return contact_sheet([picture for _, picture in shown], 5, tile, captions)


def _wearing(image: np.ndarray, face: Face, names: Sequence[str]) -> np.ndarray:
    return draw_overlays(image, [face], [load_overlay(name) for name in names])


# --- Commands -------------------------------------------------------------------------------------------------


def show(picture: np.ndarray, title: str) -> None:
    """Open a window with the picture (H, W, 3) uint8 RGB and wait until it is closed.

    Raises:
        InputError: there is no screen, or matplotlib has no toolkit to open a window with.
    """
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() == "agg":  # what matplotlib falls back to without a screen
        raise InputError("--show: no window can be opened here; leave it out and open the file")
    plt.figure(num=title, frameon=False, layout="constrained")
    plt.imshow(picture)
    plt.axis("off")
    plt.show()


def points_of(text: str) -> list[int]:
    """An option's value: numbers of points, 0 to 67, ranges and regions with commas between them."""
    points = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        numbers = (first, last if dash else first)
        if part in REGIONS:
            points += REGIONS[part]
        elif {*numbers} <= {*map(str, range(NUM_LANDMARKS))} and int(numbers[0]) <= int(numbers[1]):
            points += range(int(numbers[0]), int(numbers[1]) + 1)
        else:
            known = ", ".join(REGIONS)
            raise argparse.ArgumentTypeError(f"{text!r} is not 0 to {NUM_LANDMARKS - 1}, as 8,30-35, or of {known}")
    return list(dict.fromkeys(points))


def add_seeing(command: argparse.ArgumentParser, name: str) -> None:
    """The options of a command of SEEING."""
    command.add_argument("--image", type=Path, help="a photo with a face (default: one that matplotlib ships)")
    command.add_argument(
        "--checkpoint", type=Path, help="network, a .pt file (default: saved_models/best.pt, else pretrained.pt)"
    )
    if name == "features":
        help_ = "its name; any other lists them (default: the last that still has a quarter of the picture's width)"
        command.add_argument("--layer", help=help_)
    if name in POINTS:
        help_ = "numbers, ranges, and regions (" + ", ".join(REGIONS) + "), as 8,30-35,eyes"
        command.add_argument("--points", type=points_of, default=POINTS[name], help=help_)


def see(args, photo: Path, checkpoint: Path):
    """The figure of a command of SEEING.

    Raises:
        InputError: the photo has no face, or the network not what is asked for.
    """
    import insight  # here: torch is needed for these alone

    network = insight.open_network(checkpoint, keypoints=args.command in ("photo", "heatmaps", "occlusion"))
    image, name = read_image(photo), f"{network.checkpoint['model']} ({checkpoint.name})"
    if args.command == "photo":
        return plot_way(insight.follow(network, image, photo), name)
    picture = insight.shown_to(network, image, photo)
    if args.command == "filters":
        return plot_filters(insight.first_filters(network, picture), name)
    if args.command == "features":
        maps = insight.layer_maps(network, picture)
        layer = insight.choose_layer(maps, picture, args.layer)
        return plot_features(layer, maps[layer], picture, name)
    if args.command == "heatmaps":
        heat = insight.needed_heat_maps(network, picture)
        return plot_heat_maps(picture, heat, network(picture[None]), args.points, name)
    return plot_occlusion(picture, insight.occlude(network, picture), args.points, name)


def main() -> None:
    import data_load  # here: those who only draw shouldn't wait for torch

    arguments = parser(__doc__.split("\n\nPlots are")[0])
    helps = {
        "samples": "faces of a data set with their keypoints",
        "transforms": "one face through each transform",
        "landmarks": "the numbered picture of the 68 points",
        "overlays": "the face filters",
        **SEEING,
    }
    commands = arguments.add_subparsers(dest="command", required=True, metavar=f"{{{','.join(helps)}}}")
    for name, text in helps.items():
        command = commands.add_parser(name, help=text, formatter_class=arguments.formatter_class)
        command.add_argument("--output", type=Path, default=Path(f"outputs/{name}.png"), help="the picture to write")
        add_overwrite(command)
        command.add_argument("--show", action="store_true", help="open it in a window too")
        if name in ("landmarks", "overlays"):
            continue
        if name in SEEING:
            add_seeing(command, name)
            continue
        default = data_load.default_data()
        command.add_argument("--data", type=Path, default=default, help="folder of the data set")
        command.add_argument("--split", choices=data_load.SPLITS, default="training", help="part of the data set")
        command.add_argument("--seed", type=whole_number, default=0, help="of all that is random")
        if name == "samples":
            command.add_argument("--count", type=positive_int, default=12, help="number of faces")
    args = arguments.parse_args()
    reads = []
    if args.command in SEEING:
        reads = [args.image or demonstration_photo(), args.checkpoint or default_checkpoint()]
    check_places([args.output], reads, args.overwrite)

    if args.command in SEEING:
        picture = rendered(see(args, *reads))
    elif args.command == "landmarks":
        picture = draw_landmarks()
    elif args.command == "overlays":
        picture = overlay_sheet()
    else:
        dataset = data_load.open_split(args.data, args.split)
        if args.command == "samples":
            picture = sample_sheet(dataset, args.count, args.seed)
        else:
            picture = transform_sheet(dataset, args.seed)
    write_image(args.output, picture)
    print(args.output)
    if args.show:
        show(picture, args.command)


if __name__ == "__main__":
    run(main)
