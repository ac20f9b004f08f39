"""The 68 points: their numbering, and files that give back what was put in or say in one line what is wrong."""

import itertools
import json
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.labels import read_csv, write_csv
from datasets.layout import person_of
from face68.files import InputError
from face68.formats import (
    FACES_CSV_COLUMNS,
    FILM_CSV_COLUMNS,
    ImageResult,
    append_faces_csv,
    append_jsonl,
    is_result,
    read_coco,
    read_faces_csv,
    read_json,
    read_jsonl,
    read_pts,
    write_coco,
    write_faces_csv,
    write_json,
    write_jsonl,
    write_pts,
)
from face68.landmarks import FLIP, LEFT_EYE, OUTER_EYE_CORNERS, REGIONS, RIGHT_EYE, SKELETON, Face

# A file is rewritten for each example, so the one folder that hypothesis' examples share does no harm.
same_folder = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
EDGES = np.float32([0, -0.0, 1e-45, 0.005, 0.015, 1 / 3])  # px


def drawn(shape, low, high):
    """Arrays of float32 from low to high, the edge values among them: one random number draws all of an array."""

    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        values = rng.uniform(low, high, shape).astype(np.float32)
        values.flat[rng.integers(values.size, size=len(EDGES))] = EDGES
        return values

    return st.integers(0, 2**32 - 1).map(draw)


faces_keypoints = drawn((68, 2), -2000, 12_000)
file_names = st.text(min_size=1, max_size=20).filter(
    lambda name: name.strip() and not set("\0\r\n") & set(name) and name.isprintable()
)


@pytest.fixture
def keypoints():
    """(3, 68, 2) float32 px"""
    return np.random.default_rng(0).uniform(-5, 400, (3, 68, 2)).astype(np.float32)


@pytest.fixture
def csv_lines(tmp_path, keypoints):
    """Lines of a good file, to be spoiled; `csv_error(lines)` gives what reading them says after the file's name."""
    path = tmp_path / "good.csv"
    write_csv(path, ["a.jpg", "b.jpg", "c.jpg"], keypoints)
    return path.read_text().splitlines()


@pytest.fixture
def csv_error(tmp_path):
    def error(lines: list[str]) -> str:
        path = tmp_path / "spoiled.csv"
        path.write_text("\n".join(lines))
        return message_of(read_csv, path)

    return error


def message_of(read, path) -> str:
    """What the error says after the file's name; it must be one line that names the file."""
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_regions_and_lines_hold_every_point_once():
    assert sorted(i for region in REGIONS.values() for i in region) == list(range(68))
    assert sorted(i for _, points, _ in SKELETON for i in points) == list(range(68))
    assert all(i in REGIONS[region] for region, points, _ in SKELETON for i in points)


def test_flip_is_an_involution_that_keeps_regions_and_the_axis():
    np.testing.assert_array_equal(FLIP[FLIP], np.arange(68))
    for region in REGIONS.values():
        assert sorted(FLIP[list(region)]) == list(region)
    for right, left in ((RIGHT_EYE, LEFT_EYE), (range(17, 22), range(22, 27))):
        assert set(FLIP[sorted(right)]) == set(left)
    assert sorted(np.flatnonzero(np.arange(68) == FLIP)) == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    assert FLIP[OUTER_EYE_CORNERS[0]] == OUTER_EYE_CORNERS[1]


def test_flip_keeps_the_lines_of_the_face():
    """Mirrored neighbours are neighbours: a wrong entry would draw a line across the face."""
    lines = [[*points, points[0]] if closed else points for _, points, closed in SKELETON]
    edges = {frozenset(edge) for line in lines for edge in itertools.pairwise(line)}
    assert {frozenset(int(FLIP[i]) for i in edge) for edge in edges} == edges


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("Abdel_Aziz_Al-Hakim_00.jpg", "Abdel_Aziz_Al-Hakim"),
        ("training/Jürgen_Groß_51.jpg", "Jürgen_Groß"),
        ("Person_12_34.png", "Person_12"),
        ("IMG_1234.jpg", "IMG_1234"),
        ("holiday.jpg", "holiday"),
    ],
)
def test_person_of(name, person):
    assert person_of(name) == person


@same_folder
@given(
    names=st.lists(file_names, min_size=1, max_size=3, unique=True),
    points=drawn((3, 68, 2), -2000, 12_000),
)
def test_csv_round_trip_is_exact(tmp_path, names, points):
    path = tmp_path / "points 😀.csv"
    write_csv(path, names, points[: len(names)])
    read_names, read_points, *_ = read_csv(path)
    assert read_names == names
    assert read_points.dtype == np.float32
    np.testing.assert_array_equal(read_points, points[: len(names)])


ODD_NAMES = ["a\rb.jpg", "a\nb.jpg", "a\r\nb.jpg", '"\r".jpg', "caf\udce9, 1.jpg"]


def test_what_ends_lines_may_be_in_a_name(tmp_path, keypoints):
    """Python before 3.13 writes a "\\r" without quotes, and no reader finds the rest of the file."""
    write_csv(tmp_path / "labels.csv", ODD_NAMES, np.stack([keypoints[0]] * len(ODD_NAMES)))
    assert read_csv(tmp_path / "labels.csv")[0] == ODD_NAMES
    face = Face((0, 0, 9, 9), 1.0, keypoints[0])
    write_faces_csv(tmp_path / "faces.csv", [ImageResult(name, 9, 9, [face]) for name in ODD_NAMES])
    append_faces_csv(tmp_path / "faces.csv", ImageResult("\r", 9, 9, [face]), FACES_CSV_COLUMNS)
    assert [result.image for result in read_faces_csv(tmp_path / "faces.csv")] == [*ODD_NAMES, "\r"]
    assert (tmp_path / "faces.csv").read_bytes().count(b"\r\n") == 1, "lines end as before"


def test_csv_columns_are_x0_y0_x1_y1(tmp_path):
    path = tmp_path / "points.csv"
    values = ",".join(str(i) for i in range(136))
    path.write_text(f"\ufeff,{values}\n\nä b.jpg,{values}\n\n", encoding="utf-8")  # BOM and blank lines
    names, points, *_ = read_csv(path)
    assert names == ["ä b.jpg"]
    assert points[0, 0].tolist() == [0, 1]
    assert points[0, 36].tolist() == [72, 73]


def test_csv_that_cannot_be_used_at_all(tmp_path, csv_lines, csv_error):
    assert message_of(read_csv, tmp_path / "missing.csv") == "can't be read (No such file or directory); check the path"
    assert "Is a directory" in message_of(read_csv, tmp_path)
    assert csv_error([]).startswith("is empty")
    assert csv_error(["", ""]).startswith("is empty")
    assert csv_error(csv_lines[:1]).startswith("has a header but no rows")
    assert csv_error(csv_lines[1:]).startswith("row 1: starts with an image; put a header row before it")


def test_csv_wrong_number_of_columns(csv_lines, csv_error):
    expected = "137 expected: file name, x0, y0, …, x67, y67"
    assert csv_error(["a,b,c,d", *csv_lines[1:]]) == f"row 1: 4 columns found, {expected}"
    of_one = "row 2: 137 columns found, 3 expected: file name, x0, y0"
    assert csv_error(["a,b,c", *csv_lines[1:]]) == of_one
    short, long = csv_lines[2].rpartition(",")[0], csv_lines[2] + ",5"
    assert csv_error([*csv_lines[:2], short]) == f"row 3: 136 columns found, {expected}"
    assert csv_error([*csv_lines[:2], "", long]) == f"row 4: 138 columns found, {expected}"  # blank lines count


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("left", "'left' is not a number"),
        ("1;5", "'1;5' is not a number"),
        ("", "no coordinate"),
        ("  ", "no coordinate"),
        ("nan", "'nan' is not a number"),
        ("inf", "'inf' is not a number"),
        ("-Infinity", "'-Infinity' is not a number"),
        ("1e99", "'1e99' lies outside of any image"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_csv_bad_coordinate(csv_lines, csv_error, cell, problem):
    cells = csv_lines[2].split(",")
    cells[136] = cell
    assert csv_error([*csv_lines[:2], ",".join(cells), csv_lines[3]]).startswith(f"row 3, column 137: {problem}; ")


def test_csv_file_names(csv_lines, csv_error):
    renamed = "a.jpg" + csv_lines[3].removeprefix("c.jpg")
    assert csv_error([*csv_lines[:3], renamed]) == "row 4, column 1: a.jpg has row 2 already; take one out"
    nameless = csv_lines[3].removeprefix("c.jpg")
    assert csv_error([*csv_lines[:3], nameless]).startswith("row 4, column 1: no file name")


@same_folder
@given(points=faces_keypoints)
def test_pts_round_trip(tmp_path, points):
    path = tmp_path / "ä face 😀.pts"
    write_pts(path, points)
    read = read_pts(path)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, points, atol=1e-3)


def test_pts_counts_from_one(tmp_path, keypoints):
    path = tmp_path / "face.pts"
    keypoints[0, 0] = 0, 9.5
    write_pts(path, keypoints[0])
    lines = path.read_text().splitlines()
    assert lines[:4] == ["version: 1 face68", "n_points: 68", "{", "1.0000 10.5000"]
    assert lines[-1] == "}"


def test_pts_are_read_by_what_others_use(tmp_path, keypoints):
    path = tmp_path / "face.pts"
    write_pts(path, keypoints[0])
    rows = path.read_text().splitlines()
    one_based = keypoints[0] + 1
    np.testing.assert_allclose(np.loadtxt(path, comments=("version:", "n_points:", "{", "}")), one_based, atol=1e-3)
    np.testing.assert_allclose(np.genfromtxt(path, skip_header=3, skip_footer=1), one_based, atol=1e-3)
    np.testing.assert_allclose(np.loadtxt(rows[rows.index("{") + 1 : rows.index("}")]), one_based, atol=1e-3)


@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("{\n", "}\n"), ("version: 1\r\nn_points:  68\r\n{\r\n", "}\n\n")]
)
def test_pts_with_and_without_header(tmp_path, before, after):
    path = tmp_path / "face.pts"
    path.write_text(before + "".join(f"{i + 1} {2 * i + 1.25}\n" for i in range(68)) + after, newline="")
    expected = np.stack([np.arange(68), 2 * np.arange(68) + 0.25], axis=1)
    np.testing.assert_array_equal(read_pts(path), expected)


@pytest.mark.parametrize(
    ("number", "line", "problem"),
    [
        (6, "12.5", "line 6: expected 'x y'"),
        (6, "1 2 3", "line 6: expected 'x y'"),
        (7, "one two", "line 7: 'one' is not a number"),
        (71, "1 nan", "line 71: 'nan' is not a number"),
        (71, "1 1_000", "line 71: '1_000' is not a number"),
        (71, "1e30 2", "line 71: '1e30' lies outside of any image"),
        (71, "1e400 2", "line 71: '1e400' lies outside of any image"),
        (71, "", "line 72: 67 points found, 68 expected"),
        (71, "1 2\n3 4", "line 73: 69 points found, 68 expected"),
    ],
)
def test_pts_errors(tmp_path, keypoints, number, line, problem):
    path = tmp_path / "face.pts"
    write_pts(path, keypoints[0])
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    path.write_text("\n".join(lines))
    assert message_of(read_pts, path).startswith(problem)


def test_pts_missing_or_binary(tmp_path):
    path = tmp_path / "face.pts"
    assert "No such file" in message_of(read_pts, path)
    path.write_bytes(bytes(range(256)))
    assert "line 1: " in message_of(read_pts, path)


boxes = st.tuples(*[st.floats(-100, 5000)] * 4)
scores = st.none() | st.floats(0, 1)
errors = st.none() | drawn(68, 0, 300)
faces = st.builds(Face, boxes, scores, faces_keypoints, errors, scores)
results = st.builds(ImageResult, file_names, st.integers(1, 9999), st.integers(1, 9999), st.lists(faces, max_size=2))


FORMATS = [
    (write_json, read_json),
    (write_jsonl, read_jsonl),
    (write_faces_csv, read_faces_csv),
    (write_coco, read_coco),
]


@pytest.mark.parametrize(("write", "read"), FORMATS)
@same_folder
@given(written=st.lists(results, max_size=3, unique_by=lambda result: result.image))
def test_results_round_trip_to_a_hundredth_of_a_pixel(tmp_path, write, read, written):
    path = tmp_path / "faces ü.txt"
    write(path, written)
    assert is_result(path) or not written
    if write is write_faces_csv:  # a row a face: an image without any has none
        written = [result for result in written if result.faces]
    found = read(path)
    assert [(r.image, r.width, r.height) for r in found] == [(w.image, w.width, w.height) for w in written]
    for r, w in zip(found, written, strict=True):
        for read_face, face in zip(r.faces, w.faces, strict=True):
            assert read_face.keypoints.dtype == np.float32
            np.testing.assert_allclose(read_face.keypoints, face.keypoints, atol=0.01)
            np.testing.assert_allclose(read_face.box, face.box, atol=0.02 if write is write_coco else 0.01)
            for one, other in ((read_face.score, face.score), (read_face.face_score, face.face_score)):
                assert one == (None if other is None else pytest.approx(other, abs=1e-4))
            assert (read_face.errors is None) == (face.errors is None)
            if face.errors is not None:
                np.testing.assert_allclose(read_face.errors, face.errors, atol=0.01)


films = st.builds(
    ImageResult,
    st.just("film, with a comma.mp4"),
    st.just(640),
    st.just(360),
    st.lists(
        st.builds(
            Face,
            boxes,
            scores,
            faces_keypoints,
            errors,
            scores,
            st.integers(1, 10**6),
            st.none()
            | st.fixed_dictionaries({"yaw": st.just(None) | st.integers(-90, 90), "blinks": st.integers(1, 9)}),
        ),
        max_size=2,
    ),
    st.integers(0, 10**6),
    st.integers(0, 10**6).map(lambda moment: moment / 10**4),
)


@pytest.mark.parametrize(("append", "read"), [(append_jsonl, read_jsonl), (append_faces_csv, read_faces_csv)])
@same_folder
@given(written=st.lists(films, min_size=1, max_size=3, unique_by=lambda frame: frame.frame))
def test_frames_of_a_film_come_back_with_times_identities_and_measures(tmp_path, append, read, written):
    path, columns = tmp_path / "film.txt", (*FACES_CSV_COLUMNS, *FILM_CSV_COLUMNS, "yaw", "blinks")
    if append is append_faces_csv:
        append = partial(append, columns=columns)
        write_faces_csv(path, [], columns)
        written = [frame for frame in written if frame.faces]
    else:
        write_jsonl(path, [])
    for frame in written:
        append(path, frame)
    assert is_result(path) or not written
    found = read(path)
    assert [(f.image, f.frame, f.time) for f in found] == [(f.image, f.frame, f.time) for f in written]
    for one, other in zip(found, written, strict=True):
        for face, expected in zip(one.faces, other.faces, strict=True):
            assert (face.identity, face.measures) == (expected.identity, expected.measures)
            np.testing.assert_allclose(face.keypoints, expected.keypoints, atol=0.01)


def test_what_somebody_labelled_is_no_result(tmp_path, keypoints):
    path = tmp_path / "mine"
    assert not is_result(path) and not is_result(tmp_path)
    write_pts(path, keypoints[0])
    assert is_result(path)
    path.write_text(path.read_text().replace(" face68", ""))  # as annotation tools write them
    assert not is_result(path)
    write_coco(path, [ImageResult("a.jpg", 9, 9, [])])
    coco = json.loads(path.read_text())
    path.write_text(json.dumps({key: coco[key] for key in ("images", "annotations", "categories")}))
    assert not is_result(path)
    write_csv(path, ["a.jpg"], keypoints[:1])  # labels, a row an image
    assert not is_result(path)
    for content in ("", "PK\3\4", '{"images": []}', '{"image": "a.jpg"}\n', "image,width,height\n", "\xff\xfe"):
        path.write_text(content, encoding="latin-1")
        assert not is_result(path), content


@pytest.mark.parametrize(("write", "read"), FORMATS)
def test_results_that_are_missing_or_of_another_kind(tmp_path, write, read):
    path = tmp_path / "faces.txt"
    assert message_of(read, path) == "can't be read (No such file or directory); check the path"
    path.write_text('{"some": "thing"}\n')
    message_of(read, path)
    path.write_bytes(b"\xff\xfe\x00\n")
    message_of(read, path)


def test_jsonl_grows_and_a_line_cut_off_does_not_count(tmp_path, keypoints):
    path = tmp_path / "faces.jsonl"
    results = [ImageResult(name, 9, 9, [Face((0, 0, 9, 9), 1.0, keypoints[0])]) for name in ("a\u2028.jpg", "b", "c")]
    write_jsonl(path, results[:1])
    append_jsonl(path, results[1])
    append_jsonl(path, results[2])
    assert [result.image for result in read_jsonl(path)] == ["a\u2028.jpg", "b", "c"]
    path.write_text(path.read_text()[:-5])
    assert [result.image for result in read_jsonl(path)] == ["a\u2028.jpg", "b"]
    path.write_text("{}\n" + path.read_text())
    assert message_of(read_jsonl, path).startswith('line 1: "image", "width"')


@pytest.mark.parametrize(
    ("column", "cell", "problem"),
    [(1, "wide", "a cell is no number"), (4, "", "box of 4"), (9, "", "box of 4"), (10, "nan", "box of 4")],
)
def test_faces_csv_errors(tmp_path, keypoints, column, cell, problem):
    path = tmp_path / "faces.csv"
    write_faces_csv(path, [ImageResult("a.jpg", 9, 9, [Face((0, 0, 9, 9), 1.0, keypoints[0])])])
    header, row = path.read_text().splitlines()
    cells = row.split(",")
    cells[column] = cell
    path.write_text(f"{header}\n{','.join(cells)}\n")
    assert message_of(read_faces_csv, path).startswith(f"row 2: {problem}")
    path.write_text(f"{header}\n{row},5\n")
    assert message_of(read_faces_csv, path).startswith("row 2: 282 columns found, 281 expected")
    path.write_text(f"{row}\n")
    assert message_of(read_faces_csv, path).startswith("row 1: image, width")


def test_coco_layout(tmp_path):
    path = tmp_path / "coco.json"
    face = Face((1.0, 2.0, 30.5, 42.25), 0.5, np.full((68, 2), (3.0, 4.25), np.float32), None, 0.75)
    write_coco(path, [ImageResult("none.jpg", 5, 6, []), ImageResult("two.jpg", 640, 480, [face, face])])
    data = json.loads(path.read_text())
    assert data["images"][1] == {"id": 2, "file_name": "two.jpg", "width": 640, "height": 480}
    first, second = data["annotations"]
    assert (first["id"], second["id"]) == (1, 2) and first["image_id"] == second["image_id"] == 2
    assert first["bbox"] == [1, 2, 29.5, 40.25] and first["area"] == 1187.38 and first["iscrowd"] == 0
    assert first["keypoints"] == [3, 4.25, 2] * 68 and first["num_keypoints"] == 68
    (category,) = data["categories"]
    assert len(category["keypoints"]) == len(set(category["keypoints"])) == 68
    edges = [tuple(edge) for edge in category["skeleton"]]
    assert {i for edge in edges for i in edge} == set(range(1, 69)) and category["supercategory"] == "person"
    assert (42, 37) in edges and (17, 1) not in edges and len(edges) == 63, "an eye is closed, the jaw isn't"


def test_faces_csv_layout(tmp_path):
    """Read back also with the mark that spreadsheets put before the first name."""
    path = tmp_path / "faces.csv"
    face = Face((1.0, 2.0, 30.5, 42.25), 0.5, np.full((68, 2), (3.0, 4.25), np.float32), np.ones(68, np.float32), 0.75)
    write_faces_csv(path, [ImageResult("a.jpg", 640, 480, [face])])
    header, row = path.read_text().splitlines()
    assert header.startswith("image,width,height,box_x0,box_y0,box_x1,box_y1,score,face_score,x0,y0,x1,y1,")
    of_points = [f"{name}{i}" for name in ("error", "visible") for i in range(68)]
    assert header.endswith(",x67,y67," + ",".join(of_points))
    assert row.startswith("a.jpg,640,480,1.0,2.0,30.5,42.25,0.5,0.75,3.0,4.25,3.0,4.25,") and row.endswith(
        ",1.0,1.0" + 68 * ","
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (read,) = read_faces_csv(path)
    assert read.image == "a.jpg" and read.faces[0].to_dict() == face.to_dict()


@pytest.mark.parametrize(("write", "read"), [(write_json, read_json), (write_jsonl, read_jsonl)])
def test_options_come_back_by_name(tmp_path, write, read):
    write(tmp_path / "a", [ImageResult("a.jpg", 1, 1, [], options={"passes": 3})])
    assert (
        read(tmp_path / "a")[0].options == {"passes": 3} and '"options": {"passes": 3}' in (tmp_path / "a").read_text()
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"images": 5}, "no lists"),
        ({"images": [{"id": 1}]}, "image 1: "),
        ({"annotations": [{"image_id": 7}]}, "annotation 1: "),
        ({"annotations": [{"image_id": 1, "bbox": [0, 0, 5, 5], "keypoints": [1, 2]}]}, "annotation 1: box of 4"),
    ],
)
def test_coco_errors(tmp_path, change, problem):
    path = tmp_path / "coco.json"
    write_coco(path, [ImageResult("a.jpg", 9, 9, [])])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert message_of(read_coco, path).startswith(problem)


def test_json_layout(tmp_path, keypoints):
    path = tmp_path / "faces.json"
    face = Face((1.0, 2.0, 30.126, np.float32(40.5)), np.float32(0.5), np.full((68, 2), (3.0, 4.25), np.float32))
    write_json(path, [ImageResult("ä 😀.jpg", 640, 480, [face]), ImageResult("none.jpg", 5, 6, [])])
    entry = {"box": [1.0, 2.0, 30.13, 40.5], "score": 0.5, "face_score": None}
    entry |= {"keypoints": [[3.0, 4.25]] * 68, "errors": None}
    assert json.loads(path.read_text()) == {
        "images": [
            {"image": "ä 😀.jpg", "width": 640, "height": 480, "faces": [entry]},
            {"image": "none.jpg", "width": 5, "height": 6, "faces": []},
        ]
    }


def spoiled_face(**changes) -> str:
    face = {"box": [0, 0, 9, 9], "score": 1, "keypoints": [[1, 2]] * 68} | changes
    return json.dumps({"images": [{"image": "a.jpg", "width": 9, "height": 9, "faces": [face]}]})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: not JSON"),
        ('{"images": [\n{"image": }]}', "line 2: not JSON"),
        ("[" * 100_000, "can't be read"),
        ("[1, 2]", 'no list "images"'),
        ('{"images": 3}', 'no list "images"'),
        ('{"images": [7]}', 'image 1: "image", "width"'),
        ('{"images": [{"image": "a"}]}', 'image 1: "image", "width"'),
        ('{"images": [{"image": "a", "width": 0, "height": 5, "faces": []}]}', 'image 1: "image" must be'),
        ('{"images": [{"image": "a", "width": 5, "height": 5, "faces": null}]}', 'image 1: "image" must be'),
        ('{"images": [{"image": "a", "width": 5, "height": 5, "faces": [{}]}]}', "image 1, face 1: no score"),
        (spoiled_face(box=[1, 2, 3]), "image 1, face 1: box of 4"),
        (spoiled_face(score="high"), "image 1, face 1: box of 4"),
        (spoiled_face(face_score="high"), "image 1, face 1: box of 4"),
        (spoiled_face(errors=[1, 2]), "image 1, face 1: box of 4"),
        (spoiled_face(keypoints=[[1, 2]] * 67), "image 1, face 1: box of 4"),
        (spoiled_face(keypoints=[[1, 2]] * 67 + [[1]]), "image 1, face 1: box of 4"),
        (spoiled_face(keypoints=[[1, None]] * 68), "image 1, face 1: box of 4"),
        (spoiled_face(keypoints=[[1, float("nan")]] * 68), "image 1, face 1: box of 4"),
        (spoiled_face(keypoints=[[1, 1e300]] * 68), "image 1, face 1: box of 4"),
    ],
)
def test_json_errors(tmp_path, text, problem):
    path = tmp_path / "faces.json"
    path.write_text(text)
    assert message_of(read_json, path).startswith(problem)


@pytest.mark.parametrize("append", [append_jsonl, partial(append_faces_csv, columns=FACES_CSV_COLUMNS)])
def test_what_cannot_be_appended_to_is_one_line(tmp_path, append):
    with pytest.raises(InputError, match=r"nowhere/a: can't be written \(No such file or directory\)"):
        append(tmp_path / "nowhere" / "a", ImageResult("a.jpg", 9, 9, []))
