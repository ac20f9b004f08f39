"""Boxes, similarity transforms and crops: the one way from an image to what the network sees, and back.

Coordinates are pixels, x before y, 0-based, with pixel centres at integers: the image covers -0.5 … width - 0.5.
A transform is a 2×3 matrix that maps points of one image to points of another; the same matrix moves the image
(`warp`) and its keypoints (`transform_points`), so the two can't drift apart.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class CropPolicy:
    """How a face is cut out for a network; it travels in the checkpoint, so prediction crops as training did.

    size: side of the square crop that the network sees, in pixels.
    margin: side of the crop divided by the longer side of the box around the points.
    """

    size: int = 112
    margin: float = 1.2

    def __post_init__(self):
        """Raises ValueError: a policy makes no sense, as one read from a file may."""
        sane = isinstance(self.size, int) and isinstance(self.margin, int | float)
        if not (sane and 8 <= self.size <= 1024 and 0.1 <= self.margin <= 10):
            raise ValueError(f"a crop of {self.size} px at a margin of {self.margin} makes no sense")


def box_of(points: np.ndarray) -> np.ndarray:
    """The tight box (x0, y0, x1, y1) around points (N, 2)."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float64)


def whole_box(height: int, width: int) -> np.ndarray:
    """The box (x0, y0, x1, y1) of a whole image."""
    return np.array([0.0, 0.0, width, height]) - 0.5


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), 0 … 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    union = sum(areas) - shared
    return float(shared / union) if union > 0 else 0.0


def similarity(
    center: tuple[float, float],
    target: tuple[float, float],
    scale: float = 1.0,
    degrees: float = 0.0,
    mirror: bool = False,
) -> np.ndarray:
    """The 2×3 matrix that (optionally) mirrors left and right, turns, scales, and moves `center` to `target`.

    A positive angle turns the picture clockwise as it is seen, y pointing down. Mirroring comes first.
    """
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    a, b, c, d = (-cos, -sin, -sin, cos) if mirror else (cos, -sin, sin, cos)
    x, y = center
    return np.array([[a, b, target[0] - (a * x + b * y)], [c, d, target[1] - (c * x + d * y)]])


def crop_matrix(
    box: np.ndarray,
    policy: CropPolicy,
    *,
    degrees: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    mirror: bool = False,
) -> np.ndarray:
    """The 2×3 matrix from image pixels to the pixels of the policy's square crop around a face's box.

    `box` is the box around the 68 points, measured or estimated by a detector (x0, y0, x1, y1). The keywords are
    what augmentation draws: the face turned by `degrees`, enlarged by `scale`, moved by `shift` (fractions of the
    crop's side) and mirrored.

    Raises:
        ValueError: the box has no extent.
    """
    x0, y0, x1, y1 = map(float, box)
    side = max(x1 - x0, y1 - y0) * policy.margin
    if not side > 0:
        raise ValueError(f"the box {x0, y0, x1, y1} has no extent")
    # The crop covers -0.5 … size - 0.5, so its centre is at (size - 1) / 2.
    middle = (policy.size - 1) / 2
    target = (middle + shift[0] * policy.size, middle + shift[1] * policy.size)
    return similarity(((x0 + x1) / 2, (y0 + y1) / 2), target, scale * policy.size / side, degrees, mirror)


def resize_matrix(height: int, width: int, new_height: int, new_width: int) -> np.ndarray:
    """The 2×3 matrix of a resize that maps the image's edges onto the new edges (pixel centres at integers)."""
    sx, sy = new_width / width, new_height / height
    return np.array([[sx, 0.0, (sx - 1) / 2], [0.0, sy, (sy - 1) / 2]])


def resize(image: np.ndarray, height: int, width: int, enlarging: int = cv2.INTER_LINEAR) -> np.ndarray:
    """The image at (height, width): a smaller one averages, a larger one interpolates in the way of `enlarging`."""
    smaller = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else enlarging)


def invert(matrix: np.ndarray) -> np.ndarray:
    """The 2×3 matrix of the way back."""
    (a, b, x), (c, d, y) = matrix.tolist()
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]])


def scale_of(matrix: np.ndarray) -> float:
    """How many times longer a 2×3 matrix makes a line (of a similarity: any line)."""
    (a, b, _), (c, d, _) = matrix.tolist()
    return math.sqrt(abs(a * d - b * c))


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (..., 2) moved by a 2×3 matrix, as float32."""
    return (np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def warp(
    image: np.ndarray, matrix: np.ndarray, height: int, width: int, border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """The image moved by a 2×3 matrix into a (height, width) frame; outside of the image the frame is black, or
    another `border` of OpenCV's, for images with sides below 32,767 px.

    A strong reduction first averages k×k pixels: bilinear sampling alone would skip over the pixels in between,
    and a large face would reach the network with other noise than a small one.
    """
    scale = scale_of(matrix)
    k = int(1 / scale) if scale > 0 else 1
    if border == cv2.BORDER_CONSTANT:
        image, matrix = _cut_out(image, matrix, height, width, 2 * k)
    if k >= 2:
        image, matrix = _shrink(image, matrix, k)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


def _cut_out(image: np.ndarray, matrix: np.ndarray, height: int, width: int, beside: int):
    """What the frame shows of the image, with `beside` px around it, and the matrix that belongs to it.

    OpenCV warps no image with a side of 32,767 px or more, and a reduction of all of it would be of no use.
    """
    (a, b, x), (c, d, y) = invert(matrix).tolist()
    across, down = (-0.5, width - 0.5), (-0.5, height - 0.5)  # the frame's edges
    xs = [a * i + b * j + x for i in across for j in down]
    ys = [c * i + d * j + y for i in across for j in down]
    rows, columns = image.shape[:2]
    x0, y0 = (max(0, math.floor(min(values)) - beside) for values in (xs, ys))
    x1, y1 = min(columns, math.ceil(max(xs)) + beside + 1), min(rows, math.ceil(max(ys)) + beside + 1)
    if x1 <= x0 or y1 <= y0:  # the frame lies wholly outside
        return image[:1, :1] * 0, matrix
    (a, b, x), (c, d, y) = matrix.tolist()
    return image[y0:y1, x0:x1], np.array([[a, b, a * x0 + b * y0 + x], [c, d, c * x0 + d * y0 + y]])


def _shrink(image: np.ndarray, matrix: np.ndarray, k: int):
    """The average of each k×k pixels, and the matrix that belongs to it. k is at most the image's own sides."""
    rows, columns = image.shape[:2]
    high, wide = min(k, rows), min(k, columns)
    # Whole blocks only; a rest at the far edge is filled up with its own last pixels.
    image = cv2.copyMakeBorder(image, 0, -rows % high, 0, -columns % wide, cv2.BORDER_REPLICATE)
    small = resize(image, image.shape[0] // high, image.shape[1] // wide)
    # Pixel i of `small` covers pixels k i … k i + k - 1, whose centre is k i + (k - 1) / 2.
    blocks = np.array([wide, high])
    return small, np.column_stack([matrix[:, :2] * blocks, matrix[:, :2] @ ((blocks - 1) / 2) + matrix[:, 2]])


def to_gray(image: np.ndarray) -> np.ndarray:
    """RGB (H, W, 3) uint8 → gray (H, W) float32 in [0, 1]."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


def normalize_keypoints(keypoints: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels → -1 … 1 between the edges of the image, which are at -0.5 and size - 0.5."""
    return ((2 * keypoints + 1) / np.array([width, height]) - 1).astype(np.float32)


def denormalize_keypoints(keypoints: np.ndarray, height: int, width: int) -> np.ndarray:
    """The way back from `normalize_keypoints`, to pixels."""
    return (((keypoints + 1) * np.array([width, height]) - 1) / 2).astype(np.float32)
