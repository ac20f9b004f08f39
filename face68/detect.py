"""Face detectors: image in; boxes, scores and rolls out. A box is an estimate of the square around the 68 points, as
`geometry.crop_matrix` takes it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from face68.files import InputError
from face68.geometry import whole_box
from face68.landmarks import IBUG68
from face68.network import OnnxDetector, shipped_detector
from face68.schemes import Scheme

DETECTORS = ("auto", "none")

# Chosen on validation people. SEARCHES: longest sides of the pictures that are searched, px; in each, faces of about 10
# to 160 px are found.
SEARCHES = (192, 384, 768, 1536)
LEAST, SURE = 0.1, 0.5  # scores: the least that is returned, for the landmark network to judge; and of a sure face
SMALLEST_SEEN, SEEN_WELL = 11.0, 22.0  # px of the picture, sides of faces that are found, and found as well as any

# The square around the 68 points in a frame that shows one face: its side as a share of the frame's shorter side, and
# how far it lies below the middle, as a share of the height. Medians over every 12th public training image.
FRAME_SIDE, FRAME_DOWN = 0.44, 0.05
FARTHEST = 1_000_000  # px from the corner of the photo, at which a given box may lie


class FaceBoxes(NamedTuple):
    """The boxes of N faces.

    boxes: (N, 4) float64, estimates of the square around the 68 points, x0, y0, x1, y1 px.
    scores: (N,) float64, higher is surer; our detector's are probabilities, others' may be above 1. None where nothing
        was searched for.
    degrees: (N,) float64, the clockwise turn, around the middle of its box, that levels each face; the box is that of
        the level face. None: the detector doesn't know.
    """

    boxes: np.ndarray
    scores: np.ndarray | None
    degrees: np.ndarray | None = None


NOTHING = FaceBoxes(np.zeros((0, 4)), np.zeros(0))


class Detector(Protocol):
    """Finds the faces of an RGB image (H, W, 3) uint8; several threads may call it. name: of its rows in tables."""

    name: str

    def __call__(self, image: np.ndarray) -> FaceBoxes: ...


def open_detector(
    name: str | Path = "auto", min_face: float | None = None, provider: str = "cpu", scheme: Scheme = IBUG68
) -> Detector:
    """The detector of a name.

    name: "auto" (the one that comes with this package; for a scheme without eyes as "none"), "none" (no search: the
        frame shows one face, roughly in the middle, as in the public data set, or an object that fills it), or an .onnx
        file that train.py --model detector and export.py made.
    min_face: see `FaceDetector`.
    provider: where it computes, see `network.open_session`.
    scheme: of the points that the box is for.

    Raises:
        InputError: there is no detector of that name, or one that doesn't search is given a `min_face`.
    """
    if name == "auto" and scheme.eyes:
        return FaceDetector(shipped_detector(), min_face, provider)
    if Path(name).suffix == ".onnx":
        return FaceDetector(name, min_face, provider)
    if name not in DETECTORS:
        known = ", ".join(DETECTORS)
        raise InputError(f"--detector {name}: there is none of that name; choose from {known}, or give an .onnx file")
    if min_face is not None:
        raise InputError(f"--detector {name}: doesn't know min_face, since nothing is searched for")
    return WholeFrame() if scheme.eyes else WholePicture()


class Given:
    """The same boxes (N, 4) in any image, given by the caller.

    Raises:
        InputError: no face can be in one of them.
    """

    name = "given"

    def __init__(self, boxes: Sequence[Sequence[float]]):
        try:
            self.boxes = np.asarray(boxes, dtype=np.float64).reshape(len(boxes), 4)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"boxes {str(boxes)[:60]!r}: give left,top,right,bottom in pixels of each face") from error
        far, sides = np.abs(self.boxes).max(axis=1), self.boxes[:, 2:] - self.boxes[:, :2]
        possible = (far <= FARTHEST) & (sides >= 1).all(axis=1)  # NaN is neither
        if not possible.all():
            wrong = ",".join(f"{value:g}" for value in self.boxes[~possible][0])
            raise InputError(
                f"box {wrong}: no face can be there; give left,top,right,bottom in pixels, at least 1 apart and within "
                f"{FARTHEST:,}"
            )

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        return FaceBoxes(self.boxes, None)


class WholeFrame:
    """The box of a frame that shows one face in the middle."""

    name = "none"

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        height, width = image.shape[:2]
        center = np.array([[(width - 1) / 2, (height - 1) / 2 + FRAME_DOWN * height]])
        return FaceBoxes(_squares(center, np.array([FRAME_SIDE * min(height, width)])), None)


class WholePicture:
    """The box of all of a picture, which shows one object of any kind."""

    name = "none"

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        return FaceBoxes(whole_box(*image.shape[:2])[None], None)


class Detections(NamedTuple):
    """N faces as `FaceDetector` finds them, surest first.

    centers: (N, 2) x, y px. sides: (N,) px, of the square around the 68 points of the level face. rolls: (N,) degrees
    by which it is turned clockwise. scores: (N,) in 0 … 1.
    """

    centers: np.ndarray
    sides: np.ndarray
    rolls: np.ndarray
    scores: np.ndarray

    def scaled(self, factor: float) -> "Detections":
        """The same in the picture made `factor` times as large; pixel centres are at integers."""
        return self._replace(centers=(self.centers + 0.5) * factor - 0.5, sides=self.sides * factor)

    def of(self, chosen) -> "Detections":
        """Those that an index or a mask chooses."""
        return Detections(*(values[chosen] for values in self))

    def as_face_boxes(self) -> FaceBoxes:
        return FaceBoxes(_squares(self.centers, self.sides), self.scores, -self.rolls)


EMPTY = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0))


class FaceDetector:
    """Faces of any roll, and their rolls, by a network of our own, `models.DetectorNet`.

    The photo is searched in pictures of growing size. A face that one has shown is not taken again from the next. The
    search ends at the picture behind which `may_be_more` expects nothing.

    path: of an .onnx file that export.py wrote.
    min_face: the smallest side of a face that is returned, px of the photo or, below 1, a share of its longer side; the
        search goes on as far as such a face needs. None: as far as `may_be_more` says.

    Raises:
        InputError: `path` is no such network.
    """

    name = "face68"

    def __init__(self, path: str | Path, min_face: float | None = None, provider: str = "cpu"):
        self.network, self.min_face = OnnxDetector(path, provider=provider), min_face

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        faces, side = EMPTY, max(image.shape[:2])
        smallest = self.min_face  # px
        if smallest is not None and smallest < 1:
            smallest *= side
        for longest in SEARCHES:
            picture, factor = self.picture_of(image, longest)
            seen = self.search(picture)
            faces = _apart(_joined(faces, seen.scaled(1 / factor)))
            more = may_be_more(seen, longest == SEARCHES[0]) if smallest is None else smallest * factor < SMALLEST_SEEN
            if side <= longest or not more:
                break
        return faces.of(faces.sides >= (smallest or 0)).as_face_boxes()

    def picture_of(self, image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
        """The image with its longer side at most `longest` px, filled up with black to sides that the network takes;
        and its scale.
        """
        factor = min(1.0, longest / max(image.shape[:2]))
        height, width = (max(1, round(factor * side)) for side in image.shape[:2])
        rows, columns = (-(-side // self.network.multiple) * self.network.multiple for side in (height, width))
        shrink = factor
        while shrink <= 0.5:  # OpenCV averages far faster when it halves
            image, shrink = _halved(image), 2 * shrink
        shift = (shrink - 1) / 2  # pixel centres are at integers
        return cv2.warpAffine(image, np.array([[shrink, 0, shift], [0, shrink, shift]]), (columns, rows)), factor

    def search(self, picture: np.ndarray) -> Detections:
        """The faces of a picture (H, W, 3) uint8 RGB, H and W as the network takes them; unsure ones too."""
        (scores,), (faces,) = self.network(np.ascontiguousarray(picture.transpose(2, 0, 1))[None])
        return peaks(scores, faces, LEAST)


def _halved(image: np.ndarray) -> np.ndarray:
    height, width = (max(1, side // 2) for side in image.shape[:2])
    return cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def may_be_more(seen: Detections, is_first: bool) -> bool:
    """Whether a larger picture may show more faces than these, or show these better: nothing sure was seen, or a sure
    face is small, or, in the first and smallest picture, any face is unsure.
    """
    sure = seen.scores >= SURE
    return not sure.any() or bool((seen.sides[sure] < SEEN_WELL).any()) or (is_first and not sure.all())


def peaks(scores: np.ndarray, faces: np.ndarray, least: float) -> Detections:
    """The faces in the maps of a picture: one in each cell whose score is at least `least` and the highest around it.

    Its values are the mean over that cell and its eight neighbours, weighted by their scores: better than one cell's.

    scores: (H, W). faces: (5, H, W): x, y, side, and x and y of the line from eye to eye, see `models.PixelDetector`.
    """
    highest = cv2.dilate(scores, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((scores >= least) & (scores == highest))
    order = np.argsort(-scores[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    beside = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    near_rows = (rows[:, None] + beside[:, 0]).clip(0, scores.shape[0] - 1)  # (N, 9)
    near_columns = (columns[:, None] + beside[:, 1]).clip(0, scores.shape[1] - 1)
    weights = scores[near_rows, near_columns]
    weights = weights / weights.sum(axis=1, keepdims=True)
    means = (faces[:, near_rows, near_columns] * weights).sum(axis=2)
    return _apart(as_detections(means, scores[rows, columns]))


def as_detections(faces: np.ndarray, scores: np.ndarray) -> Detections:
    """The faces (5, N) of N cells, as maps have them, and their scores (N,)."""
    x, y, sides, right, down = faces.astype(np.float64)
    return Detections(np.column_stack([x, y]), sides, np.degrees(np.arctan2(down, right)), scores.astype(np.float64))


def _joined(one: Detections, other: Detections) -> Detections:
    """All of both, surest first."""
    both = Detections(*map(np.concatenate, zip(one, other, strict=True)))
    return both.of(np.argsort(-both.scores, kind="stable"))


def _apart(faces: Detections) -> Detections:
    """The faces but for those whose centre is closer to an earlier one's than half the larger side of the two."""
    kept = []
    for i, (center, side) in enumerate(zip(faces.centers, faces.sides, strict=True)):
        distances = np.linalg.norm(faces.centers[kept] - center, axis=1)
        if (distances > 0.5 * np.maximum(faces.sides[kept], side)).all():
            kept.append(i)
    return faces.of(kept)


def _squares(centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) from centres (N, 2) and sides (N,)."""
    halves = sides[:, None] / 2
    return np.hstack([centers - halves, centers + halves])
