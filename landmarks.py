"""The 68 facial points of iBUG/Multi-PIE (Gross et al., 2010; Sagonas et al., 2013) and the files that hold them.

Right and left are the person's own: the right eye (points 36 to 41) is on the left of the picture.
In memory keypoints are always (68, 2) float32, x before y, in pixels, 0-based, pixel centres at integers;
what a file format counts otherwise (`.pts` counts from 1) is converted here and nowhere else.
"""

import csv
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from cli import InputError, atomic_path

NUM_LANDMARKS = 68

REGIONS = {
    "jaw": range(0, 17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}

# The lines of a drawn face: (region, its points in drawing order, whether the last one joins the first).
SKELETON = (
    ("jaw", range(0, 17), False),
    ("brows", range(17, 22), False),  # right brow
    ("brows", range(22, 27), False),  # left brow
    ("nose", range(27, 31), False),  # bridge
    ("nose", range(31, 36), False),  # nostrils
    ("eyes", range(36, 42), True),  # right eye
    ("eyes", range(42, 48), True),  # left eye
    ("mouth", range(48, 60), True),  # outer lips
    ("mouth", range(60, 68), True),  # inner lips
)

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

OUTER_EYE_CORNERS = (36, 45)  # their distance normalises errors: "inter-ocular"

CSV_COLUMNS = 1 + 2 * NUM_LANDMARKS


def person_of(file_name: str) -> str:
    """The person in an image of the public set: `Person_Name_VF.jpg` (video V, frame F) gives `Person_Name`.

    A file named in another way is a person of its own: its stem.
    """
    return re.sub(r"_\d\d$", "", PurePath(file_name).stem)


def read_csv(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Read annotations: a header row, then a row an image: file name, x0, y0, …, x67, y67.

    Returns:
        The file names, and their keypoints (N, 68, 2) float32 px.

    Raises:
        InputError: naming file, line and column.
    """
    import pandas as pd  # not above: reading predictions or drawing points shouldn't wait for it

    options = {"header": None, "skip_blank_lines": False, "keep_default_na": False, "encoding_errors": "surrogateescape"}
    try:
        header = pd.read_csv(path, nrows=1, dtype=object, **options)
        if header.shape[1] != CSV_COLUMNS:
            raise InputError(
                f"{path}: {header.shape[1]} columns, {CSV_COLUMNS} expected: file name, x0, y0, …, x67, y67"
            )
        table = pd.read_csv(path, skiprows=1, dtype={0: object}, low_memory=False, **options)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error}); check the path") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path}: has no rows; expected a header and a row an image") from error
    except pd.errors.ParserError as error:
        problem = str(error).strip().rpartition("C error: ")[2]
        raise InputError(f"{path}: not a CSV of annotations ({problem})") from error

    names = table.pop(0)
    keypoints = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)  # (N, 136)
    return list(names), keypoints.reshape(-1, NUM_LANDMARKS, 2)
