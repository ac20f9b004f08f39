"""Plots and sheets of errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation import metrics
from evaluation.report import ranked
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
from face68.landmarks import REGIONS
from plots.style import COLORS, GRAY, _draw_schematic, _plain, new_figure, plain_log_ticks, shortened, to_hex


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
        style = {"color": color, "linestyle": "-" if i < len(COLORS) else "--"}
        axes.plot(100 * thresholds, 100 * shares, label=f"{_plain(shortened(name, 62))}:{space}{figures}", **style)
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


def plot_points(errors: np.ndarray, norm: str = metrics.INTER_OCULAR):
    """The mean error of each point on a schematic face, as colour and size; the worst of each region is named.

    errors: (68,), fractions of the normaliser `norm`. A matplotlib Figure.
    """
    figure, axes = new_figure(5.4, 4.6)
    percent = 100 * np.asarray(errors, dtype=np.float64)
    dots = _draw_schematic(axes, percent, 12 + 110 * percent / max(percent.max(), 1e-9))
    label = f"mean error ({norm}), %; the worst point of each region is named"
    bar = figure.colorbar(dots, ax=axes, location="bottom", shrink=0.9, aspect=40, pad=0.02)
    bar.set_label(label, fontsize=9)
    bar.outline.set_visible(False)
    worst = [max(points, key=lambda i: percent[i]) for points in REGIONS.values()]
    face = schematic_face()
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
    axes.set(title="Where on the face it errs")
    return figure


def plot_groups(
    panels: Sequence[dict], mean: float, highest: float, columns: int = 2, norm: str = metrics.INTER_OCULAR
):
    """The error of groups of faces or points, a panel for each way to group them. A matplotlib Figure.

    panels: title, xlabel, and groups: label, nme, interval (its ends, or None) of each one, fractions.
    mean: the NME of all, drawn as a line. highest: the largest error that fits, of panels that are to be compared.
    """
    from matplotlib.ticker import MaxNLocator

    rows = -(-len(panels) // columns)
    figure, axes = new_figure(4.6 * columns, 3.4 * rows, columns, rows, sharey=True)
    places = np.ravel(axes)
    for place, panel in zip(places, panels, strict=False):
        groups = panel["groups"]
        place.axhline(100 * mean, color=to_hex(VERMILION), linewidth=1, label="all faces")
        for i, group in enumerate(groups):
            if group["interval"] is not None:
                ends = [100 * end for end in group["interval"]]
                place.plot([i, i], ends, color=to_hex(BLUE), linewidth=1.5)
        values = [100 * group["nme"] for group in groups]
        place.plot(range(len(groups)), values, "o", color=to_hex(BLUE), markersize=4.5, label="mean and 95% interval")
        place.set_xticks(range(len(groups)), [group["label"] for group in groups])
        place.set(title=panel["title"], xlabel=panel["xlabel"], ylim=(0, 105 * highest), xlim=(-0.5, len(groups) - 0.5))
        place.grid(visible=False, axis="x")
    for place in places[::columns]:
        place.set(ylabel=f"NME ({norm}), %")
        place.yaxis.set_major_locator(MaxNLocator(6))  # the same in figures of other heights
    for place in places[len(panels) :]:
        place.set_axis_off()
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


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


LOOKS = {  # by which faces are grouped: title, axis
    "size": ("By the size of the face", "inter-ocular distance, px (number of faces)"),
    "yaw": ("By yaw: the head turned sideways", "yaw, degrees (number of faces)"),
    "roll": ("By roll: the head tilted", "roll, degrees (number of faces)"),
}

POINTS = "in colour what was predicted, white crosses are the truth"
KEY = "NME ({}); " + POINTS
SQUARES = "what was found in colour, what is there in white; the thick side is the forehead's"


def group_panels(report: dict) -> dict[str, dict]:
    """What `plots.plot_groups` shows of a report of evaluate.py, by name: region, size, yaw, roll."""
    intervals = report["nme_by_region_95_intervals"]
    regions = [
        {"label": name, "nme": error, "interval": intervals[name]} for name, error in report["nme_by_region"].items()
    ]
    panels = {"region": {"title": "By region of the face", "xlabel": "region", "groups": regions}}
    for name, (title, xlabel) in LOOKS.items():
        groups, space = report["nme_by_look"][name], "\n" if len(report["nme_by_look"][name]) > 5 else " "
        labels = [f"{range_label(group, space)}\n({group['faces']})" for group in groups]
        groups = [group | {"label": label} for group, label in zip(groups, labels, strict=True)]
        panels[name] = {"title": title, "xlabel": xlabel, "groups": groups}
    return panels


def highest_error(panels: dict[str, dict]) -> float:
    """The largest error, or end of an interval, in `group_panels`; at least 0.1%, for an axis needs some length."""
    groups = [group for panel in panels.values() for group in panel["groups"]]
    return max(0.001, *(max(group["nme"], *(group["interval"] or [0])) for group in groups))


def range_label(group: dict, space: str = " ") -> str:
    """The range of one of `metrics.errors_by`, as "< 30", "30 to 45" or "≥ 45"; `space` is that behind "to"."""
    low, high = (None if end is None else f"{end:g}".replace("-", "−") for end in (group["from"], group["to"]))
    if low is None:
        return "all" if high is None else f"< {high}"
    return f"≥ {low}" if high is None else f"{low} to{space}{high}"


def figures(report: dict, curves: dict[str, np.ndarray]) -> dict:
    """The plots of a report of evaluate.py, by the names of their files: matplotlib Figures.

    curves: NME of each face (N,) by name, the report's own first.
    """
    panels, norm = group_panels(report), report["normaliser"]
    groups = plot_groups(list(panels.values()), report["nme"], highest_error(panels), norm=norm)
    shown = {
        "ced.png": plot_ced(curves, report["thresholds"][0], norm),
        "points.png": plot_points(report["nme_by_point"], norm),
        "groups.png": groups,
    }
    if "expected_and_measured_errors" in report:
        shown["calibration.png"] = plot_calibration(report["expected_and_measured_errors"], norm)
    return shown


def error_tiles(dataset, chosen: Sequence[int], predicted: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """Predictions and the truth on the chosen faces of a data set, (320, 320, 3) uint8 each.

    predicted, truth: keypoints of all faces of the data set, (N, 68, 2) px of their images.
    """
    boxes = {i: geometry.box_of(truth[i]) for i in chosen}
    return [face_tile(dataset.image(i), predicted[i], truth[i], box, side=320) for i, box in boxes.items()]


def error_sheet(
    dataset, chosen: Sequence[int], predicted: np.ndarray, truth: np.ndarray, title: str, norm=metrics.INTER_OCULAR
) -> np.ndarray:
    """The `error_tiles`, each with its error, or "missed" where its points are NaN, and its file's name."""
    return _sheet(dataset, chosen, predicted, truth, f"{title}: {KEY.format(norm)}", norm)


def _sheet(dataset, chosen: Sequence[int], predicted, truth, title: str, norm: str) -> np.ndarray:
    errors = metrics.nme(predicted, truth, norm)
    captions = [f"{error_label(errors[i])}  {Path(dataset.names[i]).stem}" for i in chosen]
    return contact_sheet(error_tiles(dataset, chosen, predicted, truth), tile=320, captions=captions, title=title)


def error_label(error: float) -> str:
    """The error of a face, NaN where it was missed, as a caption says it."""
    return "missed" if np.isnan(error) else f"{error:.1%}"


def ranked_sheet(dataset, predicted: np.ndarray, truth: np.ndarray, norm: str = metrics.INTER_OCULAR) -> np.ndarray:
    """The best faces, those in the middle and the worst, missed ones first, one below the other."""
    (best, *others) = ranked(metrics.nme(predicted, truth, norm)).items()
    sheets = [error_sheet(dataset, best[1], predicted, truth, f"{best[0]} of {len(dataset)} faces", norm)]
    return stack_sheets(sheets + [_sheet(dataset, rows, predicted, truth, heading, norm) for heading, rows in others])


def detection_sheet(
    pictures: Sequence[np.ndarray], found: Sequence[Detections], truth: Sequence[Detections], title: str
) -> np.ndarray:
    """Pictures (H, W, 3) uint8 RGB with what a detector found in each, and in white what is there."""
    pairs = zip(found, truth, strict=True)
    captions = [f"{len(of_picture.scores)} found, {len(there.scores)} there" for of_picture, there in pairs]
    title += f": {SQUARES}"
    return contact_sheet(detection_tiles(pictures, found, truth), tile=320, captions=captions, title=title)


def detection_tiles(
    pictures: Sequence[np.ndarray], found: Sequence[Detections], truth: Sequence[Detections]
) -> list[np.ndarray]:
    """The pictures of `detection_sheet`."""
    tiles = []
    for picture, of_picture, there in zip(pictures, found, truth, strict=True):
        tile = draw_squares(picture, there.centers, there.sides, there.rolls, WHITE)
        tiles.append(draw_squares(tile, of_picture.centers, of_picture.sides, of_picture.rolls, VERMILION))
    return tiles
