"""The 68 facial points of iBUG/Multi-PIE (Gross et al., 2010; Sagonas et al., 2013) and the files that hold them.

Right and left are the person's own: the right eye (points 36 to 41) is on the left of the picture.
In memory keypoints are always (68, 2) float32, x before y, in pixels, 0-based, pixel centres at integers;
what a file format counts otherwise (`.pts` counts from 1) is converted here and nowhere else.
"""

import csv
import itertools
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


# --- Results: the faces found in images -----------------------------------------------------------------------
# Four files hold the same, coordinates to 0.01 px: JSON, JSON Lines (appended to as a run goes), CSV and COCO.


@dataclass(frozen=True, eq=False)  # arrays have no single truth of being equal
class Face:
    """A face of an image.

    box: x0, y0, x1, y1 px, where the face was looked for: about the square around the 68 points.
    score: the detector's own measure of how surely this is a face; None where the box was given.
    keypoints: (68, 2) float32 px.
    errors: (68,) float32, how far from the truth the network expects each keypoint to be, in px: its confidence.
    face_score: how surely this is a face, 0 … 1, by the landmark network; both are None where it doesn't say.
    """

    box: tuple[float, float, float, float]
    score: float | None
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
    """Write results as JSON, an image a line; what a network or detector doesn't say is null:

    `{"images": [{"image": path, "width": w, "height": h, "faces": [{"box": [x0, y0, x1, y1], "score": s,
    "face_score": f, "keypoints": [[x, y] × 68], "errors": [e × 68]}]}]}`

    Raises:
        InputError: the file can't be written.
    """
    images = ",\n".join(_json_line(result) for result in results)
    with atomic_path(path) as temporary:
        temporary.write_text(f'{{"images": [\n{images}\n]}}\n', encoding="utf-8")


def write_jsonl(path: str | Path, results: Iterable[ImageResult]) -> None:
    """Write results as JSON Lines: on each line an entry of the "images" of `write_json`.

    Raises:
        InputError: the file can't be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_json_line(result) + "\n" for result in results)


def append_jsonl(path: str | Path, result: ImageResult) -> None:
    """Add a line to what `write_jsonl` wrote; when the program ends in whatever way, it is there.

    Raises:
        InputError: the file can't be written.
    """
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(_json_line(result) + "\n")
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror or error}); give another place") from error


def _json_line(result: ImageResult) -> str:
    faces = [
        {
            "box": _rounded(face.box),
            "score": _score(face.score),
            "face_score": _score(face.face_score),
            "keypoints": [_rounded(point) for point in face.keypoints],
            "errors": None if face.errors is None else _rounded(face.errors),
        }
        for face in result.faces
    ]
    image = {"image": result.image, "width": result.width, "height": result.height, "faces": faces}
    return json.dumps(image, allow_nan=False)


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 2) for value in values]


def _score(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def read_json(path: str | Path) -> list[ImageResult]:
    """Read what `write_json` wrote; a face without "errors" and "face_score" has none.

    Raises:
        InputError: naming the file, and the image and face (counted from 1) that are wrong.
    """
    data = _load_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise InputError(f'{path}: no list "images"; give a file that the prediction command wrote')
    return [_image_from_json(f"{path}: image {i}", image) for i, image in enumerate(data["images"], start=1)]


def read_jsonl(path: str | Path) -> list[ImageResult]:
    """Read what `write_jsonl` and `append_jsonl` wrote. A last line without its end, of a run cut off, doesn't count.

    Raises:
        InputError: naming the file, and the line and face (counted from 1) that are wrong.
    """
    try:
        *lines, _ = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    results = []
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number}: not JSON; write it anew") from error
        results.append(_image_from_json(f"{path}: line {number}", data))
    return results


def _load_json(path: str | Path) -> object:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: not JSON ({error.msg}); write it anew") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error


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
        score, face_score = _optional(data["score"], ()), _optional(data.get("face_score"), ())
        box = _finite(data["box"], (4,))
        keypoints = _finite(data["keypoints"], (NUM_LANDMARKS, 2))
        errors = _optional(data.get("errors"), (NUM_LANDMARKS,))
    except KeyError as error:
        raise InputError(f"{where}: no {error.args[0]}; expected box, score and keypoints") from error
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        expected = (
            f"box of 4, score and face_score (or null), keypoints {NUM_LANDMARKS} × 2 and errors {NUM_LANDMARKS} "
            "(or null), all finite numbers, expected"
        )
        raise InputError(f"{where}: {expected}") from error
    return Face(
        tuple(box.tolist()),
        None if score is None else float(score),
        keypoints.astype(np.float32),
        None if errors is None else errors.astype(np.float32),
        None if face_score is None else float(face_score),
    )


def _optional(data: object, shape: tuple[int, ...]) -> np.ndarray | None:
    return None if data is None else _finite(data, shape)


def _finite(data: object, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(data)
    if array.dtype.kind not in "if" or array.shape != shape or not np.isfinite(array).all():
        raise ValueError
    return array.astype(np.float64)


FACES_CSV_COLUMNS = (
    *("image", "width", "height", "box_x0", "box_y0", "box_x1", "box_y1", "score", "face_score"),
    *(f"{axis}{i}" for i in range(NUM_LANDMARKS) for axis in "xy"),
    *(f"error{i}" for i in range(NUM_LANDMARKS)),
)


def write_faces_csv(path: str | Path, results: Iterable[ImageResult]) -> None:
    """Write results as CSV with the header `FACES_CSV_COLUMNS`, a row a face; what isn't known is an empty cell.

    An image without a face has no row.

    Raises:
        InputError: the file can't be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FACES_CSV_COLUMNS)
        for result in results:
            for face in result.faces:
                scores = [_score(face.score), _score(face.face_score)]  # csv writes None as an empty cell
                errors = [None] * NUM_LANDMARKS if face.errors is None else _rounded(face.errors)
                numbers = [*_rounded(face.box), *scores, *_rounded(face.keypoints.ravel()), *errors]
                writer.writerow([result.image, result.width, result.height, *numbers])


def read_faces_csv(path: str | Path) -> list[ImageResult]:
    """Read what `write_faces_csv` wrote.

    Raises:
        InputError: naming the file and the row that is wrong.
    """
    (_, header), *rows = _csv_rows(path) or [(1, [])]
    if tuple(header) != FACES_CSV_COLUMNS:
        raise InputError(f"{path}: row 1: image, width, …, error67 expected; give a file of the prediction command")
    results = {}
    for line, row in rows:
        where = f"{path}: row {line}"
        if len(row) != len(header):
            raise InputError(f"{where}: {len(row)} columns found, {len(header)} expected")
        try:
            width, height = int(row[1]), int(row[2])
            numbers = [float(cell) if cell else None for cell in row[3:]]
        except ValueError as error:
            raise InputError(f"{where}: a cell is no number; correct it") from error
        points, errors = numbers[6 : 6 + 2 * NUM_LANDMARKS], numbers[6 + 2 * NUM_LANDMARKS :]
        face = {
            "box": numbers[:4],
            "score": numbers[4],
            "face_score": numbers[5],
            "keypoints": [points[i : i + 2] for i in range(0, len(points), 2)],
            "errors": None if errors[0] is None else errors,
        }
        result = results.setdefault(row[0], ImageResult(row[0], width, height, []))
        result.faces.append(_face_from_json(where, face))
    return list(results.values())


def write_coco(path: str | Path, results: Iterable[ImageResult]) -> None:
    """Write results as COCO keypoints (Lin et al., 2014; cocodataset.org, "Data format"): an annotation a face.

    All points are marked as visible (v = 2). Besides COCO's keys an annotation has "score", "face_score" and "errors",
    as in `write_json`. Coordinates are 0-based with pixel centres at integers; COCO itself leaves that open.

    Raises:
        InputError: the file can't be written.
    """
    images, annotations = [], []
    for i, result in enumerate(results, start=1):
        images.append({"id": i, "file_name": result.image, "width": result.width, "height": result.height})
        annotations += [_coco_annotation(face, i) for face in result.faces]
    annotations = [{"id": i, **annotation} for i, annotation in enumerate(annotations, start=1)]
    names = [f"{region}_{i}" for region, points in REGIONS.items() for i in points]
    category = {"id": 1, "name": "face", "supercategory": "person", "keypoints": names, "skeleton": _coco_skeleton()}
    data = {"images": images, "annotations": annotations, "categories": [category]}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(data, allow_nan=False) + "\n", encoding="utf-8")


def _coco_annotation(face: Face, image_id: int) -> dict:
    x0, y0, x1, y1 = face.box
    return {
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": _rounded((x0, y0, x1 - x0, y1 - y0)),
        "area": round(float((x1 - x0) * (y1 - y0)), 2),
        "num_keypoints": NUM_LANDMARKS,
        "keypoints": [value for point in face.keypoints for value in (*_rounded(point), 2)],
        "score": _score(face.score),
        "face_score": _score(face.face_score),
        "errors": None if face.errors is None else _rounded(face.errors),
    }


def _coco_skeleton() -> list[list[int]]:
    """The lines of a drawn face as pairs of keypoints, counted from 1 as COCO does."""
    lines = [[*points, points[0]] if closed else list(points) for _, points, closed in SKELETON]
    return [[a + 1, b + 1] for line in lines for a, b in itertools.pairwise(line)]


def read_coco(path: str | Path) -> list[ImageResult]:
    """Read what `write_coco` wrote, or other COCO annotations of 68 keypoints a face; visibility is left out.

    Raises:
        InputError: naming the file, and the image or annotation (counted from 1) that is wrong.
    """
    data = _load_json(path)
    try:
        images, annotations = list(data["images"]), list(data["annotations"])
    except (KeyError, TypeError) as error:
        raise InputError(f'{path}: no lists "images" and "annotations"; give a file of COCO keypoints') from error
    results = {}
    for i, image in enumerate(images, start=1):
        try:
            entry = {"image": image["file_name"], "width": image["width"], "height": image["height"], "faces": []}
            results[image["id"]] = _image_from_json(f"{path}: image {i}", entry)
        except (KeyError, TypeError) as error:
            raise InputError(f'{path}: image {i}: "id", "file_name", "width" and "height" expected') from error
    for i, annotation in enumerate(annotations, start=1):
        where = f"{path}: annotation {i}"
        try:
            faces, flat = results[annotation["image_id"]].faces, annotation["keypoints"]
            x, y, width, height = annotation["bbox"]
            points = [flat[j : j + 2] for j in range(0, len(flat), 3)]
            face = {"score": None} | annotation | {"box": [x, y, x + width, y + height], "keypoints": points}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f'{where}: "image_id" of an image, "bbox" and "keypoints" expected') from error
        faces.append(_face_from_json(where, face))
    return list(results.values())


def _unreadable(path: str | Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return InputError(f"{path}: can't be read ({reason}); check the path")
