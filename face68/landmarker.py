"""A trained network on whole images: find faces, crop as the network wants it, predict, map back to the image."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from face68 import geometry
from face68.detect import Detector, FaceBoxes, Given, open_detector
from face68.images import AnyImage, as_rgb
from face68.landmarks import IBUG68, Face, face_frames, upright_frame
from face68.network import FAMILY, FOR_PHOTOS, Network, OnnxNetwork, Predictions, coarse_network_of, shipped_network
from face68.schemes import Scheme

# Faces of a lower face score or `certainty` are dropped: points that are wrong by the whole face have a low certainty.
# Chosen on validation people: of 280 upright photos and 495 turned ones none is missed up to a certainty of 5.5, by
# `base` and `large`, and no returned points are wrong.
MIN_FACE_SCORE, MIN_CERTAINTY = 0.3, 8.5
HARDLY = 0.05  # the least weight of a point's expected error in the `certainty`: that of a point that can't be seen
# What the first pass of a detector's box gives a lower face score is no face, and isn't looked at again.
HOPELESS = 0.1
# A face of a lower face score in the first pass may be turned, so turns are tried. A turn counts only with a higher
# face score than this: a network that was trained briefly, and is sure of nothing, leaves all faces as they are.
SURELY_A_FACE = 0.98
PASSES = 3
SAME_FACE = 0.3  # intersection over union of two boxes from which they are one face


class Landmarker:
    """The 68 keypoints of every face of an image.

        landmarker = Landmarker()
        for face in landmarker("photo.jpg"):
            face.box, face.score, face.keypoints  # (x0, y0, x1, y1) px, the detector's score, (68, 2) float32 px

    network: a `Network`, an .onnx file that export.py wrote, or one that comes with this package: "fast", "base" or
        "large", of which a pass takes about 0.6, 1.0 and 2.6 ms; None: "large".
    detector: a name or file (see `detect.open_detector`), or a detector.
    min_face_score: faces with a lower `face_score` or little `certainty` are dropped; 0 keeps all.
    passes: how often each face is predicted, 1, 2 or 3, see `faces`.
    largest: whether to return the largest face of an image alone.
    coarse_network: the network of the first of three passes, which frames the face for the second; None: `network`
        itself or, if that comes with this package, the smallest that does.
    provider: where all of these compute that are given by name or file: "cpu", "cuda", "coreml", "directml" or
        "openvino", if ONNX Runtime has it here.

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
        provider: str = "cpu",
    ):
        network = FOR_PHOTOS if network is None else network
        if isinstance(network, str | Path):
            path = shipped_network(network) if network in FAMILY else network
            network, smaller = OnnxNetwork(path, provider=provider), coarse_network_of(path)
            coarse_network = coarse_network or (smaller and OnnxNetwork(smaller, provider=provider))
        self.scheme = getattr(network, "scheme", IBUG68)
        is_name = isinstance(detector, str | Path)
        self.detect = open_detector(detector, None, provider, self.scheme) if is_name else detector
        self.coarse_network, self.min_face_score = coarse_network or network, min_face_score
        self.network, self.passes, self.largest = network, passes, largest

    def __call__(self, image: AnyImage, boxes: Sequence | None = None) -> list[Face]:
        """The faces of an image, left to right; an empty list where there is none.

        image: as `images.as_rgb` takes it: a file's path, bytes or the open file; an image of Pillow; or an array: RGB,
            RGBA or gray, uint8 or float from 0 to 1.
        boxes: (N, 4) x0, y0, x1, y1 px, about those of the 68 points, in place of the detector's.

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

    def faces(self, images: Sequence[np.ndarray], detected: Sequence[FaceBoxes]) -> list[list[Face]]:
        """The faces of each RGB image (H, W, 3) uint8 in a detector's boxes, left to right.

        A detector's box is off by a part of the face. The points of the first pass frame the face better, and level,
        for the second, whose points frame it for the third. The last pass sees the face mirrored: a network's errors
        differ from one side to the other, so the mean of the last two passes is better than either. The face score is
        that of the same two.

        Of several boxes that lead to one face the most certain points stay.
        """
        faces = [[] for _ in images]
        # The boxes of all images in one batch.
        owners = [i for i, of_image in enumerate(detected) for _ in of_image.boxes]
        if not owners:
            return faces
        boxes = np.concatenate([of_image.boxes for of_image in detected])
        scores = [score for of_image in detected for score in _of_each(of_image.scores, len(of_image.boxes))]
        degrees = [degree for of_image in detected for degree in _of_each(of_image.degrees, len(of_image.boxes))]
        pictures = [images[i] for i in owners]
        coarse = self.coarse_pass(pictures, boxes, degrees)
        if coarse.face_scores is not None and self.min_face_score > 0:  # leave out what is no face
            may_be = [i for i, score in enumerate(scores) if score is None or coarse.face_scores[i] >= HOPELESS]
            if not may_be:
                return faces
            owners, pictures, scores, degrees = ([of[i] for i in may_be] for of in (owners, pictures, scores, degrees))
            boxes, coarse = boxes[may_be], chosen(coarse, may_be)
        predicted = self.all_passes(pictures, boxes, degrees, coarse)
        fields = [_of_each(values, len(boxes)) for values in predicted]  # keypoints, errors, face scores, visibility
        # Each image's trusted faces.
        for owner, box, score, *values, visible in zip(owners, boxes, scores, *fields, strict=True):
            face = Face(tuple(box.tolist()), score, *values, visible=visible, scheme=self.scheme)
            if is_trusted(face, self.min_face_score):
                faces[owner].append(face)
        faces = [distinct(of_image) for of_image in faces]
        return [sorted(of_image, key=_side)[-1:] for of_image in faces] if self.largest else faces

    def has_full_resolution(self, face: Face) -> bool:
        """Whether a face is at least as large in its image as in the network's crop: a larger image wouldn't help."""
        x0, y0, x1, y1 = geometry.box_of(face.keypoints)
        return max(x1 - x0, y1 - y0) * self.network.policy.margin >= self.network.policy.size

    def all_passes(
        self, images: Sequence[np.ndarray], boxes: np.ndarray, degrees: Sequence, coarse: Predictions
    ) -> Predictions:
        """The predictions of N ≥ 1 faces, one in each image, after all passes: see `faces`. degrees: None if unknown;
        coarse: those of the first pass.

        A detector may take the chin for the forehead. So an unsure face of a known roll is predicted once more, turned
        by 180°, and of the two predictions the surer one stays.
        """
        best = self._passes(images, boxes, coarse)
        if best.face_scores is None or not self.scheme.eyes:
            return best
        is_unsure = (best.face_scores >= MIN_FACE_SCORE) & (best.face_scores < SURELY_A_FACE)
        unsure = np.flatnonzero(is_unsure & _is_known(degrees))
        if len(unsure):
            few, half_turned = [images[i] for i in unsure], [degrees[i] + 180 for i in unsure]
            frames, rolls = next_frames(
                self.coarse_pass(few, boxes[unsure], half_turned).keypoints, boxes[unsure], self.scheme
            )
            turned = self._passes(few, boxes[unsure], self.coarse_pass(few, np.stack(frames), rolls))
            _replace(best, unsure, turned, _clearness(turned, self.scheme) > _clearness(best, self.scheme)[unsure])
        return best

    def _passes(self, images: Sequence[np.ndarray], boxes: np.ndarray, coarse: Predictions) -> Predictions:
        passes = [coarse]
        for number in range(2, self.passes + 1):
            mirror = number == self.passes
            passes.append(self.predict(images, *next_frames(passes[-1].keypoints, boxes, self.scheme), mirror=mirror))
        return combine(passes)

    def coarse_pass(self, images: Sequence[np.ndarray], boxes: np.ndarray, degrees: Sequence) -> Predictions:
        """The first pass over N ≥ 1 images. A face that it is unsure of, and whose roll is unknown, is also predicted
        turned by 90, 180 and 270°, and the turn with the highest face score counts: the network learned that a face on
        its side or on its head is none.
        """
        network = self.coarse_network if self.passes > 2 else self.network  # of two passes both count in the mean
        best = self.predict(images, boxes, [degree or 0.0 for degree in degrees], network=network)
        if best.face_scores is None or not self.scheme.eyes:
            return best
        unsure = np.flatnonzero((best.face_scores < SURELY_A_FACE) & ~_is_known(degrees))
        few = [images[i] for i in unsure]
        for quarter in (90, 180, 270) if few else ():
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
        mirror: show the network mirrored faces, and mirror its points back, where their scheme says how.
        network: None: the landmarker's own.
        """
        network = network or self.network
        mirror = mirror and self.scheme.mirror is not None
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
        visible = outputs.visible
        if mirror:
            keypoints = keypoints[:, self.scheme.mirror]
            errors, visible = (
                None if values is None else values[:, self.scheme.mirror] for values in (errors, visible)
            )
        return Predictions(keypoints, errors, outputs.face_scores, visible)


def certainty(face: Face) -> float:
    """How sure a face and its points are: face score × detector's score × side of the face / mean expected error of the
    points that can be seen; unknown factors are left out.
    """
    detector = 1.0 if face.score is None else min(face.score, 1.0)  # of somebody else's detector it may be larger
    if face.errors is None:
        return detector
    fields = face.keypoints, face.errors, face.face_score, face.visible
    one = Predictions(*(None if values is None else np.asarray(values)[None] for values in fields))
    return detector * float(_clearness(one, face.scheme)[0])


def _clearness(predicted: Predictions, scheme: Scheme) -> np.ndarray:
    """The network's part of the `certainty` of N faces: (N,)."""
    weights = np.ones_like(predicted.errors) if predicted.visible is None else predicted.visible + HARDLY
    expected = (weights * predicted.errors).sum(axis=1) / weights.sum(axis=1)
    return predicted.face_scores * face_frames(predicted.keypoints, scheme)[2] / expected


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
    """Whether a face is returned. All are of given boxes, of a network that doesn't judge its own work, and at a
    `min_face_score` of 0.
    """
    if face.score is None or face.face_score is None or min_face_score == 0:
        return True
    return face.face_score >= min_face_score and certainty(face) >= MIN_CERTAINTY


def combine(passes: Sequence[Predictions]) -> Predictions:
    """The mean of the last two passes; None where one of them doesn't say."""
    fields = zip(*passes[-2:], strict=True)
    return Predictions(*(None if any(v is None for v in values) else np.mean(values, axis=0) for values in fields))


def chosen(predicted: Predictions, rows: Sequence[int]) -> Predictions:
    """Those of some faces."""
    return Predictions(*(None if values is None else values[rows] for values in predicted))


def _replace(best: Predictions, rows: np.ndarray, others: Predictions, better: np.ndarray) -> None:
    """Replace rows (R,) of the best predictions by others', where these are `better`, (R,) bool."""
    for values, instead in zip(best, others, strict=True):
        if values is not None:
            values[rows[better]] = instead[better]


def _crops(images: Sequence[np.ndarray], matrices: list[np.ndarray], size: int) -> np.ndarray:
    """The crops of N images by N matrices (2×3), as a network sees them: (N, size, size) uint8 gray."""
    crops = np.empty((len(images), size, size), np.uint8)
    for crop, image, matrix in zip(crops, images, matrices, strict=True):
        cv2.cvtColor(geometry.warp(image, matrix, size, size), cv2.COLOR_RGB2GRAY, dst=crop)
    return crops


def upright_frames(keypoints: np.ndarray, scheme: Scheme = IBUG68) -> tuple[Sequence[np.ndarray], Sequence[float]]:
    """The `upright_frame` of N faces, (N, 68, 2) px, as `Landmarker.predict` takes them: boxes, and degrees."""
    boxes, degrees = zip(*(upright_frame(points, scheme) for points in keypoints), strict=True)
    return boxes, degrees


def next_frames(keypoints: np.ndarray, boxes: Sequence, scheme: Scheme) -> tuple[Sequence[np.ndarray], Sequence[float]]:
    """The frames of N objects' next pass, as `Landmarker.predict` takes them: by their points, (N, 68, 2) px, or, of a
    single point, which has no extent, the boxes of the last pass.
    """
    return upright_frames(keypoints, scheme) if scheme.has_extent else (boxes, [0.0] * len(boxes))


def _side(face: Face) -> float:
    return face.box[2] - face.box[0]


def _is_known(degrees: Sequence[float | None]) -> np.ndarray:
    return np.array([degree is not None for degree in degrees])


def _of_each(values: np.ndarray | None, count: int) -> Sequence:
    """A plain number or an array of each of so many faces; None of each where there are no values."""
    if values is None:
        return [None] * count
    return values.tolist() if values.ndim == 1 else values
