"""Photos: accuracy and time of ours and of others'."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import figures
from benchmarks.peers import Dlib, EnlargedDlib, MediaPipe, Ours, accuracy, installed
from benchmarks.tables import Tables
from benchmarks.timing import in_turn, one_core, time_rows
from cli.weights import open_coarse_network, open_network
from data_load import open_split
from datasets.layout import split_by_person
from evaluation.metrics import labelled_face
from face68 import geometry
from face68.annotators import to_annotator
from face68.detect import open_detector
from face68.files import InputError
from face68.images import read_image
from face68.landmarker import Landmarker
from face68.network import Network, Predictions
from plots import style

SPEED = "speed.png"
PHOTO_SIDE = 640  # px, the longer side of a photo whose time is measured


# --- Photos and networks --------------------------------------------------------------------------------------


def labelled(args) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every --every'th image (H, W, 3) uint8 of the set or its fold, with the 68 points (68, 2) px of its main face."""
    data = open_split(args.data, args.split)
    rows = range(len(data))
    if args.val_fold is not None:
        _, rows = split_by_person(data.people, args.val_fold, args.folds)
    if not rows:
        raise InputError(f"{args.data}: no labelled {args.split} face here; choose another split or fold")
    for i in rows[:: args.every]:
        yield data.image(i), data.keypoints[i]


def annotators(args) -> str:
    """Who labelled the set, see annotators.py."""
    return open_split(args.data, args.split).source_annotators[0]


def as_labelled(points: Sequence[np.ndarray], network: Network, annotators: str) -> np.ndarray:
    """A network's points of N faces, (68, 2) px each, as a set's annotators would have put them: (N, 68, 2)."""
    return to_annotator(Predictions(np.stack(points), None, None), network, annotators).keypoints


def resized(image: np.ndarray, points: np.ndarray, longer: int) -> tuple[np.ndarray, np.ndarray]:
    """With a longer side of `longer` pixels, whatever it was, the points along."""
    height, width = image.shape[:2]
    factor = longer / max(height, width)
    image = geometry.resize(image, max(1, round(height * factor)), max(1, round(width * factor)))
    return image, geometry.transform_points(points, geometry.resize_matrix(height, width, *image.shape[:2]))


def as_jpeg(image: np.ndarray) -> bytes:
    """An image (H, W, 3) uint8 RGB as a JPEG file, as cameras write it: of high quality."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=92)
    return file.getvalue()


def landmarker_of(network: Path, *arguments, **options) -> Landmarker:
    """As predict.py has it; arguments and options: as `Landmarker` takes them."""
    return Landmarker(open_network(network), *arguments, coarse_network=open_coarse_network(network), **options)


# --- What is measured -----------------------------------------------------------------------------------------


def compare_photo(args) -> Tables:
    """A photo of 640 px to its points: ms and NME, ours and others'.

    "NME offsets off" is that of the faces found, less each point's mean offset, since annotations differ in where
    points belong (see `peers.without_offsets`); in "NME all" a face that was missed counts as 30%.
    """
    photos, truth = [], []
    for sample in labelled(args):
        image, points = resized(*sample, PHOTO_SIDE)
        photos.append(as_jpeg(image))
        truth.append(points)
    with one_core():
        find = (open_detector(args.detector), args.min_face_score)
        largest = args.faces == "one"
        ours = {name: landmarker_of(path, *find, largest=largest) for name, path in args.networks.items()}
        peers = {peer.name: peer for peer in installed(*peers_of(args, Dlib))}
        samples = ((read_image(photo), points) for photo, points in zip(photos, truth, strict=True))
        rows = system_rows(ours | peers, peers, samples, args.rounds, annotators(args))
    style.save_figure(figures.plot_speed(rows), args.output_dir / SPEED)
    return {"photo": rows}


def compare_peers(args) -> Tables:
    """Ours and others on photos at their own size: missed, NME, FR@8%, ms, MB of model files, and what trained them.

    Columns as those of `photo`; in FR@8%, too, a missed face counts. Ours is an .onnx with our own detector.
    """
    with one_core():
        ours = [Ours(name, path, largest=args.faces == "one") for name, path in args.networks.items()]
        systems = [*ours, *installed(*peers_of(args, Dlib, EnlargedDlib))]
        named = {system.name: system for system in systems}
        rows = system_rows(named, [ours[-1].name], labelled(args), args.rounds, annotators(args))
    for row, system in zip(rows, systems, strict=True):
        row["mb"] = sum(file.stat().st_size for file in system.files) / 1e6
        row["trained_on"] = system.trained_on
    return {"peers": rows}


def peers_of(args, *others: type) -> list[Callable]:
    """MediaPipe and others, for `installed`; all of them find one face or all, by --faces."""
    largest = args.faces == "one"
    return [partial(MediaPipe, largest, args.mediapipe_model), *(partial(other, largest) for other in others)]


def system_rows(
    systems: dict[str, Callable],
    against: Iterable[str],
    samples: Iterable[tuple[np.ndarray, np.ndarray]],
    rounds: int,
    annotators: str,
) -> list[dict]:
    """A row for each system, RGB image to faces: its times over all photos, its ratios to some, and its accuracy.

    samples: photos (H, W, 3) uint8, each with the points (68, 2) px of its face, which `annotators` labelled. A photo's
    time is the median of its rounds.
    """
    times, predicted, truth = {name: [] for name in systems}, {name: [] for name in systems}, []
    for image, points in samples:
        truth.append(points)
        for name, find in systems.items():  # which warms it up, too
            face = labelled_face(find(image), points)
            predicted[name].append(face.keypoints if face else np.full_like(points, np.nan))
        steps = {name: partial(find, image) for name, find in systems.items()}
        for name, values in in_turn(steps, rounds).items():
            times[name].append(np.median(values))
    rows = time_rows({name: np.array(values) for name, values in times.items()}, against)
    for name, find in systems.items():
        if isinstance(find, Landmarker):
            predicted[name] = as_labelled(predicted[name], find.network, annotators)
    return [row | accuracy(np.stack(predicted[row["name"]]), np.stack(truth)) for row in rows]
