"""What an evaluation shows: figures, plots, and predictions beside the truth as sheets of pictures, (H, W, 3) uint8."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation import metrics
from face68.files import InputError
from face68.landmarker import MIN_FACE_SCORE

BEST, MEDIAN, WORST = "The best", "In the middle", "The worst, worst first"
RANKED = {BEST: 4, MEDIAN: 4, WORST: 12}  # how many faces of each are shown


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


def ranked(errors: np.ndarray) -> dict[str, np.ndarray]:
    """Which faces, of errors (N,), are the best, those in the middle and the worst: rows by heading, no face twice."""
    order, middle = np.argsort(errors, kind="stable"), min(RANKED[MEDIAN], len(errors) // 3)
    start = -(-(len(errors) - middle) // 2)
    best, median, worst = np.split(order, [start, start + middle])
    rows = {BEST: best[: RANKED[BEST]], MEDIAN: median, WORST: worst[::-1][: RANKED[WORST]]}
    return {heading: of_kind for heading, of_kind in rows.items() if len(of_kind)}
