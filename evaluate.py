"""Measure networks and files of predictions on a labelled set: errors, curves, faces; and what differs beyond noise.

    python evaluate.py --data data --split test
    python evaluate.py --data data --split training --val-fold 0     # people that training with fold 0 never saw
    python evaluate.py --json net.json --checkpoint runs/net/best.pt
    python evaluate.py --against net.json                            # its curve beside that of the earlier one
    python evaluate.py --checkpoint ours=runs/a/best.pt plain=runs/b/best.pt --predictions dlib=points.csv --latex t.tex
    python evaluate.py --data 300W --split challenging --norm inter-pupil --threshold 10
    torchrun --nproc-per-node=4 evaluate.py --boxes detector      # four processes share the images

Prints NME (the mean error divided by `--norm`, by default the distance of the outer eye corners: inter-ocular), FR@8%
(share of faces above 8%) and AUC@8%, the same at 10%, NME by region, and a 95% interval by bootstrap over people. Of a
network that judges its own work also how true that judgement is: its expected errors beside the measured ones, and how
well its score tells faces from background. A face that the detector or a file misses counts as 30% (inter-ocular).

Several networks and predictions (JSON, JSON Lines or CSV of predict.py, or a folder of .pts files) make one table; a
paired bootstrap over people says which differences are more than noise. Pictures are of the first one (networks come
before files) beside the curves of all; so is --json, which has the others as "compared_with".

Writes ced.png, points.png (the error of each point), groups.png (by region, size, yaw and roll), faces.png (the best,
median and worst) and calibration.png into --output-dir, and report.html, a page of the tables and of these.

300-W (Sagonas et al., 2013) is a folder with those of its archives, images and .pts files: afw, helen/trainset and
lfpw/trainset are --split training, helen/testset and lfpw/testset are common (554 faces), ibug is challenging (135),
and the two together are full (689).
"""

import cli.launch as launch

import argparse
import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cli.arguments import add_overwrite, positive_float
from cli.outputs import check_outputs, is_ours, log_new_folders
from cli.weights import default_detector, default_network, file_of, open_coarse_network, open_network
from data_load import FacialKeypointsDataset, open_split
from datasets import image_cache
from datasets.layout import FOLDS, SETS_300W, SPLITS, default_data, split_by_person
from evaluation import metrics, tables
from evaluation.predictions import (
    background_scores,
    check_scheme,
    confidence_report,
    in_scheme,
    predict_all,
    read_predictions,
)
from face68.annotators import annotators_of, to_annotator
from face68.files import InputError, atomic_path, sha256
from face68.images import write_image
from face68.landmarker import Landmarker
from face68.network import FAMILY, FOR_PHOTOS, Predictions, concatenated
from face68.program import log, parser, positive_int, whole_number
from face68.schemes import INTER_OCULAR
from plots import page
from plots.errors import plot_report, ranked_sheet
from plots.style import save_figure
from training import devices
from training.checkpoint import git_commit

FACES = "faces.png"
PICTURES = {  # what they show
    "ced.png": "Cumulative error curves",
    "points.png": "The error of each point",
    "groups.png": "The error by region, size, yaw and roll",
    "calibration.png": "Measured beside expected errors",
    FACES: "The best faces, those in the middle and the worst",
}
PAGE = "report.html"
REPORT_HEAD = b'{\n  "faces": '
TABLES = {"markdown": tables.write_markdown, "latex": tables.write_latex, "csv": tables.write_csv}


class Named(NamedTuple):
    """A network's file, or one of predictions; without a name it gets that of its file or size."""

    name: str
    path: Path


class Measurement(NamedTuple):
    """The points to measure, as the set's annotators put them.

    landmarker: what predicted them; None: a file holds them.
    backgrounds: its scores of pieces without a face, (N,); None where it gives none.
    """

    predictions: Predictions
    landmarker: Landmarker | None = None
    backgrounds: np.ndarray | None = None


def parse_arguments():
    p = parser(__doc__)
    several = {"type": named, "nargs": "+", "action": "extend"}
    help_ = f"networks to measure, {', '.join(FAMILY)} or files (default, without --predictions: "
    help_ += f"saved_models/best.pt, else {FOR_PHOTOS})"
    p.add_argument("--checkpoint", **several, metavar="[NAME=]FILE", help=help_)
    help_ = "points to measure: .json, .jsonl or .csv of predict.py, a .csv as --data has, or a folder of .pts files"
    p.add_argument("--predictions", **several, metavar="[NAME=]PLACE", help=help_)
    p.add_argument("--data", type=Path, default=default_data(), help="folder of the data set")
    p.add_argument("--cache-dir", type=Path, default=image_cache.default_folder(), help="where decoded images are kept")
    p.add_argument("--cache-mb", type=whole_number, default=image_cache.BUDGET, help="MB of them to keep")
    p.add_argument("--split", choices=(*SPLITS, *SETS_300W), default="test", help="which images")
    p.add_argument("--val-fold", type=whole_number, help="only the people of this fold (default: all)")
    p.add_argument("--folds", type=positive_int, default=FOLDS, help="of how many folds, as in training")
    help_ = (
        "where networks crop faces: around the true points, where the detector finds them, or a fixed part of the frame"
    )
    p.add_argument("--boxes", choices=("truth", "detector", "frame"), default="truth", help=help_)
    p.add_argument("--detector", default="auto", help="which one, as predict.py takes it")
    help_ = (
        "compare with labels as their files have them; otherwise a shift of the labels that is known (see the README) "
    )
    p.add_argument("--published-labels", action="store_true", help=f"{help_}is added to all predictions")
    help_ = "what errors are divided by, of the labels"
    p.add_argument("--norm", choices=metrics.NORMS, help=f"{help_} (default: {INTER_OCULAR}, or that of their scheme)")
    thresholds = {"nargs": "+", "default": [100 * threshold for threshold in metrics.THRESHOLDS]}
    help_ = "NME above which a face has failed (FR) and up to which AUC counts; the curve ends at the first"
    p.add_argument("--threshold", type=positive_float, **thresholds, metavar="PERCENT", help=help_)
    p.add_argument("--json", type=Path, help="also write the figures to this file")
    p.add_argument("--markdown", type=Path, help="also write the table to this file, as Markdown")
    p.add_argument("--latex", type=Path, help="the same, as LaTeX")
    p.add_argument("--csv", type=Path, help="the same, as fractions with all intervals")
    help_ = "files that --json wrote earlier, whose curves are drawn beside this one"
    p.add_argument("--against", type=Path, nargs="+", default=[], metavar="FILE.json", help=help_)
    p.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where the pictures and their page go")
    add_overwrite(p)
    args = p.parse_args()
    args.checkpoint = args.checkpoint or ([] if args.predictions else [Named("", default_network())])
    args.predictions = args.predictions or []
    return args


def named(text: str) -> Named:
    """An option's value: NAME=PLACE, or a place, which may have a = in its name."""
    name, sign, path = text.partition("=")
    if not path and sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PLACE")
    if sign and not Path(text).exists():
        return Named(name, Path(path))
    return Named("", Path(text))


def with_names(sources: Sequence[Named]) -> list[Named]:
    """The same, each with a name of its own: where none is given the shortest of its path that no other has.

    Raises:
        InputError: a name is given twice, or a file without one is.
    """
    candidates = [
        [source.name] if source.name else [source.path.stem, source.path.name, str(source.path)] for source in sources
    ]
    counts = Counter(name for names in candidates for name in set(names))
    chosen = [next((name for name in names if counts[name] == 1), names[-1]) for names in candidates]
    for name, count in Counter(chosen).items():
        if count > 1:
            raise InputError(f"{name}: names {count} of --checkpoint and --predictions; give each another: NAME=FILE")
    return [source._replace(name=name) for source, name in zip(sources, chosen, strict=True)]


def open_data(args) -> FacialKeypointsDataset:
    """The faces to measure on, at least one.

    Raises:
        InputError: there is none.
    """
    data = open_split(args.data, args.split)
    if len(data):  # all of it, so that other folds find it
        with devices.first_here():
            data.preload(args.cache_dir, args.cache_mb)
    if args.published_labels:
        data = data.as_published()
    if args.val_fold is not None:
        _, rows = split_by_person(data.people, args.val_fold, args.folds)
        data = data.subset(rows, None)
    if not len(data):
        raise InputError(f"{args.data}: no labelled {args.split} face here; choose another split or fold")
    args.norm = args.norm or data.scheme.norm
    if args.norm not in (known := metrics.norms_of(data.scheme)):
        raise InputError(f"--norm {args.norm}: the points of {data.scheme.name} have none; choose {' or '.join(known)}")
    return data


def describe_labels(data: FacialKeypointsDataset, landmarker: Landmarker | None) -> str:
    """Which labels the errors are measured against, in words.

    They are the published ones. A prediction sits on the face, so the labels' known shift is added to it, and the
    difference that the network learned of these annotators.
    """
    added = []
    if data.label_shifts.any():
        x, y = data.label_shifts.mean(axis=(0, 1))
        added.append(f"their shift (a mean of {x:.2f} px to the right and {y:.2f} down)")
    if landmarker is not None and data.source_annotators[0] in list(annotators_of(landmarker.network))[1:]:
        added.append(f"what the network learned of the annotator of {data.source_annotators[0]}")
    return "as published" + (f", {' and '.join(added)} added to predictions" if added else "")


def predict(source: Named, data: FacialKeypointsDataset, args) -> Measurement:
    """The points of a file, or those of a network, for which all processes share the images."""
    if source in args.predictions:
        predictions, unnamed = read_predictions(source.path, data)
        if unnamed:
            log(f"{source.path}: doesn't name {unnamed} of {len(data)} images, which count as missed")
        return Measurement(predictions)
    threads = max(1, (os.cpu_count() or 1) // devices.count())
    network, coarse_network = open_network(source.path, threads), open_coarse_network(source.path, threads)
    check_scheme(network.scheme, data.scheme, source.path)
    landmarker = Landmarker(network, default_detector(args.detector, network.scheme), coarse_network=coarse_network)
    rows = devices.shard(len(data))  # the images of this process
    part = predict_all(landmarker, data.subset(rows, data.transform), args.boxes, devices.is_first()) if rows else None
    predictions = to_annotator(concatenated(devices.gather(part)), network, data.labelled_by)
    predictions = in_scheme(predictions, network.scheme, data.scheme)
    judges = predictions.errors is not None and data.scheme.has_extent
    backgrounds = devices.on_main(background_scores, landmarker, data) if judges else None
    return Measurement(predictions, landmarker, backgrounds)


def measure(measurement: Measurement, data: FacialKeypointsDataset, args) -> tuple[dict, np.ndarray]:
    """The report on what `predict` returned, and its points (N, 68, 2) px, with the labels' shift."""
    predictions, landmarker, backgrounds = measurement
    boxes = "file" if landmarker is None else args.boxes
    if boxes == "detector":
        boxes = f"detector ({landmarker.detect.name})"
    points, labels = (keypoints + data.label_shifts for keypoints in (predictions.keypoints, data.labelled))
    normalisers = metrics.normaliser(labels, args.norm, data.scheme)
    if without := int(np.isnan(normalisers).sum()):
        problem = f"{without} of {len(data)} faces have no {args.norm} distance, for points of it are hidden"
        raise InputError(f"--norm {args.norm}: {problem}; choose --norm box")
    thresholds = [threshold / 100 for threshold in args.threshold]
    report = metrics.summary(points, labels, data.people, args.norm, thresholds, data.scheme)
    fold = "" if args.val_fold is None else f", fold {args.val_fold} of {args.folds}"
    report |= {"data": f"{args.data}, {args.split}{fold}", "boxes": boxes, "labels": describe_labels(data, landmarker)}
    if backgrounds is not None:
        measured = metrics.point_errors(points, labels, args.norm, data.scheme)
        report |= confidence_report(predictions, backgrounds, measured, normalisers)
    errors = np.nanmean(metrics.all_point_errors(points, labels, args.norm, data.scheme), axis=1)
    return report | {"nme_by_face": dict(zip(data.names, errors.round(6).tolist(), strict=True))}, points


def write_page(
    path: Path, sources: Sequence[Named], reports: dict, pairs: Sequence[dict], shown: Sequence[str]
) -> None:
    """The page of all reports; shown: the files of its pictures, which are of the first one."""
    (first, report), *rest = reports.items()
    facts = {"command": shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]), "commit": git_commit()}
    for name, source in sources:
        facts[f"points of {name}"] = str(source) + (f", SHA-256 {sha256(source)}" if source.is_file() else "")
    notes = [*tables.notes(report, bool(rest)), *tables.difference_lines(reports, pairs)]
    if rest:
        notes.append(f"The pictures are of {first}, the curves of all.")
    title, of_regions = f"{', '.join(reports)} on {report['data']}", tables.region_rows(reports)
    pictures = {name: PICTURES[name] for name in shown}
    page.write_page(path, title, [tables.rows(reports, pairs), of_regions], notes, pictures, facts)


def is_known(path: Path) -> bool:
    """Whether a file begins as what this command writes."""
    with path.open("rb") as file:
        is_report = file.read(len(REPORT_HEAD)) == REPORT_HEAD
    return is_report or is_ours(path) or page.is_page(path) or tables.is_table(path)


def check_files(args, sources: Sequence[Named]) -> None:
    """See that all results can be written."""
    named = [path for path in (args.json, args.markdown, args.latex, args.csv) if path]
    files = [args.output_dir / name for name in (*PICTURES, PAGE)] + named
    check_outputs(files, [*(source.path for source in sources), *args.against], args.overwrite, is_known)
    log_new_folders(named)


def main() -> None:
    with devices.process_group():
        evaluate(parse_arguments())


def evaluate(args) -> None:
    """The whole command by its arguments."""
    sources = with_names([*args.checkpoint, *args.predictions])
    networks, args.predictions = sources[: len(args.checkpoint)], sources[len(args.checkpoint) :]
    sources = [*(network._replace(path=file_of(network.path)) for network in networks), *args.predictions]
    devices.on_main(check_files, args, sources)
    data = open_data(args)
    earlier = tables.stored_curves(args.against, data.names, args.norm, [source.name for source in sources])
    measurements = {source.name: predict(source, data, args) for source in sources}
    devices.on_main(write_results, args, sources, data, measurements, earlier)


def write_results(
    args,
    sources: Sequence[Named],
    data: FacialKeypointsDataset,
    measurements: dict[str, Measurement],
    earlier: dict[str, np.ndarray],
) -> None:
    """Print and write the figures of all measurements; earlier: the errors of earlier ones, (N,), by name."""
    # The report of each, and what any two differ by
    reports, points = {}, {}
    for source in sources:
        reports[source.name], points[source.name] = measure(measurements[source.name], data, args)
        log("{} on {data}, boxes: {boxes}".format(source.path, **reports[source.name]))
    errors = {name: np.array(list(report["nme_by_face"].values())) for name, report in reports.items()}
    pairs = metrics.differences(errors, data.people)
    (first, report), *rest = reports.items()
    print(tables.comparison_text(reports, pairs) if rest else tables.report_text(report))
    # Pictures, and their page
    figures = plot_report(report, errors | earlier, data.scheme, data.labelled)
    for name, figure in figures.items():
        save_figure(figure, args.output_dir / name)
    labels = data.labelled + data.label_shifts
    write_image(args.output_dir / FACES, ranked_sheet(data, points[first], labels, args.norm))
    write_page(args.output_dir / PAGE, sources, reports, pairs, [*figures, FACES])
    log(f"pictures, and {PAGE} of them all, are in {args.output_dir}/")
    # Tables, and the report as JSON
    for kind, write in TABLES.items():
        if path := getattr(args, kind):
            write(path, reports, pairs)
    if args.json:
        compared = {"name": first, "compared_with": dict(rest), "differences": pairs} if rest else {}
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(report | compared, indent=2) + "\n")


if __name__ == "__main__":
    launch.run(main)
