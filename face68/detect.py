"""Face detectors: image in, boxes, scores and rolls out.

Every detector frames a face in its own way. What is returned is always an estimate of the box around the 68 points,
which is what `geometry.crop_matrix` takes: our own learned it, that of others was measured on training images.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from face68.files import InputError, cache_folder, sha256
from face68.images import reduced
from face68.network import OnnxDetector, open_session, shipped_detector

DETECTORS = ("auto", "yunet", "haar", "none")

# The box around the 68 points is a square of `side` × the detector's side, `down` × that side below its centre.
# Medians over every 12th of the 3,462 public training images and, for YuNet, every 8th of 300-W's 1,673 (LFPW, HELEN);
# across, the offset is 0 within 1%. Haar found 277 of the 289 public ones, YuNet all 289 and 210.
HAAR = {"side": 0.88, "down": 0.165}
YUNET = {"side": 0.80, "down": 0.137}  # relative to its box's height
FRAME = {"side": 0.44, "down": 0.05}  # relative to the shorter side of the frame, and its height

# Our own, chosen on validation people. Longest sides of the pictures that are searched, pixels; it sees faces of about
# 10 to 160.
SEARCHES = (192, 384, 768, 1536)
LEAST, SURE = 0.1, 0.5  # scores of what is returned, for the landmark network to judge; and of what surely is a face
SMALLEST_SEEN, SEEN_WELL = 11.0, 22.0  # pixels of the picture, sides of faces that are found, and found as well as any

LONGEST_SIDE = 1280  # pixels; larger photos are reduced for the search, since a face in them is large too
SMALLEST_FACE = 24  # pixels of the reduced photo: the cascade's own window
YUNET_LEAST_SIDE = 64  # pixels; in pictures up to 32 high or wide OpenCV's YuNet now and then finds faces in nothing

YUNET_URL = (
    "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2026may.onnx"
)
YUNET_SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
YUNET_SCORE = 0.7  # the least; the lowest of 499 faces of training images was 0.87
# Longest sides, pixels. YuNet sees faces of about 12 to 500 pixels, so large photos are searched in several sizes.
YUNET_SEARCHES = (320, 640, LONGEST_SIDE)
YUNET_STRIDES = (8, 16, 32)
YUNET_OUTPUTS = ("cls", "obj", "bbox")  # of each stride
YUNET_OVERLAP = 0.3  # intersection over union, from which two boxes of one search are one face
FARTHEST = 1_000_000  # pixels from the corner of the photo, at which a given box may lie
OVERLAP = 0.5  # of the smaller of two boxes; from there the two are one face


class FaceBoxes(NamedTuple):
    """Where N faces are.

    boxes: (N, 4) float64, estimates of the square around the 68 points, x0, y0, x1, y1 in pixels.
    scores: (N,) float64, the detector's own measure, higher is surer: our own's is a probability, YuNet's is up to 1,
        Haar's an unbounded sum. None where nothing was searched for.
    degrees: (N,) float64, how far each face must be turned clockwise, around the middle of its box, to be level; its
        box is that of the level face. None: the detector doesn't tell.
    """

    boxes: np.ndarray
    scores: np.ndarray | None
    degrees: np.ndarray | None = None


NOTHING = FaceBoxes(np.zeros((0, 4)), np.zeros(0))


class Detector(Protocol):
    """Finds the faces of an RGB image (H, W, 3) uint8; several threads may call it. name: what users call it."""

    name: str

    def __call__(self, image: np.ndarray) -> FaceBoxes: ...


def open_detector(name: str | Path = "auto", **options) -> Detector:
    """The detector of a name.

    name: "auto" (our own, which comes with this package), "yunet" (fetched when it isn't here), "haar", "none" (no
        search: the frame shows one face, roughly in the middle, as in the public data set), or an .onnx file of a
        network that train.py --model detector trained.
    options: of `FaceDetector`, for our own.

    Raises:
        InputError: there is no detector of that name, it has no such options, or YuNet's file isn't here and can't be
            fetched.
    """
    if name == "auto":
        return FaceDetector(shipped_detector(), **options)
    if Path(name).suffix == ".onnx":
        return FaceDetector(name, **options)
    if name not in DETECTORS:
        known = ", ".join(DETECTORS)
        raise InputError(f"--detector {name}: there is none of that name; choose from {known}, or give an .onnx file")
    if options:
        raise InputError(f"--detector {name}: doesn't know {', '.join(options)}; that is for our own detector")
    return {"none": WholeFrame, "haar": Haar, "yunet": lambda: YuNet(yunet_file())}[name]()


class Given:
    """Finds these boxes (N, 4) in any image: somebody knows where the faces are.

    Raises:
        InputError: one is none that a photo can have.
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
    """The guess for a frame that shows one face in the middle."""

    name = "none"

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        height, width = image.shape[:2]
        center = np.array([[(width - 1) / 2, (height - 1) / 2 + FRAME["down"] * height]])
        return FaceBoxes(_squares(center, np.array([FRAME["side"] * min(height, width)])), None)


# --- Our own --------------------------------------------------------------------------------------------------


class Detections(NamedTuple):
    """N faces as our detector tells them, surest first.

    centers: (N, 2) x, y px; sides: (N,) px, of the square around the 68 points once they are level; rolls: (N,) degrees
    by which they are turned clockwise; scores: (N,) in 0 … 1.
    """

    centers: np.ndarray
    sides: np.ndarray
    rolls: np.ndarray
    scores: np.ndarray

    def scaled(self, factor: float) -> "Detections":
        """The same in the picture made `factor` times as large; pixel centres are at integers."""
        return self._replace(centers=(self.centers + 0.5) * factor - 0.5, sides=self.sides * factor)

    def of(self, chosen) -> "Detections":
        """Those of an index or a mask."""
        return Detections(*(values[chosen] for values in self))

    def as_found(self) -> FaceBoxes:
        return FaceBoxes(_squares(self.centers, self.sides), self.scores, -self.rolls)


EMPTY = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0))


class FaceDetector:
    """Faces of any roll by a network of our own, `models.DetectorNet`, which says how each is turned.

    The photo is searched from coarse to fine. A face found in a small picture is not looked for in a larger one; and
    larger ones are only looked at as long as there may be more: where nothing sure was found yet, or something so small
    or, in the first one, so unsure that it will be seen better there.

    path: of an .onnx file that export.py wrote.
    min_face: the smallest side of a face that is returned, px of the photo or, below 1, a share of its longer side; the
        search is as fine as that takes. None: as told above.

    Raises:
        InputError: `path` is no such network.
    """

    name = "face68"

    def __init__(self, path: str | Path, min_face: float | None = None):
        self.network, self.min_face = OnnxDetector(path), min_face

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        found, side = EMPTY, max(image.shape[:2])
        smallest = self.min_face  # px
        if smallest is not None and smallest < 1:
            smallest *= side
        for longest in SEARCHES:
            picture, factor = self.picture_of(image, longest)
            seen = self.search(picture)
            found = _apart(_joined(found, seen.scaled(1 / factor)))
            more = may_be_more(seen, longest == SEARCHES[0]) if smallest is None else smallest * factor < SMALLEST_SEEN
            if side <= longest or not more:
                break
        return found.of(found.sides >= (smallest or 0)).as_found()

    def picture_of(self, image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
        """The image with its longer side at most `longest` px, filled up with black to what the network takes; and the
        factor that it was multiplied with.
        """
        factor = min(1.0, longest / max(image.shape[:2]))
        height, width = (max(1, round(factor * side)) for side in image.shape[:2])
        rows, columns = (-(-side // self.network.multiple) * self.network.multiple for side in (height, width))
        shrink = factor
        while shrink <= 0.5:  # halving averages far faster than any other factor; the last step is left less than that
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
    """Whether a larger picture may show faces that one with these doesn't, or show them better.

    is_first: whether this was the smallest one; what was unsure there is looked at once more.
    """
    sure = seen.scores >= SURE
    return not sure.any() or bool((seen.sides[sure] < SEEN_WELL).any()) or (is_first and not sure.all())


def peaks(scores: np.ndarray, faces: np.ndarray, least: float) -> Detections:
    """The faces that the maps of a picture show: one where a score is at least `least` and the highest around it.

    What the cells beside a peak say of its face counts too, by their scores: their mean is better than one cell's word.

    scores: (H, W); faces: (5, H, W), x, y, side, and x and y from eye to eye, see `models.PixelDetector`.
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
    """From what cells say of their faces, (5, N), and their scores (N,)."""
    x, y, sides, right, down = faces.astype(np.float64)
    return Detections(np.column_stack([x, y]), sides, np.degrees(np.arctan2(down, right)), scores.astype(np.float64))


def _joined(one: Detections, other: Detections) -> Detections:
    """All of both, surest first."""
    both = Detections(*map(np.concatenate, zip(one, other, strict=True)))
    return both.of(np.argsort(-both.scores, kind="stable"))


def _apart(found: Detections) -> Detections:
    """Of circles whose centres are closer than half the larger one's side, the first one only."""
    kept = []
    for i, (center, side) in enumerate(zip(found.centers, found.sides, strict=True)):
        distances = np.linalg.norm(found.centers[kept] - center, axis=1)
        if (distances > 0.5 * np.maximum(found.sides[kept], side)).all():
            kept.append(i)
    return found.of(kept)


# --- YuNet ----------------------------------------------------------------------------------------------------


class YuNet:
    """Faces of nearly any pose by YuNet (Wu, Peng & Yu, 2023, "YuNet: A Tiny Millisecond-level Face Detector").

    In ONNX Runtime, which is faster than `cv2.FaceDetectorYN` and needs no detector a thread; it finds the same.

    Raises:
        InputError: `path` is no such network.
    """

    name = "yunet"

    def __init__(self, path: str | Path):
        self._session = open_session(Path(path))
        if not {"cls_8", "obj_8", "bbox_8"} <= {output.name for output in self._session.get_outputs()}:
            raise InputError(f"{path}: is no YuNet; take it away or give {Path(YUNET_URL).name}")

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        """A face found in the smallest picture is not looked for in the larger ones."""
        found = np.zeros((0, 5))  # x, y, width, height, score
        for longest in YUNET_SEARCHES:
            rows = self._search(image, longest)
            found = np.vstack([found, rows[[not _overlaps(row, found) for row in rows]]])
            if max(image.shape) <= longest:
                break
        height = found[:, 3]
        center = found[:, :2] + (found[:, 2:4] - 1) / 2
        center[:, 1] += YUNET["down"] * height
        return FaceBoxes(_squares(center, YUNET["side"] * height), found[:, 4])

    def _search(self, image: np.ndarray, longest: int) -> np.ndarray:
        """Rows x, y, width, height (pixels of the image, edges), score of what is found in a reduced picture."""
        small, factor = reduced(image, longest)
        below, beside = (max(YUNET_LEAST_SIDE, -(-side // 32) * 32) - side for side in small.shape[:2])
        small = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        pixels = cv2.dnn.blobFromImage(small, swapRB=True)  # (1, 3, H, W) float32 BGR, 0 … 255
        said = self._session.run([f"{kind}_{s}" for s in YUNET_STRIDES for kind in YUNET_OUTPUTS], {"input": pixels})
        faces = [
            _of_cells(stride, small.shape[1] // stride, *(values[0] for values in said[3 * i : 3 * i + 3]))
            for i, stride in enumerate(YUNET_STRIDES)
        ]
        boxes, scores = (np.concatenate(parts) for parts in zip(*faces, strict=True))
        best = np.asarray(cv2.dnn.NMSBoxes(boxes, scores, YUNET_SCORE, YUNET_OVERLAP), dtype=int)
        return np.column_stack([boxes[best] / factor, scores[best]]).astype(np.float64)


def _of_cells(stride: int, columns: int, face: np.ndarray, object_: np.ndarray, box: np.ndarray):
    """What YuNet's cells of a stride, in px, say of faces: boxes (K, 4) x, y, width, height px and scores (K,).

    face, object_: (N, 1), two scores whose geometric mean counts; box: (N, 4), the centre's offset from the cell and
        the logarithm of the size, in strides.
    """
    scores = np.sqrt(np.clip(face, 0, 1) * np.clip(object_, 0, 1)).ravel()
    sure = np.flatnonzero(scores >= YUNET_SCORE)
    centers = (np.column_stack([sure % columns, sure // columns]) + box[sure, :2]) * stride
    sizes = np.exp(box[sure, 2:]) * stride
    return np.hstack([centers - sizes / 2, sizes]).astype(np.float32), scores[sure]


def yunet_file() -> Path:
    """Where YuNet's file is: $YUNET_FILE, else in the user's cache folder ($XDG_CACHE_HOME, ~/.cache), fetched once.

    Raises:
        InputError: it isn't here and can't be fetched.
    """
    if named := os.environ.get("YUNET_FILE"):
        if not Path(named).is_file():
            raise InputError(f"{named}: no such file; let YUNET_FILE name {Path(YUNET_URL).name}")
        return Path(named)
    from datasets import download  # here, because its import takes a while and the file is mostly here

    path = cache_folder() / Path(YUNET_URL).name
    if not (path.is_file() and sha256(path) == YUNET_SHA256):
        download.fetch(YUNET_URL, path, YUNET_SHA256)
    return path


def _overlaps(row: np.ndarray, others: np.ndarray) -> bool:
    """Whether a box (x, y, width, height, …) shares much of its area, or of theirs, with any of the others (N, …)."""
    near = np.maximum(row[:2], others[:, :2])
    far = np.minimum(row[:2] + row[2:4], others[:, :2] + others[:, 2:4])
    shared = np.clip(far - near, 0, None).prod(axis=1)
    smaller = np.minimum(row[2:4].prod(), others[:, 2:4].prod(axis=1))
    return bool((shared > OVERLAP * smaller).any())


# --- Haar -----------------------------------------------------------------------------------------------------


class Haar:
    """Upright frontal faces by the boosted cascade of Viola & Jones (2001) that ships with OpenCV."""

    name = "haar"

    def __init__(self):
        self._of_thread = threading.local()  # OpenCV's detectors keep what they search, so each thread has its own

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        small, factor = reduced(image, LONGEST_SIDE)
        if min(small.shape[:2]) < SMALLEST_FACE:
            return NOTHING
        found, _, scores = self._cascade().detectMultiScale3(
            cv2.cvtColor(small, cv2.COLOR_RGB2GRAY),
            scaleFactor=1.1,
            minNeighbors=5,
            minSize=(SMALLEST_FACE, SMALLEST_FACE),
            outputRejectLevels=True,
        )
        found = np.asarray(found, dtype=np.float64).reshape(-1, 4)  # x, y, width, height; always square
        side = found[:, 2]
        center = found[:, :2] + (found[:, 2:] - 1) / 2
        center[:, 1] += HAAR["down"] * side
        boxes = _squares((center + 0.5) / factor - 0.5, HAAR["side"] * side / factor)
        return FaceBoxes(boxes, np.asarray(scores, dtype=np.float64).reshape(-1))

    def _cascade(self) -> "cv2.CascadeClassifier":
        if not hasattr(self._of_thread, "cascade"):
            file = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
            self._of_thread.cascade = cv2.CascadeClassifier(str(file))
        return self._of_thread.cascade


def _squares(center: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) from centres (N, 2) and sides (N,)."""
    half = side[:, None] / 2
    return np.hstack([center - half, center + half])
