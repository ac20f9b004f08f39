"""What an evaluation shows: figures, plots, and predictions beside the truth as sheets of pictures, (H, W, 3) uint8."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation import metrics
from face68 import geometry
from face68.detect import Circles
from face68.draw import VERMILION, WHITE, contact_sheet, draw_squares, face_tile, stack_sheets
from face68.files import InputError
from face68.landmarker import MIN_FACE_SCORE
from plots import style

BEST, MEDIAN, WORST = "The best", "In the middle", "The worst, worst first"
RANKED = {BEST: 4, MEDIAN: 4, WORST: 12}  # how many faces of each are shown
LOOKS = {  # by which faces are grouped: title, axis
    "size": ("By the size of the face", "inter-ocular distance, px (number of faces)"),
    "yaw": ("By yaw: the head turned sideways", "yaw, degrees (number of faces)"),
    "roll": ("By roll: the head tilted", "roll, degrees (number of faces)"),
}

POINTS = "in colour what was predicted, white crosses are the truth"
KEY = "NME ({}); " + POINTS
SQUARES = "what was found in colour, what is there in white; the thick side is the forehead's"


# --- Figures --------------------------------------------------------------------------------------------------


def as_text(report: dict) -> str:
    """The main figures of a report of evaluate.py, a line each, for the terminal."""
    (low, high), norm = report["nme_95_interval_over_people"], report["normaliser"]
    figures = {
        "faces": f"{report['faces']} of {report['people']} people, {report['missed']} missed",
        f"NME ({norm})": f"{report['nme']:.2%}  (95% interval {low:.2%} to {high:.2%})",
        f"median ({norm})": f"{report['nme_median']:.2%}",
    }
    for threshold in report["thresholds"]:
        failed, area = (report[metrics.at(figure, threshold)] for figure in ("failure_rate", "auc"))
        end = f"{100 * threshold:g}% ({norm})"
        figures |= {f"FR@{end}": f"{failed:.2%}", f"AUC@{end}": f"{area:.3f}"}
    figures |= {f"NME ({norm}), {region}": f"{error:.2%}" for region, error in report["nme_by_region"].items()}
    if "expected_and_measured_errors" in report:
        ratios = [measured / expected for expected, measured in report["expected_and_measured_errors"]]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f} in ten bins of points"
        recall, precision = (report["face_scores"][name] for name in ("recall", "precision"))
        figures |= {
            "expected errors": f"measured / expected: {spread}",
            "face score": f"at {MIN_FACE_SCORE}: recall {recall:.2%} of faces, precision {precision:.2%} beside as "
            "many pieces of background",
        }
    return "\n".join(f"{name:<26} {figure}" for name, figure in (figures | {"labels": report["labels"]}).items())


def stored_curves(paths: list[Path], names: list[str], norm: str, taken: Sequence[str]) -> dict[str, np.ndarray]:
    """The NME of each face, by the stem of the files that --json wrote, or by their path where two have one.

    names: of the faces that are measured now; of a file of others the label says so. norm: what errors are divided by.
    taken: labels that other curves have.

    Raises:
        InputError: a file isn't there, or is something else.
    """
    curves = {}
    for path in paths:
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            errors = stored["nme_by_face"]
            values = np.array(list(errors.values()), dtype=np.float64)
        except OSError as error:
            raise InputError(f"{path}: can't be read ({error.strerror}); check the path") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: holds no errors by face; give a file that evaluate.py --json wrote") from error
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise InputError(f"{path}: holds no errors by face; give a file that evaluate.py --json wrote")
        if (other := stored.get("normaliser", metrics.INTER_OCULAR)) != norm:
            raise InputError(f"{path}: its errors are {other}, not {norm}; write it anew with --norm {norm}")
        others = "" if errors.keys() == set(names) else " (other faces)"
        label = f"{path.stem}{others}"
        curves[label if label not in (*taken, *curves) else f"{path}{others}"] = values
    return curves


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
    groups = style.plot_groups(list(panels.values()), report["nme"], highest_error(panels), norm=norm)
    shown = {
        "ced.png": style.plot_ced(curves, report["thresholds"][0], norm),
        "points.png": style.plot_points(report["nme_by_point"], norm),
        "groups.png": groups,
    }
    if "expected_and_measured_errors" in report:
        shown["calibration.png"] = style.plot_calibration(report["expected_and_measured_errors"], norm)
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


def error_label(error: float) -> str:
    """The error of a face, NaN where it was missed, as a caption says it."""
    return "missed" if np.isnan(error) else f"{error:.1%}"


def ranked(errors: np.ndarray) -> dict[str, np.ndarray]:
    """Which faces, of errors (N,), are the best, those in the middle and the worst: rows by heading, no face twice."""
    order, middle = np.argsort(errors, kind="stable"), min(RANKED[MEDIAN], len(errors) // 3)
    start = -(-(len(errors) - middle) // 2)
    best, median, worst = np.split(order, [start, start + middle])
    rows = {BEST: best[: RANKED[BEST]], MEDIAN: median, WORST: worst[::-1][: RANKED[WORST]]}
    return {heading: of_kind for heading, of_kind in rows.items() if len(of_kind)}


def ranked_sheet(dataset, predicted: np.ndarray, truth: np.ndarray, norm: str = metrics.INTER_OCULAR) -> np.ndarray:
    """The best faces, those in the middle and the worst, missed ones first, one below the other."""
    (best, *others) = ranked(metrics.nme(predicted, truth, norm)).items()
    sheets = [error_sheet(dataset, best[1], predicted, truth, f"{best[0]} of {len(dataset)} faces", norm)]
    return stack_sheets(sheets + [_sheet(dataset, rows, predicted, truth, heading, norm) for heading, rows in others])


def detection_sheet(
    pictures: Sequence[np.ndarray], found: Sequence[Circles], truth: Sequence[Circles], title: str
) -> np.ndarray:
    """Pictures (H, W, 3) uint8 RGB with what a detector found in each, and in white what is there."""
    pairs = zip(found, truth, strict=True)
    captions = [f"{len(of_picture.scores)} found, {len(there.scores)} there" for of_picture, there in pairs]
    title += f": {SQUARES}"
    return contact_sheet(detection_tiles(pictures, found, truth), tile=320, captions=captions, title=title)


def detection_tiles(
    pictures: Sequence[np.ndarray], found: Sequence[Circles], truth: Sequence[Circles]
) -> list[np.ndarray]:
    """The pictures of `detection_sheet`."""
    tiles = []
    for picture, of_picture, there in zip(pictures, found, truth, strict=True):
        tile = draw_squares(picture, there.centers, there.sides, there.rolls, WHITE)
        tiles.append(draw_squares(tile, of_picture.centers, of_picture.sides, of_picture.rolls, VERMILION))
    return tiles


def learning_strip(
    epochs: Sequence[int], errors: Sequence[float], tiles: Sequence[Sequence[np.ndarray]], measure: str, legend: str
) -> np.ndarray:
    """The same samples as the network saw them after each of some epochs, a row an epoch.

    epochs: 0 is before training; errors: of all validation samples then, as fractions; measure: what people call them.
    tiles: as many pictures (H, W, 3) uint8 RGB for each.
    """
    short = measure.partition(" (")[0]
    labels = [
        f"{f'epoch {epoch}' if epoch else 'before'}\n{short} {error:.1%}"
        for epoch, error in zip(epochs, errors, strict=True)
    ]
    title = f"Watch it learn: the same pictures epoch after epoch, with {measure} of all validation samples; {legend}"
    return contact_sheet(list(itertools.chain(*tiles)), len(tiles[0]), 240, title=title, labels=labels)
