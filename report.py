"""What an evaluation shows: plots, and predictions beside the truth as sheets of pictures, (H, W, 3) uint8 RGB."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import metrics
import plots
from face68 import geometry
from face68.detect import Circles
from face68.draw import VERMILION, WHITE, contact_sheet, draw_squares, face_tile, stack_sheets

KEY = "NME ({}); in colour what was predicted, white crosses are the truth"
BEST, MEDIAN, WORST = "The best", "In the middle", "The worst, worst first"
RANKED = {BEST: 4, MEDIAN: 4, WORST: 12}  # how many faces of each are shown
LOOKS = {  # by which faces are grouped: title, axis
    "size": ("By the size of the face", "inter-ocular distance, px (number of faces)"),
    "yaw": ("By yaw: the head turned sideways", "yaw, degrees (number of faces)"),
    "roll": ("By roll: the head tilted", "roll, degrees (number of faces)"),
}


# --- Plots ----------------------------------------------------------------------------------------------------


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
    groups = plots.plot_groups(list(panels.values()), report["nme"], highest_error(panels), norm=norm)
    shown = {
        "ced.png": plots.plot_ced(curves, report["thresholds"][0], norm),
        "points.png": plots.plot_points(report["nme_by_point"], norm),
        "groups.png": groups,
    }
    if "expected_and_measured_errors" in report:
        shown["calibration.png"] = plots.plot_calibration(report["expected_and_measured_errors"], norm)
    return shown


# --- Faces ----------------------------------------------------------------------------------------------------


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


def error_label(error: float, form: str = ".1%") -> str:
    """The error of a face, NaN where it was missed, as a caption says it."""
    return "missed" if np.isnan(error) else format(error, form)


def ranked(errors: np.ndarray) -> dict[str, np.ndarray]:
    """Which faces, of errors (N,), are the best, those in the middle, and the worst: rows by heading."""
    order, count = np.argsort(errors, kind="stable"), len(errors)
    start = max(0, (count - RANKED[MEDIAN]) // 2)
    return {
        BEST: order[: RANKED[BEST]],
        MEDIAN: order[start : start + RANKED[MEDIAN]],
        WORST: order[::-1][: RANKED[WORST]],
    }


def ranked_sheet(dataset, predicted: np.ndarray, truth: np.ndarray, norm: str = metrics.INTER_OCULAR) -> np.ndarray:
    """The best faces, those in the middle and the worst, missed ones first, one below the other."""
    (best, *others) = ranked(metrics.nme(predicted, truth, norm)).items()
    sheets = [error_sheet(dataset, best[1], predicted, truth, f"{best[0]} of {len(dataset)} faces", norm)]
    return stack_sheets(sheets + [_sheet(dataset, rows, predicted, truth, heading, norm) for heading, rows in others])


def detection_sheet(pictures: Sequence[np.ndarray], found: Sequence[Circles], truth: Sequence[Circles]) -> np.ndarray:
    """Pictures (H, W, 3) uint8 RGB with what a detector found in each, and in white what is there."""
    tiles = []
    for picture, of_picture, there in zip(pictures, found, truth, strict=True):
        tile = draw_squares(picture, there.centers, there.sides, there.rolls, WHITE)
        tiles.append(draw_squares(tile, of_picture.centers, of_picture.sides, of_picture.rolls, VERMILION))
    pairs = zip(found, truth, strict=True)
    captions = [f"{len(of_picture.scores)} found, {len(there.scores)} there" for of_picture, there in pairs]
    title = "Validation mosaics: what was found in colour, what is there in white; the thick side is the forehead's"
    return contact_sheet(tiles, tile=320, captions=captions, title=title)
