"""The embedded sample: what is committed is what the script draws, and its labels lie on what is drawn."""

import csv
import importlib.util
import re
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

DATA = Path(__file__).parent.parent / "data"
SAMPLE = DATA / "sample"
SIZE = (260, 280)


def load_script():
    """`data/` is no package: the script is imported from its path."""
    spec = importlib.util.spec_from_file_location("make_sample", DATA / "make_sample.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sample"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


make_sample = load_script()


def read_labels(split: str) -> tuple[list[str], dict[str, np.ndarray]]:
    with (SAMPLE / f"{split}_frames_keypoints.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, {row[0]: np.array(row[1:], float).reshape(68, 2) for row in rows}


@pytest.fixture
def studio():
    """A bald, shaven person and a sharp, noiseless picture without a lamp's shadows."""
    rng = np.random.default_rng(5)
    person = replace(
        make_sample.random_person(rng),
        hair="bald",
        beard="none",
        glasses=False,
        age=0.0,
        makeup=0.0,
        skin=np.array((232, 186, 160)),
    )
    video = replace(
        make_sample.random_video(rng),
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
    assert len(sizes) > 15
    assert sum(width == height for width, height in sizes) < len(sizes) / 4
    assert 0.38 < np.median(shares) < 0.48


def test_nobody_is_in_both_splits():
    people = [{name[:-7] for name in read_labels(split)[1]} for split in ("training", "test")]
    assert not people[0] & people[1]


def test_sample_is_small():
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) <= 2_000_000


@pytest.mark.parametrize("split", ["training", "test"])
def test_committed_files_are_what_the_script_draws(split):
    _, labels = read_labels(split)
    for name, image, points, quality in islice(make_sample.pictures(split, 0), 2):
        assert np.abs(labels[name] - points).max() < 0.011, name
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        drawn = cv2.imdecode(data, cv2.IMREAD_COLOR)
        committed = cv2.imread(str(SAMPLE / split / name))
        # not to the byte: JPEG encoders and rounding differ between machines
        assert np.abs(committed.astype(int) - drawn).mean() < 0.5, name


def test_seed_decides_the_people():
    first, again, other = (next(make_sample.pictures("test", seed))[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


@pytest.mark.parametrize("yaw", [-30, 20])
def test_irises_lie_in_the_eyes(studio, yaw):
    person, video = studio
    frame = make_sample.Frame(yaw=yaw)
    (dark, points), (green, _) = (
        make_sample.draw(replace(person, iris=np.array(colour)), video, frame)
        for colour in ((20, 20, 20), (20, 220, 20))
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
    frame = make_sample.Frame(**frame)
    (plain, points), (rouged, _) = (make_sample.draw(replace(person, makeup=m), video, frame) for m in (0.0, 1.0))
    lips = polygon(points[48:60]) & ~polygon(points[60:68])
    x0, y0 = points[48:60].min(0).astype(int) - 4
    x1, y1 = points[48:60].max(0).astype(int) + 5
    near = np.zeros_like(lips)
    near[y0:y1, x0:x1] = True  # the rest of the make-up is elsewhere
    red = changed(plain * near[..., None], rouged * near[..., None])
    assert (red & lips).sum() / (red | lips).sum() > 0.7


def test_brow_hairs_follow_the_brow_points(studio):
    person, video = studio
    frame = make_sample.Frame(brow_raise=0.5)
    (fair, points), (black, _) = (
        make_sample.draw(replace(person, hair_colour=np.array(colour)), video, frame)
        for colour in ((230, 200, 150), (0, 0, 0))
    )
    rows, columns = np.nonzero(changed(fair, black))
    hairs = np.stack([columns, rows], -1)
    brows = [make_sample.outline(points[s]) for s in (slice(17, 22), slice(22, 27))]
    distance = np.linalg.norm(hairs[:, None] - np.vstack(brows), axis=-1)
    assert distance.min(1).max() < 6 and distance.min(1).mean() < 2.5  # a brow is about 6 px thick here
    assert distance.min(0).max() < 6  # hairs all along it


@pytest.mark.parametrize(("yaw", "far", "outwards"), [(35, range(10, 16), 1), (-35, range(1, 7), -1)])
def test_jaw_points_lie_on_the_outline(studio, yaw, far, outwards):
    """On the side that turns away: left and right of a jaw point are face and wall."""
    person, video = studio
    frame = make_sample.Frame(yaw=yaw)
    (dark, points), (bright, _) = (
        make_sample.draw(person, replace(video, wall_colours=np.full((3, 3), grey)), frame) for grey in (20, 240)
    )
    wall = changed(dark, bright)
    for x, y in points[list(far)]:
        if y < points[57, 1]:  # below, neck and shoulder stand behind the jaw
            assert not wall[round(y), round(x - 2.5 * outwards)]
            assert wall[round(y), round(x + 2.5 * outwards)]


@pytest.mark.parametrize("yaw", [0, 25])
def test_labels_mirror_with_the_face(studio, yaw):
    person, video = studio
    right, left = (
        make_sample.face_labels(person, video, make_sample.Frame(yaw=s * yaw, smile=0.5))[2] for s in (1, -1)
    )
    mirrored = right[make_sample.MIRROR] * (-1, 1) + (video.size[0], 0)
    assert np.abs(mirrored - left).max() < 0.05
