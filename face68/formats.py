"""The files that hold faces: iBUG's `.pts`, JSON, JSON Lines, CSV, COCO and imglab's XML, written and read back.

In memory keypoints are always (N, 2) float32, x before y, in pixels, 0-based, pixel centres at integers; what a file
format counts otherwise (`.pts` counts from 1) is converted here and nowhere else.
"""

import contextlib
import csv
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO
from xml.etree import ElementTree

import numpy as np

from face68.files import MARK, InputError, atomic_path, printable, unwritable
from face68.landmarks import IBUG68, NUM_LANDMARKS, PROBABLY, SCHEMES, Face, rounded, scheme_from, scheme_of, scheme_to
from face68.schemes import MOST_POINTS, Scheme

_MOST = float(np.finfo(np.float32).max)  # of a number that a result may hold: points are kept as float32
_PTS_HEAD = f"version: 1 {MARK}\n"  # readers skip three lines, or all up to the brace


def read_pts(path: str | Path, count: int | None = NUM_LANDMARKS) -> np.ndarray:
    """Read an iBUG `.pts` file, with or without its header and braces.

    count: of its points; None: any from 1 to MOST_POINTS.

    Returns:
        (68, 2) float32 px, 0-based; the file counts from 1. A point of "-1 -1" has no position, as in MERL-RAV (Kumar
        et al., 2020, LUVLi): it is NaN.

    Raises:
        InputError: naming file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    points = []
    for number, line in enumerate(lines, start=1):
        if not line.strip(" \t{}") or re.match(r"\s*(version|n_points)\s*:", line):
            continue
        if len(cells := line.split()) != 2:
            raise InputError(f"{path}: line {number}: expected 'x y', two numbers; correct it")
        try:
            point = [coordinate(cell) for cell in cells]
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}; correct it") from error
        points.append([math.nan, math.nan] if point == [-1, -1] else [value - 1 for value in point])
    least, most = (1, MOST_POINTS) if count is None else (count, count)
    if not least <= len(points) <= most:
        expected = f"{least} to {most}" if count is None else count
        raise InputError(f"{path}: line {len(lines)}: {len(points)} points found, {expected} expected")
    return np.array(points, np.float32)


FARTHEST = 1e5  # px, of a labelled point from the image's corner; no picture is as large
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def coordinate(text: str) -> float:
    """A coordinate of a label, in px. Stricter than Python's float, which takes 1_000 and other scripts' digits.

    Raises:
        ValueError: saying why it is none.
    """
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{text[:40]!r} is not a number")
    if not abs(float(text)) <= FARTHEST:
        raise ValueError(f"{text[:40]!r} lies outside of any image")
    return float(text)


def write_pts(path: str | Path, keypoints: np.ndarray) -> None:
    """Write keypoints (68, 2) px, 0-based, as an iBUG `.pts` file, which counts from 1. `is_result` knows it from
    hand-made labels by its first line.

    Raises:
        InputError: the file can't be written.
    """
    one_based = np.asarray(keypoints, np.float64) + 1
    points = "".join(f"{x:.4f} {y:.4f}\n" for x, y in one_based)
    with atomic_path(path) as temporary:
        temporary.write_text(f"{_PTS_HEAD}n_points: {len(one_based)}\n{{\n{points}}}\n", encoding="utf-8")


# --- Results: the faces found in images -----------------------------------------------------------------------
# Four files hold the same, coordinates to 0.01 px: JSON, JSON Lines (appended to as a run goes), CSV and COCO. imglab's
# XML has boxes and points alone, in whole pixels.


@dataclass(eq=False)
class ImageResult:
    """The faces of an image of `width` × `height` px; for a frame of a film its number, from 0, and its time, seconds.

    options: the options that decided on the faces, by name, in JSON's types; JSON and JSON Lines keep them.
    """

    image: str  # path, of the film where it is a frame
    width: int
    height: int
    faces: list[Face]
    frame: int | None = None
    time: float | None = None
    options: dict | None = None


def write_json(path: str | Path, results: Iterable[ImageResult]) -> None:
    """Write results as JSON, an image a line; values that a network or detector doesn't give are null:

    `{"images": [{"image": path, "width": w, "height": h, "faces": [{"box": [x0, y0, x1, y1], "score": s,
    "face_score": f, "keypoints": [[x, y] × 68], "errors": [e × 68]}]}]}`

    Where they are known, a face also has "visible", "identity" and "measures" (see `Face`), an image "frame", "time"
    and "options". Of other points than iBUG's 68 an image has their "scheme": its name or, of your own, all of it.

    Raises:
        InputError: the file can't be written.
    """
    images = ",\n".join(map(json_line, results))
    with atomic_path(path) as temporary:
        temporary.write_text(f'{{"images": [\n{images}\n]}}\n', encoding="utf-8")


def write_jsonl(path: str | Path, results: Iterable[ImageResult]) -> None:
    """Write results as JSON Lines: on each line an entry of the "images" of `write_json`.

    Raises:
        InputError: the file can't be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json_line(result) + "\n" for result in results)


def append_jsonl(path: str | Path, result: ImageResult) -> None:
    """Add a line to a file of `write_jsonl`. It is there at once, however the program ends.

    Raises:
        InputError: the file can't be written.
    """
    with _appended(path) as file:
        file.write(json_line(result) + "\n")


def json_line(result: ImageResult) -> str:
    image = {"image": result.image}
    if result.frame is not None:
        image |= {"frame": result.frame, "time": round(result.time, 4)}
    image |= {"width": result.width, "height": result.height, "faces": [face.to_dict() for face in result.faces]}
    if (scheme := scheme_of_faces(result.faces)) != IBUG68:
        image |= {"scheme": scheme_to(scheme)}
    return json.dumps(image if result.options is None else image | {"options": result.options}, allow_nan=False)


def scheme_of_faces(faces: Iterable[Face]) -> Scheme:
    """The scheme of the faces, the default one if there is none."""
    return next((face.scheme for face in faces), IBUG68)


def read_json(path: str | Path) -> list[ImageResult]:
    """Read a file of `write_json`; "errors" and "face_score" of a face may be missing.

    Raises:
        InputError: naming the file, and the image and face (counted from 1) that are wrong.
    """
    data = _load_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise InputError(f'{path}: no list "images"; give a file that the prediction command wrote')
    return [_image_from_json(f"{path}: image {i}", image) for i, image in enumerate(data["images"], start=1)]


def read_jsonl(path: str | Path) -> list[ImageResult]:
    """Read a file of `write_jsonl` and `append_jsonl`. A last line without its end, as of a killed run, is skipped.

    Raises:
        InputError: naming the file, and the line and face (counted from 1) that are wrong.
    """
    try:
        *lines, _ = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
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
        raise unreadable(path, error) from error


def _image_from_json(where: str, data: dict) -> ImageResult:
    try:
        name, width, height, faces = (data[key] for key in ("image", "width", "height", "faces"))
    except (KeyError, TypeError) as error:
        raise InputError(f'{where}: "image", "width", "height" and "faces" expected') from error
    size_is_good = all(type(size) is int and size > 0 for size in (width, height))
    if not isinstance(name, str) or not size_is_good or not isinstance(faces, list):
        raise InputError(f'{where}: "image" must be a path, "width" and "height" positive, "faces" a list')
    frame, seconds = data.get("frame"), data.get("time")
    if frame is not None and not (type(frame) is int and type(seconds) in (int, float) and math.isfinite(seconds)):
        raise InputError(f'{where}: "frame" must be a whole number, with a "time" in seconds')
    options = data.get("options")
    if not isinstance(options, dict | None):
        raise InputError(f'{where}: "options" must be by name')
    try:
        scheme = scheme_from(data.get("scheme"))
    except ValueError as error:
        raise InputError(f'{where}: "scheme": {error}') from error
    faces = [_face_from_json(f"{where}, face {i}", face, scheme) for i, face in enumerate(faces, start=1)]
    return ImageResult(name, width, height, faces, frame, seconds, options)


def _face_from_json(where: str, data: dict, scheme: Scheme) -> Face:
    count = len(scheme)
    try:
        score, face_score, identity = map(_optional, (data["score"], data.get("face_score"), data.get("identity")))
        box = _finite(data["box"], (4,))
        keypoints = _finite(data["keypoints"], (count, 2))
        errors = None if data.get("errors") is None else _finite(data["errors"], (count,)).astype(np.float32)
        visible = None if data.get("visible") is None else _finite(data["visible"], (count,)).astype(np.float32)
        measures = {name: _optional(value) for name, value in (data.get("measures") or {}).items()} or None
    except KeyError as error:
        raise InputError(f"{where}: no {error.args[0]}; expected box, score and keypoints") from error
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        expected = (
            f"box of 4, score and face_score (or null), keypoints {count} × 2 and errors {count} "
            "(or null), all finite numbers, expected"
        )
        raise InputError(f"{where}: {expected}") from error
    identity = None if identity is None else int(identity)
    keypoints = keypoints.astype(np.float32)
    return Face(tuple(box.tolist()), score, keypoints, errors, face_score, identity, measures, visible, scheme)


def _optional(data: object) -> float | None:
    return None if data is None else float(_finite(data, ()))


def _finite(data: object, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(data)
    if array.dtype.kind not in "if" or array.shape != shape or not (abs(array) <= _MOST).all():  # NaN neither
        raise ValueError
    return array.astype(np.float64)


_BOX_COLUMNS = ("box_x0", "box_y0", "box_x1", "box_y1")
_HEAD_COLUMNS = ("image", "width", "height", *_BOX_COLUMNS, "score", "face_score")


def _columns_of_points(count: int) -> dict[str, tuple[str, ...]]:
    """The columns of so many points, by their key in `Face.to_dict`."""
    return {
        "keypoints": tuple(f"{axis}{i}" for i in range(count) for axis in "xy"),
        "errors": tuple(f"error{i}" for i in range(count)),
        "visible": tuple(f"visible{i}" for i in range(count)),
    }


def faces_csv_columns(count: int) -> tuple[str, ...]:
    """The columns of results of so many points."""
    return (*_HEAD_COLUMNS, *itertools.chain(*_columns_of_points(count).values()))


FACES_CSV_COLUMNS = faces_csv_columns(NUM_LANDMARKS)
FILM_CSV_COLUMNS = ("frame", "time", "identity")  # of films only; measures follow where there are any


def write_faces_csv(
    path: str | Path, results: Iterable[ImageResult], columns: Sequence[str] = FACES_CSV_COLUMNS
) -> None:
    """Write results as CSV, a row a face; unknown values are empty cells. An image without a face has no row.

    columns: `faces_csv_columns`, with `FILM_CSV_COLUMNS` and `measures.NAMES` behind.

    Raises:
        InputError: the file can't be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", **_TEXT) as file:
        csv_writer(file).writerow(columns)
        for result in results:
            csv_writer(file).writerows(_csv_rows(result, columns))


def append_faces_csv(path: str | Path, result: ImageResult, columns: Sequence[str]) -> None:
    """Add the rows of an image to a file of `write_faces_csv` with the same columns.

    Raises:
        InputError: the file can't be written.
    """
    with _appended(path) as file:
        csv_writer(file).writerows(_csv_rows(result, columns))


@contextlib.contextmanager
def _appended(path: str | Path) -> Iterator[TextIO]:
    try:
        with Path(path).open("a", **_TEXT) as file:
            yield file
    except OSError as error:
        raise unwritable(path, error) from error


_TEXT = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}  # a file's name needn't be text


def csv_writer(file: TextIO):
    """A csv.writer whose lines end in "\\n". Python before 3.13 quotes a "\\r" in a name only if lines end in it."""
    return csv.writer(SimpleNamespace(write=lambda line: file.write(line.removesuffix("\r\n") + "\n")))


def _csv_rows(result: ImageResult, columns: Sequence[str]) -> Iterator[list]:
    for face in result.faces:
        values = {"image": result.image, "width": result.width, "height": result.height} | face.to_dict()
        values |= zip(_BOX_COLUMNS, values["box"], strict=True)
        values["keypoints"] = [*itertools.chain(*values["keypoints"])]
        for key, names in _columns_of_points(len(face.scheme)).items():
            if values.get(key) is not None:
                values |= zip(names, values[key], strict=True)
        if result.frame is not None:
            values |= {"frame": result.frame, "time": round(result.time, 4)}
        values |= face.measures or {}
        yield [values.get(column) for column in columns]  # None becomes an empty cell


def read_faces_csv(path: str | Path) -> list[ImageResult]:
    """Read a file of `write_faces_csv` and `append_faces_csv`. It doesn't name its points: `scheme_of` their number.

    Raises:
        InputError: naming the file and the row that is wrong.
    """
    (_, header), *rows = csv_rows(path) or [(1, [])]
    count = min(MOST_POINTS, max(1, sum(re.fullmatch(r"x\d+", name) is not None for name in header)))
    columns, of_points = faces_csv_columns(count), _columns_of_points(count)
    if tuple(header[: len(columns)]) != columns:
        raise InputError(
            f"{path}: row 1: image, width, …, {columns[-1]} expected; give a file of the prediction command"
        )
    measures = [name for name in header[len(columns) :] if name not in FILM_CSV_COLUMNS]
    scheme, results = scheme_of(count), {}
    for line, row in rows:
        where = f"{path}: row {line}"
        if len(row) != len(header):
            raise InputError(f"{where}: {len(row)} columns found, {len(header)} expected")
        cells = dict(zip(header, row, strict=True))
        try:
            numbers = {name: float(cell) for name, cell in cells.items() if cell and name != "image"}
            width, height = int(cells["width"]), int(cells["height"])
            frame, identity = (int(cells[name]) if cells.get(name) else None for name in ("frame", "identity"))
        except ValueError as error:
            raise InputError(f"{where}: a cell is no number; correct it") from error
        points = [numbers.get(name) for name in of_points["keypoints"]]
        face = {
            "box": [numbers.get(name) for name in _BOX_COLUMNS],
            "score": numbers.get("score"),
            "face_score": numbers.get("face_score"),
            "keypoints": [points[i : i + 2] for i in range(0, len(points), 2)],
            "errors": [numbers.get(name) for name in of_points["errors"]] if cells["error0"] else None,
            "visible": [numbers.get(name) for name in of_points["visible"]] if cells["visible0"] else None,
            "identity": identity,
            "measures": {name: numbers.get(name) for name in measures} if numbers.keys() & measures else None,
        }
        image = ImageResult(cells["image"], width, height, [], frame, numbers.get("time"))
        results.setdefault((image.image, frame), image).faces.append(_face_from_json(where, face, scheme))
    return list(results.values())


_READERS = {".json": read_json, ".jsonl": read_jsonl, ".csv": read_faces_csv}


def read_results(path: str | Path) -> list[ImageResult]:
    """Read JSON, JSON Lines or CSV, by the suffix.

    Raises:
        InputError: it has another suffix, or its reader's error.
    """
    reader = _READERS.get(Path(path).suffix.lower())
    if reader is None:
        raise InputError(f"{path}: results are read from {', '.join(_READERS)}; give such a file")
    return reader(path)


_COCO_INFO = {"description": f"faces found by {MARK}"}


def write_coco(path: str | Path, results: Iterable[ImageResult]) -> None:
    """Write results as COCO keypoints (Lin et al., 2014; cocodataset.org, "Data format"): an annotation a face.

    A point is marked as visible (v = 2) unless the network doubts it (v = 1). Besides COCO's keys an annotation has
    "score", "face_score" and "errors", as in `write_json`, and "visible" and "measures" where they are known.
    Coordinates are 0-based with pixel centres at integers; COCO itself leaves that open.

    Raises:
        InputError: the file can't be written.
    """
    images, annotations, results = [], [], list(results)
    scheme = scheme_of_faces(face for result in results for face in result.faces)
    for i, result in enumerate(results, start=1):
        images.append({"id": i, "file_name": result.image, "width": result.width, "height": result.height})
        annotations += [_coco_annotation(face, i) for face in result.faces]
    annotations = [{"id": i, **annotation} for i, annotation in enumerate(annotations, start=1)]
    category = {"id": 1, "name": "face", "supercategory": "person"} if scheme.eyes else {"id": 1, "name": scheme.name}
    category |= {"keypoints": list(scheme.points), "skeleton": _coco_skeleton(scheme)}
    data = {"info": _COCO_INFO, "images": images, "annotations": annotations, "categories": [category]}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(data, allow_nan=False) + "\n", encoding="utf-8")


def _coco_annotation(face: Face, image_id: int) -> dict:
    x0, y0, x1, y1 = face.box
    values = face.to_dict()
    visibility = [2] * len(face.scheme) if face.visible is None else [1 + (p >= PROBABLY) for p in values["visible"]]
    return {
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": rounded((x0, y0, x1 - x0, y1 - y0)),
        "area": round(float((x1 - x0) * (y1 - y0)), 2),
        "num_keypoints": len(face.scheme),
        "keypoints": [x for point, v in zip(values["keypoints"], visibility, strict=True) for x in (*point, v)],
        **{name: values[name] for name in ("score", "face_score", "errors", "visible", "measures") if name in values},
    }


def _coco_skeleton(scheme: Scheme) -> list[list[int]]:
    """The lines of a drawn face as pairs of keypoints, counted from 1 as COCO does."""
    lines = [[*points, points[0]] if closed else list(points) for _, points, closed in scheme.lines]
    return [[a + 1, b + 1] for line in lines for a, b in itertools.pairwise(line)]


def read_coco(path: str | Path) -> list[ImageResult]:
    """Read a file of `write_coco`, or other COCO annotations of keypoints; visibility is ignored. The points have the
    names of the first category.

    Raises:
        InputError: naming the file, and the image or annotation (counted from 1) that is wrong.
    """
    data = _load_json(path)
    try:
        images, annotations = list(data["images"]), list(data["annotations"])
    except (KeyError, TypeError) as error:
        raise InputError(f'{path}: no lists "images" and "annotations"; give a file of COCO keypoints') from error
    scheme, results = _coco_scheme(data, annotations), {}
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
        faces.append(_face_from_json(where, face, scheme))
    return list(results.values())


def _coco_scheme(data: dict, annotations: list) -> Scheme:
    """The scheme whose points have the names of the first category, else one that knows these or their number alone."""
    try:
        names = tuple(data["categories"][0]["keypoints"])
        known = [scheme for scheme in SCHEMES.values() if scheme.points == names]
        return known[0] if known else Scheme.from_dict({"points": list(names)})
    except (KeyError, IndexError, TypeError, ValueError):
        flat = [one.get("keypoints") for one in annotations if isinstance(one, dict)]
        count = next((len(numbers) // 3 for numbers in flat if isinstance(numbers, list)), 0)
        return scheme_of(count) if 0 < count <= MOST_POINTS else IBUG68


_XML_HEAD = f"<?xml version='1.0' encoding='UTF-8'?>\n<dataset>\n<name>faces found by {MARK}</name>\n"


def write_imglab(path: str | Path, results: Iterable[ImageResult]) -> None:
    """Write results as the XML of dlib's imglab, which dlib trains on. It looks for images beside the file; their paths
    are written as they are.

    Raises:
        InputError: the file can't be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f"{_XML_HEAD}<images>\n")
        for result in results:
            name = escape(printable(result.image))
            file.write(f"<image file='{name}' width='{result.width}' height='{result.height}'>\n")
            file.writelines(map(_imglab_box, result.faces))
            file.write("</image>\n")
        file.write("</images>\n</dataset>\n")


def _imglab_box(face: Face) -> str:
    left, top, right, bottom = map(round, face.box)  # the last ones belong to it
    points = np.rint(face.keypoints).astype(int)
    parts = "".join(f"<part name='{i:02}' x='{x}' y='{y}'/>" for i, (x, y) in enumerate(points))
    return f"<box top='{top}' left='{left}' width='{right - left + 1}' height='{bottom - top + 1}'>{parts}</box>\n"


def read_imglab(path: str | Path) -> list[ImageResult]:
    """Read imglab's XML with parts 0 to 67 in each box; boxes to ignore are left out. An image is 0 × 0 px where the
    file doesn't say its size.

    Raises:
        InputError: naming the file, and the image (counted from 1) that is wrong.
    """
    try:
        content = Path(path).read_bytes()
        if b"<!DOCTYPE" in content:  # whose entities may stand for any amount of text
            raise ValueError("it declares a document type")
        images = list(ElementTree.fromstring(content).iter("image"))
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:  # LookupError: an unknown encoding
        raise unreadable(path, error) from error
    results = []
    for i, image in enumerate(images, start=1):
        try:
            size = (int(image.get(side, "0")) for side in ("width", "height"))
            faces = [_face_from_imglab(box) for box in image.iter("box") if box.get("ignore") != "1"]
            results.append(ImageResult(image.attrib["file"], *size, faces))
        except (KeyError, ValueError) as error:
            raise InputError(f"{path}: image {i}: a file, and boxes of parts 0 to 67 expected ({error})") from error
    return results


def _face_from_imglab(box: ElementTree.Element) -> Face:
    left, top, width, height = (coordinate(box.attrib[name]) for name in ("left", "top", "width", "height"))
    parts = {int(part.attrib["name"]): [coordinate(part.attrib[axis]) for axis in "xy"] for part in box.iter("part")}
    keypoints = np.array([parts[i] for i in range(NUM_LANDMARKS)], np.float32)
    return Face((left, top, left + width - 1, top + height - 1), None, keypoints)


_JSON_HEAD = re.compile(r'(\{"images": \[\n)?\{"image": ".*"width": \d+, "height": \d+, "faces": \[')
_HEADS = (_PTS_HEAD, ",".join((*_HEAD_COLUMNS, "x0", "y0")), json.dumps({"info": _COCO_INFO})[:-1] + ", ", _XML_HEAD)


def is_result(path: str | Path) -> bool:
    """Whether a file begins as this module's functions write them; files of labels and of other programs don't."""
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    return head.startswith(_HEADS) or _JSON_HEAD.match(head) is not None


def csv_rows(path: str | Path) -> list[tuple[int, list[str]]]:
    """The rows that aren't blank, each with its line number."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file)
            return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: not CSV ({error})") from error
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: str | Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return InputError(f"{path}: can't be read ({reason}); check the path")
