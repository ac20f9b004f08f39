"""Smooth curves, steps and noise: the arithmetic that all parts of a drawing share."""

import cv2
import numpy as np


def curve(knots: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The smooth curve (Catmull-Rom) that passes through knot k (K, C) at parameter t = k."""
    knots = np.asarray(knots, float)
    tangents = np.gradient(knots, axis=0)
    k = np.clip(np.floor(t).astype(int), 0, len(knots) - 2)
    f = (np.asarray(t) - k)[..., None]
    return (
        knots[k] * (1 + 2 * f) * (1 - f) ** 2
        + tangents[k] * f * (1 - f) ** 2
        + knots[k + 1] * f**2 * (3 - 2 * f)
        - tangents[k + 1] * f**2 * (1 - f)
    )


def outline(points: np.ndarray, n: int = 10) -> np.ndarray:
    """A smooth line through points (K, 2), n pieces between two of them."""
    return curve(points, np.linspace(0, len(points) - 1, n * (len(points) - 1) + 1))


def even(line: np.ndarray, n: int) -> np.ndarray:
    """n points (n, C) evenly spaced along a line (N, C)."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0, along[-1], n)
    return np.stack([np.interp(at, along, column) for column in line.T], -1)


def length(line: np.ndarray) -> float:
    """The length of a line (N, C)."""
    return np.linalg.norm(np.diff(line, axis=0), axis=1).sum()


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """An ellipse's outline (40, 2)."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], -1)


def tube(line: np.ndarray, radius: float) -> np.ndarray:
    """A tube (N, 12, 3) around a line (N, 3); its columns turn so that its outside is seen."""
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    first = np.cross(along, (0.31, 0.2, 0.93))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(along, first)
    angle = np.linspace(0, 2 * np.pi, 14)[:, None]
    return line[:, None] + radius * (np.cos(angle) * first[:, None] - np.sin(angle) * second[:, None])


def smoothstep(x: np.ndarray) -> np.ndarray:
    """From 0 to 1 as x goes from 0 to 1, level at both ends and beyond."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Noise of about unit variance that varies over `cells` (rows, columns) patches of an image."""
    grid = rng.standard_normal(cells).astype(np.float32)
    return cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
