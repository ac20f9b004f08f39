"""Measure a checkpoint on a labelled set: errors, curves, the best and the worst faces.

    python evaluate.py --data data --split test
    python evaluate.py --data data --split training --val-fold 0     # people that training with fold 0 never saw
    python evaluate.py --report outputs                              # all of it as one page: outputs/report.html
    python evaluate.py --json net.json --checkpoint runs/net/best.pt
    python evaluate.py --against net.json                            # its curve beside that of the earlier one

Prints NME (inter-ocular: divided by the distance of the outer eye corners), FR@8% (share of faces above 8%), AUC@8%,
NME by region, and a 95% interval by bootstrap over people. Of a network that judges its own work also how true that
judgement is: its expected errors beside the measured ones, and how well its score tells faces from background.
Writes ced.png, points.png (the error of each point), groups.png (by region, size, yaw and roll), faces.png (the best,
median and worst) and calibration.png into --output-dir.
"""

import json
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import torch

import image_cache
import metrics
import page
import plots
import report as pictures
from checkpoint import git_commit
from data_load import (
    FOLDS,
    SPLITS,
    FacialKeypointsDataset,
    default_data,
    open_split,
    random_background,
    split_by_person,
)
from face68 import geometry
from face68.command.arguments import add_overwrite, parser, positive_int, run, whole_number
from face68.command.places import check_places, is_ours
from face68.detect import WholeFrame
from face68.files import InputError, atomic_path, sha256
from face68.images import write_image
from face68.landmarker import MIN_FACE_SCORE, Landmarker, Predictions
from face68.landmarks import inter_ocular
from metrics import labelled_face
from networks import default_detector, default_network, open_network

FACES = "faces.png"
PICTURES = ("ced.png", "points.png", "groups.png", "calibration.png", FACES)
PAGE = "report.html"
REPORT_HEAD = b'{\n  "faces": '


def parse_arguments():
    p = parser(__doc__)
    p.add_argument("--checkpoint", type=Path, default=default_network(), help="the network to measure")
    p.add_argument("--data", type=Path, default=default_data(), help="folder of the data set")
    p.add_argument("--cache-dir", type=Path, default=image_cache.default_folder(), help="where decoded images are kept")
    p.add_argument("--cache-mb", type=whole_number, default=image_cache.BUDGET, help="MB of them to keep")
    p.add_argument("--split", choices=SPLITS, default="test", help="which images")
    p.add_argument("--val-fold", type=whole_number, help="only the people of this fold (default: all)")
    p.add_argument("--folds", type=positive_int, default=FOLDS, help="of how many folds, as in training")
    p.add_argument(
        "--boxes",
        choices=("truth", "detector", "frame"),
        default="truth",
        help="where faces are cropped: around the true points, where the detector finds them, or a fixed part "
        "of the frame",
    )
    p.add_argument("--detector", default="auto", help="which one, as predict.py takes it")
    p.add_argument("--json", type=Path, help="also write the figures to this file")
    p.add_argument(
        "--against",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE.json",
        help="files that --json wrote earlier, whose curves are drawn beside this one",
    )
    p.add_argument(
        "--report", type=Path, metavar="DIR", help=f"also write figures and pictures as DIR/{PAGE}, one page"
    )
    p.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where the pictures go")
    add_overwrite(p)
    return p.parse_args()


def predict_all(landmarker: Landmarker, data: FacialKeypointsDataset, boxes: str) -> tuple[Predictions, int]:
    """The network's word on each of the N images, and how many faces the detector missed.

    Each image has one labelled face. Where the detector finds none about there, it counts as missed, and the frame's
    middle is the guess.
    """
    images = [data.image(i) for i in range(len(data))]
    if boxes == "truth":
        return landmarker.predict(images, [geometry.box_of(points) for points in data.keypoints]), 0
    if boxes == "frame":
        return landmarker.predict(images, [WholeFrame()(image).boxes[0] for image in images]), 0
    found = [labelled_face(landmarker(image), points) for image, points in zip(images, data.keypoints, strict=True)]
    faces = [
        face or landmarker.faces([image], [WholeFrame()(image)])[0][0]
        for face, image in zip(found, images, strict=True)
    ]
    judged = faces[0].errors is not None
    predictions = Predictions(
        np.stack([face.keypoints for face in faces]),
        np.stack([face.errors for face in faces]) if judged else None,
        np.array([face.face_score for face in faces]) if judged else None,
    )
    return predictions, found.count(None)


def background_scores(landmarker: Landmarker, data: FacialKeypointsDataset) -> np.ndarray:
    """The face scores of a piece of each image that is no face, (N,); always the same pieces."""
    images = [data.image(i) for i in range(len(data))]
    faces = [geometry.box_of(points) for points in data.keypoints]
    with torch.random.fork_rng(devices=[]):  # a measurement leaves the caller's random numbers as they were
        torch.manual_seed(0)
        boxes = [random_background(face, *image.shape[:2]) for face, image in zip(faces, images, strict=True)]
    return landmarker.predict(images, boxes).face_scores


def confidence_report(landmarker: Landmarker, data, predictions: Predictions, measured: np.ndarray) -> dict:
    """How true the network's judgement is; measured (N, 68): `metrics.point_errors`."""
    expected = predictions.errors / inter_ocular(data.keypoints)[:, None]
    backgrounds = background_scores(landmarker, data)
    accepted = int((predictions.face_scores >= MIN_FACE_SCORE).sum())
    wrong = int((backgrounds >= MIN_FACE_SCORE).sum())
    return {
        "expected_and_measured_errors": metrics.calibration_table(expected, measured).tolist(),
        "face_scores": {
            "recall": accepted / len(data),
            "precision": accepted / max(1, accepted + wrong),
        },
    }


def print_report(report: dict) -> None:
    low, high = report["nme_95_interval_over_people"]
    print(f"faces                  {report['faces']} of {report['people']} people, {report['missed']} missed")
    print(f"NME (inter-ocular)     {report['nme_inter_ocular']:.2%}  (95% interval {low:.2%} to {high:.2%})")
    print(f"median (inter-ocular)  {report['nme_median']:.2%}")
    print(f"FR@8%                  {report['failure_rate_at_8_percent']:.2%}")
    print(f"AUC@8%                 {report['auc_at_8_percent']:.3f}")
    for region, error in report["nme_by_region"].items():
        print(f"NME {region:<18} {error:.2%}")
    if "expected_and_measured_errors" in report:
        ratios = [measured / expected for expected, measured in report["expected_and_measured_errors"]]
        print(
            f"expected errors        measured / expected: {min(ratios):.2f} to {max(ratios):.2f} in ten bins of points"
        )
        faces = report["face_scores"]
        print(
            f"face score             at {MIN_FACE_SCORE}: recall {faces['recall']:.2%} of faces, precision "
            f"{faces['precision']:.2%} beside as many pieces of background"
        )


def stored_curves(paths: list[Path], names: list[str], own: str) -> dict[str, np.ndarray]:
    """The NME of each face, by the stem of the files that --json wrote, or by their path where two have one.

    names: of the faces that are measured now; of a file of others the label says so. own: this curve's label.

    Raises:
        InputError: a file isn't there, or is something else.
    """
    curves = {}
    for path in paths:
        try:
            errors = json.loads(path.read_text(encoding="utf-8"))["nme_by_face"]
            values = np.array(list(errors.values()), dtype=np.float64)
        except OSError as error:
            raise InputError(f"{path}: can't be read ({error.strerror}); check the path") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: holds no errors by face; give a file that evaluate.py --json wrote") from error
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise InputError(f"{path}: holds no errors by face; give a file that evaluate.py --json wrote")
        others = "" if errors.keys() == set(names) else " (other faces)"
        label = f"{path.stem}{others}"
        curves[label if label not in (own, *curves) else f"{path}{others}"] = values
    return curves


def write_pictures(folder: Path, figures: dict, faces: np.ndarray) -> None:
    for name, figure in figures.items():
        plots.save_figure(figure, folder / name)
    write_image(folder / FACES, faces)
    print(f"pictures are in {folder}/")


def write_page(args, report: dict, what: str, curves: dict, data, predicted, labels) -> None:
    """The page of --report. what: the faces and their boxes, in words; predicted, labels: (N, 68, 2) px."""
    errors, faces = metrics.nme(predicted, labels), {}
    for name, chosen in pictures.ranked(errors).items():
        tiles = pictures.error_tiles(data, chosen, predicted, labels)
        faces[name] = [page.face_figure(tile, errors[i], data.names[i]) for tile, i in zip(tiles, chosen, strict=True)]
    made = {
        "command": shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": git_commit(),
        "network": f"{args.checkpoint}, SHA-256 {sha256(args.checkpoint)}",
    }
    page.write_page(args.report / PAGE, f"{args.checkpoint.name} on {what}", report, curves, faces, made)
    print(f"the page is {args.report / PAGE}")


def is_report(path: Path) -> bool:
    """Whether a file begins as what --json writes."""
    with path.open("rb") as file:
        return file.read(len(REPORT_HEAD)) == REPORT_HEAD


def main() -> None:
    args = parse_arguments()
    places = [args.output_dir / name for name in PICTURES] + ([args.json] if args.json else [])
    places += [args.report / PAGE] if args.report else []
    reads = [args.checkpoint, *args.against]
    check_places(places, reads, args.overwrite, lambda path: is_ours(path) or is_report(path) or page.is_page(path))
    landmarker = Landmarker(open_network(args.checkpoint, os.cpu_count() or 1), default_detector(args.detector))
    data = open_split(args.data, args.split).preload(args.cache_dir, args.cache_mb)
    if args.val_fold is not None:
        _, rows = split_by_person(data.people, args.val_fold, args.folds)
        data = data.subset(rows, None)
    others = stored_curves(args.against, data.names, args.checkpoint.stem)
    if not len(data):
        raise InputError(f"{args.data}: no labelled {args.split} face here; choose another split or fold")
    detector = f" ({landmarker.detect.name})" if args.boxes == "detector" else ""
    fold = "" if args.val_fold is None else f", fold {args.val_fold} of {args.folds}"
    what = f"{args.data}, {args.split}{fold}, boxes: {args.boxes}{detector}"
    print(f"{args.checkpoint} on {what}")
    predictions, missed = predict_all(landmarker, data, args.boxes)
    # The score is against the labels as published: a prediction sits on the face, so it gets their shift back.
    predicted, labels = (points + data.label_shifts for points in (predictions.keypoints, data.keypoints))
    if data.label_shifts.any():
        x, y = data.label_shifts.mean(axis=(0, 1))
        print(f"the labels' own shift, a mean of {x:.2f} px to the right and {y:.2f} down, is added to the predictions")
    report = metrics.summary(predicted, labels, data.people) | {"missed": missed, "boxes": args.boxes}
    if predictions.errors is not None:
        report |= confidence_report(landmarker, data, predictions, metrics.point_errors(predicted, labels))
    print_report(report)
    errors = metrics.nme(predicted, labels)
    report["nme_by_face"] = dict(zip(data.names, errors.round(6).tolist(), strict=True))
    curves = {args.checkpoint.stem: errors, **others}
    write_pictures(args.output_dir, pictures.figures(report, curves), pictures.ranked_sheet(data, predicted, labels))
    if args.report:
        write_page(args, report, what, curves, data, predicted, labels)
    if args.json:
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
