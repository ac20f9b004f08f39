"""Keypoints of a film, filtered so that they neither shake nor lag.

A face's points are a pose of the head (place, size and roll) and, in that pose, a shape. The pose changes fast, but is
known well, as the mean of 68 points. The shape changes little, but each of its points is known only by itself. Lids and
lips do move fast, but along a few directions that are known by several points each. So the pose, the shape and these
moves have filters of their own. Points are complex numbers, x + iy: a similarity transform is then a × point + b.
"""

import math

import numpy as np

from face68.landmarks import IBUG68, NUM_LANDMARKS, unit_length
from face68.schemes import Scheme

# Cut-offs in hertz, and BETA in hertz more for each distance of the eyes a second. Chosen on photos of kept-out people
# that were moved and on drawn films, see docs/films.md.
SHAPE_CUTOFF, SHAPE_BETA = 0.3, 8.0
HEAD_CUTOFF, HEAD_BETA, HEAD_TREND = 1.0, 20.0, 0.5
SPEED_CUTOFF = 2.0
SURE = 0.5  # of the usual certainty: surer points are filtered alike, or a jaw would lag in fast motion
JUMP = 0.3  # distances of the eyes from a frame to the next, on average, from which on a face begins anew, as at a cut
BOTH_WAYS = 2.0  # the factor of all cut-offs where points are filtered twice, forwards and backwards

# The moves: points that go up, and those that go down meanwhile; the same way back.
_OPENINGS = (
    ((37, 38), (40, 41)),  # the lids of the right eye …
    ((43, 44), (46, 47)),  # … of the left one
    ((49, 50, 51, 52, 53, 61, 62, 63), (55, 56, 57, 58, 59, 65, 66, 67)),  # the lips
)
# How far a face at rest seems to move so, in units of how far one of its other points does along an axis: the shipped
# networks' noise, see docs/films.md. Steps of QUIET times that and less are taken for noise, much larger ones count
# wholly; after a large one, those of the next tenths of a second do.
MOVE_NOISE = np.array([0.6, 0.6, 1.6])
QUIET, LOUDER = 2.0, 0.8
MOVE_CUTOFF, MOVE_MEMORY = 0.6, 2.0  # hertz, of what is taken for noise; of how a large step is forgotten
NOISE_CUTOFF, USUAL_NOISE, LEAST_NOISE = 0.5, 0.003, 1e-4  # hertz; in distances of the eyes
SECOND_DIFFERENCE = math.sqrt(6) * math.sqrt(2 * math.log(2))  # its median length, of noise of 1 along each axis
_STILL = slice(0, 36)  # jaw, brows and nose, whose shaking tells the noise


def _moves() -> np.ndarray:
    """(M, 68) complex: how each move displaces the points, of length 1."""
    moves = np.zeros((len(_OPENINGS), NUM_LANDMARKS), complex)
    for move, (up, down) in zip(moves, _OPENINGS, strict=True):
        move[list(up)], move[list(down)] = -1j, 1j
    return moves / np.linalg.norm(moves, axis=1, keepdims=True)


MOVES = _moves()


class SteadyPoints:
    """The points of one face over time, filtered.

    The shape has a One Euro filter (Casiez, Roussel & Vogel, 2012, "1 € Filter"): the faster a point moves, the less it
    is filtered. A point that is much less certain than the others, as a hidden one is, is filtered more. The openings
    of eyes and mouth, which move as fast as noise does, count by how large a step is beside that noise. The pose has
    double exponential smoothing (Holt, 1957; LaViola, 2003, for tracking): it expects the head to go on at its speed,
    so it doesn't lag behind a steady motion; the faster the head departs from that, the less it is filtered.

    cutoffs: the factor of all cut-off frequencies.
    scheme: of the points; its `unit_length` is the unit of the shape.
    """

    def __init__(self, cutoffs: float = 1.0, scheme: Scheme = IBUG68):
        self.cutoffs, self.scheme = cutoffs, scheme
        self._moves = MOVES if scheme == IBUG68 else np.zeros((0, len(scheme)))
        self._time: float | None = None

    def __call__(self, keypoints: np.ndarray, errors: np.ndarray | None, time: float) -> np.ndarray:
        """The filtered keypoints (68, 2) float32 px.

        keypoints: (68, 2) px. errors: (68,) px, expected; None: all points are equally certain.
        time: seconds, growing.
        """
        points = keypoints[:, 0] + 1j * keypoints[:, 1].astype(np.float64)
        is_shape = self._time is not None and self._shape.any() and np.ptp(points)  # points all in one place are none
        if not is_shape or np.abs(points - self._last).mean() > JUMP * abs(np.exp(self._head[0])):
            self._begin(points)
        else:
            weights = np.ones(len(points)) if errors is None else 1 / np.maximum(errors, 1e-3).astype(np.float64) ** 2
            self._go_on(points, weights, time - self._time)
        self._time, self._last = time, points
        steady = np.exp(self._head[0]) * self._shape + self._head[1]
        return np.stack([steady.real, steady.imag], axis=1).astype(np.float32)

    def _begin(self, points: np.ndarray) -> None:
        turn = self._turn(points)
        self._head = np.array([turn, points.mean()])  # log of the scale + i × turn, and place: px and radians
        self._trend = np.zeros(2, complex)  # its change a second
        self._head_speed = 0.0
        self._shape = (points - points.mean()) / np.exp(turn)
        self._shape_speeds = np.zeros(len(points), complex)
        self._seen = [self._shape, self._shape]  # the last two, unfiltered
        self._noise, self._loud = USUAL_NOISE, np.zeros(len(self._moves))

    def _turn(self, points: np.ndarray) -> complex:
        """The log of a complex number, px: as long as the points' unit, in its direction if it has one."""
        if self.scheme.normaliser:
            one, other = self.scheme.normaliser
            return np.log(points[other] - points[one] or 1.0 + 0j)
        return np.log(unit_length(np.stack([points.real, points.imag], axis=1), self.scheme) or 1.0) + 0j

    def _go_on(self, points: np.ndarray, weights: np.ndarray, gap: float) -> None:
        # The shape, as it is without the head's motion.
        scale, position = similarity_between(self._shape, points, weights)
        shape = (points - position) / scale
        self._shape_speeds += share(SPEED_CUTOFF, gap) * ((shape - self._shape) / gap - self._shape_speeds)
        sureness = np.minimum(1.0, np.sqrt(weights / weights.mean()) / SURE)
        cutoffs = self.cutoffs * (SHAPE_CUTOFF + SHAPE_BETA * np.abs(self._shape_speeds)) * sureness
        calm = share(cutoffs, gap) * (shape - self._shape)
        moves = self._counts(shape, gap) * self._along(shape - self._shape) - self._along(calm)
        self._shape = self._shape + calm + moves @ self._moves

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

    def _counts(self, shape: np.ndarray, gap: float) -> np.ndarray:
        """(M,): the weights of a new shape in the filtered one, along the moves."""
        shaking = np.median(np.abs(shape - 2 * self._seen[1] + self._seen[0])[_STILL]) / SECOND_DIFFERENCE
        self._seen = [self._seen[1], shape]
        self._noise += share(NOISE_CUTOFF, gap) * (shaking - self._noise)
        noise = MOVE_NOISE[: len(self._moves)] * max(self._noise, LEAST_NOISE)
        steps = np.abs(self._along(shape - self._shape)) / noise
        self._loud = np.maximum(steps, self._loud * math.exp(-2 * math.pi * MOVE_MEMORY * gap))
        beyond = LOUDER * np.maximum(0, self._loud - QUIET)
        return np.maximum(share(self.cutoffs * MOVE_CUTOFF, gap), 1 - np.exp(-(beyond**2) / 2))

    def _along(self, shape: np.ndarray) -> np.ndarray:
        """(M,): how far a displacement (N,) goes along each of the moves; other schemes than the 68 have none."""
        return (self._moves.conj() @ shape).real


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
