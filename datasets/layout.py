"""The files of a data set in its folder: splits, people and folds, and its labels' common shift."""

import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from face68.annotators import IBUG, PUBLIC
from face68.files import InputError, files_below, sha256
from face68.landmarks import IBUG68, unit_length
from face68.schemes import Scheme

DATA_DIR = Path(__file__).resolve().parent.parent / "data"
SAMPLE_DIR = DATA_DIR / "sample"
SPLITS = ("training", "test")
FOLDS = 5
# The test sets of 300-W (Sagonas et al., 2013) by their names in the field (Ren et al., "Face alignment at 3000 FPS",
# 2014), and the folders that its archives unpack to.
SETS_300W = {"common": ("helen/testset/", "lfpw/testset/"), "challenging": ("ibug/",)}
SETS_300W["full"] = SETS_300W["common"] + SETS_300W["challenging"]


class LabelShift(NamedTuple):
    """The offset of all labels of a data set from the faces, to the right and down; all parts add up.

    x, y: fractions of the length that divides errors, of faces the distance between the outer eye corners.
    x_pixels, y_pixels: pixels of the image.
    slant: further pixels down for each pixel to the right of the face's middle.
    """

    x: float = 0.0
    y: float = 0.0
    x_pixels: float = 0.0
    y_pixels: float = 0.0
    slant: float = 0.0

    def of(self, keypoints: np.ndarray, scheme: Scheme = IBUG68) -> np.ndarray:
        """The shift of each point, (N, 68, 2) float32 px, from keypoints (N, 68, 2) px, or as many as a scheme has."""
        eyes = unit_length(keypoints, scheme)[:, None, None]
        shifts = np.tile(eyes * [self.x, self.y] + [self.x_pixels, self.y_pixels], (keypoints.shape[1], 1))
        x = keypoints[..., 0]
        shifts[..., 1] += self.slant * (x - x.mean(axis=1, keepdims=True))
        return shifts.astype(np.float32)


NO_SHIFT = LabelShift()
LARGEST_SHIFT = LabelShift(1, 1, 1000, 1000, 1)  # either way; none is as large
# Measured by `python prepare.py shift`, see docs/labels.md. Uncorrected, mirroring in training would teach two
# contradicting truths.
PUBLIC_LABEL_SHIFT = LabelShift(x=0.017, y=0.007, x_pixels=0.5, y_pixels=0.5, slant=0.008)
PUBLIC_CSV_SHA256 = (  # the public set's label files are recognised by these, in any folder
    "9f3d1213429893d4955e2789076f6ce11e297253fed86337cffb6ca85bd61ec8",  # training
    "348e5e1a5906001f64d3da627e4f61dc3de90771d6d92f5d93628029b3c85e65",  # test
)


def public_layout(directory: str | Path, split: str) -> tuple[Path, Path]:
    """The paths of a split's CSV file and folder of images in the public layout."""
    return Path(directory, f"{split}_frames_keypoints.csv"), Path(directory, split)


def find_split(directory: str | Path, split: str) -> tuple[Path | None, Path] | None:
    """A split's CSV file, or None if the labels are `.pts` files, and its folder of images; None: no such split."""
    csv_file, images = public_layout(directory, split)
    if csv_file.is_file():
        return csv_file, images
    if not images.is_dir() and split == "training":
        images = Path(directory)
    return (None, images) if any(path.suffix == ".pts" for path in files_below(images)) else None


def labels_of(directory: Path, csv_file: Path | None = None) -> tuple[LabelShift, str]:
    """A data set's label shift and annotator (see face68/annotators.py).

    The folder's `label_shift.json` has both, e.g. `{"x": 0.01, "y_pixels": 0.5, "annotators": "ibug"}`. Without it the
    shift is 0, or the known one of the public set; `.pts` files are iBUG's, and the annotator of another CSV file is
    called by the folder's name.

    Raises:
        InputError: label_shift.json has other content.
    """
    is_public = csv_file is not None and sha256(csv_file) in PUBLIC_CSV_SHA256
    annotators = IBUG if csv_file is None else PUBLIC if is_public else directory.resolve().name
    path = directory / "label_shift.json"
    if not path.is_file():
        return PUBLIC_LABEL_SHIFT if is_public else NO_SHIFT, annotators
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        annotators = content.pop("annotators", annotators)
        is_named = isinstance(annotators, str) and annotators
        if not is_named or any(type(value) not in (int, float) for value in content.values()):
            raise ValueError("a value that is no number, or no name")
        shift = LabelShift(**{name: float(value) for name, value in content.items()})
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(
            f'{path}: expected {{"x": 0.01, "y": 0.0, "x_pixels": 0.5, "y_pixels": 0.5, "slant": 0.01, '
            '"annotators": "ibug"} or some of these'
        ) from error
    if not (np.abs(shift) < LARGEST_SHIFT).all():
        raise InputError(
            f"{path}: x and y, fractions of the eye distance, and the slant are between -1 and 1, x_pixels and "
            f"y_pixels between -{LARGEST_SHIFT.x_pixels:g} and {LARGEST_SHIFT.x_pixels:g}; correct them"
        )
    return shift, annotators


def default_data() -> Path:
    """The folder that commands take without --data: `data/` if it holds a data set, else the shipped drawn sample."""
    return DATA_DIR if any(find_split(DATA_DIR, split) for split in SPLITS) else SAMPLE_DIR


def person_of(file_name: str) -> str:
    """The person in an image of the public set: `Person_Name_VF.jpg` (video V, frame F) gives `Person_Name`.

    A file named in another way is a person of its own: its stem.
    """
    return re.sub(r"_\d\d$", "", PurePath(file_name).stem)


def fold_of(person: str, folds: int = FOLDS) -> int:
    """The person's fold, 0 … folds - 1, by a hash of the name alone. Fold 0 of 20 is a part of fold 0 of 5."""
    return zlib.crc32(person.encode("utf-8", "surrogateescape")) % folds


def split_by_person(people: Sequence[str], val_fold: int, folds: int = FOLDS) -> tuple[list[int], list[int]]:
    """Indices for training and for validation: the faces of the people in fold `val_fold` are validation.

    Raises:
        InputError: there is no such fold.
    """
    if not 0 <= val_fold < folds:
        raise InputError(f"--val-fold {val_fold}: the {folds} folds are 0 to {folds - 1}; choose one, or --folds")
    is_validation = np.array([fold_of(person, folds) == val_fold for person in people], dtype=bool)
    return np.flatnonzero(~is_validation).tolist(), np.flatnonzero(is_validation).tolist()
