"""What benchmark.py changes about photos moves their points along, and its tables count what they say."""

import itertools
import json
import math
import os
import sys
import time
from types import SimpleNamespace

import benchmark
import cv2
import numpy as np
import pytest
import torch
from conftest import SAMPLE, SHIPPED

import plots
import tasks
import train
from benchmarks import limits, tables, timing, training
from curation.drawn.films import frames as drawn_frames
from data_load import Seeded, fold_of, open_split, read_csv
from face68 import geometry
from face68.files import InputError
from face68.formats import write_pts
from face68.frames import film_writer
from face68.images import is_marked, read_image
from face68.landmarker import Landmarker
from face68.landmarks import Face
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


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_turned_points_stay_on_their_face(spot, degrees):
    image, points = limits.turned(*spot, degrees)
    np.testing.assert_allclose(points.mean(axis=0), brightest(image), atol=0.3)
    assert np.ptp(points, axis=0) == pytest.approx((40, 40), rel=0.02), "turned, not scaled"


@pytest.mark.parametrize("side", [80, 20])
def test_shrunk_points_stay_on_their_face(spot, side):
    image, points = limits.shrunk(*spot, side)
    assert image.shape == (480, 640, 3)
    np.testing.assert_allclose(points.mean(axis=0), brightest(image), atol=0.3)
    assert np.ptp(points, axis=0).max() == pytest.approx(side, rel=0.05)


@pytest.mark.parametrize("side", [640, 60])
def test_resized_points_stay_on_their_face(spot, side):
    image, points = benchmark.resized(*spot, side)
    assert max(image.shape) == side
    np.testing.assert_allclose(points.mean(axis=0), brightest(image), atol=0.3)


def test_a_crowd_is_a_face_many_times_and_the_other_picture_of_its_size_has_it_once(spot):
    one, many = limits.crowd(spot[0], 3, side=60)
    assert one.shape == many.shape == (180, 135, 3)
    tiles = many.reshape(3, 60, 3, 45, 3).swapaxes(1, 2).reshape(9, 60, 45, 3)
    assert (tiles == tiles[0]).all()
    assert (one[60:120, 45:90] == tiles[0]).all()
    one[60:120, 45:90] = 128
    assert (one == 128).all()


def test_a_thinned_crowd_has_its_first_faces_and_gray(spot):
    _, many = limits.crowd(spot[0], 3, side=60)
    few = limits.thinned(many, 3, 4)
    assert (few[:60] == many[:60]).all() and (few[60:120, :45] == many[60:120, :45]).all()
    assert (few[60:120, 45:] == 128).all() and (few[120:] == 128).all()
    assert (limits.thinned(many, 3, 9) == many).all()


def test_yaw_is_estimated_from_points_alone():
    """A solid head (mm; x to its left, y down, z away from the viewer) in known poses, with noise on the points."""
    random = np.random.default_rng(0)
    head = np.zeros((68, 3))
    head[27:31] = [(0, -30, -5), (0, -15, -13), (0, 0, -21), (0, 15, -29)]
    head[31:36] = [(-14, 22, -12), (-7, 25, -17), (0, 27, -20), (7, 25, -17), (14, 22, -12)]
    head[[36, 39, 42, 45]] = [(-45, -30, 10), (-15, -28, 3), (15, -28, 3), (45, -30, 10)]
    yaw = random.uniform(-60, 60, 200)
    faces = []
    for angle in yaw:
        sin, cos = np.sin(np.radians(angle)), np.cos(np.radians(angle))
        view = head @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]).T
        roll = geometry.similarity((0, 0), (90, 50), random.uniform(0.5, 2), random.normal(0, 10))
        faces.append(geometry.transform_points(view[:, :2], roll))
    assert faces[yaw.argmax()][30, 0] > faces[yaw.argmax()][[36, 45], 0].mean(), "the nose points to the right"
    labels = np.stack(faces) + random.normal(0, 0.3, (200, 68, 2))
    np.testing.assert_allclose(limits.estimate_yaw(labels), yaw, atol=8)


@pytest.fixture
def few(tmp_path):
    """A folder of three drawn faces of three people, each with its .pts file; the labels lie on the faces."""
    names, keypoints = read_csv(SAMPLE / "test_frames_keypoints.csv")
    (tmp_path / "few").mkdir()
    for i in (0, 2, 4):
        path = tmp_path / "few" / names[i]
        path.write_bytes((SAMPLE / "test" / names[i]).read_bytes())
        write_pts(path.with_suffix(".pts"), keypoints[i])
    return tmp_path / "few"


@pytest.fixture
def measure(tmp_path, monkeypatch, capsys):
    """Run benchmark.py in this process; returns its output and what --json wrote."""

    def run(*arguments):
        report = tmp_path / "report.json"
        line = ["benchmark.py", "--checkpoint", SHIPPED, *arguments, "--json", report]
        monkeypatch.setattr(sys, "argv", list(map(str, line)))
        benchmark.main()
        return capsys.readouterr(), json.loads(report.read_text())

    return run


# --- The commands ---------------------------------------------------------------------------------------------


def test_pose_of_drawn_heads(measure):
    output, report = measure("pose", "--heads", 2)
    rows = report["tables"]["pose"]
    assert {row["name"].split(",")[0] for row in rows} == {"exact points", "found points"}
    assert sum(row["heads"] for row in rows) == 4
    assert all(row["deg_yaw"] < 6 for row in rows if row["name"].startswith("exact"))
    assert "° yaw" in output.out


def test_photo_measures_a_network_and_draws(few, tmp_path, measure, monkeypatch):
    monkeypatch.setattr(benchmark, "installed", lambda *_: [])  # they have their own tests
    data = ("--data", few, "--split", "training", "--output-dir", tmp_path / "pictures")
    arguments = ("photo", *data, "--rounds", 2, "--detector", "haar", "--every", 2)
    output, report = measure(*arguments)
    rows = {row["name"]: row for row in report["tables"]["photo"]}
    assert list(rows) == ["ours"]
    for row in rows.values():
        assert row["photos"] == 2
        assert 0 < row["ms_p10"] <= row["ms"] <= row["ms_p90"]
        assert row["nme_all"] >= (row["nme_found"] or 0)
    parts = report["tables"]["parts"]
    assert [part["name"] for part in parts][:3] == ["decode", "detect", "pass 1"]
    assert sum(part["share"] for part in parts) == pytest.approx(1)
    assert report["arguments"]["every"] == 2 and report["arguments"]["data"] == str(few)
    assert report["machine"]["cores"] == os.cpu_count()
    assert report["machine"]["opencv"] == cv2.__version__ and report["machine"]["git_commit"]
    for name in benchmark.PICTURES["photo"]:
        assert read_image(tmp_path / "pictures" / name).std() > 0
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
    monkeypatch.setattr(benchmark, "installed", lambda *_: [find])
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


@pytest.mark.parametrize("place", ["pictures/speed.png", "report.json"])
def test_somebodys_file_is_not_replaced(place, few, tmp_path, measure):
    (tmp_path / "pictures").mkdir()
    (tmp_path / place).write_text('{"mine": 1}')
    with pytest.raises(InputError, match="--overwrite"):
        measure("photo", "--data", few, "--split", "training", "--output-dir", tmp_path / "pictures")
    assert (tmp_path / place).read_text() == '{"mine": 1}'


def test_detectors_on_photos_with_pts_files(few, measure, monkeypatch):
    monkeypatch.setattr(benchmark, "installed", lambda *_: [])
    _, report = measure("detectors", "--data", few, "--split", "training", "--every", 2)
    rows = {row["name"]: row for row in report["tables"]["detectors"]}
    assert {"truth", "none", "haar"} <= set(rows)
    truth = rows["truth"]
    assert [truth[key] for key in ("photos", "found", "found_any_score")] == [2, 1, 1]
    assert [truth[key] for key in ("others_a_photo", "others_any_score")] == [0, 0]
    assert truth["nme"] <= min(row["nme"] for row in rows.values()) + 0.01


def test_limits_turn_all_the_way_round(few, measure):
    _, report = measure("limits", "--data", few, "--split", "training", "--detector", "none", "--every", 3)
    rows = report["tables"]["limits"]
    assert [row["name"] for row in rows[:12]] == [f"turned by {degrees}°" for degrees in range(0, 360, 30)]
    assert {row["photos"] for row in rows} == {1}
    assert rows[0]["nme_found"] < 0.3 and rows[-1]["nme_found"] is None, "12 px in a corner are not the whole frame"


def test_faces_are_counted_as_found_failed_and_wrong(spot):
    """Of four labelled faces one is missed, and the others are off by 1%, 10% and 30% of the eye distance."""
    image, points = spot
    eyes = np.linalg.norm(points[36] - points[45])
    moved = [points + np.float32([share * eyes, 0]) for share in (0.01, 0.1, 0.3)]
    answers = iter([[], *([Face((10, 50, 50, 90), 1.0, keypoints)] for keypoints in moved)])
    row = benchmark.limit_row(lambda _: next(answers), [(image, points)] * 4)
    assert [row[key] for key in ("photos", "found", "wrong")] == [4, 0.75, 1]
    assert row["nme_found"] == pytest.approx(0.41 / 3, rel=1e-3)
    assert row["fr8_found"] == pytest.approx(2 / 3)


def test_a_fold_holds_its_own_people(few):
    def names(fold):
        args = SimpleNamespace(data=few, split="training", val_fold=fold, folds=3, every=1)
        return [points for _, points in benchmark.labelled(args)]

    people = sorted(path.stem.rsplit("_", 1)[0] for path in few.glob("*.jpg"))
    for fold in range(3):
        expected = sum(fold_of(person, 3) == fold for person in people)
        if expected:
            assert len(names(fold)) == expected
        else:
            with pytest.raises(InputError, match="another split or fold"):
                names(fold)


def test_a_crowd_against_one(measure):
    _, report = measure("crowd", "--detector", "haar", "--rounds", 1)
    one, many = report["tables"]["crowd"]
    assert (one["faces_found"], many["faces_found"]) == (1, 64)
    assert one["ratio_one face"] == 1
    assert many["ratio_one face"] == pytest.approx(many["ms"] / one["ms"])


def test_a_film_with_one_two_and_four_faces(measure):
    _, report = measure("films", "--seconds", 0.6)
    rows = {row["name"]: row for row in report["tables"]["films"]}
    ours = {faces: rows[f"face68, {faces} face" + "s" * (faces > 1)] for faces in (1, 2, 4)}
    assert [row["found"] for row in ours.values()] == [1, 1, 1]
    assert ours[4]["ms"] > ours[1]["ms"] > 0


def test_drawn_films_are_followed_and_compared_with_their_truth(measure, monkeypatch, tmp_path):
    """The film of a face at rest, its first half second and a clip of it: all ways to filter, and the picture."""
    frames = list(itertools.islice(drawn_frames("still"), 16))
    monkeypatch.setattr(benchmark, "drawn_frames", lambda name: frames)
    with film_writer(tmp_path / "clip.mp4", 25, (640, 360)) as write:
        for frame in frames:
            write(frame.image)
    _, report = measure("tracking", "--films", "still", "--clip", tmp_path / "clip.mp4", "--output-dir", tmp_path)
    rows = {row["name"]: row for row in report["tables"]["films"]}
    assert list(rows) == ["still, photos", "still, off", "still, live", "still, offline"]
    assert all(row["found"] == 1 and row["switches"] == 0 and row["nme"] < 0.06 for row in rows.values())
    assert rows["still, off"]["share_searched"] == 1 / 16 and rows["still, photos"]["share_searched"] == 1
    assert rows["still, offline"]["jitter"] < rows["still, live"]["jitter"] < rows["still, off"]["jitter"]
    assert [row["frames"] for row in report["tables"]["clips"]] == [16, 16, 16]
    assert is_marked(tmp_path / "steady.png")


def test_a_stream_finds_what_the_loop_finds(photos, measure, monkeypatch):
    monkeypatch.setattr(benchmark, "Landmarker", lambda network, **options: Landmarker(network, "none", **options))
    _, report = measure("stream", photos, "--count", 8)
    rows = report["tables"]["stream"]
    assert [(row["photos"], row["same_faces"]) for row in rows] == [(8, True), (8, True)]


@pytest.fixture
def small_training(tiny, tmp_path, monkeypatch):
    """Options of few steps with `tiny`; this process's malloc stays as it is."""
    monkeypatch.setattr(benchmark, "keep_freed_memory", lambda: None)
    return ("--data", tiny, "--batch-size", 4, "--output-dir", tmp_path / "pictures")


def test_a_training_steps_parts_are_all_of_its_time(small_training, measure, tmp_path):
    options = ("--recipe", "best", "--steps", 3, "--warm-up", 1, "--copies", 2, "--samples", 6, "--rounds", 1)
    _, report = measure("training", *small_training, *options)
    parts = {part["name"]: part for part in report["tables"]["parts"]}
    assert list(parts) == [*training.STEP, "validation", "checkpoints"]
    assert all(part["ms"] > 0 for part in parts.values())
    assert sum(part["share"] for part in parts.values()) == pytest.approx(1)
    (row,) = report["tables"]["training"]
    steps = sum(parts[name]["ms"] for name in training.STEP)
    assert row["rate_steps"] == pytest.approx(4 * 1000 / steps) and row["rate"] < row["rate_steps"]
    assert row["faces"] % 2 == 0 and row["mib_peak"] > 0
    assert row["mib_own"] is None or row["mib_own"] + row["mib_mapped"] <= 1.05 * row["mib_peak"]
    ours, plain = report["tables"]["loaders"]
    assert plain["rate"] == pytest.approx(1000 / plain["ms"])
    assert ours["ratio_ours: cache, one warp"] == 1 and plain["ratio_ours: cache, one warp"] > 0
    assert is_marked(tmp_path / "pictures" / "training_time.png")


def test_several_copies_are_measured_in_processes_of_their_own(small_training, measure):
    options = ("--steps", 1, "--warm-up", 0, "--copies", 1, 3, "--rounds", 0)
    _, report = measure("training", *small_training, *options)
    one, three = report["tables"]["training"]
    assert three["faces"] == 3 * one["faces"]
    assert "loaders" not in report["tables"] and len(report["tables"]["parts"]) == len(training.STEP) + 2


def test_a_watched_training_is_the_training_that_it_was(small_training, settings):
    """Its weights after an epoch and a step are the same, and the parts are all of the time that it took."""
    weights = []
    for watched in (False, True):
        chosen = settings("--model", "net", "--batch-size", 4, "--seed", 3)  # whose dropout draws numbers, too
        task = tasks.task_of(chosen)
        data, _ = task.load()
        begun = benchmark.begin(chosen, task, data)
        steps = begun.steps_per_epoch + 1
        if watched:
            start = time.perf_counter()
            parts = training.divide_steps(train.train_epoch, begun, data, 0, steps)
            whole = 1000 * (time.perf_counter() - start)
            assert {len(values) for values in parts.values()} == {steps} and begun.step == 1
            assert sum(values.sum() for values in parts.values()) == pytest.approx(whole, rel=0.1)
        else:
            benchmark.train_through(begun, data)
            train.train_epoch(begun, data, SimpleNamespace(requested=True))
        weights.append(begun.model.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_set_can_be_cut_and_repeated(tiny):
    data = Seeded(open_split(tiny, "training"), seed=1)
    assert training.sized(data, 5).dataset.names == data.dataset.names[:5]
    more = training.sized(data, 30)
    assert len(more) == 30 and more.dataset.names == (3 * data.dataset.names)[:30]
    np.testing.assert_array_equal(more.dataset.keypoints[12:24], data.dataset.keypoints)


def test_the_plain_loader_gives_what_the_course_does(tiny):
    sample = training.PlainLoader(open_split(tiny, "training"))[3]
    assert sample["image"].shape == (1, 224, 224) and sample["image"].max() <= 1
    assert sample["keypoints"].shape == (68, 2) and sample["keypoints"].abs().max() < 5


def test_scaling_tells_exponents_and_draws(small_training, measure, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "CROWDS", (1, 4))
    monkeypatch.setattr(benchmark, "SIZES", (0.5, 1, 2))
    _, report = measure("scaling", *small_training, "--faces", 8, "--rounds", 1, "--detector", "haar")
    epochs, photos = report["tables"]["epochs"], report["tables"]["photos"]
    assert [row["faces"] for row in epochs] == [4, 8, 16]
    assert all(row["rate"] == pytest.approx(row["faces"] / row["s"]) for row in epochs)
    assert [(row["faces"], row["faces_found"]) for row in photos] == [(1, 1), (4, 4)]
    of_epochs, of_photos = (row["exponent"] for row in report["tables"]["exponents"])
    assert of_epochs == timing.power_law([4, 8, 16], [row["s"] for row in epochs])[0]
    assert of_photos == pytest.approx(math.log(photos[1]["ms"] / photos[0]["ms"]) / math.log(4))
    assert is_marked(tmp_path / "pictures" / "scaling.png")


def test_a_detector_that_is_not_here_is_a_line_and_the_one_asked_for_an_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("YUNET_FILE", str(tmp_path / "nothing"))
    detectors = benchmark.open_detectors("haar")
    assert next(iter(detectors)) == "haar" and "yunet" not in detectors
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("yunet")]
    assert "nothing" in line
    with pytest.raises(InputError, match="nothing"):
        benchmark.open_detectors("yunet")


# --- Times ----------------------------------------------------------------------------------------------------


def test_a_ratio_is_that_of_the_same_round():
    """Of three rounds, in one of which the machine was ten times slower."""
    rows = timing.time_rows({"a": np.array([1.0, 10, 3]), "b": np.array([2.0, 20, 1.5])}, against=["a"])
    assert [row["ms"] for row in rows] == [3, 2]
    assert [row["ratio_a"] for row in rows] == [1, 2]
    (row,) = timing.time_rows({"a": np.arange(101.0)}, against=[])
    assert row == {"name": "a", "ms": 50, "ms_p10": 10, "ms_p90": 90}


def test_all_are_measured_once_a_round_and_warmed_up_before():
    calls = []
    measures = {name: lambda name=name: calls.append(name) or len(calls) for name in "abc"}
    said = timing.in_turn(measures, rounds=20, warm_up=1)
    turns = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert len(turns) == 21 and all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len(set(map(tuple, turns))) > 1, "the order changes"
    assert sorted(np.concatenate(list(said.values()))) == list(range(4, 64))


@pytest.mark.parametrize(("exponent", "factor"), [(1, 3.0), (0.5, 0.1), (-2, 7.0), (0, 1.0)])
def test_a_power_law_is_found_where_there_is_one(exponent, factor):
    sizes = np.array([1.0, 3, 4, 20])
    assert timing.power_law(sizes, factor * sizes**exponent) == pytest.approx((exponent, factor), abs=1e-12)


def test_a_power_law_passes_between_points_that_are_off():
    assert timing.power_law([1, 1, 10, 10], [1, 4, 10, 40]) == pytest.approx((1, 2))


def test_laps_are_all_the_time_between_the_first_and_the_last():
    laps, start = timing.Laps(), time.perf_counter()
    for _ in range(2):
        for part in ("a", "b", "a"):
            time.sleep(0.002)
            laps.lap(part)
        laps.end_round()
    whole = time.perf_counter() - start
    assert [list(one) for one in laps.rounds] == [["a", "b"]] * 2
    assert all(one["a"] >= 0.004 and one["b"] >= 0.002 for one in laps.rounds)
    assert sum(sum(one.values()) for one in laps.rounds) == pytest.approx(whole, abs=1e-3)


def test_one_core_is_one_core_and_given_back():
    threads = cv2.getNumThreads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with pytest.raises(ZeroDivisionError), timing.one_core():
        assert cv2.getNumThreads() == 1
        assert cores is None or len(os.sched_getaffinity(0)) == 1
        1 / 0  # noqa: B018
    assert cv2.getNumThreads() == threads
    assert cores is None or os.sched_getaffinity(0) == cores


def test_a_photos_parts_are_all_of_its_time(hopper, landmarker, tmp_path):
    clocked = timing.clocked(Landmarker(landmarker.network, landmarker.detect, framing=landmarker.framing))
    run = timing.divide(clocked, benchmark.as_jpeg(hopper), tmp_path / "drawn.jpg")
    assert len(run) == 5 + len(clocked.network.ends) > 5 and (run > 0).all()
    assert (read_image(tmp_path / "drawn.jpg") != read_image(benchmark.as_jpeg(hopper))).any()
    rows = timing.part_rows([run, run, run[:-1]])
    assert [row["name"] for row in rows[-4:]] == [f"pass {len(run) - 5}", "combine", "draw", "write"]
    assert sum(row["ms"] for row in rows) == pytest.approx(run.sum())
    assert {row["runs"] for row in rows} == {"2 of 3"}
    bars = plots.plot_parts(rows).axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx(run.tolist())
    assert bars[-1].get_x() == pytest.approx(run[:-1].sum())


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
    place = tmp_path / "report.json"
    tables.write_tables(place, {"every": 3}, {"t": [{"name": "a", "nme": np.float64("nan"), "wrong": np.int64(2)}]})
    report = json.loads(place.read_text(), parse_constant=pytest.fail)
    assert report["tables"] == {"t": [{"name": "a", "nme": None, "wrong": 2}]}
    assert report["arguments"] == {"every": 3}
    assert tables.holds_tables(place)
    ((row,),) = tables.read_tables(place).values()
    assert math.isnan(row.pop("nme")) and row == {"name": "a", "wrong": 2}
    place.write_text("{}")
    assert not tables.holds_tables(place)
