"""Keypoints of a film, filtered so that they neither shake nor lag.

A face's points are a pose of the head (place, size and roll) and, in that pose, a shape. The pose changes fast, but is
known well, as the mean of 68 points. The shape changes little, but each of its points is known only by itself. So the
two have filters of their own. Points are complex numbers, x + iy: a similarity transform is then a × point + b.
"""

import math

import numpy as np

from face68.landmarks import IBUG68, unit_length
from face68.schemes import Scheme

# Cut-offs in hertz, and BETA in hertz more for each distance of the eyes a second. Chosen on photos of kept-out people
# that were moved and on drawn films, see docs/films.md.
SHAPE_CUTOFF, SHAPE_BETA = 0.3, 8.0
HEAD_CUTOFF, HEAD_BETA, HEAD_TREND = 1.0, 20.0, 0.5
SPEED_CUTOFF = 2.0
SURE = 0.5  # of the usual certainty: surer points are filtered alike, or a jaw would lag in fast motion
BOTH_WAYS = 2.0  # the factor of all cut-offs where points are filtered twice, forwards and backwards


class SteadyPoints:
    """The points of one face over time, filtered.

    The shape has a One Euro filter (Casiez, Roussel & Vogel, 2012, "1 € Filter"): the faster a point moves, the less it
    is filtered. A point that is much less certain than the others, as a hidden one is, is filtered more. The pose has
    double exponential smoothing (Holt, 1957; LaViola, 2003, for tracking): it expects the head to go on at its speed,
    so it doesn't lag behind a steady motion; the faster the head departs from that, the less it is filtered.

    cutoffs: the factor of all cut-off frequencies.
    scheme: of the points; its `unit_length` is the unit of the shape.
    """

    def __init__(self, cutoffs: float = 1.0, scheme: Scheme = IBUG68):
        self.cutoffs, self.scheme = cutoffs, scheme
        self._time: float | None = None

    def __call__(self, keypoints: np.ndarray, errors: np.ndarray | None, time: float) -> np.ndarray:
        """The filtered keypoints (68, 2) float32 px.

        keypoints: (68, 2) px. errors: (68,) px, expected; None: all points are equally certain.
        time: seconds, growing.
        """
        points = keypoints[:, 0] + 1j * keypoints[:, 1].astype(np.float64)
        if self._time is None or not (self._shape.any() and np.ptp(points)):  # points all in one place are no shape
            self._begin(points)
        else:
            weights = np.ones(len(points)) if errors is None else 1 / np.maximum(errors, 1e-3).astype(np.float64) ** 2
            self._go_on(points, weights, time - self._time)
        self._time = time
        steady = np.exp(self._head[0]) * self._shape + self._head[1]
        return np.stack([steady.real, steady.imag], axis=1).astype(np.float32)

    def _begin(self, points: np.ndarray) -> None:
        size = np.log(unit_length(np.stack([points.real, points.imag], axis=1), self.scheme) or 1.0)
        self._head = np.array([size + 0j, points.mean()])  # log of the scale + i × turn, and place: px and radians
        self._trend = np.zeros(2, complex)  # its change a second
        self._head_speed = 0.0
        self._shape = (points - points.mean()) / np.exp(size)
        self._shape_speeds = np.zeros(len(points), complex)

    def _go_on(self, points: np.ndarray, weights: np.ndarray, gap: float) -> None:
        # The shape, as it is without the head's motion.
        scale, position = similarity_between(self._shape, points, weights)
        shape = (points - position) / scale
        self._shape_speeds += share(SPEED_CUTOFF, gap) * ((shape - self._shape) / gap - self._shape_speeds)
        sureness = np.minimum(1.0, np.sqrt(weights / weights.mean()) / SURE)
        cutoffs = self.cutoffs * (SHAPE_CUTOFF + SHAPE_BETA * np.abs(self._shape_speeds)) * sureness
        self._shape = self._shape + share(cutoffs, gap) * (shape - self._shape)

        # The pose, from where the head was expected.
        expected = self._head + self._trend * gap
        log_scale = np.log(scale)
        log_scale += 2j * np.pi * round((expected[0] - log_scale).imag / (2 * np.pi))  # the turn nearest to the last
        off = np.array([log_scale, position]) - expected
        speed = (abs(off[0]) + abs(off[1] / scale)) / gap
        self._head_speed += share(SPEED_CUTOFF, gap) * (speed - self._head_speed)
        counts = share(self.cutoffs * (HEAD_CUTOFF + HEAD_BETA * self._head_speed), gap)
        self._head = expected + counts * off
        self._trend = self._trend + HEAD_TREND * counts * off / gap


def similarity_between(shape: np.ndarray, points: np.ndarray, weights: np.ndarray) -> tuple[complex, complex]:
    """The a, b of a × shape + b ≈ points, complex (N,), with the least weighted squares (Umeyama, 1991)."""
    weights = weights / weights.sum()
    shape_middle, middle = weights @ shape, weights @ points
    centred = shape - shape_middle
    scale = (weights * centred.conj()) @ (points - middle) / (weights @ np.abs(centred) ** 2)
    return scale, middle - scale * shape_middle


def share(cutoff, gap: float):
    """The weight of a new value in a low-pass filter of a cut-off in hertz, `gap` seconds after the last value."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * gap))
