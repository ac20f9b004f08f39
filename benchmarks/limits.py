"""What makes a face hard to find and to read: the detector, photos turned and shrunk, the head's yaw."""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import cv2
import numpy as np

from benchmarks.peers import DlibDetector, YuNet, installed
from benchmarks.photos import annotators, as_labelled, labelled, landmarker_of
from benchmarks.tables import Tables
from benchmarks.timing import one_core
from evaluation.metrics import failure_rate, labelled_face, nme
from face68 import geometry
from face68.detect import DETECTORS, Detector, Given, WholeFrame, open_detector
from face68.landmarker import Landmarker, is_trusted
from face68.measures import measure

YAWS = tuple(itertools.pairwise((0, 15, 30, 45, 60, 90)))  # degrees to either side: the groups of faces
WRONG = 0.2  # from this NME on points are not inexact but elsewhere


def compare_detectors(args) -> Tables:
    """Recall, other boxes and NME by detector; a missed face counts with the points of a whole-frame guess.

    A face needs a face score of --min-face-score; "any score": as the detector found them, whatever their face score.
    """
    samples, theirs = list(labelled(args)), annotators(args)
    yunet = [partial(YuNet, args.yunet)] if args.yunet else []
    detectors = [*map(open_detector, DETECTORS), *installed(DlibDetector, *yunet)]
    finders = {"truth": lambda points: Given([geometry.box_of(points)])}
    finders |= {detector.name: lambda _, detector=detector: detector for detector in detectors}
    with one_core():
        landmarker = landmarker_of(args.network)
        rows = [
            {"name": name} | detector_row(landmarker, detector_of, samples, args.min_face_score, theirs)
            for name, detector_of in finders.items()
        ]
    return {"detectors": rows}


def detector_row(
    ours: Landmarker,
    detector_of: Callable[[np.ndarray], Detector],
    samples: Sequence,
    min_face_score: float,
    annotators: str,
) -> dict:
    """How well faces are found and read where a detector says; `detector_of` a photo's points, since one knows them."""
    times, guesses, once = [], [], []
    hits, others = np.zeros(2), np.zeros(2)  # of those that the face score lets pass, and of all
    for image, points in samples:
        landmarker = Landmarker(ours.network, detector_of(points), min_face_score=0, coarse_network=ours.coarse_network)
        start = time.perf_counter()
        found = landmarker.detect(image)
        times.append(1000 * (time.perf_counter() - start))
        (all_faces,) = landmarker.faces([image], [found])
        faces = [face for face in all_faces if is_trusted(face, min_face_score)]
        face = labelled_face(faces, points)
        matched = np.array([face is not None, labelled_face(all_faces, points) is not None])
        hits += matched
        others += np.array([len(faces), len(all_faces)]) - matched
        face = face or landmarker.faces([image], [WholeFrame()(image)])[0][0]
        guesses.append(face.keypoints)
        once.append(landmarker.predict([image], [face.box]).keypoints[0])
    truth, count = np.stack([points for _, points in samples]), len(samples)
    guesses, once = (as_labelled(points, ours.network, annotators) for points in (guesses, once))
    errors = nme(guesses, truth)
    return {
        "photos": count,
        "found": hits[0] / count,
        "found_any_score": hits[1] / count,
        "others_a_photo": others[0] / count,
        "others_any_score": others[1] / count,
        "nme_one_pass": nme(once, truth).mean(),
        "nme": errors.mean(),
        "fr8": failure_rate(errors),
        "ms_to_find": np.mean(times),
    }


def measure_limits(args) -> Tables:
    """NME and recall when whole photos are turned, when they are shrunk, and by the yaw of the head.

    "wrong": how many of the faces that are returned have an NME above 20%, so that their points are elsewhere.
    """
    landmarker = landmarker_of(args.network, args.detector, args.min_face_score)
    samples = list(labelled(args))
    cases = {f"turned by {d}°": itertools.starmap(partial(turned, degrees=d), samples) for d in range(0, 360, 30)}
    sides = (96, 64, 48, 32, 24, 16, 12)
    cases |= {f"faces of {side} px": itertools.starmap(partial(shrunk, side=side), samples) for side in sides}
    yaws = [abs(measure(points).yaw) for _, points in samples]
    by_yaw = {(low, high): [s for s, yaw in zip(samples, yaws, strict=True) if low <= yaw < high] for low, high in YAWS}
    cases |= {f"yaw {low}° to {high}°": members for (low, high), members in by_yaw.items() if members}
    as_theirs = partial(as_labelled, network=landmarker.network, annotators=annotators(args))
    return {"limits": [{"name": name} | limit_row(landmarker, case, as_theirs) for name, case in cases.items()]}


def limit_row(
    find: Callable, samples: Iterable[tuple[np.ndarray, np.ndarray]], as_labelled: Callable = np.stack
) -> dict:
    """How many of the labelled faces are found, and how well: NaN where none is.

    find: what finds the faces of a photo. as_labelled: makes of their points (68, 2) what is compared, see above.
    """
    errors = []
    for image, points in samples:
        face = labelled_face(find(image), points)
        errors.append(nme(as_labelled([face.keypoints])[0], points) if face else math.nan)
    found = np.array(errors)[~np.isnan(errors)]
    return {
        "photos": len(errors),
        "found": len(found) / len(errors),
        "nme_found": found.mean() if len(found) else math.nan,
        "fr8_found": failure_rate(found) if len(found) else math.nan,
        "wrong": int((found > WRONG).sum()),
    }


def turned(image: np.ndarray, points: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    height, width = image.shape[:2]
    side = math.ceil(math.hypot(height, width))
    matrix = geometry.similarity(((width - 1) / 2, (height - 1) / 2), ((side - 1) / 2,) * 2, degrees=degrees)
    return geometry.warp(image, matrix, side, side), geometry.transform_points(points, matrix)


def shrunk(image: np.ndarray, points: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """On gray, 640×480, the longer side of the points' box `side` pixels."""
    box = geometry.box_of(points)
    factor = side / max(box[2:] - box[:2])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    frame = np.full((max(480, small.shape[0]), max(640, small.shape[1]), 3), 128, np.uint8)
    frame[: small.shape[0], : small.shape[1]] = small
    height, width = image.shape[:2]
    return frame, geometry.transform_points(points, geometry.resize_matrix(height, width, *small.shape[:2]))
