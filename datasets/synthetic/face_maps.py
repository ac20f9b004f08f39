"""Maps of the face, seen from the front: images with the model's own x and y, for the heights and the colours.

A map is a float array (H, W) or (H, W, 3); the functions that draw on one take places and lengths in model units.
"""

import cv2
import numpy as np

MAP_SCALE = 128  # pixels of the face maps per model unit
MAP_X, MAP_Y = 1.0, (-1.5, 1.8)  # the maps reach from -MAP_X to MAP_X and from MAP_Y[0] to MAP_Y[1]


def map_pixels(xy: np.ndarray) -> np.ndarray:
    """Where model positions (..., 2) lie on the face maps, in pixels of the maps."""
    return (np.asarray(xy) + (MAP_X, -MAP_Y[0])) * MAP_SCALE


def read_map(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The face map's values at model positions x, y (H, W)."""
    at = map_pixels(np.stack([x, y], -1)).astype(np.float32)
    return cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def map_axes() -> tuple[np.ndarray, np.ndarray]:
    """The model's x (1, W) and y (H, 1) of the face maps' pixels."""
    x = np.arange(round(2 * MAP_X * MAP_SCALE) + 1) / MAP_SCALE - MAP_X
    y = np.arange(round((MAP_Y[1] - MAP_Y[0]) * MAP_SCALE) + 1) / MAP_SCALE + MAP_Y[0]
    return x[None], y[:, None]


def bump(x: float, y: float, width: float, height: float, size: float) -> np.ndarray:
    """A Gaussian hill of the height map at ±x, y."""
    mx, my = map_axes()
    across = np.exp(-(((mx - x) / width) ** 2))
    if x:
        across = across + np.exp(-(((mx + x) / width) ** 2))
    return size * np.exp(-(((my - y) / height) ** 2)) * across


def mask(polygon: np.ndarray, soft: float = 0.006) -> np.ndarray:
    """A filled polygon (N, 2) in model units as a map (H, W) in [0, 1], its edge blurred by `soft` model units."""
    image = np.zeros((map_axes()[1].size, map_axes()[0].size), np.uint8)
    cv2.fillPoly(image, [np.rint(map_pixels(polygon) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), soft * MAP_SCALE)


def stroke(line: np.ndarray, width: float, soft: float = 0.008) -> np.ndarray:
    """A line (N, 2) of a width in model units, tapered towards its ends, as a map in [0, 1]."""
    direction = np.gradient(line, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], -1) / np.linalg.norm(direction, axis=1, keepdims=True)
    half = normal * (width / 2 * (0.25 + 0.75 * np.sin(np.linspace(0.15, np.pi - 0.15, len(line)))))[:, None]
    return mask(np.vstack([line + half, (line - half)[::-1]]), soft)


def blend(image: np.ndarray, alpha: np.ndarray, colour) -> None:
    """Lay a colour over an image (H, W, 3) where alpha (H, W) says, in place."""
    rows, columns = (np.flatnonzero(alpha.max(axis) > 1e-3) for axis in (1, 0))
    if rows.size:
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        image[part] += alpha[part][..., None] * (np.asarray(colour, np.float32) - image[part])
