"""What is measured: the points that a network gives for a labelled set's faces, or that a file holds.

One face of each image has labels. What is found elsewhere doesn't count; where nothing is found about there, the face
was missed: its points, errors and score are NaN.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from tqdm import tqdm

from data_load import FacialKeypointsDataset, face_frame, random_background
from datasets.labels import read_csv
from evaluation import metrics
from face68 import geometry
from face68.detect import open_detector
from face68.files import InputError, files_below
from face68.formats import csv_rows, read_pts, read_results
from face68.landmarker import MIN_FACE_SCORE, Landmarker
from face68.landmarks import IBUG68, NUM_LANDMARKS, Face
from face68.network import Predictions, concatenated
from face68.photos import find_faces, in_groups, prefetch
from face68.schemes import Scheme

# --- Of a network ---------------------------------------------------------------------------------------------


def predict_all(
    landmarker: Landmarker, data: FacialKeypointsDataset, boxes: str, progress: bool = False
) -> Predictions:
    """Predict each of the N images; images are read ahead.

    boxes: where faces are cropped: around the true points ("truth"), in a fixed part of the image ("frame"), both in
        one pass, or where the detector finds them ("detector"), in all passes.
    progress: whether a bar shows it on stderr, where that is a terminal.

    Raises:
        InputError: an image can't be read.
    """
    if boxes == "truth":
        return _predict(landmarker, data, lambda image, points: face_frame(points, image.shape, data.scheme), progress)
    if boxes == "frame":
        whole = open_detector("none", scheme=data.scheme)
        return _predict(landmarker, data, lambda image, points: (whole(image).boxes[0], 0.0), progress)
    rows = {str(path): i for i, path in enumerate(data.paths)}
    found = find_faces(landmarker, rows, lambda source: data.image(rows[source]))
    found = _with_bar(found, landmarker, len(data), progress)
    faces = []
    for photo, points in zip(found, data.keypoints, strict=True):
        if photo.problem:
            raise photo.problem
        faces.append(metrics.labelled_face(photo.faces, points))
    return as_predictions(faces, len(landmarker.scheme))


def check_scheme(of: Scheme, wanted: Scheme, path: Path) -> None:
    """See that a network's points are those of the labels, or map to iBUG's 68, where these are wanted.

    Raises:
        InputError: they aren't; `path` is the network's file.
    """
    if of != wanted and (wanted != IBUG68 or of.ibug68 is None):
        points = f"places the points of {of.name}, the labels are of {wanted.name}"
        raise InputError(f"{path}: {points}; give a network or --data of the same points")


def in_scheme(predicted: Predictions, of: Scheme, wanted: Scheme) -> Predictions:
    """Predictions of points of a scheme as those of the labels' scheme, see `check_scheme`."""
    if of == wanted:
        return predicted
    of_points = {"keypoints": predicted.keypoints, "errors": predicted.errors, "visible": predicted.visible}
    chosen = {name: None if values is None else values[:, of.ibug68] for name, values in of_points.items()}
    return predicted._replace(**chosen)


def _predict(
    landmarker: Landmarker,
    data: FacialKeypointsDataset,
    frame: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]],
    progress: bool = False,
) -> Predictions:
    """One pass in the box that `frame` gives of each image and its keypoints, turned by degrees first."""
    images = _with_bar(prefetch(data.image, range(len(data))), landmarker, len(data), progress)
    points, parts = iter(data.keypoints), []
    for group in in_groups(images, lambda image: math.prod(image.shape[:2])):
        framed = [frame(image, next(points)) for image in group]
        parts.append(landmarker.predict(group, *zip(*framed, strict=True)))
    return concatenated(parts)


def _with_bar(items: Iterable, landmarker: Landmarker, total: int, progress: bool) -> Iterable:
    disable = None if progress else True
    return tqdm(items, desc=landmarker.network.path.stem, total=total, unit="face", leave=False, disable=disable)


def background_scores(landmarker: Landmarker, data: FacialKeypointsDataset) -> np.ndarray:
    """The face scores of a piece of each image that is no face, (N,); always the same pieces."""
    with torch.random.fork_rng(devices=[]):  # a measurement leaves the caller's random numbers as they were
        torch.manual_seed(0)
        return _predict(
            landmarker,
            data,
            lambda image, points: (random_background(geometry.box_of(points), *image.shape[:2]), 0.0),
        ).face_scores


def confidence_report(
    predictions: Predictions, backgrounds: np.ndarray, measured: np.ndarray, normalisers: np.ndarray
) -> dict:
    """How true the network's own judgement is: expected beside measured errors, and its face score.

    backgrounds: `background_scores`; measured: `metrics.point_errors`, (N, 68); normalisers: (N,) px.
    """
    known = np.isfinite(measured)  # of found faces the points that aren't hidden
    expected = predictions.errors / normalisers[:, None]
    accepted = int((predictions.face_scores >= MIN_FACE_SCORE).sum())
    wrong = int((backgrounds >= MIN_FACE_SCORE).sum())
    return {
        "expected_and_measured_errors": metrics.calibration_table(expected[known], measured[known]).tolist(),
        "face_scores": {
            "recall": accepted / len(measured),
            "precision": accepted / max(1, accepted + wrong),
        },
    }


def as_predictions(faces: Sequence[Face | None], points: int = NUM_LANDMARKS) -> Predictions:
    """Of N faces of so many points, None where one was missed. Without errors and scores where one of the faces has
    none.
    """
    found = [face for face in faces if face is not None]
    judged = bool(found) and all(face.errors is not None and face.face_score is not None for face in found)
    unknown = np.full(points, math.nan, np.float32)
    missed = Face((math.nan,) * 4, None, np.stack([unknown, unknown], axis=-1), unknown, math.nan)
    faces = [face or missed for face in faces]
    return Predictions(
        np.stack([face.keypoints for face in faces]),
        np.stack([face.errors for face in faces]) if judged else None,
        np.array([face.face_score for face in faces]) if judged else None,
    )


# --- Of a file ------------------------------------------------------------------------------------------------


def read_predictions(path: Path, data: FacialKeypointsDataset) -> tuple[Predictions, int]:
    """Points of the N images from JSON, JSON Lines or CSV as predict.py writes them, CSV as a data set has it, or a
    folder of `.pts` files.

    An image is known by the end of its path: the whole name that it has in the data set, or the whole one that it has
    in the file (see `row_finder`). Of several faces the one at the labels counts. Other images are left out.

    Returns:
        The predictions, and how many of the data set's images the file doesn't name.

    Raises:
        InputError: it can't be read, names none of these images, or one by a name that several have.
    """
    row_of = row_finder(data.names)
    faces = {}
    for name, of_image in _pts_faces(path, data.scheme) if path.is_dir() else _file_faces(path, data.scheme):
        try:
            row = row_of(name)
        except KeyError as error:
            raise InputError(f"{path}: {name} may be several of the images; name them with their folders") from error
        if row is not None:
            faces.setdefault(row, []).extend(of_image)
            if wrong := [face for face in of_image if len(face.keypoints) != len(data.scheme)]:
                points = f"{len(wrong[0].keypoints)} points, the labels are of {len(data.scheme)} ({data.scheme.name})"
                raise InputError(f"{path}: {name} has {points}; give predictions of the same points")
    if not faces:
        example = data.names[0]
        raise InputError(f"{path}: names none of the {len(data)} images, such as {example}; give predictions of these")
    rows = range(len(data))
    of_rows = [metrics.labelled_face(faces.get(row, ()), data.keypoints[row]) for row in rows]
    return as_predictions(of_rows, len(data.scheme)), len(data) - len(faces)


def _file_faces(path: Path, scheme: Scheme) -> Iterator[tuple[str, list[Face]]]:
    rows = csv_rows(path) if path.suffix.lower() == ".csv" else ()
    if rows and len(rows[0][1]) == 1 + 2 * len(scheme):
        return ((name, [_face(points, scheme)]) for name, points in zip(*read_csv(path, scheme)[:2], strict=True))
    return ((result.image, result.faces) for result in read_results(path))


def _pts_faces(folder: Path, scheme: Scheme) -> Iterator[tuple[str, list[Face]]]:
    """Each `.pts` file's name without its suffix, and that of a further face's (`photo.face2.pts`), with its face."""
    files = [path for path in files_below(folder) if path.suffix == ".pts"]
    if not files:
        raise InputError(f"{folder}: holds no .pts files; give a folder of predictions")
    for path in files:
        name = re.sub(r"(?<=.)\.face\d+$", "", path.relative_to(folder).with_suffix("").as_posix())
        yield name, [_face(read_pts(path, len(scheme)), scheme)]


def _face(points: np.ndarray, scheme: Scheme) -> Face:
    """Of nothing but its points (68, 2) px."""
    return Face(tuple(geometry.box_of(points).tolist()), None, points, scheme=scheme)


def row_finder(names: Iterable[str]) -> Callable[[str], int | None]:
    """What tells the row of an image by its path: one of the two, name and path, is the end of the other.

    So `helen/testset/1.jpg` is found by `1.jpg` and by `/photos/helen/testset/1.jpg`, not by `helen/trainset/1.jpg`.
    Names count without their suffix, too. None: it is another image. KeyError: several go by that path.
    """
    ends, whole = {}, {}  # rows by the ends of names, and by whole names; -1 where several have it
    for row, name in enumerate(names):
        path = PurePosixPath(name)
        for parts in {path.parts, path.with_suffix("").parts}:
            for places, keys in ((ends, [parts[i:] for i in range(len(parts))]), (whole, [parts])):
                for key in keys:
                    places[key] = row if places.get(key, row) == row else -1

    def row_of(name: str) -> int | None:
        parts = PurePosixPath(name).parts
        row = ends.get(parts)
        if row is None:
            row = next((whole[parts[i:]] for i in range(1, len(parts)) if parts[i:] in whole), None)
        if row == -1:
            raise KeyError(name)
        return row

    return row_of
