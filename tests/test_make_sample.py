"""The embedded sample: its layout, its repeatability, and labels that sit where the drawing put the features."""

import csv
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from data import make_sample as ms

SAMPLE = Path(ms.__file__).parent / "sample"
COUNTS = {"training": 200, "test": 50}


def read_labels(split):
    with (SAMPLE / f"{split}_frames_keypoints.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, {row[0]: np.array(row[1:], float).reshape(68, 2) for row in rows}


def read_image(split, name):
    return cv2.imread(str(SAMPLE / split / name))[..., ::-1]


def plain_scene(seed=3, size=(400, 420)):
    """A person without hair, beard or glasses, and a big sharp picture under even light."""
    person, video = ms.random_person(np.random.default_rng(seed)), ms.random_video(np.random.default_rng(seed))
    person.hair, person.beard, person.glasses = "bald", "none", False
    video.size, video.ambient = size, 1.15
    return person, video


@pytest.mark.parametrize("split", COUNTS)
def test_layout_is_that_of_the_public_set(split):
    header, labels = read_labels(split)
    assert header == ["", *map(str, range(136))]
    assert len(labels) == COUNTS[split]
    assert sorted(labels) == sorted(path.name for path in (SAMPLE / split).iterdir())
    shapes = []
    for name, points in labels.items():
        person, frame = name.removesuffix(".jpg").rsplit("_", 1)
        assert len(person.split("_")) == 2 and len(frame) == 2 and frame.isdigit()
        height, width, _ = read_image(split, name).shape
        shapes.append((width, height))
        assert 110 <= width <= 200 and 110 <= height <= 200
        assert (points >= 0).all() and (points <= (width - 1, height - 1)).all(), name
        assert 0.3 < np.ptp(points[:, 0]) / width < 0.6
    assert np.mean([w == h for w, h in shapes]) < 0.1


def test_size_and_people():
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert len(files) == 252
    assert sum(path.stat().st_size for path in files) <= 2_000_000
    people = {split: {name.rsplit("_", 1)[0] for name in read_labels(split)[1]} for split in COUNTS}
    assert len(people["training"]) == 50 and len(people["test"]) == 25
    assert not people["training"] & people["test"]


@pytest.mark.parametrize("split", COUNTS)
def test_the_script_still_draws_what_is_committed(split):
    labels = read_labels(split)[1]
    for name, image, points, _ in itertools.islice(ms.pictures(split, 0), 3):
        np.testing.assert_allclose(points, labels[name], atol=0.0051)
        difference = np.abs(image.astype(float) - read_image(split, name))
        assert difference.mean() < 8, name  # JPEG took away some of the noise


def test_drawing_twice_gives_the_same_bytes_and_another_seed_another_face():
    first, again, other = (next(ms.pictures("test", seed))[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


DOTS = [19, 24, 27, 30, 33, 36, 39, 42, 45, 48, 54, 57]  # far enough apart to be measured one by one
POSES = [
    ms.Frame(face_width=0.6),
    ms.Frame(yaw=22, pitch=-8, roll=10, smile=0.8, face_width=0.6),
    ms.Frame(yaw=-18, pitch=14, roll=-20, mouth_open=0.7, face_width=0.55),
]


@pytest.mark.parametrize("frame", POSES)
def test_labels_are_where_the_drawing_puts_the_points(frame, monkeypatch):
    person, video = plain_scene()
    head, camera, labels = ms.face_labels(person, video, frame)

    def dots(_person, points, _frame):
        x, y = ms.map_axes()
        colour = np.zeros((y.size, x.size, 3), np.float32)
        for i in DOTS:
            ms.blend(colour, ms.mask(ms.ellipse(*points[i], 0.025, 0.025)), (255, 255, 255))
        return colour, np.zeros(colour.shape[:2], np.float32)

    monkeypatch.setattr(ms, "paint_face", dots)
    person.skin = np.zeros(3)
    black = np.zeros((video.size[1] * ms.SUPERSAMPLE, video.size[0] * ms.SUPERSAMPLE, 3), np.float32)
    picture = ms.Picture(black, camera, ms.Lamp(video.lamp, video.ambient, video.tint))
    ms.add_head(picture, head, person, frame)
    image = cv2.resize(picture.draw(), video.size, interpolation=cv2.INTER_AREA).mean(-1)
    yy, xx = np.indices(image.shape)
    for i in DOTS:
        weight = image * (np.hypot(xx - labels[i, 0], yy - labels[i, 1]) < 7)
        assert weight.max() > 100, f"no dot at point {i}"
        centroid = np.array([(weight * xx).sum(), (weight * yy).sum()]) / weight.sum()
        assert np.abs(centroid - labels[i]).max() < 0.35, (i, centroid, labels[i])


@pytest.mark.parametrize("yaw", [-40, -25, 25, 40])
def test_jaw_points_on_the_far_side_lie_on_the_outline(yaw):
    person, video = plain_scene()
    frame = ms.Frame(yaw=yaw, face_width=0.5)
    head, camera, labels = ms.face_labels(person, video, frame)
    grid = ms.turn_head(head.surface(1500, np.linspace(-np.pi, np.pi, 1500)), frame)
    outside = np.ones(video.size[::-1], np.uint8)
    x, y = np.rint(camera(grid)).astype(int).reshape(-1, 2).T
    outside[y, x] = 0
    outside = cv2.morphologyEx(outside, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    depth = cv2.distanceTransform(1 - outside, cv2.DIST_L2, 5)  # px inside the outline
    for i in range(10, 16) if yaw > 0 else range(1, 7):
        x, y = np.rint(labels[i]).astype(int)
        near = depth[y - 1 : y + 2, x - 1 : x + 2]
        assert near.min() <= 1.0 and near.max() < 3.5, (i, near)


def test_a_mirrored_pose_gives_the_mirrored_renumbered_labels():
    person, video = plain_scene()
    width = video.size[0]
    frame = ms.Frame(yaw=28, pitch=9, roll=14, smile=0.6, mouth_open=0.3, centre=(0.47, 0.55))
    mirrored = ms.Frame(yaw=-28, pitch=9, roll=-14, smile=0.6, mouth_open=0.3, centre=(1 - 1 / width - 0.47, 0.55))
    labels, flipped = ms.face_labels(person, video, frame)[2], ms.face_labels(person, video, mirrored)[2]
    np.testing.assert_allclose(flipped[ms.MIRROR], (width - 1, 0) + labels * (-1, 1), atol=1e-6)
    np.testing.assert_array_equal(ms.MIRROR[ms.MIRROR], np.arange(68))


def test_lips_are_redder_than_cheeks_where_the_labels_say():
    """In the committed pictures themselves; a beard or noise may hide it in a few."""
    redder = []
    for name, points in read_labels("test")[1].items():
        image = cv2.GaussianBlur(read_image("test", name), (3, 3), 0).astype(float)
        red = image[..., 0] / (image.sum(-1) + 1)

        def at(spot, red=red):
            x, y = np.rint(spot).astype(int)
            return red[y, x]

        lips = (points[57] + points[66]) / 2
        cheeks = [(points[a] + points[b]) / 2 for a, b in ((31, 41), (35, 46))]
        redder.append(at(lips) > np.mean([at(cheek) for cheek in cheeks]))
    assert np.mean(redder) >= 0.9
