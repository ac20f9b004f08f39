"""Measure a checkpoint on a labelled set: errors, a curve, the worst faces.

    python evaluate.py --data data --split test
    python evaluate.py --data data --split training --val-fold 0     # people that training with fold 0 never saw

Prints NME (inter-ocular: divided by the distance of the outer eye corners), FR@8% (share of faces above 8%), AUC@8%,
NME by region, and a 95% interval by bootstrap over people. Of a network that judges its own work also how true that
judgement is: its expected errors beside the measured ones, and how well its score tells faces from background.
Writes ced.png, worst_faces.png and calibration.png into --output-dir.
"""

import launch

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

import image_cache
import metrics
import visualize
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
from face68.command.arguments import add_overwrite, parser, positive_int, whole_number
from face68.command.places import check_places, is_ours
from face68.detect import WholeFrame
from face68.files import InputError, atomic_path
from face68.images import write_image
from face68.landmarker import MIN_FACE_SCORE, Landmarker, Predictions
from face68.landmarks import inter_ocular
from face68.photos import in_groups
from metrics import labelled_face
from networks import default_detector, default_network, open_network
from report import error_sheet

WORST = 12
CED, WORST_FACES, CALIBRATION = PICTURES = ("ced.png", "worst_faces.png", "calibration.png")
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
    p.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where the pictures go")
    add_overwrite(p)
    return p.parse_args()


Part = tuple[Sequence[np.ndarray], np.ndarray]  # N images (H, W, 3) uint8 RGB, and their keypoints (N, 68, 2) px


def parts_of(data: FacialKeypointsDataset) -> Iterator[Part]:
    """All of a data set, few images at a time: those that the cache has no room for are decoded, and may be many."""
    seen = ((data.image(i), points) for i, points in enumerate(data.keypoints))
    for part in in_groups(seen, lambda one: math.prod(one[0].shape[:2])):
        images, keypoints = zip(*part, strict=True)
        yield images, np.stack(keypoints)


def joined(parts: Iterable[Predictions]) -> Predictions:
    """What was said about several parts as if about one."""
    return Predictions(*(None if field[0] is None else np.concatenate(field) for field in zip(*parts, strict=True)))


def predict_all(landmarker: Landmarker, data: FacialKeypointsDataset, boxes: str) -> tuple[Predictions, int]:
    """The network's word on each of the N images, and how many faces the detector missed.

    Each image has one labelled face. Where the detector finds none about there, it counts as missed, and the frame's
    middle is the guess.
    """
    if boxes == "detector":
        parts, missed = zip(*(predict_found(landmarker, *part) for part in parts_of(data)), strict=True)
        return joined(parts), sum(missed)

    def box_in(image: np.ndarray, points: np.ndarray) -> np.ndarray:
        return geometry.box_of(points) if boxes == "truth" else WholeFrame()(image).boxes[0]

    parts = [
        landmarker.predict(images, [box_in(*one) for one in zip(images, keypoints, strict=True)])
        for images, keypoints in parts_of(data)
    ]
    return joined(parts), 0


def predict_found(landmarker: Landmarker, images: Sequence[np.ndarray], keypoints: np.ndarray):
    """`predict_all` of a part, at the faces that the detector finds."""
    found = [labelled_face(landmarker(image), points) for image, points in zip(images, keypoints, strict=True)]
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
    scores = []
    with torch.random.fork_rng(devices=[]):  # a measurement leaves the caller's random numbers as they were
        torch.manual_seed(0)
        for images, keypoints in parts_of(data):
            faces = map(geometry.box_of, keypoints)
            boxes = [random_background(face, *image.shape[:2]) for face, image in zip(faces, images, strict=True)]
            scores.append(landmarker.predict(images, boxes).face_scores)
    return np.concatenate(scores)


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


def draw_worst(data: FacialKeypointsDataset, predicted, labels, errors) -> np.ndarray:
    """A sheet of the worst faces, worst first: (H, W, 3) uint8."""
    worst = np.argsort(errors)[::-1][:WORST]
    return error_sheet(data, worst, predicted, labels, f"The {len(worst)} worst of {len(data)} faces")


def write_pictures(folder: Path, errors: dict[str, np.ndarray], worst: np.ndarray, calibration: list | None) -> None:
    visualize.save_figure(visualize.plot_ced(errors), folder / CED)
    write_image(folder / WORST_FACES, worst)
    if calibration is not None:
        visualize.save_figure(visualize.plot_calibration(calibration), folder / CALIBRATION)
    print(f"pictures are in {folder}/")


def is_report(path: Path) -> bool:
    """Whether a file begins as what --json writes."""
    with path.open("rb") as file:
        return file.read(len(REPORT_HEAD)) == REPORT_HEAD


def main() -> None:
    args = parse_arguments()
    places = [args.output_dir / name for name in PICTURES] + ([args.json] if args.json else [])
    check_places(places, [args.checkpoint], args.overwrite, lambda path: is_ours(path) or is_report(path))
    landmarker = Landmarker(open_network(args.checkpoint, os.cpu_count() or 1), default_detector(args.detector))
    data = open_split(args.data, args.split).preload(args.cache_dir, args.cache_mb)
    if args.val_fold is not None:
        _, rows = split_by_person(data.people, args.val_fold, args.folds)
        data = data.subset(rows, None)
    if not len(data):
        raise InputError(f"{args.data}: no labelled {args.split} face here; choose another split or fold")
    detector = f" ({landmarker.detect.name})" if args.boxes == "detector" else ""
    print(f"{args.checkpoint} on {args.data}, {args.split}, boxes: {args.boxes}{detector}")
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
    worst = draw_worst(data, predicted, labels, errors)
    write_pictures(args.output_dir, {args.checkpoint.stem: errors}, worst, report.get("expected_and_measured_errors"))
    if args.json:
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    launch.run(main)
