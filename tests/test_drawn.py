"""Drawn faces: their labels lie on what is drawn, and the committed sample is what the command draws."""

import csv
import re
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest
from conftest import SAMPLE

import prepare
from data_load import open_split
from datasets.labels import write_csv
from datasets.synthetic import Frame, draw, face_labels, random_person, random_video, sample
from datasets.synthetic.curves import outline
from face68.files import InputError
from face68.landmarks import FLIP

SIZE = (260, 280)
# Where OpenCV has Intel's primitives and AVX2 it rounds as it did for the committed files; elsewhere a few pixels are
# a gray level off.
ROUNDS_ALIKE = cv2.ipp.useIPP() and cv2.checkHardwareSupport(11)  # 11: AVX2, whose name Python lacks


def read_labels(split: str) -> tuple[list[str], dict[str, np.ndarray]]:
    with (SAMPLE / f"{split}_frames_keypoints.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, {row[0]: np.array(row[1:], float).reshape(68, 2) for row in rows}


@pytest.fixture
def studio():
    """A bald, shaven person and a sharp, noiseless picture without a lamp's shadows."""
    rng = np.random.default_rng(5)
    person = replace(
        random_person(rng),
        hair="bald",
        beard="none",
        glasses=False,
        age=0.0,
        makeup=0.0,
        skin=np.array((232, 186, 160)),
    )
    video = replace(
        random_video(rng),
        size=SIZE, lamp=np.array((0.0, 0.0, 1.0)), ambient=0.65, blur=0.3, noise=0.0, wall="plain",
    )  # fmt: skip
    return person, video


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where two pictures differ clearly: by more than 0.4 of the greatest difference."""
    difference = np.abs(before.astype(int) - after).sum(-1)
    return difference > 0.4 * difference.max()


def polygon(points: np.ndarray) -> np.ndarray:
    image = np.zeros(SIZE[::-1], np.uint8)
    cv2.fillPoly(image, [np.rint(points * 16).astype(np.int32)], 1, shift=4)
    return image > 0


@pytest.mark.parametrize(("split", "people", "frames"), [("training", 50, 4), ("test", 25, 2)])
def test_layout_is_that_of_the_public_set(split, people, frames):
    header, labels = read_labels(split)
    assert header == ["", *map(str, range(136))]
    assert sorted(labels) == sorted(path.name for path in (SAMPLE / split).iterdir())
    names = [re.fullmatch(r"([A-Z][a-z]+_[A-Z][a-z]+)_\d\d\.jpg", name) for name in labels]
    assert all(names)
    assert Counter(Counter(match[1] for match in names).values()) == {frames: people}


@pytest.mark.parametrize("split", ["training", "test"])
def test_pictures_vary_and_hold_their_points(split):
    _, labels = read_labels(split)
    sizes, shares = set(), []
    for name, points in labels.items():
        height, width = cv2.imread(str(SAMPLE / split / name)).shape[:2]
        assert 100 <= width <= 210 and 100 <= height <= 210, name
        assert (points >= 0).all() and (points <= (width - 1, height - 1)).all(), name
        assert np.abs(np.median(points, 0) / (width, height) - 0.5).max() < 0.3, name
        sizes.add((width, height))
        shares.append(np.ptp(points[:, 0]) / width)
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) <= 2_000_000
    assert len(sizes) > 15
    assert sum(width == height for width, height in sizes) < len(sizes) / 4
    assert 0.38 < np.median(shares) < 0.48


@pytest.fixture
def small(monkeypatch):
    """The sample is of two people with a picture each."""
    monkeypatch.setattr(sample, "COUNTS", {"training": (1, 1, 1), "test": (1, 1, 1)})


def prepare_sample(monkeypatch, folder, seed: int = 0) -> dict[str, bytes]:
    """Run the command; what the folder holds then."""
    monkeypatch.setattr(sys, "argv", ["prepare.py", "sample", "--output-dir", str(folder), "--seed", str(seed)])
    prepare.main()
    return content(folder)


def content(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("split", ["training", "test"])
def test_committed_files_are_what_is_drawn(split, tmp_path):
    names, pictures, labels = zip(*islice(sample.pictures(split, 0), 4), strict=True)
    write_csv(tmp_path / "labels.csv", names, np.stack(labels), decimals=2)
    lines = (SAMPLE / f"{split}_frames_keypoints.csv").read_bytes().splitlines(keepends=True)
    assert (tmp_path / "labels.csv").read_bytes() == b"".join(lines[:5])
    for name, picture in zip(names, pictures, strict=True):
        committed = (SAMPLE / split / name).read_bytes()
        if ROUNDS_ALIKE:
            assert picture == committed, name
        else:
            drawn, expected = (cv2.imdecode(np.frombuffer(data, np.uint8), 1) for data in (picture, committed))
            assert cv2.absdiff(drawn, expected).mean() < 0.5, name


def test_threads_change_nothing():
    threads, drawn = cv2.getNumThreads(), []
    try:
        for n in (1, 4):
            cv2.setNumThreads(n)
            drawn.append(next(sample.pictures("test", 0))[1])
    finally:
        cv2.setNumThreads(threads)
    assert drawn[0] == drawn[1]


def test_the_command_draws_a_data_set(small, monkeypatch, tmp_path):
    folder = tmp_path / "new" / "set"
    files = prepare_sample(monkeypatch, folder)
    training, test = (open_split(folder, split) for split in ("training", "test"))
    assert training.names == ["Ada_Almond_00.jpg"]
    assert test.names == ["Bela_Birch_00.jpg"], "nobody is in both splits"
    assert len(files) == len(training) + len(test) + 2
    for split, data in (("training", training), ("test", test)):
        exact = np.stack([labels for _, _, labels in sample.pictures(split, 0)])
        assert np.abs(data.keypoints - exact).max() < 0.0051  # two decimals


def test_a_seed_draws_the_same_again_and_another_one_others(small, monkeypatch, tmp_path):
    """Each in the place of the one before."""
    first, again, other = (prepare_sample(monkeypatch, tmp_path, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.keys() == other.keys() and all(first[name] != other[name] for name in first)
    (tmp_path / "training" / "mine.jpg").write_text("my own")
    with pytest.raises(InputError, match="empty folder"):
        sample.write_sample(tmp_path, 1)
    assert content(tmp_path) == other | {"training/mine.jpg": b"my own"}


@pytest.mark.parametrize("name", ["training/mine.jpg", "notes.txt", "training_frames_keypoints.csv"])
def test_a_folder_of_other_files_is_left_alone(small, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("my own")
    with pytest.raises(InputError, match="empty folder"):
        sample.write_sample(tmp_path, 0)
    assert content(tmp_path) == {name: b"my own"}


def test_nothing_is_written_through_a_link(small, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "training").symlink_to(tmp_path / "photos")
    with pytest.raises(InputError, match="empty folder"):
        sample.write_sample(tmp_path / "set", 0)
    assert content(tmp_path) == {}


def test_stopped_while_drawing_it_leaves_the_sample_as_it_was(small, monkeypatch, tmp_path):
    before = prepare_sample(monkeypatch, tmp_path)
    left = iter(range(1))  # the second picture is not drawn

    def stopped(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(sample, "draw", stopped)
    with pytest.raises(KeyboardInterrupt):
        sample.write_sample(tmp_path, 1)
    assert content(tmp_path) == before


@pytest.mark.parametrize("yaw", [-30, 20])
def test_irises_lie_in_the_eyes(studio, yaw):
    person, video = studio
    frame = Frame(yaw=yaw)
    (dark, points), (green, _) = (
        draw(replace(person, iris=np.array(colour)), video, frame) for colour in ((20, 20, 20), (20, 220, 20))
    )
    iris = changed(dark, green)
    for eye in (slice(36, 42), slice(42, 48)):
        inside = cv2.dilate(polygon(points[eye]).astype(np.uint8), np.ones((3, 3))) > 0
        rows, columns = np.nonzero(iris & inside)
        assert np.abs((columns.mean(), rows.mean()) - points[eye].mean(0)).max() < 2.0
        iris &= ~inside
    assert not iris.any()


@pytest.mark.parametrize("frame", [{"smile": 1.0}, {"mouth_open": 0.8, "yaw": 15}, {"roll": 20, "pitch": 10}])
def test_rouge_fills_the_outline_of_the_lips(studio, frame):
    person, video = studio
    frame = Frame(**frame)
    (plain, points), (rouged, _) = (draw(replace(person, makeup=m), video, frame) for m in (0.0, 1.0))
    lips = polygon(points[48:60]) & ~polygon(points[60:68])
    x0, y0 = points[48:60].min(0).astype(int) - 4
    x1, y1 = points[48:60].max(0).astype(int) + 5
    near = np.zeros_like(lips)
    near[y0:y1, x0:x1] = True  # the rest of the make-up is elsewhere
    red = changed(plain * near[..., None], rouged * near[..., None])
    assert (red & lips).sum() / (red | lips).sum() > 0.7


def test_brow_hairs_follow_the_brow_points(studio):
    person, video = studio
    frame = Frame(brow_raise=0.5)
    (fair, points), (black, _) = (
        draw(replace(person, hair_colour=np.array(colour)), video, frame) for colour in ((230, 200, 150), (0, 0, 0))
    )
    rows, columns = np.nonzero(changed(fair, black))
    hairs = np.stack([columns, rows], -1)
    brows = [outline(points[s]) for s in (slice(17, 22), slice(22, 27))]
    distance = np.linalg.norm(hairs[:, None] - np.vstack(brows), axis=-1)
    assert distance.min(1).max() < 6 and distance.min(1).mean() < 2.5  # a brow is about 6 px thick here
    assert distance.min(0).max() < 6  # hairs all along it


@pytest.mark.parametrize(("yaw", "far", "outwards"), [(35, range(10, 16), 1), (-35, range(1, 7), -1)])
def test_jaw_points_lie_on_the_outline(studio, yaw, far, outwards):
    """On the side that turns away: left and right of a jaw point are face and wall."""
    person, video = studio
    frame = Frame(yaw=yaw)
    (dark, points), (bright, _) = (
        draw(person, replace(video, wall_colours=np.full((3, 3), grey)), frame) for grey in (20, 240)
    )
    wall = changed(dark, bright)
    for x, y in points[list(far)]:
        if y < points[57, 1]:  # below, neck and shoulder stand behind the jaw
            assert not wall[round(y), round(x - 2.5 * outwards)]
            assert wall[round(y), round(x + 2.5 * outwards)]


@pytest.mark.parametrize("yaw", [0, 25])
def test_labels_mirror_with_the_face(studio, yaw):
    person, video = studio
    right, left = (face_labels(person, video, Frame(yaw=s * yaw, smile=0.5))[2] for s in (1, -1))
    mirrored = right[FLIP] * (-1, 1) + (video.size[0], 0)
    assert np.abs(mirrored - left).max() < 0.05
