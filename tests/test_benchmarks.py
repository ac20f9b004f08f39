"""What the benchmarks change about photos moves their points along, and its tables count what they say."""

import itertools
import json
import math
import os
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import SAMPLE, SHIPPED

from benchmarks import __main__ as benchmark
from benchmarks import films, limits, photos, tables, timing
from data_load import open_split
from datasets.labels import read_csv
from datasets.layout import fold_of
from datasets.synthetic import films as synthetic_films
from datasets.synthetic.films import frames as drawn_frames
from face68.files import InputError
from face68.formats import write_pts
from face68.frames import film_writer
from face68.images import is_marked, read_image
from face68.landmarks import Face, inter_ocular
from face68.network import shipped_detector, shipped_network


@pytest.fixture
def spot():
    """An image with one bright disc and 68 points that surround it evenly: their mean is its centre."""
    y, x = np.mgrid[0:120, 0:90]
    image = np.where(((x - 30) ** 2 + (y - 70) ** 2 < 36)[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return image, np.column_stack([30 + 20 * np.cos(angles), 70 + 20 * np.sin(angles)]).astype(np.float32)


def brightest(image: np.ndarray) -> tuple[float, float]:
    weight = np.where(image[..., 0] > 128, image[..., 0] - 128.0, 0)  # 128 is what a shrunk photo lies on
    rows, columns = np.indices(weight.shape)
    return (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()


@pytest.mark.parametrize(
    ("change", "by", "side", "extent"),
    [
        *((limits.turned, degrees, 150, 40) for degrees in (0, 30, 90)),
        *((limits.shrunk, side, 640, side) for side in (80, 20)),
        *((photos.resized, side, side, side / 3) for side in (640, 60)),
    ],
)
def test_points_stay_on_their_face(spot, change, by, side, extent):
    image, points = change(*spot, by)
    assert max(image.shape) == side
    np.testing.assert_allclose(points.mean(axis=0), brightest(image), atol=0.3)
    assert np.ptp(points, axis=0) == pytest.approx((extent, extent), rel=0.05)


@pytest.fixture
def few(tmp_path):
    """A folder of three drawn faces of three people, each with its .pts file; the labels lie on the faces."""
    names, keypoints, *_ = read_csv(SAMPLE / "test_frames_keypoints.csv")
    (tmp_path / "few").mkdir()
    for i in (0, 2, 4):
        path = tmp_path / "few" / names[i]
        path.write_bytes((SAMPLE / "test" / names[i]).read_bytes())
        write_pts(path.with_suffix(".pts"), keypoints[i])
    return tmp_path / "few"


@pytest.fixture
def measure(tmp_path, monkeypatch, capsys):
    """Run the benchmarks in this process; returns its output and what --json wrote."""

    def run(*arguments):
        report = tmp_path / "report.json"
        line = ["benchmarks", "--checkpoint", SHIPPED, *arguments, "--json", report]
        monkeypatch.setattr(sys, "argv", list(map(str, line)))
        benchmark.main()
        return capsys.readouterr(), json.loads(report.read_text())

    return run


# --- The commands ---------------------------------------------------------------------------------------------


def test_photo_measures_a_network_and_draws(few, tmp_path, measure, monkeypatch):
    monkeypatch.setattr(photos, "installed", lambda *_: [])  # they have their own tests
    data = ("--data", few, "--split", "training", "--output-dir", tmp_path / "pictures")
    arguments = ("photo", *data, "--rounds", 2, "--detector", "auto", "--every", 2)
    output, report = measure(*arguments)
    rows = {row["name"]: row for row in report["tables"]["photo"]}
    assert list(rows) == ["ours"]
    for row in rows.values():
        assert row["photos"] == 2
        assert 0 < row["ms_median"] <= row["ms_p90"] and row["ms"] > 0
        assert row["nme_all"] >= (row["nme_found"] or 0)
    assert report["arguments"]["every"] == 2 and report["arguments"]["data"] == str(few)
    assert report["machine"]["cores"] == os.cpu_count()
    assert report["machine"]["opencv"] == cv2.__version__ and report["machine"]["git_commit"]
    assert read_image(tmp_path / "pictures" / photos.SPEED).std() > 0
    assert all(name in output.out for name in rows)
    measure(*arguments)  # what it wrote itself it replaces


def test_peers_are_compared_on_photos_at_their_own_size(few, tmp_path, measure, monkeypatch):
    """With a stand-in, which finds the first face where it is, and none after it."""
    samples = list(open_split(few, "training"))
    first = Face((0, 0, 1, 1), None, samples[0]["keypoints"])
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.write_bytes(bytes(750_000))
    seen = []

    def find(image):
        seen.append(image)
        return [first] if np.array_equal(image, samples[0]["image"]) else []

    find.name, find.files, find.trained_on = "a stand-in", files, "a face"
    monkeypatch.setattr(photos, "installed", lambda *_: [find])
    output, report = measure("peers", "--data", few, "--split", "training", "--rounds", 2)
    ours, row = report["tables"]["peers"]
    assert [image.shape for image in seen] == [sample["image"].shape for sample in samples for _ in range(3)]
    assert (row["name"], row["photos"], row["missed"]) == ("a stand-in", 3, 2)
    assert (row["nme_found"], row["nme_all"]) == (0, pytest.approx(0.2)) and row["fr8"] == pytest.approx(2 / 3)
    assert (row["mb"], row["trained_on"]) == (1.5, "a face")
    assert ours["missed"] == 0 and ours["ratio_ours"] == 1 and ours["nme_found"] == ours["nme_all"] < 0.1
    files = SHIPPED, shipped_network("fast"), shipped_detector()
    assert ours["mb"] == pytest.approx(sum(file.stat().st_size for file in files) / 1e6)
    assert "MB" in output.out and "trained on" in output.out


@pytest.mark.parametrize("path", ["pictures/speed.png", "report.json"])
def test_somebodys_file_is_not_replaced(path, few, tmp_path, measure):
    (tmp_path / "pictures").mkdir()
    (tmp_path / path).write_text('{"mine": 1}')
    with pytest.raises(InputError, match="--overwrite"):
        measure("photo", "--data", few, "--split", "training", "--output-dir", tmp_path / "pictures")
    assert (tmp_path / path).read_text() == '{"mine": 1}'


def test_detectors_on_photos_with_pts_files(few, measure, monkeypatch):
    monkeypatch.setattr(limits, "installed", lambda *_: [])
    _, report = measure("detectors", "--data", few, "--split", "training", "--every", 2)
    rows = {row["name"]: row for row in report["tables"]["detectors"]}
    assert list(rows) == ["truth", "face68", "none"]
    truth = rows["truth"]
    assert [truth[key] for key in ("photos", "found", "found_any_score")] == [2, 1, 1]
    assert [truth[key] for key in ("others_a_photo", "others_any_score")] == [0, 0]
    assert truth["nme"] <= min(row["nme"] for row in rows.values()) + 0.01


def test_limits_turn_all_the_way_round(few, measure):
    _, report = measure("limits", "--data", few, "--split", "training", "--detector", "none", "--every", 3)
    rows = report["tables"]["limits"]
    assert [row["name"] for row in rows[:12]] == [f"turned by {degrees}°" for degrees in range(0, 360, 30)]
    assert {row["photos"] for row in rows} == {1}
    by_name = {row["name"]: row for row in rows}
    assert rows[0]["nme_found"] < 0.3
    assert by_name["faces of 12 px"]["nme_found"] is None, "12 px in a corner are not the whole frame"
    assert "yaw" in rows[-1]["name"]


def test_faces_are_counted_as_found_failed_and_wrong(spot):
    """Of four labelled faces one is missed, and the others are off by 1%, 10% and 30% of the eye distance."""
    image, points = spot
    eyes = inter_ocular(points)
    moved = [points + np.float32([share * eyes, 0]) for share in (0.01, 0.1, 0.3)]
    answers = iter([[], *([Face((10, 50, 50, 90), 1.0, keypoints)] for keypoints in moved)])
    row = limits.limit_row(lambda _: next(answers), [(image, points)] * 4)
    assert [row[key] for key in ("photos", "found", "wrong")] == [4, 0.75, 1]
    assert row["nme_found"] == pytest.approx(0.41 / 3, rel=1e-3)
    assert row["fr8_found"] == pytest.approx(2 / 3)


def test_a_fold_holds_its_own_people(few):
    def names(fold):
        args = SimpleNamespace(data=few, split="training", val_fold=fold, folds=3, every=1)
        return [points for _, points in photos.labelled(args)]

    people = sorted(path.stem.rsplit("_", 1)[0] for path in few.glob("*.jpg"))
    counts = np.bincount([fold_of(person, 3) for person in people], minlength=3)
    for fold in np.flatnonzero(counts):
        assert len(names(fold)) == counts[fold]
    for fold in np.flatnonzero(counts == 0):
        with pytest.raises(InputError, match="another split or fold"):
            names(fold)


def test_a_film_with_one_two_and_four_faces(measure, monkeypatch):
    monkeypatch.setattr(films, "installed", lambda *_: [])
    monkeypatch.setattr(films, "WARM_UP", 1)
    _, report = measure("films", "--seconds", 0.2)
    rows = {row["name"]: row for row in report["tables"]["films"]}
    ours = {faces: rows[f"face68, {faces} face" + "s" * (faces > 1)] for faces in (1, 2, 4)}
    assert [row["found"] for row in ours.values()] == [1, 1, 1]
    assert min(row["ms"] for row in ours.values()) > 0


def test_drawn_films_are_followed_and_compared_with_their_truth(measure, monkeypatch, tmp_path):
    """The film of a face at rest, its first 10 frames and a clip of them: all ways to filter, and the picture."""
    monkeypatch.setattr(synthetic_films, "SUPERSAMPLE", 1)  # coarser edges, in half of the time
    frames = list(itertools.islice(drawn_frames("still"), 10))
    monkeypatch.setattr(films, "drawn_frames", lambda name: frames)
    with film_writer(tmp_path / "clip.mp4", 25, (640, 360)) as write:
        for frame in frames:
            write(frame.image)
    _, report = measure("tracking", "--films", "still", "--clip", tmp_path / "clip.mp4", "--output-dir", tmp_path)
    rows = {row["name"]: row for row in report["tables"]["films"]}
    assert list(rows) == [f"still, {mode}" for mode in ("photos", "off", "one euro", "live", "offline")]
    assert all(row["found"] == 1 and row["switches"] == 0 and row["nme"] < 0.06 for row in rows.values())
    assert rows["still, off"]["share_searched"] == 1 / 10 and rows["still, photos"]["share_searched"] == 1
    assert rows["still, offline"]["jitter"] < rows["still, live"]["jitter"] < rows["still, off"]["jitter"]
    assert [row["frames"] for row in report["tables"]["clips"]] == [10] * 4
    assert is_marked(tmp_path / "steady.png")


@pytest.mark.parametrize(
    ("line", "status", "printed"),
    [(["--help"], 0, "FR@8%, ms, MB"), (["photo", "--rounds", "x"], 2, "see python -m benchmarks photo --help")],
)
def test_help_and_a_bad_option_name_the_command_as_it_is_typed(line, status, printed, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["__main__.py", *line])
    with pytest.raises(SystemExit) as exit_:
        benchmark.main()
    assert exit_.value.code == status and printed in "".join(capsys.readouterr())


# --- Times ----------------------------------------------------------------------------------------------------


def test_times_are_told_by_their_mean_and_what_90_percent_stay_below():
    """Of a hundred photos one takes as long as all others: the mean sees it, the median doesn't."""
    one, other = timing.time_rows({"a": np.array([*np.arange(100.0), 5050]), "b": np.full(101, 50.0)}, against=["b"])
    assert one == {"name": "a", "ms": pytest.approx(10000 / 101), "ms_median": 50, "ms_p90": 90} | {
        "ratio_b": pytest.approx(200 / 101)
    }
    assert other["ratio_b"] == 1


def test_a_photos_time_is_the_median_of_its_rounds(spot, monkeypatch):
    monkeypatch.setattr(photos, "in_turn", lambda steps, rounds: {name: np.array([1.0, 9, 2]) for name in steps})
    (row,) = photos.system_rows({"a": lambda image: []}, [], [spot, spot], 3, None)
    assert row["ms"] == row["ms_median"] == 2 and row["missed"] == 2


def test_all_are_measured_once_a_round_in_an_order_that_changes():
    calls = []
    times = timing.in_turn({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=20)
    turns = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert len(turns) == 20 and all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len(set(map(tuple, turns))) > 1
    assert {len(values) for values in times.values()} == {20} and min(map(min, times.values())) > 0


@pytest.mark.parametrize("faces", ["one", "all"])
def test_ours_and_others_look_for_the_same_number_of_faces(faces, few, measure, monkeypatch):
    asked = []

    def record(*options, **more):
        asked.append(more.get("largest", options and options[0]))
        raise InputError("enough")

    for name in ("MediaPipe", "Dlib", "EnlargedDlib"):
        monkeypatch.setattr(photos, name, record)
    for peer in photos.peers_of(SimpleNamespace(faces=faces, mediapipe_model=None), photos.Dlib, photos.EnlargedDlib):
        with pytest.raises(InputError):
            peer()
    for name, command in (("Ours", "peers"), ("landmarker_of", "photo")):
        monkeypatch.setattr(photos, name, record)
        with pytest.raises(InputError):
            measure(command, "--data", few, "--split", "training", "--faces", faces)
    assert asked == [faces == "one"] * 5


def test_one_core_is_one_core_and_given_back():
    threads = cv2.getNumThreads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with pytest.raises(ZeroDivisionError), timing.one_core():
        assert cv2.getNumThreads() == 1
        assert cores is None or len(os.sched_getaffinity(0)) == 1
        1 / 0  # noqa: B018
    assert cv2.getNumThreads() == threads
    assert cores is None or os.sched_getaffinity(0) == cores


# --- Tables ---------------------------------------------------------------------------------------------------


def test_a_table_has_its_units_and_a_dash_where_nothing_was_measured():
    rows = [
        {"name": "one", "ms": 12.345, "nme_found": 0.0312, "ratio_dlib": 2, "wrong": 0},
        {"name": "another", "ms": 1.0, "nme_found": math.nan, "ratio_dlib": 0.5, "wrong": 10},
    ]
    assert tables.as_text(rows).splitlines() == [
        "name        ms  NME found  × dlib  wrong",
        "one      12.35      3.12%    2.00      0",
        "another   1.00          –    0.50     10",
    ]


def test_a_written_table_is_json_and_known_again(tmp_path):
    path = tmp_path / "report.json"
    tables.write_tables(path, {"every": 3}, {"t": [{"name": "a", "nme": np.float64("nan"), "wrong": np.int64(2)}]})
    report = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert report["tables"] == {"t": [{"name": "a", "nme": None, "wrong": 2}]}
    assert report["arguments"] == {"every": 3}
    assert tables.holds_tables(path)
    path.write_text("{}")
    assert not tables.holds_tables(path)
