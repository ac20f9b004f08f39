"""A trained network on whole images: find faces, crop as the checkpoint says, predict, map back to the image."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import geometry
from checkpoint import build_model, default_checkpoint, load_checkpoint
from data_load import denormalize_keypoints, gray_tensor
from detect import Detector, given, open_detector
from landmarks import FLIP, Face
from models import Outputs, join_outputs

BATCH = 64  # faces at once; more is no faster and takes more memory
# A detection is dropped that the network holds for less likely a face than this. Up to 0.9 no validation face is lost;
# photos unlike those have lower scores, so it is lower.
MIN_FACE_SCORE = 0.6
# Where the first pass is less sure than this, the face may be turned, and turning it is tried. A turn counts only if it
# makes the network surer than this: one that was trained briefly, and is sure of nothing, takes all faces as they are.
SURELY_A_FACE = 0.98


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

        landmarker = Landmarker()  # the user's best.pt where there is one, else the network that we ship
        for face in landmarker(rgb):
            face.box, face.score, face.keypoints  # (x0, y0, x1, y1) px, the detector's score, (68, 2) float32 px

    checkpoint: a file that train.py wrote.
    detector: a name (see `detect.open_detector`) or a function like those that it returns.
    device: where the network runs, as torch names it.
    min_face_score: detections with a lower `face_score` are dropped; 0 keeps all.

    Raises:
        InputError: the checkpoint can't be used; when faces are first looked for, also that the detector can't.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        detector: str | Detector = "auto",
        device: str = "cpu",
        min_face_score: float = MIN_FACE_SCORE,
    ):
        self.path = Path(checkpoint or default_checkpoint())
        self.model, self.policy = build_model(load_checkpoint(self.path), self.path)
        self.model.to(device)
        self.detector, self.device, self.min_face_score = detector, device, min_face_score

    @cached_property
    def detect(self) -> Detector:
        """The detector itself, opened when it is first needed: who knows the boxes needs none."""
        return open_detector(self.detector) if isinstance(self.detector, str) else self.detector

    def __call__(self, image: np.ndarray, boxes: Sequence | None = None) -> list[Face]:
        """The faces of an RGB image (H, W, 3) uint8, left to right; an empty list where there is none.

        boxes: (N, 4) x0, y0, x1, y1 px, about those of the 68 points, in place of what the detector finds.
        """
        detect = self.detect if boxes is None else given(boxes)
        return self.faces([image], [detect(image)])[0]

    def batch(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """The faces of each of several images; they share the network's batches."""
        return self.faces(images, [self.detect(image) for image in images])

    def faces(self, images: Sequence[np.ndarray], found: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[list[Face]]:
        """The faces of each image from what a detector found in it, boxes (N, 4) and scores (N,).

        Three passes: a detector's box is off by a tenth of the face and knows no roll. The first pass's points frame
        the face better and level its eyes for the second, whose points frame the third. That one sees the face
        mirrored: its mean with the second is better than either, for a network errs otherwise on the other side.

        The face score is the highest of the three, because a face that is seen as one once is one.
        """
        owners = [i for i, (boxes, _) in enumerate(found) for _ in boxes]
        faces = [[] for _ in images]
        if not owners:
            return faces
        boxes = np.concatenate([boxes for boxes, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        crowd = [images[i] for i in owners]
        first = self.first_pass(crowd, boxes)
        second = self.predict(crowd, *upright_frames(first.keypoints))
        third = self.predict(crowd, *upright_frames(second.keypoints), mirror=True)
        together = combine(first, second, third)
        for owner, box, score, *face in zip(owners, boxes, scores, *_by_face(together), strict=True):
            face = Face(tuple(box.tolist()), None if np.isnan(score) else float(score), *face)
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

        mirror: show the network mirrored faces; what it says is mirrored back.
        """
        degrees = [0.0] * len(images) if degrees is None else degrees
        matrices = [
            # Mirroring comes before turning, and turns the other way.
            geometry.crop_matrix(box, self.policy, degrees=-angle if mirror else angle, mirror=mirror)
            for box, angle in zip(boxes, degrees, strict=True)
        ]
        outputs = self._outputs(images, matrices)
        size = self.policy.size
        points = denormalize_keypoints(outputs.keypoints.numpy(), size, size)  # (N, 68, 2) px of the crop
        back = [geometry.transform_points(p, geometry.invert(m)) for p, m in zip(points, matrices, strict=True)]
        keypoints = np.stack(back)
        errors, face_scores = self._judgement(outputs, matrices)
        if mirror:
            keypoints, errors = keypoints[:, FLIP], None if errors is None else errors[:, FLIP]
        return Predictions(keypoints, errors, face_scores)

    @torch.inference_mode()
    def _outputs(self, images: Sequence[np.ndarray], matrices: list[np.ndarray]) -> Outputs:
        """What the network says of the crops that N matrices (2×3) cut out of N images."""
        size = self.policy.size
        crops = [gray_tensor(geometry.warp(image, m, size, size)) for image, m in zip(images, matrices, strict=True)]
        return join_outputs([self.model(part.to(self.device)) for part in torch.stack(crops).split(BATCH)])

    def _judgement(self, outputs: Outputs, matrices: list[np.ndarray]):
        if outputs.log_errors is None:
            return None, None
        pixels = [self.policy.size / 2 / geometry.scale_of(matrix) for matrix in matrices]  # of the image, a unit
        errors = outputs.log_errors.exp().numpy() * np.array(pixels, np.float32)[:, None]
        return errors, outputs.face_logits.sigmoid().numpy()


def is_trusted(face: Face, min_face_score: float) -> bool:
    """Whether the network holds it for a face. Given boxes are not doubted; one without a face score doubts none."""
    return face.score is None or face.face_score is None or face.face_score >= min_face_score


def labelled_face(faces: Sequence[Face], points: np.ndarray) -> Face | None:
    """The surest of the faces found where points (68, 2) px say that one is; None: it was missed."""
    near = [face for face in faces if is_near(face.box, points)]
    return max(near, key=lambda face: face.score or 0.0, default=None)


def is_near(box, points: np.ndarray) -> bool:
    """Whether a box (x0, y0, x1, y1) is about that of points (68, 2): its centre no further away than 0.4 of the true
    side, its own side 0.5 to 2 times as long.
    """
    box, true = np.asarray(box), geometry.box_of(points)
    side = max(true[2:] - true[:2])
    off = np.abs((box[:2] + box[2:]) / 2 - (true[:2] + true[2:]) / 2).max()
    return bool(off < 0.4 * side and 0.5 * side < box[2] - box[0] < 2 * side)


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
    x, y = points[42:48].mean(axis=0) - points[36:42].mean(axis=0)
    degrees = -math.degrees(math.atan2(y, x))
    turn = geometry.similarity((0, 0), (0, 0), degrees=degrees)
    box = geometry.box_of(geometry.transform_points(points, turn))
    center = geometry.transform_points((box[:2] + box[2:]) / 2, geometry.invert(turn)).astype(np.float64)
    half = max(box[2:] - box[:2]) / 2
    return np.concatenate([center - half, center + half]), degrees


def _by_face(predictions: Predictions):
    """Keypoints, errors and face scores as three lists over the faces."""
    keypoints, errors, face_scores = predictions
    nothing = [None] * len(keypoints)
    return keypoints, nothing if errors is None else errors, nothing if face_scores is None else face_scores.tolist()
