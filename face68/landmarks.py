"""The 68 facial points of iBUG/Multi-PIE (Gross et al., 2010; Sagonas et al., 2013), and a face that has them.

Right and left are the person's own: the right eye (points 36 to 41) is on the left of the picture.
Keypoints are always (68, 2) float32, x before y, in pixels, 0-based, pixel centres at integers.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from face68 import geometry

NUM_LANDMARKS = 68

# Parts.
JAW = range(0, 17)
RIGHT_BROW, LEFT_BROW = range(17, 22), range(22, 27)
BRIDGE, NOSTRILS = range(27, 31), range(31, 36)
RIGHT_EYE, LEFT_EYE = range(36, 42), range(42, 48)
OUTER_LIPS, INNER_LIPS = range(48, 60), range(60, 68)

REGIONS = {"jaw": JAW, "brows": range(17, 27), "nose": range(27, 36), "eyes": range(36, 48), "mouth": range(48, 68)}
NAMES = [f"{region}_{i}" for region, points in REGIONS.items() for i in points]  # of the points, 0 … 67

# Points.
JAW_ENDS, CHIN = [0, 16], 8  # the ends are beside the ears
NOSE_ROOT = [27, 28]  # between the eyes
NOSE_TIP, NOSE_BASE, UPPER_LIP = 30, 33, 51  # on the face's axis; UPPER_LIP: its upper edge
OUTER_EYE_CORNERS = [36, 45]  # their distance normalises errors: "inter-ocular"
MOUTH_CORNERS = [48, 54]
# Openings: pairs of points from lid to lid or from lip to lip, and the two corners.
RIGHT_EYE_OPENING = ((37, 41), (38, 40)), (36, 39)
LEFT_EYE_OPENING = ((43, 47), (44, 46)), (42, 45)
MOUTH_OPENING = ((61, 67), (62, 66), (63, 65)), (60, 64)

# The lines of a drawn face: (region, its points in drawing order, whether the last one joins the first).
SKELETON = (
    ("jaw", JAW, False),
    *(("brows", brow, False) for brow in (RIGHT_BROW, LEFT_BROW)),
    *(("nose", line, False) for line in (BRIDGE, NOSTRILS)),
    *(("eyes", eye, True) for eye in (RIGHT_EYE, LEFT_EYE)),
    *(("mouth", lips, True) for lips in (OUTER_LIPS, INNER_LIPS)),
)

# What a label says of a point: it is seen, covered by something, or hidden by the face itself, and then without a true
# position; or nothing is said.
SEEN, COVERED, HIDDEN, UNSAID = 1, 0, -1, 2
PROBABLY = 0.5  # the probability from which a point counts as seen

# In a mirrored picture the right eye is where the left one was: `mirrored_keypoints[FLIP]` renumbers the points.
FLIP = np.array(
    [
        *[16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],  # jaw
        *[26, 25, 24, 23, 22, 21, 20, 19, 18, 17],  # brows
        *[27, 28, 29, 30],  # bridge of the nose: on the axis, stays
        *[35, 34, 33, 32, 31],  # nostrils
        *[45, 44, 43, 42, 47, 46],  # right eye from left: corners and upper lid, then lower lid
        *[39, 38, 37, 36, 41, 40],  # left eye from right
        *[54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55],  # outer lips: upper, then lower
        *[64, 63, 62, 61, 60, 67, 66, 65],  # inner lips
    ]
)


def inter_ocular(keypoints: np.ndarray) -> np.ndarray:
    """Distance between the outer eye corners, in the keypoints' unit: (..., 68, 2) → (...)."""
    right, left = OUTER_EYE_CORNERS
    return np.linalg.norm(keypoints[..., right, :] - keypoints[..., left, :], axis=-1)


EYES_WEIGH = 3.0  # of the line between the eyes against that to the mouth, which a smile bends


def face_frames(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The faces' own frames, in which they are upright, of points (N, 68, 2) px.

    The line from eye to eye says what is level, and the less of it is seen, the more the line from the eyes to the
    mouth, at a right angle: of a face from the side the first one is short and may point anywhere.

    Returns:
        axes (N, 2, 2): rows are the directions to the right and down, so that `points @ axes` transposed is level.
        centers (N, 2) px: those of the boxes around the level points.
        sides (N,) px: the longer sides of these boxes.
    """
    right, left, mouth = (
        points[:, part].mean(axis=1, dtype=np.float64) for part in (RIGHT_EYE, LEFT_EYE, MOUTH_CORNERS)
    )
    down = mouth - (right + left) / 2  # (N, 2)
    level = EYES_WEIGH * (left - right) + np.stack([down[:, 1], -down[:, 0]], axis=1)
    lengths = np.linalg.norm(level, axis=1, keepdims=True)
    x, y = (level / np.where(lengths > 0, lengths, 1)).T
    axes = np.stack([np.stack([x, y], axis=1), np.stack([-y, x], axis=1)], axis=1)
    level = points @ axes.swapaxes(1, 2)
    low, high = level.min(axis=1), level.max(axis=1)
    return axes, ((low + high) / 2)[:, None] @ axes, (high - low).max(axis=1)


def upright_frame(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The square (x0, y0, x1, y1) for `geometry.crop_matrix` and the degrees that level the eyes of points (68, 2) px.

    It is as large as the box of the points once they are turned, at least 1 px, and has that box's centre.
    """
    axes, centers, sides = (values[0] for values in face_frames(points[None]))
    half = max(sides / 2, 0.5)  # a network that has learned nothing may put all points in one
    x, y = axes[0]
    return np.concatenate([centers[0] - half, centers[0] + half]), -math.degrees(math.atan2(y, x))


@dataclass(frozen=True, eq=False)  # arrays have no single truth of being equal
class Face:
    """A face of an image.

    box: x0, y0, x1, y1 px, the detector's or a given one: about the square around the 68 points.
    score: the detector's; None where the box was given.
    keypoints: (68, 2) float32 px.
    errors: (68,) float32 px, each keypoint's expected distance from the truth: the network's confidence.
    face_score: how surely this is a face, 0 … 1, by the landmark network; both are None of a network without them.
    identity: the person's number in a film, 1, 2, …, see `tracking.Tracker`.
    measures: of the points, by name, see `measures.Measures.to_dict`.
    visible: (68,) float32 in 0 … 1, the probability that each point can be seen: neither covered by something nor
        hidden by the face itself; None where nobody says.
    """

    box: tuple[float, float, float, float]
    score: float | None
    keypoints: np.ndarray
    errors: np.ndarray | None = None
    face_score: float | None = None
    identity: int | None = None
    measures: dict[str, float | None] | None = None
    visible: np.ndarray | None = None

    def moved(self, matrix: np.ndarray) -> "Face":
        """The same face in an image moved by a 2×3 matrix that scales, shifts or turns by quarters."""
        x0, y0, x1, y1 = self.box
        corners = np.array([[x0, y0], [x1, y1]]) @ matrix[:, :2].T + matrix[:, 2]
        box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
        errors = None if self.errors is None else (self.errors * geometry.scale_of(matrix)).astype(np.float32)
        return replace(self, box=box, keypoints=geometry.transform_points(self.keypoints, matrix), errors=errors)

    def scaled(self, factor: float) -> "Face":
        """The same face in the image made `factor` times as large; pixel centres are at integers."""
        shift = (factor - 1) / 2
        return self.moved(np.array([[factor, 0.0, shift], [0.0, factor, shift]]))

    def to_dict(self) -> dict:
        """Plain values, as in the JSON of predict.py: coordinates to 0.01 px, scores to 4 digits. Without "visible",
        "identity" and "measures" where they are None.
        """
        visible = None if self.visible is None else rounded(self.visible)
        known = {"visible": visible, "identity": self.identity, "measures": self.measures}
        return {
            "box": rounded(self.box),
            "score": rounded_score(self.score),
            "face_score": rounded_score(self.face_score),
            "keypoints": [rounded(point) for point in self.keypoints],
            "errors": None if self.errors is None else rounded(self.errors),
            **{name: value for name, value in known.items() if value is not None},
        }


def rounded(values: Iterable[float]) -> list[float]:
    """Coordinates and probabilities as results have them: to 0.01."""
    return [round(float(value), 2) for value in values]


def rounded_score(value: float | None) -> float | None:
    """A score as results have it: to 4 digits."""
    return None if value is None else round(float(value), 4)
