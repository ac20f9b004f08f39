"""Schemes of points, the 68 of iBUG/Multi-PIE (Gross et al., 2010; Sagonas et al., 2013), and a face that has points.

Right and left are the person's own: the right eye (points 36 to 41) is on the left of the picture.
Keypoints are always (N, 2) float32, x before y, in pixels, 0-based, pixel centres at integers; N is 68 unless a scheme
says otherwise.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from face68 import geometry
from face68.files import InputError
from face68.schemes import OTHERS, Scheme

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


# --- Schemes ----------------------------------------------------------------------------------------------------------

IBUG68 = Scheme(
    "ibug68",
    tuple(NAMES),
    {name: tuple(points) for name, points in REGIONS.items()},
    tuple((region, tuple(points), closed) for region, points, closed in SKELETON),
    FLIP,
    tuple(OUTER_EYE_CORNERS),
    (tuple(RIGHT_EYE), tuple(LEFT_EYE)),
    tuple(MOUTH_CORNERS),
    np.arange(NUM_LANDMARKS),
)
SCHEMES = {scheme.name: scheme for scheme in (IBUG68, *OTHERS)}  # that come with this package
SCHEME_FILE = "scheme.json"  # beside labels


def scheme_of(count: int) -> Scheme:
    """The scheme of so many points where nothing else is said: the default one if it has as many, else one that knows
    no more than their number.

    Raises:
        ValueError: there is no such scheme.
    """
    return IBUG68 if count == len(IBUG68) else Scheme.from_dict({"points": count})


def scheme_to(scheme: Scheme) -> str | dict:
    """A scheme in JSON's types: the name of one of `SCHEMES`, or all of it."""
    return scheme.name if SCHEMES.get(scheme.name) == scheme else scheme.to_dict()


def scheme_from(data: str | dict | None) -> Scheme:
    """The scheme that `scheme_to` or scheme.json says. None: the default one.

    Raises:
        ValueError: there is none of that name, or it makes no sense, with the reason.
    """
    if isinstance(data, dict) and data.keys() == {"scheme"}:
        data = data["scheme"]
    if isinstance(data, str):
        if data not in SCHEMES:
            raise ValueError(f"there is no scheme {data[:40]!r}; the names are {', '.join(SCHEMES)}")
        return SCHEMES[data]
    return IBUG68 if data is None else Scheme.from_dict(data)


def find_scheme(directory: str | Path) -> Scheme | None:
    """The scheme of the labels in a folder, by its scheme.json; None: there is no such file.

    Raises:
        InputError: the file makes no sense.
    """
    path = Path(directory) / SCHEME_FILE
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(data, dict) and data.keys() > {"points"}:
            data = {"name": path.resolve().parent.name} | data
        return scheme_from(data if data is not None else {})
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}; correct it, see docs/schemes.md") from error


def unit_length(keypoints: np.ndarray, scheme: Scheme = IBUG68) -> np.ndarray:
    """The length that divides errors, in the keypoints' unit: (..., N, 2) → (...). See `Scheme.norm`.

    The distance of the normaliser's points; without one that of the eyes' middles; without eyes the diagonal of the
    points' box; of one point 100.
    """
    if scheme.normaliser:
        one, other = scheme.normaliser
        return np.linalg.norm(keypoints[..., one, :] - keypoints[..., other, :], axis=-1)
    if scheme.eyes:
        return inter_pupil(keypoints, scheme)
    if scheme.has_extent:
        return np.linalg.norm(extent(keypoints), axis=-1)
    return np.full(keypoints.shape[:-2], 100.0)


def extent(keypoints: np.ndarray) -> np.ndarray:
    """Width and height of the points' box, of those that aren't NaN: (..., N, 2) → (..., 2)."""
    return np.nanmax(keypoints, axis=-2) - np.nanmin(keypoints, axis=-2)


def inter_ocular(keypoints: np.ndarray) -> np.ndarray:
    """Distance between the outer eye corners, in the keypoints' unit: (..., 68, 2) → (...)."""
    return unit_length(keypoints)


def inter_pupil(keypoints: np.ndarray, scheme: Scheme = IBUG68) -> np.ndarray:
    """Distance between the middles of the eyes, each the mean of its points: (..., N, 2) → (...).

    The middles stand for the pupils, which iBUG's 68 don't have (Ren et al., "Face alignment at 3000 FPS", 2014).
    """
    right, left = (keypoints[..., list(eye), :].mean(axis=-2) for eye in scheme.eyes)
    return np.linalg.norm(right - left, axis=-1)


# --- Frames -----------------------------------------------------------------------------------------------------------

EYES_WEIGH = 3.0  # of the line between the eyes against that to the mouth, which a smile bends


def face_frames(points: np.ndarray, scheme: Scheme = IBUG68) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The faces' own frames, in which they are upright, of points (N, 68, 2) px.

    The line from eye to eye says what is level, and the less of it is seen, the more the line from the eyes to the
    mouth, at a right angle: of a face from the side the first one is short and may point anywhere. What has no eyes is
    level as it is.

    Returns:
        axes (N, 2, 2): rows are the directions to the right and down, so that `points @ axes` transposed is level.
        centers (N, 1, 2) px: those of the boxes around the level points.
        sides (N,) px: the longer sides of these boxes.
    """
    if scheme.eyes:
        right, left = (points[:, list(eye)].mean(axis=1, dtype=np.float64) for eye in scheme.eyes)
        level = EYES_WEIGH * (left - right)  # (N, 2)
        if scheme.mouth:
            down = points[:, list(scheme.mouth)].mean(axis=1, dtype=np.float64) - (right + left) / 2
            level += np.stack([down[:, 1], -down[:, 0]], axis=1)
    else:
        level = np.tile([1.0, 0.0], (len(points), 1))
    lengths = np.linalg.norm(level, axis=1, keepdims=True)
    x, y = (level / np.where(lengths > 0, lengths, 1)).T
    axes = np.stack([np.stack([x, y], axis=1), np.stack([-y, x], axis=1)], axis=1)
    level = points @ axes.swapaxes(1, 2)
    low, high = level.min(axis=1), level.max(axis=1)
    return axes, ((low + high) / 2)[:, None] @ axes, (high - low).max(axis=1)


def upright_frame(points: np.ndarray, scheme: Scheme = IBUG68) -> tuple[np.ndarray, float]:
    """The square (x0, y0, x1, y1) for `geometry.crop_matrix` and the degrees that level the eyes of points (N, 2) px.

    It is as large as the box of the points once they are turned, at least 1 px, and has that box's centre.
    """
    axes, centers, sides = (values[0] for values in face_frames(points[None], scheme))
    half = max(sides / 2, 0.5)  # a network that has learned nothing may put all points in one
    x, y = axes[0]
    return np.concatenate([centers[0] - half, centers[0] + half]), -math.degrees(math.atan2(y, x))


@dataclass(frozen=True, eq=False)  # arrays have no single truth of being equal
class Face:
    """A face of an image, or another object whose points a scheme names.

    box: x0, y0, x1, y1 px, the detector's or a given one: about the square around the points.
    score: the detector's; None where the box was given.
    keypoints: (N, 2) float32 px, N as the scheme says.
    errors: (N,) float32 px, each keypoint's expected distance from the truth: the network's confidence.
    face_score: how surely this is a face, 0 … 1, by the landmark network; both are None of a network without them.
    identity: the person's number in a film, 1, 2, …, see `tracking.Tracker`.
    measures: of the points, by name, see `measures.Measures.to_dict`.
    visible: (N,) float32 in 0 … 1, the probability that each point can be seen: neither covered by something nor
        hidden by the face itself; None where nobody says.
    scheme: of the points.
    """

    box: tuple[float, float, float, float]
    score: float | None
    keypoints: np.ndarray
    errors: np.ndarray | None = None
    face_score: float | None = None
    identity: int | None = None
    measures: dict[str, float | None] | None = None
    visible: np.ndarray | None = None
    scheme: Scheme = IBUG68

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
