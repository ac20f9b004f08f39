"""Head pose against what is known exactly: drawn heads."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from benchmarks.photos import landmarker_of
from benchmarks.tables import Tables
from datasets.synthetic import Frame, Person, Video, draw, random_frame, random_person, random_video
from datasets.synthetic.pose import CAMERA_DISTANCE, rotation, turn_head
from evaluation.metrics import labelled_face
from face68.measures import angles, measure

YAWS = tuple(itertools.pairwise((0, 15, 30, 45, 60, 90)))  # degrees to either side: the groups of tables
FACE_CENTRE = np.array([0.0, 0.35, 0.75])  # about the middle of eyes, nose and mouth of a drawn head, in its units
NEW_AXES = np.diag([1, 1, -1])  # from the drawn heads' z, towards the camera, to that of `angles`, and back


def measure_pose(args) -> Tables:
    """Median errors in degrees of yaw, pitch and roll on drawn heads by |yaw|: from exact points, and from found ones.

    Angles are those to the line of sight (see face68/measures.py).
    """
    landmarker = landmarker_of(args.network, args.detector)
    true, exact, found = [], [], []
    for index, (person, video, frame) in enumerate(heads(args.heads)):
        image, labels = draw(person, video, frame, index)
        face = labelled_face(landmarker(image), labels)
        true.append(angles(seen_rotation(frame)))
        exact.append(measure(labels)[:3])
        found.append(measure(face.keypoints)[:3] if face else (math.nan,) * 3)
    true, exact, found = map(np.array, (true, exact, found))
    rows = []
    for (points, poses), (low, high) in itertools.product((("exact", exact), ("found", found)), YAWS):
        members = (low <= np.abs(true[:, 0])) & (np.abs(true[:, 0]) < high)
        if members.any():
            rows.append(pose_row(f"{points} points, yaw {low}° to {high}°", poses[members], true[members]))
    return {"pose": rows}


def heads(count: int, seed: int = 0) -> Iterator[tuple[Person, Video, Frame]]:
    """People with expressions at random, the head turned to -75 … 75° of yaw and -25 … 25 of pitch."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        person, video, frame = random_person(rng), random_video(rng), random_frame(rng)
        yaw, pitch, roll = rng.uniform((-75, -25, -25), (75, 25, 25)).tolist()
        yield person, video, replace(frame, yaw=yaw, pitch=pitch, roll=roll)


def seen_rotation(frame: Frame) -> np.ndarray:
    """The rotation (3, 3), z away from the camera, of a drawn head to the line of sight to its face.

    A drawn head turns about its neck and so leaves the axis of the camera: by 5° at a yaw of 90.
    """
    x, y, z = turn_head(FACE_CENTRE, frame)
    sight = np.array([x, y, CAMERA_DISTANCE - z])
    sight /= np.linalg.norm(sight)
    axis = np.cross(sight, (0, 0, 1))
    turn = axis * (math.acos(sight[2]) / max(np.linalg.norm(axis), 1e-12))
    return cv2.Rodrigues(turn)[0] @ NEW_AXES @ rotation(frame.yaw, frame.pitch, frame.roll) @ NEW_AXES


def pose_row(name: str, found: np.ndarray, true: np.ndarray) -> dict:
    """Median errors in degrees of N poses (N, 3), yaw, pitch and roll; of a head that wasn't found they are NaN."""
    off = np.abs((found - true + 180) % 360 - 180)
    seen = off[~np.isnan(off[:, 0])]
    medians = np.median(seen, axis=0) if len(seen) else np.full(3, math.nan)
    figures = dict(zip(("deg_yaw", "deg_pitch", "deg_roll"), medians, strict=True))
    return {"name": name, "heads": len(off), "found": len(seen) / len(off)} | figures
