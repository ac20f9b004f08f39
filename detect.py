"""Face detectors behind one function: image in, boxes and scores out.

Every detector frames a face in its own way. What is returned is always an estimate of the box around the 68 points,
which is what `geometry.crop_matrix` takes: each detector's relation to that box was measured on training images.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from cli import InputError

DETECTORS = ("auto", "haar", "none")

# The box around the 68 points is a square of `side` × the detector's side, `down` × that side below its centre.
# Medians over every 12th of the 3,462 public training images (277 of 289 were found by Haar):
# across, the offset is 0 within 1%.
HAAR = {"side": 0.88, "down": 0.165}
FRAME = {"side": 0.44, "down": 0.05}  # relative to the shorter side of the frame, and its height

LONGEST_SIDE = 1280  # pixels; larger photos are reduced for the search, since a face in them is large too
SMALLEST_FACE = 24  # pixels of the reduced photo: the cascade's own window


def detect(image: np.ndarray, detector: str = "auto") -> tuple[np.ndarray, np.ndarray]:
    """Find the faces of an RGB image (H, W, 3) uint8.

    detector: "haar" (Viola & Jones, 2001; the cascade comes with OpenCV), "none" (no search: the frame shows one face,
        roughly in the middle, as in the public data set), or "auto", the best one at hand: Haar.

    Returns:
        boxes (N, 4) float64: estimates of the square around the 68 points, x0, y0, x1, y1 in pixels, left to right.
        scores (N,) float64: the detector's own measure, higher is surer; Haar's is an unbounded sum, "none" gives 1.
    """
    if detector not in DETECTORS:
        raise InputError(f"--detector {detector}: there is none of that name; choose from {', '.join(DETECTORS)}")
    boxes, scores = whole_frame(image) if detector == "none" else haar(image)
    order = np.argsort(boxes[:, 0], kind="stable")
    return boxes[order], scores[order]


def whole_frame(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The guess for a frame that shows one face in the middle."""
    height, width = image.shape[:2]
    center = np.array([[(width - 1) / 2, (height - 1) / 2 + FRAME["down"] * height]])
    return _squares(center, np.array([FRAME["side"] * min(height, width)])), np.ones(1)


def haar(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upright frontal faces by the boosted cascade of Viola & Jones (2001) that ships with OpenCV."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    factor = min(1.0, LONGEST_SIDE / max(gray.shape))
    if factor < 1:
        gray = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    if min(gray.shape) < SMALLEST_FACE:
        return np.zeros((0, 4)), np.zeros(0)
    found, _, scores = _cascade().detectMultiScale3(
        gray, scaleFactor=1.1, minNeighbors=5, minSize=(SMALLEST_FACE, SMALLEST_FACE), outputRejectLevels=True
    )
    found = np.asarray(found, dtype=np.float64).reshape(-1, 4)  # x, y, width, height; always square
    side = found[:, 2]
    center = found[:, :2] + (found[:, 2:] - 1) / 2
    center[:, 1] += HAAR["down"] * side
    boxes = _squares((center + 0.5) / factor - 0.5, HAAR["side"] * side / factor)
    return boxes, np.asarray(scores, dtype=np.float64).reshape(-1)


@cache
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))


def _squares(center: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) from centres (N, 2) and sides (N,)."""
    half = side[:, None] / 2
    return np.hstack([center - half, center + half])
