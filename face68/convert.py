"""Faces from others and for others: MediaPipe's mesh, dlib's shapes, schemes of 98 and 106 points.

face = from_mediapipe(result.face_landmarks[0], width, height)  # or from_dlib(shape)
shape = to_dlib(face)  # for code that asks shape.part(36).x
keypoints = to_68(points)  # (..., 98, 2) of WFLW, (..., 106, 2) of LaPa and JD, (..., 478, 2) of MediaPipe
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from face68.files import InputError
from face68.geometry import box_of
from face68.landmarks import IBUG68, JAW, Face
from face68.schemes import LAPA106, WFLW98

# The vertex of MediaPipe's face mesh that stands for each of the 68 points. MediaPipe publishes no such list. The mesh
# has contours of its own (face oval, upper edge of the brows, eyes, lips); on these, and along the nose, the vertices
# here are the nearest to the labels on 120 photographs of 300-W's training part, or the corner itself where one further
# along is as near. Right and left mirror each other.
MESH_VERTICES = [
    *[127, 234, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 454, 356],  # jaw
    *[70, 63, 105, 66, 107, 336, 296, 334, 293, 300],  # brows
    *[168, 197, 5, 4, 75, 97, 2, 326, 305],  # bridge of the nose, nostrils
    *[33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380],  # eyes
    *[61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181],  # outer lips
    *[78, 82, 13, 312, 308, 317, 14, 87],  # inner lips
]
# JD's 106 (Liu et al., 2019), which LaPa has too; its jaw begins higher. Where ours lies between two points, as their
# makers have it (Wang et al., 2021, FaceX-Zoo), it is their mean.
_HALF_JAW = [1.5, 3.5, 5.5, 7, 9, 11, 12.5, 14]
_JD_JAW = [*_HALF_JAW, 16, *(32 - place for place in reversed(_HALF_JAW))]
# By the number of a scheme's points those that are nearest to the 68.
NEAREST = {
    68: IBUG68.ibug68,
    98: WFLW98.ibug68,
    106: [*_JD_JAW, *LAPA106.ibug68[JAW.stop :]],
    468: MESH_VERTICES,
    478: MESH_VERTICES,
}


def to_68(points: np.ndarray) -> np.ndarray:
    """Points (..., N, 2) of a scheme of NEAREST, by its number N of points, as the 68: (..., 68, 2) float32.

    A point of the 68 is the nearest of the scheme's; annotators of other schemes put some a little elsewhere.

    Raises:
        InputError: no scheme has so many points.
    """
    points = np.asarray(points, np.float64)
    if points.ndim < 2 or points.shape[-2] not in NEAREST or points.shape[-1] != 2:
        raise InputError(f"points {points.shape}: give (…, N, 2) with N of {', '.join(map(str, NEAREST))}")
    places = np.array(NEAREST[points.shape[-2]])
    before, behind = np.floor(places).astype(int), np.ceil(places).astype(int)
    return ((points[..., before, :] + points[..., behind, :]) / 2).astype(np.float32)


def face_of(points: np.ndarray | Sequence) -> Face:
    """A face of points (N, 2) px, see `to_68`, in the box around its 68."""
    keypoints = to_68(points)
    return Face(tuple(box_of(keypoints).tolist()), None, keypoints)


def from_mediapipe(landmarks: Sequence, width: int, height: int) -> Face:
    """A face of MediaPipe's landmarks, `result.face_landmarks[0]`, in an image of width × height px. Their x and y are
    shares of the sides, from edge to edge.
    """
    return face_of(np.array([(one.x, one.y) for one in landmarks]) * (width, height) - 0.5)


def from_dlib(shape) -> Face:
    """A face of a `dlib.full_object_detection` of 68 points."""
    return face_of([(point.x, point.y) for point in shape.parts()])


class Point(NamedTuple):
    x: int
    y: int


class Rectangle(NamedTuple):
    """A box that is asked as `dlib.rectangle` is, px; the last column and row belong to it."""

    x0: int
    y0: int
    x1: int
    y1: int

    def left(self) -> int:
        return self.x0

    def top(self) -> int:
        return self.y0

    def right(self) -> int:
        return self.x1

    def bottom(self) -> int:
        return self.y1

    def width(self) -> int:
        return self.x1 - self.x0 + 1

    def height(self) -> int:
        return self.y1 - self.y0 + 1


class Shape(NamedTuple):
    """A face that is asked as `dlib.full_object_detection` is; `dlib.full_object_detection(dlib.rectangle(*shape.rect),
    [dlib.point(*point) for point in shape.parts()])` is dlib's own.
    """

    rect: Rectangle
    points: list[Point]

    @property
    def num_parts(self) -> int:
        return len(self.points)

    def part(self, number: int) -> Point:
        return self.points[number]

    def parts(self) -> list[Point]:
        return self.points


def to_dlib(face: Face) -> Shape:
    """The face as dlib has it, in whole pixels."""
    points = [Point(*map(int, xy)) for xy in np.rint(face.keypoints)]
    return Shape(Rectangle(*(round(value) for value in face.box)), points)
