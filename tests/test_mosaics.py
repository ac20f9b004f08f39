"""A mosaic's faces lie where its labels say, and what nobody can tell of is ignored."""

import cv2
import numpy as np
import pytest
import torch
from conftest import SAMPLE
from torchvision.transforms import Compose

from data_load import SeededSamples, open_split
from face68 import geometry
from face68.landmarks import upright_frame
from training import mosaics
from training.mosaics import Layer, Mosaics, Photo, to_maps

RED, GREEN = (255, 0, 0), (0, 255, 0)


class Photos:
    """Stands for a data set: gray photos with a red right eye and a green left one, and a frame around them."""

    def __init__(self, count: int = 3):
        self.names, self.people = [f"{i}.jpg" for i in range(count)], [str(i) for i in range(count)]
        self.keypoints, self.sources = np.zeros((count, 68, 2), np.float32), np.zeros(count, int)

    def __len__(self):
        return len(self.names)

    def image(self, index):
        image = np.full((160, 200, 3), 60, np.uint8)
        cv2.circle(image, (80, 70), 6, RED, -1)
        cv2.circle(image, (110, 70), 6, GREEN, -1)
        return image


FRAME = Photo(np.array([95.0, 85.0, 70.0]), 0.0, np.zeros((0, 3)), np.zeros((0, 3)))


def laid(photos=3, photo=FRAME) -> Mosaics:
    return Mosaics(Photos(photos), [photo] * photos, lambda mosaic: mosaic)


def middle_of(image, color) -> np.ndarray:
    rows, columns = np.nonzero(np.abs(image.astype(int) - color).max(axis=2) < 90)
    return np.array([columns.mean(), rows.mean()])


def test_faces_are_where_they_are_seen_turned_and_mirrored_or_not(monkeypatch):
    """One photo on a mosaic: the eyes lie as place, side and roll say."""
    monkeypatch.setattr(mosaics, "_ground", lambda random: np.zeros((192, 192, 3), np.uint8))
    data = laid()
    for seed in range(20):
        random = np.random.default_rng(seed)
        layer = data._layer(0, np.array([95, 85]), np.array([96, 90]), 0.9, 360 * random.random(), random)
        mosaic = data._compose([layer], random)
        ((x, y, side, degrees),) = mosaic["faces"]
        assert (x, y) == pytest.approx((96, 90), abs=1e-3) and side == pytest.approx(63, abs=1e-3)
        left, right = (middle_of(mosaic["image"], color) for color in (RED, GREEN))
        if geometry.scale_of(layer.matrix) and np.linalg.det(layer.matrix[:, :2]) < 0:
            left, right = right, left  # in a mirror the green one is the right eye
        seen = np.degrees(np.arctan2(*(right - left)[::-1]))
        assert (seen - degrees + 180) % 360 - 180 == pytest.approx(0, abs=2)
        expected = geometry.transform_points(
            np.array([0, -15 * 0.9]), geometry.similarity((0, 0), (x, y), degrees=degrees)
        )
        np.testing.assert_allclose((left + right) / 2, expected, atol=1.5)


def test_what_is_hidden_is_ignored_or_none():
    data, random = laid(), np.random.default_rng(0)
    whole = np.array([(0, 0), (192, 0), (192, 192), (0, 192)], np.float32)
    face = Layer(0, geometry.similarity((95, 85), (96, 96)), whole)

    def over(x0):
        return Layer(1, geometry.similarity((0, 0), (400, 0)), whole.clip([x0, 0], 192))

    seen = data._compose([face, over(131)], random)
    half = data._compose([face, over(96)], random)
    hidden = data._compose([face, over(60)], random)
    assert (len(seen["faces"]), len(seen["ignored"])) == (1, 0)
    assert (len(half["faces"]), len(half["ignored"])) == (0, 1)
    np.testing.assert_allclose(half["ignored"], [(96, 96, 70)], atol=1e-3)
    assert (len(hidden["faces"]), len(hidden["ignored"])) == (0, 0)


def test_too_small_a_face_and_somebody_without_a_label_are_ignored():
    random = np.random.default_rng(0)
    stranger = FRAME._replace(others=np.array([[30.0, 40.0, 40.0]]))
    mosaic = laid(photo=stranger)._compose([_whole(1.0)], random)
    np.testing.assert_allclose(mosaic["ignored"], [(30 + 1, 40 + 11, 40)], atol=1e-3)
    assert len(mosaic["faces"]) == 1
    mosaic = laid()._compose([_whole(0.1)], random)
    assert len(mosaic["faces"]) == 0 and mosaic["ignored"][0, 2] == pytest.approx(7)


def _whole(scale: float) -> Layer:
    matrix = geometry.similarity((95, 85), (96, 96), scale)
    corners = np.array([(0, 0), (200, 0), (200, 160), (0, 160)]) - 0.5
    return Layer(0, matrix, geometry.transform_points(corners, matrix))


def test_a_background_shows_no_face():
    data = laid(8)
    for seed in range(30):
        random = np.random.default_rng(seed)
        mosaic = data._compose(data._background(random), random)
        assert len(mosaic["faces"]) == len(mosaic["ignored"]) == 0
    x0, y0, x1, y1 = data._beside(0, np.random.default_rng(0))
    frame = np.array([95 - 35, 85 - 35, 95 + 35, 85 + 35])
    assert geometry.overlap(np.array([x0, y0, x1, y1]), frame) == 0 and min(x1 - x0, y1 - y0) >= mosaics.NARROWEST


def test_mosaics_hold_faces_of_any_size_and_roll_and_the_seed_decides():
    data = SeededSamples(laid(60), seed=1)
    faces = np.concatenate([data[i]["faces"] for i in range(60)])
    assert len(faces) > 60 and faces[:, 2].min() < 16 and faces[:, 2].max() > 90
    assert {int(degrees // 90) for degrees in faces[:, 3] % 360} == {0, 1, 2, 3}
    assert (data[3]["image"] == data[3]["image"]).all() and (data[3]["image"] != data[4]["image"]).any()
    assert (faces[:, 2] >= mosaics.SMALLEST).all() and (faces[:, 2] <= mosaics.LARGEST).all()


def test_maps_say_where_each_face_is():
    mosaic = {"image": np.full((192, 192, 3), 255, np.uint8)}
    mosaic |= {"faces": np.array([(100, 51, 32, 90), (20, 20, 10, 0)], np.float32)}
    mosaic |= {"ignored": np.array([(150, 150, 30), (100, 60, 20)], np.float32)}
    maps = to_maps(mosaic)
    assert maps["image"].shape == (3, 192, 192) and maps["image"].max() == 1
    heatmap, is_ignored = maps["heatmap"], maps["ignore_mask"]
    assert torch.nonzero(heatmap == 1).tolist() == [[2, 2], [6, 12]]
    assert maps["centers"][:, 6, 12].tolist() == pytest.approx([100.5 / 8 - 12.5, 51.5 / 8 - 6.5])
    assert maps["centers"][:, 6, 13].tolist() == pytest.approx([100.5 / 8 - 13.5, 51.5 / 8 - 6.5])
    assert maps["log_sides"][6, 12].exp().item() == pytest.approx(4)
    assert maps["axes"][:, 6, 12].tolist() == pytest.approx([0, 1], abs=1e-6)
    assert heatmap[6, 13] > heatmap[6, 14] > heatmap[6, 16]
    assert heatmap[6, 13] > heatmap[2, 3], "a large face has a wide peak"
    assert is_ignored[18, 18] and not is_ignored[0, 0] and not is_ignored[6, 12], "a face always counts"


@pytest.mark.parametrize("i", [0, 7])
def test_photos_are_looked_at_for_their_faces(i):
    data = open_split(SAMPLE, "test").subset(range(i, i + 2), None)
    for photo, points in zip(mosaics.look_around(data), data.keypoints, strict=True):
        box, degrees = upright_frame(points)
        np.testing.assert_allclose(photo.frame, [*(box[:2] + box[2:]) / 2, box[2] - box[0]])
        assert photo.degrees == -degrees


def test_color_is_changed_or_taken_away():
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    gray = mosaics.RandomColor(gray=1)({"image": image})["image"]
    assert (gray[..., 0] == gray[..., 1]).all() and (gray[..., 0] == gray[..., 2]).all()
    colored = mosaics.RandomColor(gray=0, strength=0.2)({"image": image, "faces": 1})
    ratios = colored["image"].reshape(-1, 3).sum(axis=0) / image.reshape(-1, 3).sum(axis=0)
    assert colored["faces"] == 1 and np.ptp(ratios) > 0.01 and (np.abs(ratios - 1) < 0.25).all()
    assert (Compose([mosaics.RandomColor(0, 0)])({"image": image})["image"] == image).all()
