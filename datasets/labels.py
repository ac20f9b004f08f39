"""Labels read, checked and explained: the public set's CSV, and folders of images with `.pts` files."""

import csv
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from face68.files import InputError, atomic_path, files_below
from face68.formats import FARTHEST, coordinate, csv_rows, csv_writer, read_pts, unreadable
from face68.images import IMAGE_SUFFIXES
from face68.landmarks import NUM_LANDMARKS, inter_ocular

CSV_COLUMNS = 1 + 2 * NUM_LANDMARKS


def read_csv(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Read annotations: a header row, then a row an image: file name, x0, y0, …, x67, y67. Blank lines don't count.

    Returns:
        The file names, and their keypoints (N, 68, 2) float32 px.

    Raises:
        InputError: naming file, row (the line in the file, the header's is 1) and column (the file name's is 1).
    """
    options = {"encoding": "utf-8-sig", "encoding_errors": "surrogateescape", "keep_default_na": False}
    try:
        if _count_columns(path) != CSV_COLUMNS:  # pandas takes a minute for a header of 100,000 names
            _explain_csv(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            table = pd.read_csv(path, index_col=False, dtype={0: str}, **options)
        names = list(table.iloc[:, 0])
        if any(dtype.kind not in "iuf" for dtype in table.dtypes.iloc[1:]):
            raise ValueError("a column that isn't one of numbers")  # to pandas; truth values are numbers to NumPy
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite
            keypoints = table.iloc[:, 1:].to_numpy(np.float32)  # (N, 136)
    except OSError as error:
        raise unreadable(path, error) from error
    except (csv.Error, ValueError, pd.errors.ParserWarning):  # pandas' own errors are ValueErrors too
        _explain_csv(path)
        raise
    complete = keypoints.shape[1] == CSV_COLUMNS - 1 and len(names) > 0 and (np.abs(keypoints) <= FARTHEST).all()
    distinct = len(set(names)) == len(names) and all(name.strip() for name in names)
    if not complete or not distinct or PurePath(str(table.columns[0])).suffix:
        _explain_csv(path)
    return names, keypoints.reshape(-1, NUM_LANDMARKS, 2)


def _count_columns(path: str | Path) -> int:
    """How many the first row has."""
    with Path(path).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        return len(next(filter(None, csv.reader(file)), []))


def _explain_csv(path: str | Path) -> None:
    """Read row by row what pandas could not use, to say where and what is wrong.

    Raises:
        InputError: always, unless the file is in order.
    """
    rows = csv_rows(path)
    if not rows:
        raise InputError(f"{path}: is empty; expected a header and a row an image")
    for line, row in rows:
        if len(row) != CSV_COLUMNS:
            expected = f"{CSV_COLUMNS} expected: file name, x0, y0, …, x67, y67"
            raise InputError(f"{path}: row {line}: {len(row)} columns found, {expected}")
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
        for column, cell in enumerate(cells, start=2):
            if problem := _problem_of(cell):
                raise InputError(f"{path}: row {line}, column {column}: {problem}")


def _row_of(path: str | Path, name: str) -> int:
    """The row of an image: the line in the file."""
    return next(line for line, row in csv_rows(path) if row[0] == name)


def _problem_of(cell: str) -> str | None:
    """What keeps a cell from being a coordinate."""
    if not cell.strip():
        return "no coordinate; fill it in or take the row out"
    try:
        coordinate(cell)
    except ValueError as error:
        return f"{error}; correct it"


def check_images(csv_file: str | Path, names: Sequence[str], paths: Sequence[Path]) -> None:
    """See that each row's image is there, in the folder of the images and not beside it.

    Raises:
        InputError: naming the row.
    """
    for name, path in zip(names, paths, strict=True):
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            problem = f"{name} leaves the folder of the images; name one in it"
        elif not _is_file(path):
            problem = f"the image {path} is not there; add it or take the row out"
        else:
            continue
        raise InputError(f"{csv_file}: row {_row_of(csv_file, name)}, column 1: {problem}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


NARROWEST_FACE, CLOSEST_EYES = 1.0, 0.01  # px, the longer side of a face's box; and × that, how far its eyes are apart


def check_faces(csv_file: str | Path | None, names: Sequence[str], paths: Sequence[Path], labels: np.ndarray) -> None:
    """See that the labels (N, 68, 2) px can be those of faces: they have an extent, and the eyes are apart, as are
    their outer corners, by whose distance errors are divided.

    Raises:
        InputError: naming the file, and the row in a CSV.
    """
    sides = (labels.max(axis=1) - labels.min(axis=1)).max(axis=1)
    eyes = np.linalg.norm(labels[:, 36:42].mean(axis=1) - labels[:, 42:48].mean(axis=1), axis=1)
    for i in np.flatnonzero((sides < NARROWEST_FACE) | (np.minimum(eyes, inter_ocular(labels)) < CLOSEST_EYES * sides)):
        where = paths[i].with_suffix(".pts") if csv_file is None else f"{csv_file}: row {_row_of(csv_file, names[i])}"
        what = "all points lie in one place" if sides[i] < NARROWEST_FACE else "both eyes lie in one place"
        raise InputError(f"{where}: {what}; correct them or take the face out")


def write_csv(path: str | Path, names: Sequence[str], keypoints: np.ndarray, decimals: int | None = None) -> None:
    """Write keypoints (N, 68, 2) px of the images `names` as `read_csv` reads them.

    decimals: how many each number has; None: as many as its float32 needs to be read back exactly.

    Raises:
        InputError: the file can't be written.
    """
    values = np.asarray(keypoints).reshape(len(names), -1)  # (N, 136)
    rows = values.astype(np.float32).astype(str) if decimals is None else np.char.mod(f"%.{decimals}f", values)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv_writer(file)
        writer.writerow(["", *range(2 * NUM_LANDMARKS)])
        writer.writerows([name, *row] for name, row in zip(names, rows, strict=True))


def read_pts_folder(root: str | Path) -> tuple[list[str], np.ndarray]:
    """The images below a folder that have a `.pts` file of their name beside them, and their keypoints.

    Returns:
        Names relative to the folder, sorted, and keypoints (N, 68, 2) float32 px.

    Raises:
        InputError: a `.pts` file without its image, or one that can't be used.
    """
    files = sorted(files_below(root))
    images = defaultdict(list)  # by their paths without suffix
    for path in files:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images[path.with_suffix("")].append(path)
    names, keypoints = [], []
    for pts in (path for path in files if path.suffix == ".pts"):
        beside = images[pts.with_suffix("")]
        if len(beside) != 1:
            found = "no image" if not beside else "several images"
            raise InputError(f"{pts}: {found} of that name beside it; one is needed, or take the .pts file away")
        names.append(beside[0].relative_to(root).as_posix())
        keypoints.append(read_pts(pts))
    return names, np.array(keypoints, np.float32).reshape(-1, NUM_LANDMARKS, 2)
