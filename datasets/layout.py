"""How a data set lies in its folder: splits, people and folds, and how far all its labels are shifted."""

import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from face68.annotators import IBUG, PUBLIC
from face68.files import InputError, files_below, sha256
from face68.landmarks import inter_ocular

DATA_DIR = Path(__file__).resolve().parent.parent / "data"
SAMPLE_DIR = DATA_DIR / "sample"
SPLITS = ("training", "test")
FOLDS = 5
# The folders of 300-W (Sagonas et al., 2013), as its archives unpack, that the field keeps for testing, and what it
# calls them (Ren et al., "Face alignment at 3000 FPS", 2014).
SETS_300W = {"common": ("helen/testset/", "lfpw/testset/"), "challenging": ("ibug/",)}
SETS_300W["full"] = SETS_300W["common"] + SETS_300W["challenging"]


class LabelShift(NamedTuple):
    """How far all labels of a data set lie off the faces: it grows with the face, is the same for all, or both.

    x, y: to the right and down, as fractions of the distance between the outer eye corners.
    x_pixels, y_pixels: to the right and down, in pixels of the image.
    slant: how much further down each point lies for each pixel that it is to the right of the face's middle.
    """

    x: float = 0.0
    y: float = 0.0
    x_pixels: float = 0.0
    y_pixels: float = 0.0
    slant: float = 0.0

    def of(self, keypoints: np.ndarray) -> np.ndarray:
        """The shift of each point, (N, 68, 2) float32 px, from keypoints (N, 68, 2) px."""
        eyes = inter_ocular(keypoints)[:, None, None]
        shifts = np.tile(eyes * [self.x, self.y] + [self.x_pixels, self.y_pixels], (keypoints.shape[1], 1))
        x = keypoints[..., 0]
        shifts[..., 1] += self.slant * (x - x.mean(axis=1, keepdims=True))
        return shifts.astype(np.float32)


NO_SHIFT = LabelShift()
LARGEST_SHIFT = LabelShift(1, 1, 1000, 1000, 1)  # either way; none is as large
# Measured by `python prepare.py shift`, see docs/labels.md. Uncorrected, mirroring in training would teach two
# contradicting truths.
PUBLIC_LABEL_SHIFT = LabelShift(x=0.017, y=0.007, x_pixels=0.5, y_pixels=0.5, slant=0.008)
PUBLIC_CSV_SHA256 = (  # by these its label files are known, in whatever folder
    "9f3d1213429893d4955e2789076f6ce11e297253fed86337cffb6ca85bd61ec8",  # training
    "348e5e1a5906001f64d3da627e4f61dc3de90771d6d92f5d93628029b3c85e65",  # test
)


def public_layout(directory: str | Path, split: str) -> tuple[Path, Path]:
    """Where the public layout has a split's CSV file and its folder of images."""
    return Path(directory, f"{split}_frames_keypoints.csv"), Path(directory, split)


def find_split(directory: str | Path, split: str) -> tuple[Path | None, Path] | None:
    """A split's CSV file and folder of images; no CSV where `.pts` files lie in the folder; None: no such split."""
    csv_file, images = public_layout(directory, split)
    if csv_file.is_file():
        return csv_file, images
    if not images.is_dir() and split == "training":
        images = Path(directory)
    return (None, images) if any(path.suffix == ".pts" for path in files_below(images)) else None


def label_shift_of(directory: Path, csv_file: Path | None = None) -> LabelShift:
    """How far a data set's labels lie off the faces, see `labels_of`."""
    return labels_of(directory, csv_file)[0]


def labels_of(directory: Path, csv_file: Path | None = None) -> tuple[LabelShift, str]:
    """How far a data set's labels lie off the faces, and who put them there, see annotators.py.

    Both stand in the folder's `label_shift.json`, as `{"x": 0.01, "y_pixels": 0.5, "annotators": "ibug"}`, with the
    names of `LabelShift`; of the public set they are known. Else .pts files are iBUG's, a CSV is of the folder's name.

    Raises:
        InputError: label_shift.json is something else.
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
    """What every command takes without --data: `data/` where a data set is there, in either layout, else the drawn
    sample that the repository ships.
    """
    return DATA_DIR if any(find_split(DATA_DIR, split) for split in SPLITS) else SAMPLE_DIR


def person_of(file_name: str) -> str:
    """The person in an image of the public set: `Person_Name_VF.jpg` (video V, frame F) gives `Person_Name`.

    A file named in another way is a person of its own: its stem.
    """
    return re.sub(r"_\d\d$", "", PurePath(file_name).stem)


def fold_of(person: str, folds: int = FOLDS) -> int:
    """The person's fold, 0 … folds - 1: a hash of the name, so neither row order nor other people change it.

    Fold 0 of 20 is a part of fold 0 of 5.
    """
    return zlib.crc32(person.encode("utf-8", "surrogateescape")) % folds


def split_by_person(people: Sequence[str], val_fold: int, folds: int = FOLDS) -> tuple[list[int], list[int]]:
    """Indices for training and for validation: the people of fold `val_fold` are validation, and only they.

    Raises:
        InputError: there is no such fold.
    """
    if not 0 <= val_fold < folds:
        raise InputError(f"--val-fold {val_fold}: the {folds} folds are 0 to {folds - 1}; choose one, or --folds")
    of_person = [fold_of(person, folds) for person in people]
    training = [i for i, fold in enumerate(of_person) if fold != val_fold]
    validation = [i for i, fold in enumerate(of_person) if fold == val_fold]
    return training, validation
