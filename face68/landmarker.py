"""A trained network on whole images: find faces, crop as the network wants it, predict, map back to the image."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from face68 import geometry
from face68.detect import Detector, Found, Given, open_detector
from face68.images import as_rgb
from face68.landmarks import FLIP, Face, inter_ocular
from face68.network import Network, OnnxNetwork, shipped_network

# A detection is dropped that the network holds for less likely a face than this. Up to 0.9 no validation face is lost;
# photos unlike those have lower scores, so it is lower.
MIN_FACE_SCORE = 0.6
# Where the first pass is less sure than this, the face may be turned, and turning it is tried. A turn counts only if it
# makes the network surer than this: one that was trained briefly, and is sure of nothing, takes all faces as they are.
SURELY_A_FACE = 0.98
# A photo in which no face has this `certainty` may lie on its side, and is searched in its quarter turns. On validation
# people's photos turned so, wrong points have at most 12.6, right ones at least 17.9; upright, 1 of 258 has less.
CERTAIN = 15.0
SAME_FACE = 0.3  # intersection over union of two boxes from which they are one face


class Predictions(NamedTuple):
    """What the network says about N faces; the last two are None where it doesn't judge its own work.

    keypoints: (N, 68, 2) float32 px of the image.
    errors: (N, 68) float32, each point's expected distance from the truth, in px of the image.
    face_scores: (N,) float32 in 0 … 1, how surely this is a face at all.
    """

    keypoints: np.ndarray
    errors: np.ndarray | None
    face_scores: np.ndarray | None


class Landmarker:
    """The 68 keypoints of every face of an image.

        landmarker = Landmarker()
        for face in landmarker("photo.jpg"):
            face.box, face.score, face.keypoints  # (x0, y0, x1, y1) px, the detector's score, (68, 2) float32 px

    network: what predicts, or an .onnx file that export.py wrote; None: the one that comes with this package.
    detector: a name (see `detect.open_detector`), or a detector.
    min_face_score: detections with a lower `face_score` are dropped; 0 keeps all.

    Raises:
        InputError: the network can't be used; when faces are first looked for, also that the detector can't.
    """

    def __init__(
        self,
        network: Network | str | Path | None = None,
        detector: str | Detector = "auto",
        min_face_score: float = MIN_FACE_SCORE,
    ):
        if network is None or isinstance(network, str | Path):
            network = OnnxNetwork(network or shipped_network())
        self.network, self.detector, self.min_face_score = network, detector, min_face_score

    @cached_property
    def detect(self) -> Detector:
        """The detector itself, opened when it is first needed: who knows the boxes needs none."""
        return open_detector(self.detector) if isinstance(self.detector, str) else self.detector

    def __call__(self, image: np.ndarray | str | Path, boxes: Sequence | None = None) -> list[Face]:
        """The faces of an image, left to right; an empty list where there is none.

        image: a file, or an array as `images.as_rgb` takes it: RGB, RGBA or gray, uint8 or float from 0 to 1.
        boxes: (N, 4) x0, y0, x1, y1 px, about those of the 68 points, in place of what the detector finds.

        Raises:
            InputError: the image is none of these.
        """
        image = as_rgb(image)
        detect = self.detect if boxes is None else Given(boxes)
        return self.faces([image], [detect(image)])[0]

    def batch(self, images: Sequence[np.ndarray | str | Path]) -> list[list[Face]]:
        """The faces of each of several images; they share the network's batches."""
        images = [as_rgb(image) for image in images]
        return self.faces(images, [self.detect(image) for image in images])

    def faces(self, images: Sequence[np.ndarray], found: Sequence[Found]) -> list[list[Face]]:
        """The faces of each RGB image (H, W, 3) uint8 from what a detector found in it.

        Where that shows no face for certain, the image is searched in its quarter turns too, unless boxes were given,
        or the network can't tell.
        """
        faces = self.found_faces(images, found)
        if not self.network.predicts_errors:
            return faces
        for i, (image, of_image) in enumerate(zip(images, faces, strict=True)):
            if found[i].scores is not None and not any(certainty(face) >= CERTAIN for face in of_image):
                faces[i] = self.with_turned_faces(image, of_image)
        return faces

    def with_turned_faces(self, image: np.ndarray, upright: list[Face]) -> list[Face]:
        """The faces of an image (H, W, 3) uint8 RGB: those found in it, and certain ones in its quarter turns."""
        candidates = list(upright)
        for quarters in (1, 2, 3):
            turned = np.ascontiguousarray(np.rot90(image, -quarters))  # clockwise
            middle, turned_middle = (((w - 1) / 2, (h - 1) / 2) for h, w in (image.shape[:2], turned.shape[:2]))
            back = geometry.similarity(turned_middle, middle, degrees=-90 * quarters)
            faces = self.found_faces([turned], [self.detect(turned)])[0]
            candidates += [face.moved(back) for face in faces if certainty(face) >= CERTAIN]
        return distinct(candidates)

    def found_faces(self, images: Sequence[np.ndarray], found: Sequence[Found]) -> list[list[Face]]:
        """The faces of each image at the places that a detector found.

        Three passes: a detector's box is off by a tenth of the face and knows no roll. The first pass's points frame
        the face better and level its eyes for the second, whose points frame the third. That one sees the face
        mirrored: its mean with the second is better than either, for a network errs otherwise on the other side.

        The face score is the highest of the three, because a face that is seen as one once is one.
        """
        owners = [i for i, of_image in enumerate(found) for _ in of_image.boxes]
        faces = [[] for _ in images]
        if not owners:
            return faces
        boxes = np.concatenate([of_image.boxes for of_image in found])
        scores = [score for of_image in found for score in _scores(of_image)]
        crowd = [images[i] for i in owners]
        first = self.first_pass(crowd, boxes)
        second = self.predict(crowd, *upright_frames(first.keypoints))
        third = self.predict(crowd, *upright_frames(second.keypoints), mirror=True)
        together = combine(first, second, third)
        for owner, box, score, *face in zip(owners, boxes, scores, *_by_face(together), strict=True):
            face = Face(tuple(box.tolist()), score, *face)
            if is_trusted(face, self.min_face_score):
                faces[owner].append(face)
        return [sorted(of_image, key=lambda face: face.box) for of_image in faces]

    def first_pass(self, images: Sequence[np.ndarray], boxes: np.ndarray) -> Predictions:
        """One pass over N ≥ 1 images; where it isn't sure, the quarter turn that looks most like a face counts instead.

        The network learned that what lies on its side or stands on its head is no face.
        """
        best = self.predict(images, boxes)
        if best.face_scores is None:
            return best
        unsure = np.flatnonzero(best.face_scores < SURELY_A_FACE)
        if not len(unsure):
            return best
        for degrees in (90, 180, 270):
            turned = self.predict([images[i] for i in unsure], boxes[unsure], [degrees] * len(unsure))
            better = turned.face_scores > np.maximum(best.face_scores[unsure], SURELY_A_FACE)
            for values, others in zip(best, turned, strict=True):
                values[unsure[better]] = others[better]
        return best

    def predict(
        self, images: Sequence[np.ndarray], boxes, degrees: Sequence[float] | None = None, mirror: bool = False
    ) -> Predictions:
        """One pass over N ≥ 1 images, one box around the 68 points in each, turned clockwise by `degrees` first.

        images: (H, W, 3) uint8 RGB.
        mirror: show the network mirrored faces; what it says is mirrored back.
        """
        degrees = [0.0] * len(images) if degrees is None else degrees
        matrices = [
            # Mirroring comes before turning, and turns the other way.
            geometry.crop_matrix(box, self.network.policy, degrees=-angle if mirror else angle, mirror=mirror)
            for box, angle in zip(boxes, degrees, strict=True)
        ]
        outputs = self.network(self._crops(images, matrices))
        keypoints = np.stack(
            [geometry.transform_points(p, geometry.invert(m)) for p, m in zip(outputs.keypoints, matrices, strict=True)]
        )
        errors = outputs.errors
        if errors is not None:
            errors = errors / np.array([geometry.scale_of(matrix) for matrix in matrices], np.float32)[:, None]
        if mirror:
            keypoints, errors = keypoints[:, FLIP], None if errors is None else errors[:, FLIP]
        return Predictions(keypoints, errors, outputs.face_scores)

    def _crops(self, images: Sequence[np.ndarray], matrices: list[np.ndarray]) -> np.ndarray:
        """What N matrices (2×3) cut out of N images, as the network sees it: (N, S, S) uint8 gray."""
        size = self.network.policy.size
        crops = np.empty((len(images), size, size), np.uint8)
        for crop, image, matrix in zip(crops, images, matrices, strict=True):
            cv2.cvtColor(geometry.warp(image, matrix, size, size), cv2.COLOR_RGB2GRAY, dst=crop)
        return crops


def certainty(face: Face) -> float:
    """How sure the network is of a face's points: its face score × the distance of the eyes / the mean expected error.

    0 where the network doesn't say.
    """
    if face.errors is None:
        return 0.0
    return face.face_score * float(inter_ocular(face.keypoints) / face.errors.mean())


def distinct(faces: Sequence[Face]) -> list[Face]:
    """The faces from left to right, of several that are one the most certain."""
    kept = []
    for face in sorted(faces, key=certainty, reverse=True):
        if all(geometry.overlap(face.box, other.box) < SAME_FACE for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: face.box)


def is_trusted(face: Face, min_face_score: float) -> bool:
    """Whether the network holds it for a face. Given boxes are not doubted; one without a face score doubts none."""
    return face.score is None or face.face_score is None or face.face_score >= min_face_score


def combine(first: Predictions, second: Predictions, third: Predictions) -> Predictions:
    """Keypoints and expected errors as the mean of the second and third pass, the highest face score of all three."""
    keypoints = (second.keypoints + third.keypoints) / 2
    if first.errors is None:
        return Predictions(keypoints, None, None)
    face_scores = np.maximum.reduce([first.face_scores, second.face_scores, third.face_scores])
    return Predictions(keypoints, (second.errors + third.errors) / 2, face_scores)


def upright_frames(keypoints: np.ndarray) -> tuple[Sequence[np.ndarray], Sequence[float]]:
    """The `upright_frame` of N faces, (N, 68, 2) px, as `Landmarker.predict` takes them: boxes, and degrees."""
    boxes, degrees = zip(*map(upright_frame, keypoints), strict=True)
    return boxes, degrees


def upright_frame(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The square (x0, y0, x1, y1) for `geometry.crop_matrix` and the degrees that level the eyes of points (68, 2) px.

    It is as large as the box of the points once they are turned, and has that box's centre.
    """
    x, y = (points[42:48] - points[36:42]).sum(axis=0, dtype=np.float64)
    length = math.hypot(x, y) or 1.0
    turn = np.array([[x, -y], [y, x]]) / length  # rows are points: level = points @ turn, and back with its transpose
    level = points @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    center = (low + high) / 2 @ turn.T
    half = (high - low).max() / 2
    return np.concatenate([center - half, center + half]), -math.degrees(math.atan2(y, x))


def _by_face(predictions: Predictions):
    """Keypoints, errors and face scores as three lists over the faces."""
    keypoints, errors, face_scores = predictions
    nothing = [None] * len(keypoints)
    return keypoints, nothing if errors is None else errors, nothing if face_scores is None else face_scores.tolist()


def _scores(found: Found) -> Sequence[float | None]:
    return [None] * len(found.boxes) if found.scores is None else found.scores.tolist()
