"""Photos of several people whose faces somebody counted, and what a detector finds of them."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from face68 import geometry
from face68.files import InputError
from face68.landmarks import Face
from metrics import nearest_free

COLUMNS = ["image", "x", "y", "side", "doubtful"]


class Marked(NamedTuple):
    """A face that a person marked: x and y of its centre and the side of the square around it, px of the photo.

    doubtful: one person would mark it, another wouldn't.
    """

    x: float
    y: float
    side: float
    doubtful: bool


def read_marks(path: Path) -> dict[str, list[Marked]]:
    """The faces of each photo, from a CSV with the columns `COLUMNS`; images are relative to the photos' folder.

    Raises:
        InputError: it is something else.
    """
    photos = defaultdict(list)
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                photos[row["image"]].append(Marked(*(float(row[c]) for c in COLUMNS[1:4]), row["doubtful"] == "1"))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no list of faces ({error}); its columns are {', '.join(COLUMNS)}") from error
    return dict(photos)


def count(faces: Sequence[Face], marks: Sequence[Marked]) -> tuple[int, int]:
    """How many of the marked faces were found, and how much else. Doubtful ones are neither missed nor else.

    A face is found where the middle of what was found is closer than half its side; each is found once.
    """
    surest_first = sorted(faces, key=lambda face: -(face.score or 0))
    boxes = np.array([geometry.box_of(face.keypoints) for face in surest_first]).reshape(-1, 4)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    places, sides = np.array([(mark.x, mark.y) for mark in marks]), np.array([mark.side for mark in marks])
    distances = np.linalg.norm(middles[:, None] - places, axis=2) / sides
    nearest = nearest_free(np.where(distances < 0.5, distances, np.inf))
    return sum(not marks[i].doubtful for i in nearest if i >= 0), int((nearest < 0).sum())
