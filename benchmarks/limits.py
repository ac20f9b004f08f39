"""What makes a face hard to find and to read: photos turned, shrunk and crowded, their points along; a head's yaw."""

import math

import cv2
import numpy as np

from face68 import geometry
from face68.images import reduced
from face68.landmarks import FLIP


def turned(image: np.ndarray, points: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    height, width = image.shape[:2]
    side = math.ceil(math.hypot(height, width))
    matrix = geometry.similarity(((width - 1) / 2, (height - 1) / 2), ((side - 1) / 2,) * 2, degrees=degrees)
    return geometry.warp(image, matrix, side, side), geometry.transform_points(points, matrix)


def shrunk(image: np.ndarray, points: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """On gray, 640×480, the longer side of the points' box `side` pixels."""
    box = geometry.box_of(points)
    factor = side / max(box[2:] - box[:2])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    frame = np.full((max(480, small.shape[0]), max(640, small.shape[1]), 3), 128, np.uint8)
    frame[: small.shape[0], : small.shape[1]] = small
    height, width = image.shape[:2]
    return frame, geometry.transform_points(points, geometry.resize_matrix(height, width, *small.shape[:2]))


def crowd(photo: np.ndarray, across: int, side: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A photo of one face (H, W, 3) uint8 once, in the middle of gray, and `across` × `across` times side by side.

    Both pictures have the same size; the longer side of the photo has `side` pixels in them.
    """
    tile, _ = reduced(photo, side)
    many = np.tile(tile, (across, across, 1))
    one = np.full_like(many, 128)
    height, width = tile.shape[:2]
    top, left = ((across // 2) * length for length in (height, width))
    one[top : top + height, left : left + width] = tile
    return one, many


def thinned(many: np.ndarray, across: int, count: int) -> np.ndarray:
    """Of a `crowd` of `across` × `across` faces the first `count`, row by row; gray where the others are."""
    few = many.copy()
    height, width = (length // across for length in many.shape[:2])
    for place in range(count, across**2):
        top, left = place // across * height, place % across * width
        few[top : top + height, left : left + width] = 128
    return few


def estimate_yaw(points: np.ndarray) -> np.ndarray:
    """Degrees by which each of many faces is turned, positive to the right of the picture: (N, 68, 2) → (N,).

    From the points alone: all faces are taken for views of one solid shape, which factorization finds together with
    each view's camera (Tomasi & Kanade, 1992), under weak perspective. Only the nose and the corners of the eyes are
    looked at, which expressions move least. People differ, so a single face's yaw is rough.
    """
    solid = [*range(27, 36), 36, 39, 42, 45]
    mirrored = [solid.index(FLIP[i]) for i in solid]
    right_eye, left_eye, bridge, tip, base = map(solid.index, (36, 45, 27, 30, 33))
    views = points[:, solid] - points[:, solid].mean(axis=1, keepdims=True)
    views = views / np.sqrt((views**2).mean(axis=(1, 2), keepdims=True))
    u, s, vt = np.linalg.svd(views.transpose(0, 2, 1).reshape(2 * len(views), -1), full_matrices=False)
    cameras, shape = (u * s)[:, :3].reshape(-1, 2, 3), vt[:3]  # (N, 2, 3) @ (3, P) ≈ the views
    # Each camera's rows must be orthogonal and of one length: linear in the symmetric matrix a @ a.T that mends them.
    i, j = np.triu_indices(3)
    x, y = cameras[:, 0], cameras[:, 1]
    equations = [p[:, i] * q[:, j] + p[:, j] * q[:, i] for p, q in ((x + y, x - y), (x, y))]
    values = np.linalg.svd(np.concatenate(equations) * np.where(i == j, 0.5, 1), full_matrices=False)[2][-1]
    metric = np.zeros((3, 3))
    metric[i, j] = metric[j, i] = values * np.sign(values[i == j].sum())
    lengths, axes = np.linalg.eigh(metric)
    mend = axes * np.sqrt(np.maximum(lengths, 1e-9))
    cameras, shape = cameras @ mend, np.linalg.solve(mend, shape)
    # The head's own axes: from eye to eye (the direction in which mirroring moves points), down the nose, forward.
    across = np.linalg.svd(shape - shape[:, mirrored])[0][:, 0]
    across *= np.sign(across @ (shape[:, left_eye] - shape[:, right_eye]))
    forward = np.cross(shape[:, base] - shape[:, bridge], across)
    forward /= np.linalg.norm(forward)
    away = np.cross(cameras[:, 0], cameras[:, 1])  # where each camera looks, in the coordinates of the shape
    # Depth may come out inside out, as in Necker's cube; the tip of the nose is in front.
    nose_in_front = np.sign(forward @ (shape[:, tip] - shape[:, [right_eye, left_eye]].mean(axis=1)))
    return np.degrees(np.arctan2(away @ across * nose_in_front, -away @ forward))
