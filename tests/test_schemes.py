"""Schemes of points: data that code asks; sets of any number of points train, predict and are measured."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import PRETRAINED, SAMPLE, one_line_error
from hypothesis import given
from hypothesis import strategies as st

import evaluate
import predict
import prepare
from benchmarks.material import small_set
from data_load import CropFace, RandomCropFace, open_split
from datasets.labels import read_csv, read_pts_folder, write_csv
from datasets.layout import public_layout
from datasets.synthetic.curves import curve
from evaluation import metrics
from face68 import Landmarker, Tracker
from face68.draw import draw_faces, draw_keypoints, schematic_face
from face68.files import InputError
from face68.formats import (
    ImageResult,
    faces_csv_columns,
    read_coco,
    read_faces_csv,
    read_json,
    write_coco,
    write_faces_csv,
    write_json,
    write_pts,
)
from face68.geometry import CropPolicy, box_of
from face68.landmarks import (
    BRIDGE,
    IBUG68,
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    MOUTH_CORNERS,
    NOSE_TIP,
    NOSTRILS,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
    SCHEMES,
    Face,
    face_frames,
    find_scheme,
    scheme_from,
    scheme_of,
    scheme_to,
    unit_length,
    upright_frame,
)
from face68.measures import measured
from face68.network import OnnxNetwork, Predictions
from face68.overlays import draw_overlays
from face68.schemes import MOST_POINTS, Scheme
from training.checkpoint import TorchNetwork, load_checkpoint

SMALL = ("--model-option", "widths=4,4,8,8,8", "--batch-size", "4", "--epochs", "1", "--recipe", "best")
WFLW98, MTFL5 = SCHEMES["wflw98"], SCHEMES["mtfl5"]


# --- Points made of the 68 --------------------------------------------------------------------------------------------


def five(face: np.ndarray) -> np.ndarray:
    """MTFL's 5 points of a face (68, 2): the eyes' middles, the tip of the nose, the corners of the mouth."""
    right, left = face[list(RIGHT_EYE)].mean(axis=0), face[list(LEFT_EYE)].mean(axis=0)
    return np.stack([right, left, face[NOSE_TIP], *face[MOUTH_CORNERS]])


def ninety_eight(face: np.ndarray) -> np.ndarray:
    """WFLW's 98 points of a face (68, 2), on the curves through its points."""

    def along(points, at) -> np.ndarray:
        return curve(face[list(points)], np.asarray(at, float))

    def brow(points, inner_first: bool) -> np.ndarray:
        upper = along(points, range(5))
        lower = along(points, [3.7, 2.5, 1.5, 0.6]) if not inner_first else along(points, [3.4, 2.5, 1.5, 0.3])
        return np.concatenate([upper, np.add(lower, [0, 0.12 * np.linalg.norm(upper[0] - upper[-1])])])

    def eye(points, middles) -> np.ndarray:
        ring = along([*points, points[0]], [0, 1, 2, 3, 4, 5])
        middle = [along([*points, points[0]], [at])[0] for at in middles]
        return ring, middle

    right, (right_up, right_low) = eye(RIGHT_EYE, (1.5, 4.5))
    left, (left_up, left_low) = eye(LEFT_EYE, (1.5, 4.5))
    pupils = [face[list(points)].mean(axis=0) for points in (RIGHT_EYE, LEFT_EYE)]
    parts = [
        along(JAW, np.arange(33) / 2),
        brow(RIGHT_BROW, inner_first=False),
        brow(LEFT_BROW, inner_first=True),
        face[list(BRIDGE)],
        face[list(NOSTRILS)],
        [*right[:2], right_up, *right[2:5], right_low, right[5]],
        [*left[:2], left_up, *left[2:5], left_low, left[5]],
        face[OUTER_LIPS.start :],
        pupils,
    ]
    return np.concatenate(parts)


def many(count: int):
    """So many points along the 68, in their order; a single one is the tip of the nose."""

    def of(face: np.ndarray) -> np.ndarray:
        if count == 1:
            return face[[NOSE_TIP]]
        at = np.linspace(0, len(face) - 1, count)
        return np.stack([np.interp(at, np.arange(len(face)), column) for column in face.T], axis=-1)

    return of


def set_of(folder, of_face, scheme=None):
    """A part of the drawn sample with other points."""
    for split in ("training", "test"):
        csv_file, _ = public_layout(small_set(folder, split), split)
        labels = read_csv(csv_file)
        write_csv(csv_file, labels.names, np.stack([*map(of_face, labels.keypoints)]))
    if scheme is not None:
        (folder / "scheme.json").write_text(json.dumps(scheme))
    return folder


WHOLE = ("wflw98", "1")  # of these sets the training ends with pictures and an exported file, which take seconds
SETS = {  # how points are made of the 68, scheme.json, and the norm of the errors
    "mtfl5": (five, {"scheme": "mtfl5"}, "inter-pupil"),
    "wflw98": (ninety_eight, {"scheme": "wflw98"}, "inter-ocular"),
    "5": (five, None, "diagonal"),
    "1": (many(1), None, "100 px"),
    "500": (many(500), None, "diagonal"),
    "nose": (many(2), {"points": ["right", "left"], "normaliser": ["right", "left"], "mirror": [[0, 1]]}, "pair"),
}


# --- Schemes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_a_shipped_scheme_is_complete(scheme):
    every = np.arange(len(scheme))
    np.testing.assert_array_equal(scheme.mirror[scheme.mirror], every)
    assert sorted(i for points in scheme.regions.values() for i in points) == list(every)
    assert {i for _, points, _ in scheme.lines for i in points} >= {*scheme.mirror[scheme.mirror != every]} - {
        *range(96, 98),  # pupils have no line
        *(74, 83, 104, 105, 16, 17),
    }
    right, left = scheme.eyes
    assert {*scheme.mirror[list(right)]} == {*left} and {*scheme.mirror[list(scheme.mouth)]} == {*scheme.mouth}
    assert scheme.gaps == ""
    assert scheme_from(scheme_to(scheme)) is scheme and scheme_to(scheme) == scheme.name
    assert Scheme.from_dict(json.loads(json.dumps(scheme.to_dict()))) == scheme


@pytest.mark.parametrize("scheme", [IBUG68, WFLW98, SCHEMES["lapa106"]], ids=lambda scheme: scheme.name)
def test_a_map_to_the_68_keeps_mirror_pairs_and_regions(scheme):
    np.testing.assert_array_equal(scheme.mirror[scheme.ibug68], scheme.ibug68[IBUG68.mirror])
    np.testing.assert_array_equal(scheme.ibug68[list(IBUG68.normaliser)], scheme.normaliser)
    for region, points in IBUG68.regions.items():
        assert {*scheme.ibug68[list(points)]} <= {*scheme.regions[region]}


def test_98_points_on_the_curves_are_where_their_names_and_pairs_say():
    points, face = ninety_eight(schematic_face()), schematic_face()
    np.testing.assert_allclose(points[WFLW98.ibug68], face, atol=1e-9)
    np.testing.assert_allclose(points[WFLW98.mirror], points * [-1, 1], atol=0.12)
    assert unit_length(points, WFLW98) == pytest.approx(1)
    np.testing.assert_allclose(five(face)[MTFL5.mirror], five(face) * [-1, 1], atol=1e-9)


def test_a_frame_levels_by_the_eyes_or_is_the_box():
    turn = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    points = 100 * five(schematic_face()) @ turn + 200
    box, degrees = upright_frame(points, MTFL5)
    assert degrees == pytest.approx(-np.degrees(0.3), abs=0.01)
    box, degrees = upright_frame(points, scheme_of(5))
    x0, y0, x1, y1 = box_of(points)
    middle, half = np.array([x0 + x1, y0 + y1]) / 2, max(x1 - x0, y1 - y0) / 2
    assert degrees == 0
    np.testing.assert_allclose(box, [*(middle - half), *(middle + half)])
    axes, _, sides = face_frames(points[None], scheme_of(5))
    np.testing.assert_array_equal(axes, [np.eye(2)])
    assert sides == pytest.approx([max(x1 - x0, y1 - y0)])


@given(st.data())
def test_mirror_pairs_are_an_involution_or_refused(data):
    count = data.draw(st.integers(1, 40))
    pairs = data.draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=8))
    points = [i for pair in pairs for i in {*pair}]
    values = {"points": count, "mirror": [list(pair) for pair in pairs]}
    if len({*points}) < len(points):
        with pytest.raises(ValueError, match="two pairs"):
            Scheme.from_dict(values)
        return
    scheme = Scheme.from_dict(values)
    np.testing.assert_array_equal(scheme.mirror[scheme.mirror], np.arange(count))
    for one, other in pairs:
        assert scheme.mirror[one] == other
    assert Scheme.from_dict(scheme.to_dict()) == scheme


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "{": "Expecting",
        "[]": "expected",
        "null": "expected",
        "{}": "expected",
        '{"points": 0}': "1 to 500",
        '{"points": 501}': "1 to 500",
        '{"points": []}': "1 to 500",
        '{"points": [1, 2]}': "names",
        '{"points": ["a", "b", "a"]}': "'a' is there twice",
        '{"points": 3, "colour": 1}': "nothing else",
        '{"points": 3, "mirror": [[0, 1], [1, 2]]}': "'point_1' is in two pairs",
        '{"points": 3, "mirror": [[0, 3]]}': "3 is no point",
        '{"points": 3, "mirror": [[0, "x"]]}': "'x' is no point",
        '{"points": 3, "mirror": [[0]]}': "list of 2 points",
        '{"points": 3, "mirror": 7}': "list of lists",
        '{"points": 3, "normaliser": [1, 1]}': "two different",
        '{"points": 3, "normaliser": [-1, 1]}': "-1 is no point",
        '{"points": 3, "eyes": [[0]]}': "the right eye",
        '{"points": 3, "regions": {"a": [0, 1], "b": [1]}}': "in two of them",
        '{"points": 3, "regions": [0]}': "regions",
        '{"points": 3, "lines": [[]]}': "list of some points",
        '{"points": 3, "ibug68": [0]}': "list of 68 points",
        '{"scheme": "wflw"}': "names are ibug68, wflw98",
    }.items(),
)
def test_a_scheme_that_makes_no_sense_is_refused_in_a_line(tmp_path, text, expected):
    (tmp_path / "scheme.json").write_text(text)
    with pytest.raises(InputError, match=r"scheme\.json: ") as error:
        find_scheme(tmp_path)
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_points_by_name_and_the_folders_name(tmp_path):
    values = {"points": ["wrist", "thumb", "ring"], "lines": [["wrist", "thumb", "ring", "wrist"]], "mirror": []}
    (tmp_path / "scheme.json").write_text(json.dumps(values | {"normaliser": ["wrist", "ring"]}))
    scheme = find_scheme(tmp_path)
    assert scheme.name == tmp_path.name and scheme.normaliser == (0, 2)
    assert scheme.lines == (("points", (0, 1, 2), True),) and list(scheme.mirror) == [0, 1, 2]
    assert scheme.norm == "pair" and scheme.gaps == ""
    assert find_scheme(tmp_path / "none") is None


# --- Labels -----------------------------------------------------------------------------------------------------------


def labels_csv(folder, count: int, more: int = 0, header=None):
    header = header or ["", *range(2 * count), *(f"v{i}" for i in range(more))]
    rows = [["a.jpg", *np.arange(2 * count) * 1.5, *[1] * more], ["b.jpg", *np.arange(2 * count) + 7, *[0] * more]]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "labels.csv"


@pytest.mark.parametrize("count", [1, 2, 5, 67, 136, MOST_POINTS])
def test_labels_have_as_many_points_as_columns(tmp_path, count):
    labels = read_csv(labels_csv(tmp_path, count))
    assert labels.keypoints.shape == (2, count, 2) and len(labels.scheme) == count
    np.testing.assert_allclose(labels.keypoints[0].ravel(), np.arange(2 * count) * 1.5)
    seen = read_csv(labels_csv(tmp_path, count, more=count))
    assert seen.keypoints.shape == (2, count, 2) and seen.visibility.tolist() == [[1] * count, [0] * count]


def test_the_scheme_decides_where_the_width_leaves_it_open(tmp_path):
    path = labels_csv(tmp_path, 102, header=["", *range(204)])
    assert read_csv(path, scheme_of(102)).keypoints.shape == (2, 102, 2)
    with pytest.raises(InputError, match="expected: file name, x0, y0, …, x4, y4"):
        read_csv(path, MTFL5)


def test_odd_and_changing_widths_are_refused_in_a_line(tmp_path):
    path = labels_csv(tmp_path, 5)
    path.write_text(path.read_text().replace("b.jpg,", "b.jpg,3,"))
    with pytest.raises(InputError, match="row 3: 12 columns found, 11 expected"):
        read_csv(path)
    for width in (0, 3, 2 * MOST_POINTS + 2):
        path = labels_csv(tmp_path, 5, header=["", *range(width)])
        with pytest.raises(InputError, match="row 1: "):
            read_csv(path)


def test_pts_files_of_any_number_of_points_that_is_the_same_in_all(tmp_path):
    for i in range(3):
        write_pts(tmp_path / f"{i}.pts", five(schematic_face()) * 50 + 100)
        (tmp_path / f"{i}.jpg").touch()
    labels = read_pts_folder(tmp_path)
    np.testing.assert_allclose(labels.keypoints[1], five(schematic_face()) * 50 + 100, atol=1e-4)
    write_pts(tmp_path / "1.pts", five(schematic_face())[:4])
    with pytest.raises(InputError, match=r"1\.pts: 4 points found, 5 expected"):
        read_pts_folder(tmp_path)


# --- Transforms -------------------------------------------------------------------------------------------------------


def test_crops_mirror_by_the_schemes_pairs_or_not_at_all(tmp_path):
    data = open_split(set_of(tmp_path / "set", ninety_eight, {"scheme": "wflw98"}), "training")
    assert data.scheme is WFLW98 and data[0]["scheme"] is WFLW98
    transform = RandomCropFace(CropPolicy(), degrees=0, scale=0, shift=0, mirror=1)
    points, whole = transform(data[0])["keypoints"], CropFace(CropPolicy())(data[0])["keypoints"]
    np.testing.assert_allclose(points[WFLW98.mirror] * [-1, 1] + [111, 0], whole, atol=0.1)
    data.scheme = scheme_of(98)  # which names no pairs
    np.testing.assert_allclose(transform(data[0])["keypoints"], whole, atol=30)
    assert (np.sign(np.diff(transform(data[0])["keypoints"][[0, 32], 0])) > 0).all()


def test_one_point_is_framed_by_its_picture(tmp_path):
    data = open_split(set_of(tmp_path / "set", many(1)), "training")
    sample = CropFace(CropPolicy(112, 1.0))(data[0])
    height, width = data.image(0).shape[:2]
    expected = (data.keypoints[0] - [(width - 1) / 2, (height - 1) / 2]) * 112 / max(width, height) + 55.5
    np.testing.assert_allclose(sample["keypoints"], expected, atol=1e-3)


# --- Drawings and files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SCHEMES, "1", "500"])
def test_every_point_is_drawn(name):
    scheme = SCHEMES.get(name) or scheme_of(int(name))
    points = np.random.default_rng(0).uniform(30, 370, (len(scheme), 2)).astype(np.float32)
    drawn = draw_keypoints(np.full((400, 400, 3), 128, np.uint8), points, numbers=True, scheme=scheme)
    for x, y in np.round(points).astype(int):
        assert (drawn[y - 1 : y + 2, x - 1 : x + 2] != 128).any()


@pytest.mark.parametrize("scheme", [WFLW98, MTFL5, scheme_of(1), scheme_of(7)], ids=lambda scheme: scheme.name)
def test_results_of_any_scheme_come_back(tmp_path, scheme):
    points = np.random.default_rng(1).uniform(0, 90, (len(scheme), 2)).astype(np.float32).round(2)
    face = Face((1.0, 2.0, 80.0, 90.0), 0.5, points, np.ones(len(scheme), np.float32), 0.75, scheme=scheme)
    results = [ImageResult("a.jpg", 100, 99, [face])]
    for write, read in ((write_json, read_json), (write_coco, read_coco)):
        write(tmp_path / "file", results)
        (back,) = read(tmp_path / "file")[0].faces
        np.testing.assert_allclose(back.keypoints, points, atol=1e-4)
        assert back.scheme.points == scheme.points
    write_faces_csv(tmp_path / "file.csv", results, faces_csv_columns(len(scheme)))
    (back,) = read_faces_csv(tmp_path / "file.csv")[0].faces
    np.testing.assert_allclose(back.keypoints, points, atol=1e-4)
    assert len(back.scheme) == len(scheme)


def test_json_names_a_shipped_scheme_and_holds_your_own_whole(tmp_path):
    own = Scheme.from_dict({"name": "tool", "points": ["tip", "joint"], "mirror": []})
    for scheme, written in ((MTFL5, "mtfl5"), (own, own.to_dict()), (IBUG68, None)):
        face = Face((0.0, 0.0, 9.0, 9.0), None, np.arange(2.0 * len(scheme)).reshape(-1, 2), scheme=scheme)
        write_json(tmp_path / "a.json", [ImageResult("a.jpg", 9, 9, [face])])
        assert json.loads((tmp_path / "a.json").read_text())["images"][0].get("scheme") == written
        assert read_json(tmp_path / "a.json")[0].faces[0].scheme == scheme


def test_measures_and_overlays_of_a_map_are_those_of_the_68_and_else_a_line():
    points = (schematic_face() * 80 + 200).astype(np.float32)
    whole = Face((0.0, 0.0, 9.0, 9.0), None, points)
    mapped = Face((0.0, 0.0, 9.0, 9.0), None, ninety_eight(points).astype(np.float32), scheme=WFLW98)
    assert measured([mapped])[0].measures == pytest.approx(measured([whole])[0].measures, abs=0.05)
    image = np.zeros((400, 400, 3), np.uint8)
    assert draw_faces(image, [mapped], axes=True).any()
    few = Face((0.0, 0.0, 9.0, 9.0), None, five(points).astype(np.float32), scheme=MTFL5)
    for what in (lambda: measured([few]), lambda: draw_overlays(image, [few], [])):
        with pytest.raises(InputError, match="mtfl5 don't map"):
            what()


# --- Films ------------------------------------------------------------------------------------------------------------


class Fixed:
    """A network that sees the same points in each crop."""

    policy, path, predicts_errors = CropPolicy(48), Path("fixed"), False

    def __init__(self, scheme: Scheme):
        self.scheme = scheme
        corners = np.array([[3.5, 3.5], [43.5, 3.5], [23.5, 23.5], [3.5, 43.5], [43.5, 43.5]], np.float32)
        self.points = corners[2:3] if len(scheme) == 1 else corners[: len(scheme)]

    def __call__(self, crops: np.ndarray) -> Predictions:
        return Predictions(np.tile(self.points, (len(crops), 1, 1)), None, None)


@pytest.mark.parametrize("scheme", [MTFL5, scheme_of(5), scheme_of(1)], ids=["eyes", "none", "one"])
def test_what_is_followed_keeps_its_identity_and_its_place(scheme):
    landmarker = Landmarker(Fixed(scheme), "none")
    tracker, image = Tracker(landmarker), np.zeros((90, 120, 3), np.uint8)
    (first,) = landmarker(image)
    for number in range(40):
        (face,) = tracker(image, number / 30)
        assert face.identity == 1 and face.scheme is scheme
        np.testing.assert_allclose(face.keypoints, first.keypoints, atol=0.01)


# --- Commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_any_points_trains_predicts_and_is_measured(name, tmp_path, train_here, in_process):
    of_face, scheme, norm = SETS[name]
    data, run = set_of(tmp_path / "my_points", of_face, scheme), tmp_path / "run"
    said = train_here("--data", data, "--output-dir", run, *SMALL, pictures=name in WHOLE, export=name in WHOLE).stdout
    count = len(of_face(schematic_face()))
    assert f"points: {count}, " in said and f"NME ({norm})" in said
    assert ("nothing is mirrored" in said) == (scheme is None)
    # The scheme travels in the checkpoint and in the exported file
    network = TorchNetwork(run / "best.pt")
    assert len(network.scheme) == count
    if name in WHOLE:
        exported = OnnxNetwork(run / "best.onnx")
        assert exported.scheme == network.scheme
        assert tuple(json.loads(exported.metadata["landmarks"])) == network.scheme.points
        network = exported
    # Predicted, in the whole picture where no face detector helps
    photos = sorted((data / "test").glob("*.jpg"))[:2]
    line = ("--checkpoint", network.path, "--detector", "none", "--json", "a.json", "--csv", "a.csv")
    result = in_process(predict.main, *photos, *line, "--coco", "c.json", "--pts", "pts", "--numbers")
    assert result.returncode == 0, result.stderr
    faces = [face for image in read_json(tmp_path / "a.json") for face in image.faces]
    assert faces and all(face.keypoints.shape == (count, 2) for face in faces)
    assert faces[0].scheme == network.scheme
    result = in_process(predict.main, *photos, *line, "--measures", "--overwrite")
    assert (result.returncode == 0) == (network.scheme.ibug68 is not None)
    if result.returncode:
        assert "--measures: for iBUG's 68 points" in one_line_error(result)
    # Measured; on labels of the 68, too, where they map to these
    line = ("--data", data, "--checkpoint", run / "best.pt", "--json", "report.json", "--output-dir", "report")
    result = in_process(evaluate.main, *line)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert f"NME ({norm})" in result.stdout and report["normaliser"] == norm and np.isfinite(report["nme"])
    assert len(report["nme_by_point"]) == count
    if network.scheme.ibug68 is not None:
        of_68 = small_set(tmp_path / "of_68", "test")
        result = in_process(evaluate.main, "--data", of_68, *line[2:], "--overwrite")
        on_68 = json.loads((tmp_path / "report.json").read_text())
        assert len(on_68["nme_by_point"]) == 68 and on_68["nme"] == pytest.approx(report["nme"], rel=0.3)
    result = in_process(prepare.main, "check", data)
    assert result.returncode == 0, result.stderr


def test_validation_and_evaluation_agree(tmp_path, train_here, in_process):
    data, run = set_of(tmp_path / "my_points", five), tmp_path / "run"
    train_here("--data", data, "--output-dir", run, *SMALL)
    line = ("--data", data, "--split", "training", "--val-fold", 0, "--checkpoint", run / "best.pt")
    in_process(evaluate.main, *line, "--json", "report.json")
    measured_nme = json.loads((tmp_path / "report.json").read_text())["nme"]
    assert measured_nme == pytest.approx(load_checkpoint(run / "best.pt")["metrics"]["val_nme_diagonal"], rel=0.01)


def test_init_takes_the_layers_that_fit(tmp_path, train_here):
    data = set_of(tmp_path / "my_points", five, {"scheme": "mtfl5"})
    line = ("--data", data, "--output-dir", tmp_path / "run", "--model", "base", "--init", PRETRAINED)
    said = train_here(*line, "--epochs", "1", "--dry-run").stdout
    assert "start anew: exponent, log_factor, heatmaps.0" in said


def test_sets_of_different_points_and_a_network_of_others_are_refused(tmp_path, train_here, in_process):
    data = set_of(tmp_path / "my_points", five)
    with pytest.raises(InputError, match="a network has one scheme"):
        train_here("--data", SAMPLE, "--data", data, "--output-dir", tmp_path / "run", *SMALL)
    result = in_process(evaluate.main, "--data", data, "--checkpoint", PRETRAINED)
    assert "places the points of ibug68" in one_line_error(result)
    face = Face((0.0, 0.0, 99.0, 99.0), None, (schematic_face() * 30 + 50).astype(np.float32))
    name = open_split(data, "test").names[0]
    write_json(tmp_path / "of_68.json", [ImageResult(name, 100, 100, [face])])
    result = in_process(evaluate.main, "--data", data, "--predictions", tmp_path / "of_68.json")
    assert f"of_68.json: {name} has 68 points, the labels are of 5" in one_line_error(result)
    result = in_process(evaluate.main, "--data", data, "--checkpoint", PRETRAINED, "--norm", "inter-ocular")
    assert "--norm inter-ocular: the points of 5 points have none" in one_line_error(result)


def test_an_object_without_eyes_is_searched_in_the_whole_picture(tmp_path, train_here):
    data, run = set_of(tmp_path / "my_points", five), tmp_path / "run"
    train_here("--data", data, "--output-dir", run, *SMALL)
    landmarker = Landmarker(TorchNetwork(run / "best.pt"))
    image = open_split(data, "test").image(0)
    (face,) = landmarker(image)
    assert face.box == (-0.5, -0.5, image.shape[1] - 0.5, image.shape[0] - 0.5) and len(face.keypoints) == 5


@pytest.mark.parametrize("scheme", [MTFL5, scheme_of(5), scheme_of(1)], ids=["eyes", "none", "one"])
def test_norms_are_lengths_of_the_truth(scheme):
    truth = 40 * np.random.default_rng(0).uniform(size=(3, len(scheme), 2)) + 10
    for norm in metrics.norms_of(scheme):
        errors = metrics.nme(np.add(truth, [3, 4]), truth, norm, scheme)
        assert (errors > 0).all() and np.isfinite(errors).all()
        if norm != "100 px":
            np.testing.assert_allclose(metrics.nme(np.add(2 * truth, [6, 8]), 2 * truth, norm, scheme), errors)
