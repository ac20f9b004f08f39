"""Pose and camera: from the points of a head to their exact places in the picture."""

from dataclasses import dataclass

import numpy as np

from datasets.synthetic.head import HeadShape, neutral_points, with_expression
from datasets.synthetic.people import Frame, Person, Video

CAMERA_DISTANCE = 11.0  # in model units: a mild perspective
NECK = np.array([0.0, 0.8, -0.35])  # the head turns about this point


def rotation(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """The rotation matrix (3, 3) of a pose in degrees, with the signs of `Frame`."""
    y, p, r = np.radians((yaw, pitch, roll))
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rx = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    rz = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return rz @ ry @ rx


def turn_head(points: np.ndarray, frame: Frame) -> np.ndarray:
    """Model points (…, 3) turned about the neck by the frame's pose."""
    return (points - NECK) @ rotation(frame.yaw, frame.pitch, frame.roll).T + NECK


def perspective(points: np.ndarray) -> np.ndarray:
    """Model points (…, 3) on the camera's plane (…, 2), still in model units."""
    return points[..., :2] * (CAMERA_DISTANCE / (CAMERA_DISTANCE - points[..., 2:]))


@dataclass(frozen=True, eq=False)
class Camera:
    """Picture px = scale * plane + offset; fitted so that the landmarks take their share of the picture."""

    scale: float
    offset: np.ndarray

    @classmethod
    def fit(cls, points: np.ndarray, frame: Frame, size: tuple[int, int]) -> "Camera":
        plane = perspective(points)
        low, high = plane.min(0), plane.max(0)
        scale = frame.face_width * size[0] / (high - low)[0]
        return cls(scale, np.array(frame.centre) * size - scale * (low + high) / 2)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.scale * perspective(points) + self.offset


def posed_landmarks(person: Person, frame: Frame) -> tuple[HeadShape, np.ndarray]:
    """The shape of a head and its 68 points (68, 3) as it is turned, in model units."""
    head = HeadShape(with_expression(neutral_points(person.shape), frame), person.shape)
    return head, turn_head(head.landmarks(rotation(frame.yaw, frame.pitch)), frame)


def face_labels(person: Person, video: Video, frame: Frame) -> tuple[HeadShape, Camera, np.ndarray]:
    """The head's shape, the camera, and the 68 labels (68, 2) float64 px of one picture: exact, without drawing it."""
    head, points = posed_landmarks(person, frame)
    camera = Camera.fit(points, frame, video.size)
    return head, camera, camera(points)
