"""Labels: the public set's CSV and folders of images with `.pts` files, read, checked, and their faults explained."""

import csv
import math
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
import pandas as pd

from face68.files import InputError, atomic_path, files_below
from face68.formats import FARTHEST, coordinate, csv_rows, csv_writer, read_pts, unreadable
from face68.images import IMAGE_SUFFIXES
from face68.landmarks import COVERED, HIDDEN, IBUG68, SEEN, UNSAID, inter_pupil, scheme_of, unit_length
from face68.schemes import MOST_POINTS, Scheme

VISIBILITY = {"1": SEEN, "0": COVERED, "-1": HIDDEN}  # as its cells say it


class Labels(NamedTuple):
    """The labels of N images: their file names, keypoints (N, 68, 2) float32 px, NaN for points without a position,
    what is said of each point's visibility, (N, 68) int8: SEEN, COVERED, HIDDEN or UNSAID, and the scheme of the
    points, which may be others than 68.
    """

    names: list[str]
    keypoints: np.ndarray
    visibility: np.ndarray
    scheme: Scheme


class Columns(NamedTuple):
    """Those of a CSV file behind the images' names: x and y of `points` points, and perhaps what can be seen."""

    points: int
    say_visibility: bool

    @property
    def count(self) -> int:
        return 1 + (3 if self.say_visibility else 2) * self.points

    def __str__(self) -> str:
        last = self.points - 1
        names = f"x0, y0, …, x{last}, y{last}" if last else "x0, y0"
        visibility = (f"v0, …, v{last}" if last else "v0") if self.say_visibility else ""
        return f"{self.count} expected: file name, {', '.join(filter(None, (names, visibility)))}"


def columns_of(header: Sequence[str], scheme: Scheme | None) -> Columns:
    """The columns of a CSV file by its header. Without a scheme it has two numbers a point, or three where the last
    column is called v…, unless the width is that of the default scheme. If none fits, those that were expected.
    """
    width, expected = len(header) - 1, scheme or IBUG68
    for says in (False, True):
        if width == (3 if says else 2) * len(expected):
            return Columns(len(expected), says)
    says = header[-1:] and header[-1].strip().lower().startswith("v")
    points, rest = divmod(width, 3 if says else 2)
    fits = scheme is None and rest == 0 and 0 < points <= MOST_POINTS
    return Columns(points, bool(says)) if fits else Columns(len(expected), False)


def read_csv(path: str | Path, scheme: Scheme | None = None) -> Labels:
    """Read annotations: a header row, then one row per image: file name, x0, y0, …, x67, y67 and, where the file has
    them, v0, …, v67: 1 a point is seen, 0 it is covered by something, -1 it is hidden by the face itself. Blank lines
    are skipped. A hidden point has no position: its cells may be empty.

    scheme: of the points; None: as `scheme_of` has it, by their number.

    Raises:
        InputError: with file, row (its line in the file, from 1) and column (from 1).
    """
    options = {"encoding": "utf-8-sig", "encoding_errors": "surrogateescape", "keep_default_na": False}
    try:
        with Path(path).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            header = next(filter(None, csv.reader(file)), [])
        columns = columns_of(header, scheme)
        if len(header) != columns.count:  # pandas takes a minute for a header of 100,000 names
            _explain_csv(path, columns)
        if columns.say_visibility:
            options["na_values"] = [""]  # the coordinates of hidden points
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            table = pd.read_csv(path, index_col=False, dtype={0: str}, **options)
        names = list(table.iloc[:, 0].fillna(""))
        if any(dtype.kind not in "iuf" for dtype in table.dtypes.iloc[1:]):
            raise ValueError("a column with something else than numbers")  # NumPy would convert True and False
        with np.errstate(over="ignore"):  # numbers too large for float32 become infinite
            values = table.iloc[:, 1:].to_numpy(np.float32)  # (N, 2 or 3 × points)
    except OSError as error:
        raise unreadable(path, error) from error
    except (csv.Error, ValueError, pd.errors.ParserWarning):  # pandas' errors are ValueErrors
        _explain_csv(path, columns)
        raise
    keypoints, visibility = np.split(values, [2 * columns.points], axis=1)
    keypoints = np.ascontiguousarray(keypoints).reshape(-1, columns.points, 2)
    if not columns.say_visibility:
        visibility = np.full(keypoints.shape[:2], UNSAID)
    elif not np.isin(visibility, list(VISIBILITY.values())).all():
        _explain_csv(path, columns)
    has_position = (np.abs(keypoints) <= FARTHEST).all(axis=2)
    complete = len(names) > 0 and (has_position | (visibility == HIDDEN)).all()
    keypoints[visibility == HIDDEN] = math.nan
    distinct = len(set(names)) == len(names) and all(name.strip() for name in names)
    if not complete or not distinct or PurePath(str(table.columns[0])).suffix:
        _explain_csv(path, columns)
    return Labels(names, keypoints, visibility.astype(np.int8), scheme or scheme_of(columns.points))


def _explain_csv(path: str | Path, columns: Columns) -> None:
    """Read a file row by row that pandas could not use, and say what is wrong and where.

    Raises:
        InputError: always, unless the file is in order.
    """
    rows = csv_rows(path)
    if not rows:
        raise InputError(f"{path}: is empty; expected a header and a row an image")
    for line, row in rows:
        if len(row) != columns.count:
            raise InputError(f"{path}: row {line}: {len(row)} columns found, {columns}")
    if PurePath(rows[0][1][0]).suffix:
        raise InputError(f"{path}: row {rows[0][0]}: starts with an image; put a header row before it")
    if len(rows) == 1:
        raise InputError(f"{path}: has a header but no rows; expected a row an image")
    seen = {}
    for line, (name, *cells) in rows[1:]:
        if not name.strip():
            raise InputError(f"{path}: row {line}, column 1: no file name; fill it in or take the row out")
        if name in seen:
            raise InputError(f"{path}: row {line}, column 1: {name} has row {seen[name]} already; take one out")
        seen[name] = line
        coordinates, visibility = cells[: 2 * columns.points], cells[2 * columns.points :]
        for column, cell in enumerate(visibility, start=2 * columns.points + 2):
            if cell.strip() not in VISIBILITY:
                raise InputError(f"{path}: row {line}, column {column}: {cell[:40]!r} is none of 1, 0, -1; correct it")
        hidden = np.repeat([VISIBILITY[cell.strip()] == HIDDEN for cell in visibility], 2)
        for column, cell in enumerate(coordinates, start=2):
            if not hidden[column - 2 : column - 1].any() and (problem := _problem_of(cell)):
                raise InputError(f"{path}: row {line}, column {column}: {problem}")


def _problem_of(cell: str) -> str | None:
    """Why a cell is no coordinate, and the remedy."""
    if not cell.strip():
        return "no coordinate; fill it in or take the row out"
    try:
        coordinate(cell)
    except ValueError as error:
        return f"{error}; correct it"


def _row_of(path: str | Path, name: str) -> int:
    """The row of an image: the line in the file."""
    return next(line for line, row in csv_rows(path) if row[0] == name)


def check_images(csv_file: str | Path, names: Sequence[str], paths: Sequence[Path]) -> None:
    """Check that each row's image is there, inside the folder of the images.

    Raises:
        InputError: with the row.
    """
    for name, path in zip(names, paths, strict=True):
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            problem = f"{name} leaves the folder of the images; name one in it"
        elif not os.path.isfile(path):  # noqa: PTH113 (False, too, for a name that no file can have)
            problem = f"the image {path} is not there; add it or take the row out"
        else:
            continue
        raise InputError(f"{csv_file}: row {_row_of(csv_file, name)}, column 1: {problem}")


NARROWEST_FACE = 1.0  # px, the longer side of a face's box
CLOSEST_EYES = 0.01  # the distance of the eyes, as a fraction of that side


def check_faces(csv_file: str | Path | None, paths: Sequence[Path], labels: Labels) -> None:
    """Check that labels can be those of faces: some points have positions, and neither all of these nor, where they are
    seen, both eyes, or the points that divide errors, lie in one place.

    Raises:
        InputError: with the file, and the row in a CSV.
    """
    points, is_placed = labels.keypoints, np.isfinite(labels.keypoints).all(axis=(2))
    scheme = labels.scheme
    if not scheme.has_extent:
        for i in np.flatnonzero(~is_placed[:, 0]):
            raise InputError(f"{_place(csv_file, paths[i], labels.names[i])}: the point has no position; take it out")
        return
    placed = is_placed.sum(axis=1) > 1
    sides = np.zeros(len(points))
    sides[placed] = (np.nanmax(points[placed], axis=1) - np.nanmin(points[placed], axis=1)).max(axis=1)
    units = unit_length(points, scheme) if scheme.eyes or scheme.normaliser else sides
    eyes = np.fmin(inter_pupil(points, scheme), units) if scheme.eyes else units  # NaN where one of them is hidden
    what_is_apart = "both eyes lie" if scheme.eyes else "the two points that divide errors lie"
    for i in np.flatnonzero((sides < NARROWEST_FACE) | (eyes < CLOSEST_EYES * sides)):
        where = _place(csv_file, paths[i], labels.names[i])
        what = "all points lie" if sides[i] < NARROWEST_FACE else what_is_apart
        raise InputError(f"{where}: {what} in one place; correct them or take the face out")


def _place(csv_file: str | Path | None, path: Path, name: str) -> str:
    """Where an image's labels are."""
    return str(path.with_suffix(".pts")) if csv_file is None else f"{csv_file}: row {_row_of(csv_file, name)}"


def write_csv(path: str | Path, names: Sequence[str], keypoints: np.ndarray, decimals: int | None = None) -> None:
    """Write keypoints (N, 68, 2) px of the images `names` in the format that `read_csv` reads.

    decimals: of each number; None: as many as its float32 needs to be read back exactly.

    Raises:
        InputError: the file can't be written.
    """
    values = np.asarray(keypoints).reshape(len(names), -1)  # (N, 2 × points)
    rows = values.astype(np.float32).astype(str) if decimals is None else np.char.mod(f"%.{decimals}f", values)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv_writer(file)
        writer.writerow(["", *range(values.shape[1])])
        writer.writerows([name, *row] for name, row in zip(names, rows, strict=True))


def read_pts_folder(root: str | Path, scheme: Scheme | None = None) -> Labels:
    """The labels of the images below a folder that have a `.pts` file of their name beside them. Names are relative to
    the folder, sorted; points without a position are HIDDEN.

    scheme: of the points; None: as `scheme_of` has it, by the number that most files have.

    Raises:
        InputError: a `.pts` file without its image, or one that can't be used.
    """
    files = sorted(files_below(root))
    images = defaultdict(list)  # by path without suffix
    for path in files:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images[path.with_suffix("")].append(path)
    names, pts_files = [], []
    for pts in (path for path in files if path.suffix == ".pts"):
        beside = images[pts.with_suffix("")]
        if len(beside) != 1:
            number = "several images" if beside else "no image"
            raise InputError(f"{pts}: {number} of that name beside it; one is needed, or take the .pts file away")
        names.append(beside[0].relative_to(root).as_posix())
        pts_files.append(pts)
    of_files = [read_pts(pts, None) for pts in pts_files]
    if scheme is None:
        scheme = scheme_of(Counter(map(len, of_files)).most_common(1)[0][0]) if of_files else IBUG68
    for pts, points in zip(pts_files, of_files, strict=True):
        if len(points) != len(scheme):
            raise InputError(f"{pts}: {len(points)} points found, {len(scheme)} expected; correct it or take it away")
    keypoints = np.array(of_files, np.float32).reshape(-1, len(scheme), 2)
    visibility = np.where(np.isnan(keypoints).any(axis=2), HIDDEN, UNSAID).astype(np.int8)
    return Labels(names, keypoints, visibility, scheme)
