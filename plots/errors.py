"""Plots and sheets of errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation import metrics
from face68 import geometry
from face68.detect import Detections
from face68.draw import (
    BLUE,
    INK,
    VERMILION,
    WHITE,
    contact_sheet,
    draw_squares,
    face_tile,
    schematic_face,
    stack_sheets,
)
from face68.landmarks import IBUG68, face_frames
from face68.measures import filled
from face68.schemes import Scheme
from plots.style import COLORS, GRAY, draw_schematic, new_figure, plain_log_ticks, plain_name, to_hex

LOOKS = {  # by which faces are grouped: title, axis
    "size": ("By the size of the face", "inter-ocular distance, px (number of faces)"),
    "yaw": ("By yaw: the head turned sideways", "yaw, degrees (number of faces)"),
    "roll": ("By roll: the head tilted", "roll, degrees (number of faces)"),
}

POINTS = "in colour what was predicted, white crosses are the truth"
SQUARES = "what was found in colour, what is there in white; the thick side is the forehead's"


def plot_ced(
    errors_by_name: dict[str, np.ndarray], threshold: float = metrics.FAILURE, norm: str = metrics.INTER_OCULAR
):
    """Cumulative error curves, one a name: the share of faces whose NME stays below each value. A matplotlib Figure.

    The first one's AUC is shaded; at the right edge a bar closes the gap to 100%, the FR.

    errors_by_name: NME of each face (N,), as a fraction of the normaliser `norm`.
    """
    figure, axes = new_figure(5.4, 4.4 + 0.2 * len(errors_by_name))  # the legend has a line each
    end = 100 * threshold
    for i, (name, errors) in enumerate(errors_by_name.items()):
        color = to_hex(COLORS[i % len(COLORS)])
        thresholds, shares = metrics.cumulative_errors(errors, threshold)
        figures = f"NME {100 * np.mean(errors):.2f}%, AUC@{end:g}% {metrics.auc(errors, threshold):.3f}"
        figures += f", FR@{end:g}% {100 * metrics.failure_rate(errors, threshold):.1f}%"
        space = " " if len(name) + len(figures) < 66 else "\n"  # what the figure is wide enough for
        shown = name if len(name) <= 62 else f"…{name[-61:]}"  # paths differ at their ends
        style = {"color": color, "linestyle": "-" if i < len(COLORS) else "--"}
        axes.plot(100 * thresholds, 100 * shares, label=f"{plain_name(shown)}:{space}{figures}", **style)
        if i == 0:
            axes.fill_between(100 * thresholds, 100 * shares, color=color, alpha=0.1, linewidth=0)
        step = min(0.012, 0.055 / len(errors_by_name))  # bars of many take no more room
        beside, bar = end * (1.012 + step * i), {"linewidth": 250 * step, "solid_capstyle": "butt", "clip_on": False}
        axes.plot([beside, beside], [100 * shares[-1], 100], color=color, **bar)
    axes.set(xlim=(0, end), ylim=(0, 101), title="Cumulative error distribution")
    axes.set(xlabel=f"NME ({norm}), %", ylabel="faces at or below, %")
    key = f"shaded: {'AUC' if len(errors_by_name) == 1 else 'the AUC of the first one'}; bar at the right: FR"
    figure.legend(loc="outside lower left", frameon=False, title=key, alignment="left", fontsize=9, title_fontsize=9)
    return figure


def mean_face(labels: np.ndarray, scheme: Scheme) -> np.ndarray:
    """The points of a scheme as a picture shows them best: of iBUG's 68 the schematic face, of others the mean of
    labelled faces (M, N, 2) px, level and at about the size of that one. (N, 2).
    """
    if scheme == IBUG68:
        return schematic_face()
    known = [filled(points, np.isfinite(points).all(axis=1), scheme) for points in labels]
    axes, centers, sides = face_frames(np.stack(known), scheme)
    level = (known - centers) @ axes.swapaxes(1, 2) / np.maximum(sides, 1e-9)[:, None, None]
    return 1.9 * level.mean(axis=0) + [0, 0.53]  # where the schematic face lies


def plot_points(errors: np.ndarray, norm: str = metrics.INTER_OCULAR, face=None, scheme: Scheme = IBUG68):
    """The mean error of each point on a schematic face, as colour and size; the worst of each region is named.

    errors: (68,), fractions of the normaliser `norm`. face, scheme: see `mean_face`. A matplotlib Figure.
    """
    figure, axes = new_figure(5.4, 4.6)
    percent, face = 100 * np.asarray(errors, dtype=np.float64), schematic_face() if face is None else face
    dots = draw_schematic(axes, percent, 12 + 110 * percent / max(percent.max(), 1e-9), face, scheme)
    label = f"mean error ({norm}), %; the worst point of each region is named"
    bar = figure.colorbar(dots, ax=axes, location="bottom", shrink=0.9, aspect=40, pad=0.02)
    bar.set_label(label, fontsize=9)
    bar.outline.set_visible(False)
    worst = [max(points, key=lambda i: percent[i]) for points in scheme.regions.values()]
    for side in (-1, 1):  # in the margin that is nearer, one below the other
        lowest = -np.inf
        for i in sorted((i for i in worst if side * (face[i, 0] or 1) > 0), key=lambda i: face[i, 1]):
            lowest = max(face[i, 1], lowest + 0.16)
            axes.annotate(
                f"{i}: {percent[i]:.1f}%",
                face[i],
                xytext=(1.12 * side, lowest),
                ha="left" if side > 0 else "right",
                va="center",
                arrowprops={"arrowstyle": "-", "color": GRAY, "linewidth": 0.8},
            )
    axes.set(title="Where on the face it errs" if scheme.eyes else "Which points err")
    return figure


def plot_groups(report: dict):
    """The error by region, size, yaw and roll in a report of evaluate.py, a panel each. A matplotlib Figure."""
    from matplotlib.ticker import MaxNLocator

    intervals = report["nme_by_region_95_intervals"]
    regions = [
        {"label": name, "nme": error, "interval": intervals[name]} for name, error in report["nme_by_region"].items()
    ]
    panels = [("By region of the face", "region", regions)]
    for name, groups in report["nme_by_look"].items():
        title, xlabel = LOOKS[name]
        xlabel = xlabel.replace(metrics.INTER_OCULAR, report["scheme_normaliser"])
        panels.append((title, xlabel, [group | {"label": _range_label(group, len(groups) > 5)} for group in groups]))
    rows = len(panels) // 2
    figure, axes = new_figure(9.2, 3.4 * rows, 2, rows, sharey=True)
    axes = np.reshape(axes, (rows, 2))
    highest = 0.001  # an axis needs some length
    for panel, (title, xlabel, groups) in zip(axes.flat, panels, strict=True):
        panel.axhline(100 * report["nme"], color=to_hex(VERMILION), linewidth=1, label="all faces")
        for i, group in enumerate(groups):
            ends = group["interval"] or ()
            highest = max(highest, group["nme"], *ends)
            if ends:
                panel.plot([i, i], [100 * end for end in ends], color=to_hex(BLUE), linewidth=1.5)
        values = [100 * group["nme"] for group in groups]
        panel.plot(range(len(groups)), values, "o", color=to_hex(BLUE), markersize=4.5, label="mean and 95% interval")
        panel.set_xticks(range(len(groups)), [group["label"] for group in groups])
        panel.set(title=title, xlabel=xlabel, xlim=(-0.5, len(groups) - 0.5))
        panel.grid(visible=False, axis="x")
    axes[0, 0].set_ylim(0, 105 * highest)  # of all: they share it
    for left in axes[:, 0]:
        left.set(ylabel=f"NME ({report['normaliser']}), %")
        left.yaxis.set_major_locator(MaxNLocator(6))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _range_label(group: dict, narrow: bool) -> str:
    """The range of one of `metrics.errors_by` and the number of its faces below; `narrow` breaks the range, too."""
    low, high = (None if end is None else f"{end:g}".replace("-", "−") for end in (group["from"], group["to"]))
    if low is None:
        text = "all" if high is None else f"< {high}"
    else:
        text = f"≥ {low}" if high is None else f"{low} to{chr(10) if narrow else ' '}{high}"
    return f"{text}\n({group['faces']})"


def plot_calibration(table, norm: str = metrics.INTER_OCULAR):
    """Measured against expected errors, a dot a bin of points; on the line they agree. A matplotlib Figure.

    table: expected and measured error of each bin (B, 2), as fractions of the normaliser `norm`.
    """
    figure, axes = new_figure(5, 4.6)
    expected, measured = 100 * np.asarray(table, dtype=np.float64).T
    ends = np.array([min(expected.min(), measured.min()), max(expected.max(), measured.max())]) * (0.9, 1.1)
    axes.fill_between(ends, 0.85 * ends, 1.15 * ends, color=GRAY, alpha=0.4, linewidth=0, label="within 15%")
    axes.plot(ends, ends, color=to_hex(INK), linewidth=1)
    label = "a tenth of all points" if len(expected) == 10 else None
    axes.plot(expected, measured, "o", color=to_hex(BLUE), label=label)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title="Does the network know its errors?")
    axes.set(xlabel=f"expected error ({norm}), %", ylabel=f"measured error ({norm}), %")
    for axis in (axes.xaxis, axes.yaxis):
        plain_log_ticks(axis)
    axes.legend(frameon=False, loc="upper left")
    return figure


def plot_report(report: dict, curves: dict[str, np.ndarray], scheme: Scheme, labels: np.ndarray) -> dict:
    """The plots of a report of evaluate.py, by the names of their files: matplotlib Figures.

    curves: NME of each face (N,) by name, the report's own first. scheme, labels: see `mean_face`.
    """
    norm = report["normaliser"]
    figures = {
        "ced.png": plot_ced(curves, report["thresholds"][0], norm),
        "points.png": plot_points(report["nme_by_point"], norm, mean_face(labels, scheme), scheme),
        "groups.png": plot_groups(report),
    }
    if "expected_and_measured_errors" in report:
        figures["calibration.png"] = plot_calibration(report["expected_and_measured_errors"], norm)
    return figures


# --- Sheets of faces ------------------------------------------------------------------------------------------


def error_tiles(dataset, chosen: Sequence[int], predicted: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """Predictions and the truth on the chosen faces of a data set, (320, 320, 3) uint8 each.

    predicted, truth: keypoints of all faces of the data set, (N, 68, 2) px of their images, NaN for hidden ones.
    """
    boxes = {i: geometry.box_of(truth[i][np.isfinite(truth[i]).all(axis=1)]) for i in chosen}
    shape = {"side": 320, "scheme": dataset.scheme}
    return [
        face_tile(dataset.image(i), predicted[i], truth[i], box if dataset.scheme.has_extent else None, **shape)
        for i, box in boxes.items()
    ]


def error_sheet(
    dataset, chosen: Sequence[int], predicted: np.ndarray, truth: np.ndarray, title: str, norm: str | None = None
) -> np.ndarray:
    """The `error_tiles`, each with its error, or "missed" where its points are NaN, and its file's name."""
    norm = norm or dataset.scheme.norm
    return _captioned(dataset, chosen, predicted, truth, f"{title}: NME ({norm}); {POINTS}", norm)


def _captioned(dataset, chosen: Sequence[int], predicted, truth, title: str, norm: str) -> np.ndarray:
    errors = metrics.nme(predicted, truth, norm, dataset.scheme)
    names = [Path(dataset.names[i]).stem for i in chosen]
    labels = ["missed" if np.isnan(error) else f"{error:.1%}" for error in errors[list(chosen)]]
    captions = [f"{label}  {name}" for label, name in zip(labels, names, strict=True)]
    return contact_sheet(error_tiles(dataset, chosen, predicted, truth), tile=320, captions=captions, title=title)


def rank_faces(errors: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of the best faces, those in the middle and the worst, of errors (N,), by heading; no face twice."""
    order, middle = np.argsort(errors, kind="stable"), min(4, len(errors) // 3)
    start = -(-(len(errors) - middle) // 2)
    best, median, worst = np.split(order, [start, start + middle])
    rows = {"The best": best[:4], "In the middle": median, "The worst, worst first": worst[::-1][:12]}
    return {heading: of_kind for heading, of_kind in rows.items() if len(of_kind)}


def ranked_sheet(dataset, predicted: np.ndarray, truth: np.ndarray, norm: str | None = None) -> np.ndarray:
    """The best faces, those in the middle and the worst, missed ones first, one below the other."""
    ((heading, rows), *others) = rank_faces(metrics.nme(predicted, truth, norm, dataset.scheme)).items()
    best = error_sheet(dataset, rows, predicted, truth, f"{heading} of {len(dataset)} faces", norm)
    below = [_captioned(dataset, rows, predicted, truth, heading, norm) for heading, rows in others]
    return stack_sheets([best, *below])


def detection_sheet(
    pictures: Sequence[np.ndarray], detected: Sequence[Detections], truth: Sequence[Detections], title: str
) -> np.ndarray:
    """Pictures (H, W, 3) uint8 RGB with what a detector found in each, and in white what is there."""
    pairs = zip(detected, truth, strict=True)
    captions = [f"{len(of_picture.scores)} found, {len(there.scores)} there" for of_picture, there in pairs]
    title += f": {SQUARES}"
    return contact_sheet(detection_tiles(pictures, detected, truth), tile=320, captions=captions, title=title)


def detection_tiles(
    pictures: Sequence[np.ndarray], detected: Sequence[Detections], truth: Sequence[Detections]
) -> list[np.ndarray]:
    """The pictures of `detection_sheet`."""
    tiles = []
    for picture, of_picture, there in zip(pictures, detected, truth, strict=True):
        tile = draw_squares(picture, there.centers, there.sides, there.rolls, WHITE)
        tiles.append(draw_squares(tile, of_picture.centers, of_picture.sides, of_picture.rolls, VERMILION))
    return tiles
