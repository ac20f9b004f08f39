"""The 68 facial points of iBUG/Multi-PIE (Gross et al., 2010; Sagonas et al., 2013) and the files that hold them.

Right and left are the person's own: the right eye (points 36 to 41) is on the left of the picture.
In memory keypoints are always (68, 2) float32, x before y, in pixels, 0-based, pixel centres at integers;
what a file format counts otherwise (`.pts` counts from 1) is converted here and nowhere else.
"""

import csv
import json
import math
import re
import warnings
from collections.abc import Iterable, Sequence
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
    """Read annotations: a header row, then a row an image: file name, x0, y0, …, x67, y67. Blank lines don't count.

    Returns:
        The file names, and their keypoints (N, 68, 2) float32 px.

    Raises:
        InputError: naming file, row (the line in the file, the header's is 1) and column (the file name's is 1).
    """
    import pandas as pd  # here, because it takes a third of a second and prediction reads no CSV

    options = {"encoding": "utf-8-sig", "encoding_errors": "surrogateescape", "keep_default_na": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            table = pd.read_csv(path, index_col=False, dtype={0: str}, **options)
        names = list(table.iloc[:, 0])
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite
            keypoints = table.iloc[:, 1:].to_numpy(np.float32)  # (N, 136)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, pd.errors.ParserWarning):  # pandas' own errors are ValueErrors too
        _explain_csv(path)
        raise
    complete = keypoints.shape[1] == CSV_COLUMNS - 1 and len(names) > 0 and np.isfinite(keypoints).all()
    distinct = len(set(names)) == len(names) and all(name.strip() for name in names)
    if not complete or not distinct or PurePath(str(table.columns[0])).suffix:
        _explain_csv(path)
    return names, keypoints.reshape(-1, NUM_LANDMARKS, 2)


def _explain_csv(path: str | Path) -> None:
    """Read row by row what pandas could not use, to say where and what is wrong.

    Raises:
        InputError: always, unless the file is in order.
    """
    rows = _csv_rows(path)
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


def _problem_of(cell: str) -> str | None:
    """What keeps a cell from being a coordinate."""
    if not cell.strip():
        return "no coordinate; fill it in or take the row out"
    try:
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite
            value = np.float32(cell)
    except ValueError:
        return f"{cell!r} is not a number; correct it"
    return None if np.isfinite(value) else f"{cell!r} is not a finite number; correct it"


def _csv_rows(path: str | Path) -> list[tuple[int, list[str]]]:
    """The rows that aren't blank, each with its line number."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file)
            return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: not CSV ({error})") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def write_csv(path: str | Path, names: Sequence[str], keypoints: np.ndarray) -> None:
    """Write keypoints (N, 68, 2) px of the images `names` as `read_csv` reads them. Exact for float32.

    Raises:
        InputError: the file can't be written.
    """
    rows = np.asarray(keypoints, np.float32).reshape(len(names), -1)  # (N, 136)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *range(2 * NUM_LANDMARKS)])
        writer.writerows([name, *map(str, row)] for name, row in zip(names, rows, strict=True))


def read_pts(path: str | Path) -> np.ndarray:
    """Read an iBUG `.pts` file, with or without its header and braces.

    Returns:
        (68, 2) float32 px, 0-based; the file counts from 1.

    Raises:
        InputError: naming file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    points = []
    for number, line in enumerate(lines, start=1):
        if not line.strip(" \t{}") or re.match(r"\s*(version|n_points)\s*:", line):
            continue
        try:
            x, y = map(float, line.split())
        except ValueError as error:
            raise InputError(f"{path}: line {number}: expected 'x y', two numbers; correct it") from error
        if not (math.isfinite(x) and math.isfinite(y)):
            raise InputError(f"{path}: line {number}: a coordinate is not finite; correct it")
        points.append((x - 1, y - 1))
    if len(points) != NUM_LANDMARKS:
        raise InputError(f"{path}: line {len(lines)}: {len(points)} points found, {NUM_LANDMARKS} expected")
    return np.array(points, np.float32)


def write_pts(path: str | Path, keypoints: np.ndarray) -> None:
    """Write keypoints (68, 2) px, 0-based, as an iBUG `.pts` file, which counts from 1.

    Raises:
        InputError: the file can't be written.
    """
    one_based = np.asarray(keypoints, np.float64) + 1
    points = "".join(f"{x:.4f} {y:.4f}\n" for x, y in one_based)
    with atomic_path(path) as temporary:
        temporary.write_text(f"version: 1\nn_points: {len(one_based)}\n{{\n{points}}}\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)  # arrays have no single truth of being equal
class Face:
    """A face of an image: its box x0, y0, x1, y1 px, the detector's score, and its keypoints (68, 2) float32 px."""

    box: tuple[float, float, float, float]
    score: float | None  # None: not from a detector
    keypoints: np.ndarray
    errors: np.ndarray | None = None
    face_score: float | None = None


@dataclass(eq=False)
class ImageResult:
    """The faces of an image `width` × `height` px."""

    image: str  # path
    width: int
    height: int
    faces: list[Face]


def write_json(path: str | Path, results: Iterable[ImageResult]) -> None:
    """Write results as JSON, an image a line, coordinates to 0.01 px:

    `{"images": [{"image": path, "width": w, "height": h, "faces": [{"box": [x0, y0, x1, y1], "score": s,
    "keypoints": [[x, y] × 68]}]}]}`

    Raises:
        InputError: the file can't be written.
    """
    images = ",\n".join(json.dumps(_image_to_json(result), allow_nan=False) for result in results)
    with atomic_path(path) as temporary:
        temporary.write_text(f'{{"images": [\n{images}\n]}}\n', encoding="utf-8")


def _image_to_json(result: ImageResult) -> dict:
    faces = [
        {
            "box": _rounded(face.box),
            "score": None if face.score is None else round(float(face.score), 4),
            "keypoints": [_rounded(point) for point in face.keypoints],
        }
        for face in result.faces
    ]
    return {"image": result.image, "width": result.width, "height": result.height, "faces": faces}


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 2) for value in values]


def read_json(path: str | Path) -> list[ImageResult]:
    """Read what `write_json` wrote.

    Raises:
        InputError: naming the file, and the image and face (counted from 1) that are wrong.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: not JSON ({error.msg}); write it anew") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise InputError(f'{path}: no list "images"; give a file that the prediction command wrote')
    return [_image_from_json(f"{path}: image {i}", image) for i, image in enumerate(data["images"], start=1)]


def _image_from_json(where: str, data: dict) -> ImageResult:
    try:
        name, width, height, faces = (data[key] for key in ("image", "width", "height", "faces"))
    except (KeyError, TypeError) as error:
        raise InputError(f'{where}: "image", "width", "height" and "faces" expected') from error
    size_is_good = all(type(size) is int and size > 0 for size in (width, height))
    if not isinstance(name, str) or not size_is_good or not isinstance(faces, list):
        raise InputError(f'{where}: "image" must be a path, "width" and "height" positive, "faces" a list')
    faces = [_face_from_json(f"{where}, face {i}", face) for i, face in enumerate(faces, start=1)]
    return ImageResult(name, width, height, faces)


def _face_from_json(where: str, data: dict) -> Face:
    try:
        score = data["score"]
        box = _finite(data["box"], (4,))
        keypoints = _finite(data["keypoints"], (NUM_LANDMARKS, 2))
        score = None if score is None else float(_finite(score, ()))
    except KeyError as error:
        raise InputError(f"{where}: no {error.args[0]}; expected box, score and keypoints") from error
    except (TypeError, ValueError, OverflowError) as error:
        expected = f"box of 4, score (or null) and keypoints {NUM_LANDMARKS} × 2, all finite numbers, expected"
        raise InputError(f"{where}: {expected}") from error
    return Face(tuple(box.tolist()), score, keypoints.astype(np.float32))


def _finite(data: object, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(data)
    if array.dtype.kind not in "if" or array.shape != shape or not np.isfinite(array).all():
        raise ValueError
    return array.astype(np.float64)


def _unreadable(path: str | Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return InputError(f"{path}: can't be read ({reason}); check the path")
