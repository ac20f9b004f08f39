"""Faces cut out of images, turned and scaled so that eyes and mouth lie alike in all of them.

    picture, matrix = align("photo.jpg", face, size=256, template="ffhq")
    there = geometry.transform_points(face.keypoints, matrix)  # and back by geometry.invert(matrix)

Points are complex numbers here, x + iy, as in `smoothing`. A template gives a, b of a similarity a × point + b from the
image to the picture, which is 0 … 1 wide and high, from edge to edge.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from face68 import geometry
from face68.files import InputError
from face68.images import AnyImage, as_rgb
from face68.landmarks import LEFT_EYE, MOUTH_CORNERS, NOSE_TIP, NUM_LANDMARKS, RIGHT_EYE, Face, face_frames
from face68.measures import as_ibug68
from face68.smoothing import similarity_between

Template = Callable[[np.ndarray], tuple[complex, complex]]  # of the 68 points of a face, complex px

LARGEST = 2048  # px, the side of a picture
MIRRORED = 32_766  # px, the longest side of an image that OpenCV warps as a whole
UPRIGHT = 1.5  # the side of an upright picture in sides of the box around the level points
BLUR, FADE = 0.02, 0.05  # of the picture's side: a blurred border's sigma, and how far outside it is blurred in full
# Where ArcFace's training pictures have eyes, tip of the nose and corners of the mouth, px of 112 (Deng et al., 2019).
_ARCFACE = (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)
# Where dlib.get_face_chip without padding has points: x and y, in 10,000ths of the side (dlib, interpolation.h).
_DLIB_POINTS = [[i] for i in (*range(27, 55), *range(60, 65))]
_DLIB_X = """4901 4901 4901 4901 3669 4260 4901 5542 6134 1217 1871 2658 3346 2609 1827 6456 7144
    7931 8585 7975 7193 2541 3410 4289 4901 5514 6393 7261 2904 4281 4901 5522 6899"""
_DLIB_Y = """2034 3070 4098 5156 5873 6093 6281 6093 5873 2164 1788 1799 2317 2451 2441 2317 1799
    1788 2164 2441 2451 7802 7454 7274 7426 7274 7454 7802 7848 7787 7853 7787 7848"""


class Aligned(NamedTuple):
    image: np.ndarray  # (S, S, 3) uint8 RGB
    matrix: np.ndarray  # (2, 3), from the pixels of the whole image to those of this one


def _ffhq(points: np.ndarray) -> tuple[complex, complex]:
    """As FFHQ's pictures were cut out (Karras, Laine & Aila, 2019): by the eyes, and the way from them to the mouth."""
    right, left, mouth = points[RIGHT_EYE].mean(), points[LEFT_EYE].mean(), points[MOUTH_CORNERS].mean()
    eyes, across = (right + left) / 2, left - right
    down = mouth - eyes
    half = across - 1j * down  # of the square, to the right
    half *= max(2 * abs(across), 1.8 * abs(down)) / abs(half)
    return _about(eyes + 0.1 * down, 2 * half)


def _upright(points: np.ndarray) -> tuple[complex, complex]:
    """Level eyes, the face in the middle."""
    axes, centers, sides = (values[0] for values in face_frames(np.stack([points.real, points.imag], axis=-1)[None]))
    return _about(complex(*centers[0]), UPRIGHT * sides * complex(*axes[0]))


def _about(center: complex, side: complex) -> tuple[complex, complex]:
    """The similarity that makes a square the picture. side: its upper one, from left to right."""
    return 1 / side, (1 + 1j) / 2 - center / side


def _fit(points: np.ndarray, parts: Sequence[Sequence[int]], places: np.ndarray) -> tuple[complex, complex]:
    """The similarity that brings the means of some points to places (K, 2), by least squares (Umeyama, 1991)."""
    means = np.array([points[list(part)].mean() for part in parts])
    return similarity_between(means, places @ (1, 1j), np.ones(len(parts)))


_FIVE = RIGHT_EYE, LEFT_EYE, [NOSE_TIP], *([corner] for corner in MOUTH_CORNERS)
_DLIB = (np.array([_DLIB_X.split(), _DLIB_Y.split()], float).T / 1e4 + 0.25) / 1.5  # with its padding, 0.25
TEMPLATES: dict[str, Template] = {
    "ffhq": _ffhq,
    "arcface": partial(_fit, parts=_FIVE, places=(np.array(_ARCFACE) + 0.5) / 112),
    "dlib": partial(_fit, parts=_DLIB_POINTS, places=_DLIB),
    "upright": _upright,
}
BORDERS = ("black", "mirrored", "blurred")


def open_template(name: str | Path) -> Template:
    """A template of TEMPLATES, or of a .json file: `{"36": [0.3, 0.4], "45": [0.7, 0.4], "48,54": [0.5, 0.8]}` puts
    points, or the mean of several, at x, y in shares of the picture's side.

    Raises:
        InputError: it is neither.
    """
    if str(name) in TEMPLATES:
        return TEMPLATES[str(name)]
    try:
        entries = json.loads(Path(name).read_text(encoding="utf-8"))
        parts, places = [[*map(int, key.split(","))] for key in entries], np.array([*entries.values()], float)
        known = {number for part in parts for number in part} <= {*range(NUM_LANDMARKS)}
        if not (known and places.shape[1:] == (2,) and np.isfinite(places).all() and np.ptp(places, axis=0).any()):
            raise ValueError("it gives two places or more, of points 0 to 67")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{name}: is none of {', '.join(TEMPLATES)}, nor a .json template: {error}") from error
    return partial(_fit, parts=parts, places=places)


def align(
    image: AnyImage, face: Face, size: int = 256, template: str | Path | Template = "ffhq", border: str = "black"
) -> Aligned:
    """A face cut out of an image, and the matrix by which its points go there, and back by the inverse.

    size: of the picture's side, px; ArcFace's own is 112, dlib's 150.
    template: of TEMPLATES, or see `open_template`.
    border: what lies outside of the image is "black", "mirrored", or that and "blurred".

    Raises:
        InputError: the image or the template can't be used, the points make no face, or another border is asked for.
    """
    image = as_rgb(image)
    template = open_template(template) if isinstance(template, str | Path) else template
    if border not in BORDERS or not 1 <= size <= LARGEST or (border != "black" and max(image.shape) > MIRRORED):
        raise InputError(
            f"border {border}, size {size}: give {' or '.join(BORDERS)}, and 1 to {LARGEST:,} px; black, "
            f"where a side of the image has more than {MIRRORED:,} px"
        )
    with np.errstate(all="ignore"):
        a, b = template(as_ibug68(face).keypoints.astype(np.float64) @ (1, 1j))
    if not (np.isfinite([a, b]).all() and a):
        raise InputError("the face's points are all in one place: they make no face; leave it out")
    matrix = size * np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]]) - [[0, 0, 0.5], [0, 0, 0.5]]
    picture = _reduced_warp(image, matrix, size, cv2.BORDER_CONSTANT if border == "black" else cv2.BORDER_REFLECT)
    return Aligned(_blurred(picture, matrix, image.shape) if border == "blurred" else picture, matrix)


def _reduced_warp(image: np.ndarray, matrix: np.ndarray, size: int, border: int) -> np.ndarray:
    """The warped image; where it is reduced, at first twice as large as wanted, and the mean of 2×2 pixels then."""
    if geometry.scale_of(matrix) >= 1:
        return geometry.warp(image, matrix, size, size, border)
    twice = np.column_stack([2 * matrix[:, :2], 2 * matrix[:, 2] + 0.5])
    return geometry.resize(geometry.warp(image, twice, 2 * size, 2 * size, border), size, size)


def _blurred(picture: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A picture (S, S, 3), blurred the more the farther outside of the image of a shape (H, W, 3) it shows."""
    size, (height, width) = len(picture), shape[:2]
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
    there = geometry.transform_points(pixels, geometry.invert(matrix))  # (S, S, 2) px of the image
    outside = np.maximum(-there, there - (width - 1, height - 1)).max(axis=-1, keepdims=True)
    share = (outside * (geometry.scale_of(matrix) / size / FADE)).clip(0, 1)
    blurred = cv2.GaussianBlur(picture, (0, 0), BLUR * size)
    return np.rint((1 - share) * picture + share * blurred).astype(np.uint8)
