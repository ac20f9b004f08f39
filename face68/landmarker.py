"""A trained network on whole images: find faces, crop as the network wants it, predict, map back to the image."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from face68 import geometry
from face68.detect import Detector, FaceBoxes, Given, open_detector
from face68.images import AnyImage, as_rgb
from face68.landmarks import FLIP, Face, inter_ocular, upright_frame
from face68.network import (
    FAMILY,
    FOR_PHOTOS,
    Network,
    OnnxNetwork,
    Predictions,
    coarse_network_of,
    shipped_network,
)

# A face is dropped that the network holds for less likely one than this, and one that is less certain (`certainty`):
# points that are wrong by the whole face are. Chosen on validation people: of 280 upright photos and 495 turned ones
# none is missed up to a certainty of 5.5, by `base` and `large`, and no returned points are wrong.
MIN_FACE_SCORE, MIN_CERTAINTY = 0.3, 5.0
# Where the first pass is less sure than this, the face may be turned, and turning it is tried. A turn counts only if it
# makes the network surer than this: one that was trained briefly, and is sure of nothing, takes all faces as they are.
SURELY_A_FACE = 0.98
PASSES = 3
SAME_FACE = 0.3  # intersection over union of two boxes from which they are one face


class Landmarker:
    """The 68 keypoints of every face of an image.

        landmarker = Landmarker()
        for face in landmarker("photo.jpg"):
            face.box, face.score, face.keypoints  # (x0, y0, x1, y1) px, the detector's score, (68, 2) float32 px

    network: what predicts, an .onnx file that export.py wrote, or one that comes with this package: "fast", "base" or
        "large", of which a pass takes about 0.6, 1.0 and 2.6 ms; None: "large".
    detector: a name or file (see `detect.open_detector`), or a detector.
    min_face_score: faces with a lower `face_score` are dropped, and those of little `certainty`; 0 keeps all.
    passes: how often each face is predicted, 1, 2 or 3, see `faces`.
    largest: whether only the largest face of an image is wanted.
    coarse_network: what predicts in the first of three passes, which frames the face for the second; None: `network`
        itself, but of networks that come with this package the smallest.

    Raises:
        InputError: the network or the detector can't be used.
    """

    def __init__(
        self,
        network: Network | str | Path | None = None,
        detector: str | Path | Detector = "auto",
        min_face_score: float = MIN_FACE_SCORE,
        passes: int = PASSES,
        largest: bool = False,
        coarse_network: Network | None = None,
    ):
        network = FOR_PHOTOS if network is None else network
        if isinstance(network, str | Path):
            path = shipped_network(network) if network in FAMILY else network
            network, smaller = OnnxNetwork(path), coarse_network_of(path)
            coarse_network = coarse_network or (smaller and OnnxNetwork(smaller))
        self.detect = open_detector(detector) if isinstance(detector, str | Path) else detector
        self.coarse_network, self.min_face_score = coarse_network or network, min_face_score
        self.network, self.passes, self.largest = network, passes, largest

    def __call__(self, image: AnyImage, boxes: Sequence | None = None) -> list[Face]:
        """The faces of an image, left to right; an empty list where there is none.

        image: as `images.as_rgb` takes it: a file's path, bytes or the open file; an image of Pillow; or an array: RGB,
            RGBA or gray, uint8 or float from 0 to 1.
        boxes: (N, 4) x0, y0, x1, y1 px, about those of the 68 points, in place of what the detector finds.

        Raises:
            InputError: the image is none of these, or no face can be in one of the boxes.
        """
        image = as_rgb(image)
        detect = self.detect if boxes is None else Given(boxes)
        return self.faces([image], [detect(image)])[0]

    def batch(self, images: Sequence[AnyImage]) -> list[list[Face]]:
        """The faces of each of several images; they share the network's batches."""
        images = [as_rgb(image) for image in images]
        return self.faces(images, [self.detect(image) for image in images])

    def faces(self, images: Sequence[np.ndarray], found: Sequence[FaceBoxes]) -> list[list[Face]]:
        """The faces of each RGB image (H, W, 3) uint8 at the places that a detector found, left to right.

        A detector's box is off by some of the face. The first pass's points frame it better and level its eyes for the
        second, whose points frame the third. The last pass sees the face mirrored, and its mean with the one before is
        better than either, for a network errs otherwise on the other side.

        The face score is the mean of the same two, too: what is taken for a face once and then not again is none. Of
        several places that turn out as one face the most certain stays.
        """
        owners = [i for i, of_image in enumerate(found) for _ in of_image.boxes]
        faces = [[] for _ in images]
        if not owners:
            return faces
        boxes = np.concatenate([of_image.boxes for of_image in found])
        scores = [score for of_image in found for score in _or_none(of_image.scores, of_image)]
        degrees = [degree for of_image in found for degree in _or_none(of_image.degrees, of_image)]
        crowd = [images[i] for i in owners]
        together = self.all_passes(crowd, boxes, degrees)
        for owner, box, score, *face in zip(owners, boxes, scores, *_by_face(together), strict=True):
            face = Face(tuple(box.tolist()), score, *face)
            if is_trusted(face, self.min_face_score):
                faces[owner].append(face)
        faces = [distinct(of_image) for of_image in faces]
        return [sorted(of_image, key=_side)[-1:] for of_image in faces] if self.largest else faces

    def has_full_resolution(self, face: Face) -> bool:
        """Whether a face is as large in its image as the network sees it: a larger image would show it no more."""
        x0, y0, x1, y1 = geometry.box_of(face.keypoints)
        return max(x1 - x0, y1 - y0) * self.network.policy.margin >= self.network.policy.size

    def all_passes(self, images: Sequence[np.ndarray], boxes: np.ndarray, degrees: Sequence) -> Predictions:
        """What N ≥ 1 faces have in the end, one in each image: see `faces`. degrees: None where nobody knows.

        Where the passes are not sure of what may be a face, a detector that told its roll may have taken chin for
        forehead: then all passes are made of the half turn, too, behind one that frames the face, and the surer points
        count.
        """
        best = self._passes(images, boxes, degrees)
        if best.face_scores is None:
            return best
        is_told = np.array([degree is not None for degree in degrees])
        is_unsure = (best.face_scores >= MIN_FACE_SCORE) & (best.face_scores < SURELY_A_FACE)
        unsure = np.flatnonzero(is_unsure & is_told)
        if len(unsure):
            few, half_turned = [images[i] for i in unsure], [degrees[i] + 180 for i in unsure]
            frames, rolls = upright_frames(self.coarse_pass(few, boxes[unsure], half_turned).keypoints)
            turned = self._passes(few, np.stack(frames), rolls)
            _replace(best, unsure, turned, _clearness(turned) > _clearness(best)[unsure])
        return best

    def _passes(self, images: Sequence[np.ndarray], boxes: np.ndarray, degrees: Sequence) -> Predictions:
        said = [self.coarse_pass(images, boxes, degrees)]
        for number in range(2, self.passes + 1):
            mirror = number == self.passes
            said.append(self.predict(images, *upright_frames(said[-1].keypoints), mirror=mirror))
        return combine(said)

    def coarse_pass(self, images: Sequence[np.ndarray], boxes: np.ndarray, degrees: Sequence) -> Predictions:
        """One pass over N ≥ 1 images; where it isn't sure, and no detector told how the face is turned, the quarter
        turn that looks most like a face counts instead.

        The network learned that what lies on its side or stands on its head is no face.
        """
        network = self.coarse_network if self.passes > 2 else self.network  # of two, points are the mean
        best = self.predict(images, boxes, [degree or 0.0 for degree in degrees], network=network)
        if best.face_scores is None:
            return best
        is_told = np.array([degree is not None for degree in degrees])
        unsure = np.flatnonzero((best.face_scores < SURELY_A_FACE) & ~is_told)
        if not len(unsure):
            return best
        few = [images[i] for i in unsure]
        for quarter in (90, 180, 270):
            turned = self.predict(few, boxes[unsure], [quarter] * len(few), network=network)
            _replace(best, unsure, turned, turned.face_scores > np.maximum(best.face_scores[unsure], SURELY_A_FACE))
        return best

    def predict(
        self,
        images: Sequence[np.ndarray],
        boxes,
        degrees: Sequence[float] | None = None,
        mirror: bool = False,
        network: Network | None = None,
    ) -> Predictions:
        """One pass over N ≥ 1 images, one box around the 68 points in each, turned clockwise by `degrees` first.

        images: (H, W, 3) uint8 RGB.
        mirror: show the network mirrored faces; what it says is mirrored back.
        network: which one; None: the landmarker's own.
        """
        network = network or self.network
        degrees = [0.0] * len(images) if degrees is None else degrees
        matrices = [
            # Mirroring comes before turning, and turns the other way.
            geometry.crop_matrix(box, network.policy, degrees=-angle if mirror else angle, mirror=mirror)
            for box, angle in zip(boxes, degrees, strict=True)
        ]
        outputs = network(_crops(images, matrices, network.policy.size))
        keypoints = np.stack(
            [geometry.transform_points(p, geometry.invert(m)) for p, m in zip(outputs.keypoints, matrices, strict=True)]
        )
        errors = outputs.errors
        if errors is not None:
            errors = errors / np.array([geometry.scale_of(matrix) for matrix in matrices], np.float32)[:, None]
        if mirror:
            keypoints, errors = keypoints[:, FLIP], None if errors is None else errors[:, FLIP]
        return Predictions(keypoints, errors, outputs.face_scores)


def certainty(face: Face) -> float:
    """How sure one may be of a face and its points: face score × detector's score × distance of the eyes / mean
    expected error. What isn't known doesn't count.
    """
    detector = 1.0 if face.score is None else min(face.score, 1.0)  # of somebody else's detector it may be larger
    if face.errors is None:
        return detector
    return detector * float(_clearness(Predictions(face.keypoints, face.errors, face.face_score)))


def _clearness(predicted: Predictions) -> np.ndarray:
    """Of each face its score × distance of the eyes / mean expected error: what of `certainty` the network says."""
    return predicted.face_scores * inter_ocular(predicted.keypoints) / predicted.errors.mean(axis=-1)


def distinct(faces: Sequence[Face]) -> list[Face]:
    """The faces from left to right, of several that have about the same points the most certain."""
    kept, boxes = [], []
    for face in sorted(faces, key=certainty, reverse=True):
        box = geometry.box_of(face.keypoints)
        if face.score is None or all(geometry.overlap(box, other) < SAME_FACE for other in boxes):
            kept.append(face)
            boxes.append(box)
    return sorted(kept, key=lambda face: face.box)


def is_trusted(face: Face, min_face_score: float) -> bool:
    """Whether it is returned. Given boxes are not doubted, nor what a network finds that doesn't judge its own work,
    nor anything at a `min_face_score` of 0.
    """
    if face.score is None or face.face_score is None or min_face_score == 0:
        return True
    return face.face_score >= min_face_score and certainty(face) >= MIN_CERTAINTY


def combine(passes: Sequence[Predictions]) -> Predictions:
    """Keypoints, expected errors and face scores as the mean of the last two passes."""
    last = passes[-2:]
    keypoints = np.mean([one.keypoints for one in last], axis=0)
    if last[0].errors is None:
        return Predictions(keypoints, None, None)
    errors = np.mean([one.errors for one in last], axis=0)
    return Predictions(keypoints, errors, np.mean([one.face_scores for one in last], axis=0))


def _replace(best: Predictions, rows: np.ndarray, others: Predictions, better: np.ndarray) -> None:
    """Put what others say of some rows in place, where it is better: (R,) each."""
    for values, instead in zip(best, others, strict=True):
        values[rows[better]] = instead[better]


def _crops(images: Sequence[np.ndarray], matrices: list[np.ndarray], size: int) -> np.ndarray:
    """What N matrices (2×3) cut out of N images, as a network sees it: (N, size, size) uint8 gray."""
    crops = np.empty((len(images), size, size), np.uint8)
    for crop, image, matrix in zip(crops, images, matrices, strict=True):
        cv2.cvtColor(geometry.warp(image, matrix, size, size), cv2.COLOR_RGB2GRAY, dst=crop)
    return crops


def upright_frames(keypoints: np.ndarray) -> tuple[Sequence[np.ndarray], Sequence[float]]:
    """The `upright_frame` of N faces, (N, 68, 2) px, as `Landmarker.predict` takes them: boxes, and degrees."""
    boxes, degrees = zip(*map(upright_frame, keypoints), strict=True)
    return boxes, degrees


def _side(face: Face) -> float:
    return face.box[2] - face.box[0]


def _by_face(predictions: Predictions):
    """Keypoints, errors and face scores as three lists over the faces."""
    keypoints, errors, face_scores = predictions
    nothing = [None] * len(keypoints)
    return keypoints, nothing if errors is None else errors, nothing if face_scores is None else face_scores.tolist()


def _or_none(values: np.ndarray | None, found: FaceBoxes) -> Sequence[float | None]:
    """A value of each face, None for those of which there is none."""
    return [None] * len(found.boxes) if values is None else values.tolist()
