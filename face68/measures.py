"""Measures of a face from its 68 points: the pose of the head, how far eyes and mouth are open, blinks.

    measures = measure(face.keypoints)
    measures.yaw, measures.pitch, measures.roll  # degrees
    measures.right_eye, measures.left_eye, measures.mouth  # height / width
    blinks = Blinks()  # of one person of a film
    blinks.add(seconds, measures.eye_openness)  # True where a blink has just ended; blinks.count, blinks.times

Right and left are the person's own, as everywhere.

**Pose.** Yaw is positive where the nose points to the right of the picture, pitch where the face looks down, roll where
the head is tilted clockwise in the picture. A head is turned by pitch first (about the axis through its ears), then by
yaw (about the picture's vertical), then by roll (in the picture's plane): R = roll · yaw · pitch. Zero is a face that
looks into the camera: angles are those to the line of sight, from the camera to this face, wherever it is in the
picture. So a crop, a mirrored or a turned photo has the same pose, mirrored or turned. To the camera's own axis a face
at the edge of a wide photo is turned by up to 30° more, which is unknown without the camera's focal length.

The points but for the jaw, whose outline slides over the head as it turns, are fitted with a mean face in 3D, seen in
perspective from a distance of CAMERA_DISTANCE: scaled orthography in closed form and Gauss-Newton, then once more with
the perspective taken off (DeMenthon & Davis, "Model-based object pose in 25 lines of code", 1995). Each point has the
weight of the inverse square of how far it lies off the mean face in real people, so lips and brows count least. The
distance that is assumed matters little. People differ, in pitch most: a baby's face comes out as looking up by 25°.

**Eyes.** The eye aspect ratio of Soukupová & Čech, "Real-time eye blink detection using facial landmarks" (2016): the
mean height of an eye at its two pairs of lid points, divided by the distance of its corners. A single value may be of
an open or a closed eye, since the points of the shipped network never quite close; `Blinks` therefore compares with the
person's own open level. How exact all this is: docs/measures.md.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from face68.files import InputError
from face68.landmarks import (
    FLIP,
    IBUG68,
    INNER_LIPS,
    JAW,
    LEFT_EYE,
    LEFT_EYE_OPENING,
    MOUTH_OPENING,
    NOSE_TIP,
    NUM_LANDMARKS,
    PROBABLY,
    RIGHT_EYE,
    RIGHT_EYE_OPENING,
    Face,
)
from face68.schemes import Scheme

CAMERA_DISTANCE = 15.0  # of a face from the camera, in distances of the outer eye corners: about 1.3 m
NEARER_EYE = 30.0  # degrees of yaw from which on one eye alone is looked at

CLOSED, BACK = 0.78, 0.5  # of the level before, and of the way back to it: see `Blinks`
BEFORE, FEWEST = 0.4, 4  # seconds of eye openness that make that level, and how many values at least
LONGEST, GAP = 0.6, 0.5  # seconds of a blink, and without a picture of the eyes

# x to the right of the picture, y down, z towards the camera, 1 the distance of the outer eye corners; and the weight.
# Of each pair of mirrored points the second, and of those on the axis. Made from the labels of 2,328 real faces, the
# public set's, 300-W's (LFPW, HELEN) and AFW's, by curation/mean_face.py of commit 545270d; the jaw, which has no
# weight, by least squares over the poses of 2,010 faces of 300-W and AFW.
_HALF_FACE: dict[int, tuple[float, float, float, float]] = {
    8: (0.000, 1.293, -0.107, 0.0),
    9: (0.199, 1.263, -0.149, 0.0),
    10: (0.376, 1.157, -0.272, 0.0),
    11: (0.539, 1.020, -0.402, 0.0),
    12: (0.674, 0.853, -0.513, 0.0),
    13: (0.763, 0.658, -0.587, 0.0),
    14: (0.811, 0.445, -0.617, 0.0),
    15: (0.838, 0.228, -0.645, 0.0),
    16: (0.847, 0.009, -0.684, 0.0),
    22: (0.171, -0.202, -0.031, 0.29),
    23: (0.291, -0.243, -0.062, 0.49),
    24: (0.423, -0.260, -0.118, 0.59),
    25: (0.559, -0.240, -0.200, 0.50),
    26: (0.664, -0.166, -0.318, 0.34),
    27: (0.000, 0.000, 0.000, 1.04),
    28: (0.000, 0.143, 0.092, 0.97),
    29: (0.000, 0.279, 0.193, 0.74),
    30: (0.000, 0.406, 0.249, 0.68),
    33: (0.000, 0.541, 0.097, 1.64),
    34: (0.082, 0.520, 0.076, 1.78),
    35: (0.152, 0.498, 0.033, 1.11),
    42: (0.217, 0.016, -0.196, 1.91),
    43: (0.310, -0.039, -0.181, 1.74),
    44: (0.414, -0.039, -0.186, 1.56),
    45: (0.500, -0.000, -0.252, 1.51),
    46: (0.417, 0.039, -0.202, 1.99),
    47: (0.310, 0.040, -0.183, 2.20),
    51: (0.000, 0.693, 0.080, 1.55),
    52: (0.073, 0.677, 0.070, 1.21),
    53: (0.196, 0.710, -0.005, 0.71),
    54: (0.306, 0.769, -0.145, 0.31),
    57: (0.000, 0.920, 0.019, 0.37),
    58: (-0.093, 0.911, 0.008, 0.37),
    59: (-0.196, 0.865, -0.051, 0.41),
    62: (0.000, 0.751, 0.051, 1.61),
    63: (0.084, 0.749, 0.034, 1.23),
    64: (0.270, 0.771, -0.135, 0.35),
    66: (0.000, 0.818, 0.015, 0.41),
    67: (-0.084, 0.810, 0.001, 0.41),
}  # fmt: skip

POSED = np.arange(JAW.stop, NUM_LANDMARKS)  # the points that the pose is fitted to: all but the jaw


def _mean_face() -> tuple[np.ndarray, np.ndarray]:
    """The mean face (68, 3), and the weights of its points (68,), 0 for the jaw."""
    points, weights = np.zeros((NUM_LANDMARKS, 3)), np.zeros(NUM_LANDMARKS)
    for index, (*point, weight) in _HALF_FACE.items():
        points[[FLIP[index], index]] = point * np.array([[-1, 1, 1], [1, 1, 1]])
        weights[[FLIP[index], index]] = weight
    return points, weights


class RigidModel:
    """A solid of P points, with the matrices that every fit to a picture of it needs.

    points: (P, 3), x to the right, y down, z towards the camera, of any unit; weights: (P,).
    """

    def __init__(self, points: np.ndarray, weights: np.ndarray):
        self.weights = weights / weights.sum()
        self.points = (points - self.weights @ points) * (1, 1, -1)  # z away from the camera: right-handed
        weighted = self.points * self.weights[:, None]
        self.spread = weighted.T @ self.points  # (3, 3)
        self.affine = weighted @ np.linalg.inv(self.spread)  # (P, 3): picture points.T @ affine is the affine camera

    def fit(self, points: np.ndarray, distance: float) -> tuple[np.ndarray, float, np.ndarray]:
        """The pose in which the solid is seen as points (P, 2), from so far away, in the solid's unit.

        Returns:
            The rotation (3, 3) from the solid's axes to the picture's, z away from the camera; px of the solid's unit;
            and the points (P, 2) px as they would be seen from infinitely far, their weighted mean at 0. The rotation
            is all NaN where the points are all in one place or too far apart for arithmetic.
        """
        offsets = points - self.weights @ points
        size = np.abs(offsets).max()
        if not 1e-9 < size < 1e150:
            return np.full((3, 3), np.nan), math.nan, offsets
        # Scaled orthography in closed form, then by Gauss-Newton.
        offsets = seen = offsets / size
        across, lengths, along = np.linalg.svd(seen.T @ self.affine, full_matrices=False)
        rotation, scale = _completed(across @ along), float(lengths.mean())
        rotation, scale = self._refine(seen, rotation, scale)
        # Once more with the perspective taken off.
        depth = self.points @ rotation[2]
        seen = offsets * (1 + depth / distance)[:, None]
        seen = seen - self.weights @ seen
        rotation, scale = self._refine(seen, rotation, scale)
        return rotation, scale * size, seen * size

    def _refine(self, seen: np.ndarray, rotation: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
        """Two steps of Gauss-Newton for the rotation and scale of scaled orthography.

        The weighted squared distances of all points depend on two small matrices alone: of the residual affine camera
        and of the rotated solid with the rotated solid.
        """
        camera = seen.T @ self.affine @ self.spread  # (2, 3)
        for _ in range(2):
            own = rotation @ self.spread @ rotation.T
            (e11, e12, e13), (e21, e22, e23) = (camera @ rotation.T - scale * own[:2]).tolist()
            (g11, _, g13), (_, g22, g23), (_, _, g33) = own.tolist()
            # The 4 × 4 normal equations, solved by hand: turns about x, y and z, and the growth of the scale.
            stiffness = g11 + g22 - (g13 * g13 + g23 * g23) / g33
            about_z = (e21 - e12 + (g23 * e13 - g13 * e23) / g33) / (scale * stiffness)
            longer = (e11 + e22 - (g13 * e13 + g23 * e23) / g33) / stiffness
            about_x = (scale * g13 * about_z + g23 * longer - e23) / (scale * g33)
            about_y = (scale * g23 * about_z - g13 * longer + e13) / (scale * g33)
            rotation = cv2.Rodrigues(np.array((about_x, about_y, about_z)))[0] @ rotation
            scale = max(scale + longer, 0.1 * scale)
        return rotation, scale


MEAN_FACE, WEIGHTS = _mean_face()
RIGID_MODEL = RigidModel(MEAN_FACE[POSED], WEIGHTS[POSED])
LEAST_KNOWN = 8  # points but for the jaw, to which the mean face can be fitted


def _completed(rows: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) of which these are the first two rows (2, 3)."""
    (a, b, c), (d, e, f) = rows.tolist()  # np.cross takes as long as all the rest
    return np.array([(a, b, c), (d, e, f), (b * f - c * e, c * d - a * f, a * e - b * d)])


def filled(points: np.ndarray, is_known: np.ndarray, scheme: Scheme = IBUG68) -> np.ndarray:
    """Points (68, 2) px of a face of which some aren't known, (68,) bool: these are put where the mean face has them in
    the pose of the others. Where fewer than LEAST_KNOWN are known, or the scheme is another, in the middle of these.
    """
    points = np.array(points, np.float64)
    if is_known.all():
        return points
    points[~is_known] = points[is_known].mean(axis=0)
    known = POSED[is_known[POSED]] if scheme == IBUG68 else ()
    if len(known) < LEAST_KNOWN:
        return points
    model = RigidModel(MEAN_FACE[known], WEIGHTS[known])
    rotation, scale, _ = model.fit(points[known], CAMERA_DISTANCE)
    if not np.isfinite(scale):
        return points
    x, y, depth = rotation @ ((MEAN_FACE - model.weights @ MEAN_FACE[known]) * (1, 1, -1)).T
    guess = scale * np.column_stack([x, y]) / (1 + depth / CAMERA_DISTANCE)[:, None]
    guess += model.weights @ (points[known] - guess[known])
    points[~is_known] = guess[~is_known]
    return points


def angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of a rotation as `RigidModel.fit` returns it."""
    (r11, _, _), (r21, _, _), (r31, r32, r33) = rotation.tolist()
    yaw = math.atan2(r31, math.hypot(r11, r21))
    return math.degrees(yaw), math.degrees(math.atan2(r32, r33)), math.degrees(math.atan2(r21, r11))


class Measures(NamedTuple):
    """The measures of a face; NaN where its points are all in one place, or can't be seen.

    yaw, pitch, roll: degrees, see above. yaw: -90 … 90, the others -180 … 180.
    right_eye, left_eye: eye aspect ratios, mean height / width of the person's own eyes.
    mouth: mean height of the opening between the lips / its width: 0 is closed. By the width, as the eyes, so that it
        needs no other point; a head turned to the side has larger ratios, by 1 / cos(yaw).
    """

    yaw: float
    pitch: float
    roll: float
    right_eye: float
    left_eye: float
    mouth: float

    @property
    def eye_openness(self) -> float:
        """The aspect ratio of the eyes that can be seen; beyond NEARER_EYE degrees of yaw that of the nearer one."""
        if abs(self.yaw) > NEARER_EYE:
            return self.right_eye if self.yaw > 0 else self.left_eye
        eyes = [ratio for ratio in (self.right_eye, self.left_eye) if math.isfinite(ratio)]
        return sum(eyes) / len(eyes) if eyes else math.nan

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON: degrees to 0.1, ratios to 0.001, null where unknown."""
        digits = {"yaw": 1, "pitch": 1, "roll": 1}
        rounded = {name: round(value, digits.get(name, 3)) for name, value in self._asdict().items()}
        return {name: value if math.isfinite(value) else None for name, value in rounded.items()}


NAMES = Measures._fields


def measured(faces: Iterable[Face]) -> list[Face]:
    """The faces with their `measures`, as `Measures.to_dict` has them, before those that they have already.

    Raises:
        InputError: their scheme doesn't map to iBUG's 68 points.
    """
    faces_68 = [as_ibug68(face) for face in faces]
    measures = [measure(face.keypoints, face.visible).to_dict() for face in faces_68]
    return [replace(face, measures=of | (face.measures or {})) for face, of in zip(faces, measures, strict=True)]


def as_ibug68(face: Face) -> Face:
    """The same face with iBUG's 68 points, of a scheme that maps to them.

    Raises:
        InputError: it doesn't.
    """
    if face.scheme == IBUG68:
        return face
    check_maps(face.scheme, "measures and overlays")
    of_points = {"keypoints": face.keypoints, "errors": face.errors, "visible": face.visible}
    chosen = {name: None if values is None else values[face.scheme.ibug68] for name, values in of_points.items()}
    return replace(face, scheme=IBUG68, **chosen)


def check_maps(scheme: Scheme, what: str) -> None:
    """See that a scheme maps to iBUG's 68 points, which `what` needs.

    Raises:
        InputError: it doesn't.
    """
    if scheme.ibug68 is None:
        raise InputError(f"{what}: for iBUG's 68 points, to which the points of {scheme.name} don't map; leave it out")


def measure(keypoints: np.ndarray, visible: np.ndarray | None = None) -> Measures:
    """Pose, eyes and mouth of a face with keypoints (68, 2) px. Never raises on finite points.

    visible: (68,), the probability that each point can be seen, see `Face`. An opening is unknown where most of its
        points can't be seen.
    """
    points = np.asarray(keypoints, dtype=np.float64)
    turn, _, _ = RIGID_MODEL.fit(points[POSED], CAMERA_DISTANCE)
    openings = {RIGHT_EYE: RIGHT_EYE_OPENING, LEFT_EYE: LEFT_EYE_OPENING, INNER_LIPS: MOUTH_OPENING}
    ratios = [
        _ratio(points, *lines) if visible is None or np.median(visible[part]) >= PROBABLY else math.nan
        for part, lines in openings.items()
    ]
    return Measures(*angles(turn), *ratios)


def _ratio(points: np.ndarray, across: tuple, along: tuple) -> float:
    """Mean length of the lines across an opening / length of the one along it; NaN where that has none."""
    width = math.dist(*points[list(along)].tolist())
    height = sum(math.dist(*points[list(line)].tolist()) for line in across) / len(across)
    return height / width if width > 0 else math.nan


def pose_axes(keypoints: np.ndarray, length: float = 0.6) -> np.ndarray:
    """The tip of the nose and the ends of the head's axes from there, as the picture shows them: (4, 2) px.

    The axes point to the person's left, down the face, and forward; `length` is theirs in distances of the outer eye
    corners, before the turn shortens them. NaN where the points are all in one place.
    """
    points = np.asarray(keypoints, dtype=np.float64)
    turn, scale, _ = RIGID_MODEL.fit(points[POSED], CAMERA_DISTANCE)
    ends = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, -1)]) * length * scale
    return points[NOSE_TIP] + ends @ turn[:2].T


class Blinks:
    """The blinks of one person, from how far the eyes are open at times that may be uneven and have gaps.

        blinks.add(seconds, measures.eye_openness)  # True where a blink has just ended

    A blink is a short dip: the eyes fall below CLOSED of their level of just before, the 80th percentile of BEFORE
    seconds, and within LONGEST seconds they come back by BACK of what they fell. So everybody has a level of their own
    in each pose, and eyes that stay closed or look down are no blink. A gap of more than GAP seconds ends a blink
    uncounted.

    `count` is how many there were, and `times` (list) when each began, in seconds.

    The thresholds are chosen for the shipped network, which draws shut lids as a narrow slit, and for points that are
    not filtered: see docs/measures.md.
    """

    def __init__(self):
        self.times: list[float] = []
        self._seen: deque[tuple[float, float]] = deque()  # (seconds, eye_openness) of the last BEFORE seconds
        self._last = -math.inf
        self._dip: tuple[float, float, float] | None = None  # when it began, the level before, the least since

    @property
    def count(self) -> int:
        return len(self.times)

    def add(self, seconds: float, eye_openness: float) -> bool:
        """Whether a blink has just ended. Openness that isn't finite, as of a face not found, is a gap.

        Raises:
            ValueError: time goes back.
        """
        if seconds < self._last:
            raise ValueError(f"{seconds} s comes after {self._last} s; add what is seen in its order")
        if not math.isfinite(eye_openness):
            return False
        if seconds - self._last > GAP:
            self._forget()
        self._last = seconds
        if self._dip is None:
            self._look_for_dip(seconds, eye_openness)
            return False
        began, level, least = self._dip
        least = min(least, eye_openness)
        self._dip = began, level, least
        is_back, is_long = eye_openness > least + BACK * (level - least), seconds - began > LONGEST
        if is_back or is_long:
            self._forget()
        if not is_back or is_long:
            return False
        self.times.append(began)
        return True

    def _forget(self) -> None:
        self._seen.clear()
        self._dip = None

    def _look_for_dip(self, seconds: float, eye_openness: float) -> None:
        self._seen.append((seconds, eye_openness))
        while self._seen[0][0] < seconds - BEFORE:
            self._seen.popleft()
        level = float(np.quantile([value for _, value in self._seen], 0.8))
        if len(self._seen) >= FEWEST and eye_openness < CLOSED * level:
            self._dip = seconds, level, eye_openness
