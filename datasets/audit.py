"""An audit of a data set, its contents and its faults: `python prepare.py check DIR`.

It only counts and names. A test image that is also a training image, or a point outside of its image, may be harmless
for one purpose and fatal for another.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from datasets.labels import read_csv, read_pts_folder
from datasets.layout import SPLITS, find_split, person_of, public_layout
from face68.files import InputError, files_below, printable
from face68.geometry import to_gray
from face68.images import IMAGE_SUFFIXES, read_image
from face68.landmarks import IBUG68, find_scheme, unit_length
from face68.measures import filled, measure
from face68.schemes import INTER_OCULAR, Scheme

HANDFUL = 5  # names printed for each kind of problem
QUANTILES = {"min": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "max": 1.0}
SLANTS = np.arange(-32, 33) / 1024  # px down for each px to the right
PITCHES = 200  # tried for each face
# The mean distance of a square's points from its centre, for a side of 1.
MEAN_DISTANCE = (math.sqrt(2) + math.asinh(1)) / 6


class LabelGrid(NamedTuple):
    """The grid that labels lie on if they were read off a network's coarse output map, cell by cell.

    cells: the grid's pitch for each of N large faces, as a fraction of the eye distance.
    slant: how much lower it lies for each pixel to the right.
    """

    cells: np.ndarray
    slant: float

    @property
    def floor(self) -> float:
        """The NME (inter-ocular) that a perfect network would have against labels which only name the cell."""
        return MEAN_DISTANCE * float(np.mean(self.cells))


@dataclass
class ImageFile:
    """The audit's record of an image file."""

    digest: str | None = None  # SHA-256 of the file; None: it can't be read
    size: tuple[int, int] | None = None  # (width, height) px; None: it can't be decoded
    brightness: float | None = None  # mean gray level, 0 … 255


@dataclass
class Split:
    """One folder of images and its labels, from a CSV file or from `.pts` files."""

    name: str
    images: dict[str, ImageFile]  # by path below the folder, as the labels name it
    rows: list[str]  # the names of the labelled images
    keypoints: np.ndarray  # (len(rows), 68, 2) px, NaN for points without a position
    problem: str | None  # why no labels could be read, e.g. a cell without a number
    scheme: Scheme = IBUG68  # of the points, which may be others than 68

    @property
    def unlabelled(self) -> list[str]:
        return sorted(self.images.keys() - set(self.rows))

    @property
    def without_image(self) -> list[str]:
        return sorted(set(self.rows) - self.images.keys())

    @property
    def unreadable(self) -> list[str]:
        return [name for name, image in self.images.items() if image.size is None]

    @property
    def points_outside(self) -> dict[str, int]:
        """The number of points outside, of each image that has any."""
        return {name: int(count) for name, count in zip(self.rows, self.outside.sum(axis=1), strict=True) if count}

    @cached_property
    def outside(self) -> np.ndarray:
        """(len(rows), 68) bool: which points lie beyond the edges of their image; none, if its size is unknown."""
        sizes = [self.images.get(name, ImageFile()).size or (math.nan, math.nan) for name in self.rows]
        ends = np.array(sizes).reshape(-1, 1, 2) - 0.5
        return (((self.keypoints < -0.5) & ~np.isnan(ends)) | (self.keypoints > ends)).any(axis=2)

    @property
    def people(self) -> set[str]:
        return {person_of(name) for name in {*self.images, *self.rows}}

    @property
    def sizes(self) -> np.ndarray:
        """(n, 2) width and height in px of the images that can be decoded."""
        return np.array([image.size for image in self.images.values() if image.size]).reshape(-1, 2)

    @property
    def eye_distances(self) -> np.ndarray:
        """(len(rows),) px between the outer corners of the eyes, or the length that divides errors of other points."""
        return unit_length(self.keypoints, self.scheme)

    @cached_property
    def poses(self) -> np.ndarray:
        """(len(rows), 3) yaw, pitch and roll in degrees, see face68/measures.py. NaN of a scheme that doesn't map to
        iBUG's 68.
        """
        if self.scheme.ibug68 is None:
            return np.full((len(self.rows), 3), math.nan)
        keypoints = self.keypoints[:, self.scheme.ibug68]
        known = ~np.isnan(keypoints).any(axis=2)
        complete = [filled(points, mask) for points, mask in zip(keypoints, known, strict=True)]
        return np.array([measure(points)[:3] for points in complete]).reshape(-1, 3)

    @cached_property
    def grid(self) -> LabelGrid | None:
        return find_grid(self.keypoints, self.eye_distances)


@dataclass
class Audit:
    """The splits of a data set, and the faults that involve several of them."""

    directory: Path
    splits: list[Split]

    @property
    def duplicates(self) -> list[list[str]]:
        """Groups of byte-identical files, each named `split/image`."""
        groups = defaultdict(list)
        for split in self.splits:
            for name, image in split.images.items():
                if image.digest:
                    groups[image.digest].append(f"{split.name}/{name}")
        return [group for group in groups.values() if len(group) > 1]

    @property
    def people_in_common(self) -> list[str]:
        """People with images in all splits; empty if there is only one split."""
        if len(self.splits) < 2:
            return []
        return sorted(set.intersection(*(split.people for split in self.splits)))


def check(directory: str | Path) -> Audit:
    """Audit a data set in either layout (see `data_load.open_split`), print the report, and return the audit.

    One split is enough. Every image is decoded.

    Raises:
        InputError: `directory` has no labels; or, after the report, the labels of a split can't be used.
    """
    findings = audit(directory)
    print_report(findings)
    for split in findings.splits:
        if split.problem:
            raise InputError(split.problem)
    return findings


def audit(directory: str | Path) -> Audit:
    """The audit of `check`, without printing it."""
    directory = Path(directory)
    if not any(find_split(directory, name) for name in SPLITS):
        labels = " or ".join(public_layout(directory, name)[0].name for name in SPLITS)
        raise InputError(
            f"{directory}: no data set (neither {labels} nor .pts files in it); give another folder, or get one with: "
            "python prepare.py download"
        )
    present = [name for name in SPLITS if find_split(directory, name) or (directory / name).is_dir()]
    return Audit(directory, [_inspect_split(directory, name) for name in present])


def find_grid(keypoints: np.ndarray, eyes: np.ndarray) -> LabelGrid | None:
    """The grid on which the labels lie; None: they lie on none.

    On a grid of pitch g all coordinates of a face have the same remainder modulo g. So the mean of exp(2πi x / g) over
    its points has a length of about 1; without a grid it rarely exceeds 0.3. Each face gets the pitch with the greatest
    length, all faces together get one slant. Whole pixels are a grid too, so pitches up to 2.5 px are left out, and
    faces whose eyes are 60 px apart or less. A hundred faces are enough.

    keypoints: (N, 68, 2) px; eyes: their distance, (N,) px.
    """
    rows = np.flatnonzero((eyes > 60) & np.isfinite(keypoints).all(axis=(1, 2)))
    rows = rows[:: max(1, len(rows) // 100)]
    if not len(rows):
        return None
    candidates = np.geomspace(2.5 / eyes[rows], 0.1, PITCHES).T  # (rows, pitches), fractions of the eye distance
    agreements = np.array([_agreement(keypoints[i], eyes[i] * c) for i, c in zip(rows, candidates, strict=True)])
    slant = agreements.max(axis=2).mean(axis=0).argmax()  # of (rows, slants, pitches)
    best = agreements[:, slant].argmax(axis=1)
    cells, agreement = candidates[range(len(rows)), best], agreements[range(len(rows)), slant, best]
    return LabelGrid(cells, float(SLANTS[slant])) if np.median(agreement) > 0.6 else None


def _agreement(points: np.ndarray, pitches: np.ndarray) -> np.ndarray:
    """How well points (68, 2) px fit grids of all SLANTS and of some pitches in px: (slants, pitches), 0 … 1."""
    x, y = points.T[:, None]
    level = y - SLANTS[:, None] * (x - x.mean())  # (slants, 68)

    def length(values):
        return np.abs(np.exp(2j * np.pi * values[:, None] / pitches[:, None]).mean(axis=-1))

    return (length(x) + length(level)) / 2


def print_report(findings: Audit) -> None:
    """Print a table of counts, the quantiles, and the first few names of each kind of fault."""
    print(findings.directory)
    for split in findings.splits:
        if split.problem:
            print(printable(f"No labels read: {split.problem}"))
    _print_counts(findings.splits)
    print()
    _print_quantiles(findings.splits)
    print()
    for split in findings.splits:
        _print_faults(split)
    across = [group for group in findings.duplicates if len({name.split("/")[0] for name in group}) > 1]
    within = [group for group in findings.duplicates if group not in across]
    _print_names("Byte-identical files across the splits", [_few(group, " = ") for group in across])
    _print_names("Byte-identical files within a split", [_few(group, " = ") for group in within])
    _print_names("People in both splits", findings.people_in_common)


def _print_counts(splits: list[Split]) -> None:
    counts = {
        "images": lambda split: len(split.images),
        "rows (labelled images)": lambda split: len(split.rows),
        "images without a row": lambda split: len(split.unlabelled),
        "rows without their image": lambda split: len(split.without_image),
        "unreadable images": lambda split: len(split.unreadable),
        "images with points outside": lambda split: len(split.points_outside),
        "points outside": lambda split: sum(split.points_outside.values()),
        "people": lambda split: len(split.people),
    }
    print(_line("", [split.name for split in splits]))
    for label, count in counts.items():
        print(_line(label, [count(split) for split in splits]))


def distance_name(scheme: Scheme) -> str:
    return "outer-eye distance" if scheme.norm == INTER_OCULAR else f"{scheme.norm} length"


def _print_quantiles(splits: list[Split]) -> None:
    print(_line("px", QUANTILES))
    for split in splits:
        width, height = split.sizes.T
        sizes = {"width": width, "height": height, distance_name(split.scheme): split.eye_distances}
        for label, values in sizes.items():
            values = values[np.isfinite(values)]  # NaN where an eye is hidden
            if len(values):
                quantiles = np.quantile(values, list(QUANTILES.values()))
                print(_line(f"{split.name}: {label}", [f"{value:.0f}" for value in quantiles]))


def _print_faults(split: Split) -> None:
    if grid := split.grid:
        print(
            f"{split.name}: labels lie on a grid of {np.median(grid.cells):.1%} of the eye distance (median of "
            f"{len(grid.cells)} faces) with a slant of {grid.slant:+.4f} px down per px to the right;"
        )
        print(f"  a network that is always right has an NME ({split.scheme.norm}) of {grid.floor:.2%} against them")
    _print_names(f"{split.name}: unreadable images", split.unreadable)
    _print_names(f"{split.name}: rows without their image", split.without_image)
    outside = [f"{name} ({count})" for name, count in split.points_outside.items()]
    _print_names(f"{split.name}: images with points outside (how many)", outside)
    _print_names(f"{split.name}: images without a row", split.unlabelled)


def _inspect_split(directory: Path, name: str) -> Split:
    csv, folder = find_split(directory, name) or (None, directory / name)
    rows, keypoints, problem, scheme = [], np.empty((0, len(IBUG68), 2), np.float32), None, IBUG68
    try:
        scheme = find_scheme(directory)
        rows, keypoints, _, scheme = read_csv(csv, scheme) if csv else read_pts_folder(folder, scheme)
    except InputError as error:
        problem = str(error)
    files = _image_names(folder, rows)
    with ThreadPoolExecutor() as pool:
        images = pool.map(partial(_inspect_image, folder), files)
        images = list(tqdm(images, total=len(files), desc=f"{name} images", unit="image", disable=None))
    return Split(name, dict(zip(files, images, strict=True)), rows, keypoints, problem, scheme or IBUG68)


def _image_names(folder: Path, rows: Iterable[str]) -> list[str]:
    """The files below `folder` that have an image's suffix or a row."""
    labelled = {name for name in rows if (folder / name).is_file()}
    images = (path for path in files_below(folder) if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(labelled.union(path.relative_to(folder).as_posix() for path in images))


def _inspect_image(folder: Path, name: str) -> ImageFile:
    try:
        content = (folder / name).read_bytes()
    except OSError:
        return ImageFile()
    digest = hashlib.sha256(content).hexdigest()
    try:
        image = read_image(content)
    except InputError:
        return ImageFile(digest)
    height, width, _ = image.shape
    return ImageFile(digest, (width, height), 255 * float(to_gray(image).mean()))


def _line(label: str, values: Iterable[object]) -> str:
    return f"{label:<32}" + "".join(f"{value:>10}" for value in values)


def _print_names(label: str, names: list[str]) -> None:
    if names:
        print(printable(f"{label}, {len(names)}: {_few(names, ', ')}"))


def _few(names: list[str], separator: str) -> str:
    """The first names, and how many more there are."""
    rest = f" … and {len(names) - HANDFUL} more" if len(names) > HANDFUL else ""
    return separator.join(names[:HANDFUL]) + rest
