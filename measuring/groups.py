"""Photos of several people whose faces somebody counted, and what a detector finds of them."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from face68.files import InputError
from face68.landmarks import Face

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
    places = np.array([(mark.x, mark.y) for mark in marks])
    sides = np.array([mark.side for mark in marks])
    free, found, others = set(range(len(marks))), 0, 0
    for face in sorted(faces, key=lambda face: -(face.score or 0)):
        middle = (face.keypoints.min(axis=0) + face.keypoints.max(axis=0)) / 2
        distances = np.linalg.norm(places - middle, axis=1) / sides
        near = [i for i in free if distances[i] < 0.5]
        if not near:
            others += 1
            continue
        best = min(near, key=lambda i: distances[i])
        free.remove(best)
        found += not marks[best].doubtful
    return found, others
