"""Measure a checkpoint on a labelled set: errors, a curve, the worst faces.

    python evaluate.py --data data --split test
    python evaluate.py --data data --split training --val-fold 0     # people that training with fold 0 never saw

Prints NME (inter-ocular: divided by the distance of the outer eye corners), FR@8% (share of faces above 8%), AUC@8%,
NME by region, and a 95% interval by bootstrap over people. Writes ced.png and worst_faces.png into --output-dir.
"""

import json
from pathlib import Path

import numpy as np

import geometry
import metrics
import visualize
from checkpoint import default_checkpoint
from cli import InputError, atomic_path, parser, run
from data_load import (
    FOLDS,
    SPLITS,
    FacialKeypointsDataset,
    Resize,
    crop_face,
    default_data,
    open_split,
    shift_keypoints,
    split_by_person,
)
from detect import whole_frame
from geometry import CropPolicy
from images import write_image
from landmarker import Landmarker

WORST = 12


def parse_arguments():
    p = parser(__doc__)
    p.add_argument("--checkpoint", type=Path, default=default_checkpoint(), help="the network to measure")
    p.add_argument("--data", type=Path, default=default_data(), help="folder of the data set")
    p.add_argument("--split", choices=SPLITS, default="test", help="which images")
    p.add_argument("--val-fold", type=int, choices=range(FOLDS), help="only the people of this fold (default: all)")
    p.add_argument(
        "--boxes",
        choices=("truth", "detector", "frame"),
        default="truth",
        help="where faces are cropped: around the true points, where the detector finds them, or a fixed part "
        "of the frame",
    )
    p.add_argument("--json", type=Path, help="also write the figures to this file")
    p.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where the pictures go")
    return p.parse_args()


def predict_all(landmarker: Landmarker, data: FacialKeypointsDataset, boxes: str) -> tuple[np.ndarray, int]:
    """Keypoints (N, 68, 2) px of every image, and how many faces the detector missed.

    Each image shows one face: the detection with the highest score is taken. Where there is none the face counts as
    missed, and the frame's middle is the guess.
    """
    images = [data.image(i) for i in range(len(data))]
    if boxes == "truth":
        return landmarker.predict(images, [geometry.box_of(points) for points in data.keypoints]).keypoints, 0
    if boxes == "frame":
        return landmarker.predict(images, [whole_frame(image)[0][0] for image in images]).keypoints, 0
    predicted, missed = [], 0
    for image in images:
        faces = landmarker(image)
        if faces:
            predicted.append(max(faces, key=lambda face: face.score).keypoints)
        else:
            missed += 1
            predicted.append(landmarker.predict([image], whole_frame(image)[0]).keypoints[0])
    return np.stack(predicted), missed


def print_report(report: dict) -> None:
    low, high = report["nme_95_interval_over_people"]
    print(f"faces                  {report['faces']} of {report['people']} people, {report['missed']} missed")
    print(f"NME (inter-ocular)     {report['nme_inter_ocular']:.2%}  (95% interval {low:.2%} to {high:.2%})")
    print(f"median (inter-ocular)  {report['nme_median']:.2%}")
    print(f"FR@8%                  {report['failure_rate_at_8_percent']:.2%}")
    print(f"AUC@8%                 {report['auc_at_8_percent']:.3f}")
    for region, error in report["nme_by_region"].items():
        print(f"NME {region:<18} {error:.2%}")


def draw_worst(data: FacialKeypointsDataset, predicted, labels, errors) -> np.ndarray:
    """A sheet of the worst faces, prediction and truth drawn on the face's crop: (H, W, 3) uint8."""
    tiles, captions = [], []
    enlarge, policy = Resize(320), CropPolicy(size=160, margin=1.6)
    for i in np.argsort(errors)[::-1][:WORST]:
        matrix = geometry.crop_matrix(geometry.box_of(labels[i]), policy)
        points = geometry.transform_points(predicted[i], matrix)
        truth = crop_face({"image": data.image(i), "keypoints": labels[i]}, policy)
        truth, drawn = enlarge(truth), enlarge({**truth, "keypoints": points})
        tiles.append(visualize.draw_keypoints(drawn["image"], drawn["keypoints"], truth=truth["keypoints"]))
        captions.append(f"{errors[i]:.1%} {data.names[i]}")
    return visualize.contact_sheet(tiles, captions=captions, tile=320)


def main() -> None:
    args = parse_arguments()
    landmarker = Landmarker(args.checkpoint)
    data = open_split(args.data, args.split).preload()
    if args.val_fold is not None:
        _, rows = split_by_person(data.people, args.val_fold)
        data = data.subset(rows, None)
    if not len(data):
        raise InputError(f"{args.data}: no labelled {args.split} face here; choose another split or fold")
    print(f"{args.checkpoint} on {args.data}, {args.split}, boxes: {args.boxes}")
    predicted, missed = predict_all(landmarker, data, args.boxes)
    # The score is against the labels as published: a prediction sits on the face, so it gets their shift back.
    predicted, labels = (shift_keypoints(points, data.label_shift) for points in (predicted, data.keypoints))
    if any(data.label_shift):
        x, y = data.label_shift
        print(f"the labels' own shift of {x:.1%} of the eye distance in x and {y:.1%} in y is added to the predictions")
    report = metrics.summary(predicted, labels, data.people) | {"missed": missed, "boxes": args.boxes}
    print_report(report)
    errors = metrics.nme(predicted, labels)
    visualize.save_figure(visualize.plot_ced({args.checkpoint.stem: errors}), args.output_dir / "ced.png")
    write_image(args.output_dir / "worst_faces.png", draw_worst(data, predicted, labels, errors))
    print(f"pictures: {args.output_dir / 'ced.png'}, {args.output_dir / 'worst_faces.png'}")
    if args.json:
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
