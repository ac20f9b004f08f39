"""Face filters: they lie where the face is, follow its roll, size and yaw, and touch nothing else."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.synthetic import Frame, face_labels, random_person, random_video
from datasets.synthetic.pose import turn_head
from docs import pictures
from face68 import Face, geometry
from face68.files import InputError
from face68.images import read_cutout, read_image
from face68.landmarks import FLIP, NOSE_ROOT
from face68.overlays import PICTURES, PLACES, Overlay, Place, draw_overlays, face_matrix, load_overlay

SIZE = 240  # px of the images here, about a face as wide as a third of them
PLAIN = Place(NOSE_ROOT, below=0.0, width=1.6)
SHIPPED_OVERLAYS = {name: load_overlay(name) for name in PLACES}


def labels(seed: int = 0, **pose) -> np.ndarray:
    """The exact points (68, 2) of an invented person in an image of SIZE."""
    rng = np.random.default_rng(seed)
    person, video = random_person(rng), replace(random_video(rng), size=(SIZE, SIZE))
    return face_labels(person, video, Frame(face_width=0.35, **pose))[2].astype(np.float32)


def face(keypoints: np.ndarray) -> Face:
    return Face((0.0, 0.0, 1.0, 1.0), None, keypoints)


def noise(side: int = SIZE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)


def plain(colour: tuple, side: int = 120) -> np.ndarray:
    return np.full((side, side, 4), colour, np.uint8)


def disc() -> np.ndarray:
    """A picture whose left and right half are alike."""
    picture = np.zeros((101, 161, 4), np.uint8)
    cv2.ellipse(picture, (80, 50), (70, 40), 0, 0, 360, (200, 60, 20, 255), -1)
    cv2.circle(picture, (80, 20), 12, (20, 60, 200, 160), -1)
    return picture


def apart(one: np.ndarray, other: np.ndarray, image: np.ndarray) -> float:
    """How much two drawn pictures differ, as a share of what drawing has changed of the image, which is a lot."""
    changed = np.abs(image.astype(int) - other)
    assert changed.sum() > 10_000
    return float(np.abs(one.astype(int) - other).sum() / changed.sum())


# --- Where it lies --------------------------------------------------------------------------------------------


def around(name: str, keypoints: np.ndarray, points: list) -> np.ndarray:
    """Points around the one by which a shipped overlay is held, in eye distances: where they come to lie, px."""
    overlay = SHIPPED_OVERLAYS[name]
    height, width = overlay.levels[0].shape[:2]
    held = np.array([(width - 1) / 2, height - 0.5 if overlay.place.foot else (height - 1) / 2])
    return geometry.transform_points(held + np.array(points) * width / overlay.place.width, overlay.matrix(keypoints))


@pytest.mark.parametrize("yaw", [0, 15, -30, 45, -45])
def test_glasses_lie_where_those_of_drawn_heads_do(yaw):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        person, frame = random_person(rng), Frame(yaw=yaw, roll=yaw / 3)
        head, camera, points = face_labels(person, random_video(rng), frame)
        x, y = head.points[42:48].mean(axis=0) + np.array([0.01, 0.02])  # of a lens, see `drawn.parts.add_glasses`
        lenses = camera(turn_head(np.array([(side * x, y, 1.13 - 0.35 * x**2) for side in (-1, 1)]), frame))
        errors = np.linalg.norm(around("glasses", points, [(-0.37, 0.02), (0.37, 0.02)]) - lenses, axis=1)
        assert errors.max() < 0.085 * camera.scale  # which is the distance of the outer eye corners


@pytest.mark.parametrize("yaw", [0, -15, 30, 45, -45])
def test_a_moustache_lies_beneath_the_nose_and_over_the_corners_of_the_mouth(yaw):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        _, camera, points = face_labels(random_person(rng), random_video(rng), Frame(yaw=yaw, roll=yaw / 3))
        place = around("moustache", points, [(0, 0), (-0.31, 0.12), (0.31, 0.12)])
        expected = np.array([points[[33, 51]].mean(axis=0), points[48], points[54]])
        errors = np.linalg.norm(place - expected, axis=1) / camera.scale
        assert errors[0] < 1e-3 and errors.max() < 0.08 + abs(yaw) / 300


@pytest.mark.parametrize("name", PLACES)
@settings(max_examples=30)
@given(degrees=st.floats(-180, 180), scale=st.floats(0.05, 20), yaw=st.floats(-45, 45))
def test_it_turns_grows_and_moves_with_the_face(name, degrees, scale, yaw):
    points = labels(yaw=yaw).astype(np.float64)
    overlay = SHIPPED_OVERLAYS[name]
    moving = geometry.similarity((100, 90), (-30, 55), scale, degrees)
    moved = overlay.matrix(points @ moving[:, :2].T + moving[:, 2])
    expected = np.vstack([moving, (0, 0, 1)]) @ np.vstack([overlay.matrix(points), (0, 0, 1)])
    np.testing.assert_allclose(moved, expected[:2], atol=1e-9 * 1000 * scale)


@pytest.mark.parametrize("narrow", [1.0, 0.8, 0.5])
def test_what_is_flat_becomes_narrow_with_the_face_and_what_is_round_does_not(narrow):
    points = labels().astype(np.float64)
    glasses, hat = SHIPPED_OVERLAYS["glasses"], SHIPPED_OVERLAYS["hat"]
    turned = points * (narrow, 1)
    np.testing.assert_allclose(glasses.matrix(turned), glasses.matrix(points) * [[narrow], [1]], atol=1e-9)
    scales = np.linalg.svd(hat.matrix(turned)[:, :2])[1]
    assert scales[0] == pytest.approx(scales[1])
    assert scales[0] == pytest.approx(face_matrix(turned, 0.4)[1, 1] * hat.place.width / hat.levels[0].shape[1])


@given(st.integers(0, 10**6), st.sampled_from([0.4, 1.0]))
def test_no_points_flip_or_flatten_it(seed, narrowest):
    points = np.random.default_rng(seed).normal(0, 50, (68, 2))
    linear = face_matrix(points, narrowest)
    greatest, least = np.linalg.svd(linear)[1]
    assert np.linalg.det(linear) > 0 and least >= 0.999 * narrowest * greatest


def test_a_face_in_a_mirrored_picture_wears_the_mirrored_overlay():
    points, image = labels(yaw=30, roll=10), noise()
    overlay = Overlay(disc(), PLAIN)
    drawn = draw_overlays(image, [face(points)], [overlay])
    mirrored = (points * (-1, 1) + (SIZE - 1, 0))[FLIP]
    there = draw_overlays(image[:, ::-1], [face(mirrored)], [overlay])
    assert apart(there[:, ::-1], drawn, image) < 0.02


# --- How it is laid -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0, 1, 77, 128, 254, 255])
def test_colours_mix_by_alpha(alpha):
    points, image = labels(roll=20), noise()
    drawn = draw_overlays(image, [face(points)], [Overlay(plain((250, 120, 10, alpha)), PLAIN)])
    x, y = np.round(points[27]).astype(int)
    inside = np.s_[y - 20 : y + 20, x - 20 : x + 20]
    share = alpha / 255
    np.testing.assert_allclose(drawn[inside], share * np.array([250, 120, 10]) + (1 - share) * image[inside], atol=1.6)


def test_only_what_the_picture_covers_is_touched():
    points, image = labels(roll=20), noise()
    before = image.copy()
    overlay = Overlay(plain((250, 120, 10, 255)), PLAIN)
    drawn = draw_overlays(image, [face(points)], [overlay])
    assert (image == before).all()
    covered = np.zeros((SIZE, SIZE), np.uint8)
    corners = geometry.transform_points(np.array([(-1, -1), (120, -1), (120, 120), (-1, 120)]), overlay.matrix(points))
    cv2.fillConvexPoly(covered, np.round(corners).astype(np.int32), 1)
    touched = (drawn != image).any(axis=2)
    assert not touched[cv2.dilate(covered, np.ones((3, 3))) == 0].any()
    assert touched[cv2.erode(covered, np.ones((7, 7))) == 1].mean() > 0.99


def test_transparent_colours_do_not_bleed():
    picture = plain((255, 0, 255, 0))
    picture[40:80, 40:80] = (0, 0, 0, 255)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert not draw_overlays(image, [face(labels() * 0.3)], [Overlay(picture, PLAIN)]).any()


def test_a_large_picture_on_a_small_face_is_averaged():
    picture = np.zeros((600, 600, 4), np.uint8)
    picture[..., 3] = 255
    picture[::2, ::2, :3] = picture[1::2, 1::2, :3] = 255  # a fine chequerboard
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    points = labels()
    drawn = draw_overlays(image, [face(points)], [Overlay(picture, PLAIN)])
    x, y = np.round(points[27]).astype(int)
    assert np.abs(drawn[y - 15 : y + 15, x - 15 : x + 15].astype(int) - 127.5).max() < 3


def test_a_face_partly_outside_wears_the_part_that_is_inside():
    points, image = labels(roll=15), noise(3 * SIZE)
    overlays = [SHIPPED_OVERLAYS["glasses"], SHIPPED_OVERLAYS["hat"]]
    whole = draw_overlays(image, [face(points + SIZE)], overlays)
    for dx, dy in ((SIZE * 3 // 2, SIZE), (SIZE, SIZE * 3 // 2), (SIZE * 5 // 4, SIZE * 5 // 4)):
        window = np.s_[dy : dy + SIZE, dx : dx + SIZE]
        part = draw_overlays(image[window], [face(points + SIZE - (dx, dy))], overlays)
        assert apart(part, whole[window], image[window]) < 0.02


@pytest.mark.parametrize(
    "points", [labels() + 10 * SIZE, labels() - 1e7, np.zeros((68, 2)), np.full((68, 2), np.nan), labels() * np.inf]
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_face_outside_or_nowhere_wears_nothing(points):
    image = noise()
    assert (draw_overlays(image, [face(points)], list(SHIPPED_OVERLAYS.values())) == image).all()


def test_later_ones_lie_above():
    image, points = noise(), labels()
    red, blue = (Overlay(plain(colour), PLAIN) for colour in ((255, 0, 0, 255), (0, 0, 255, 255)))
    x, y = np.round(points[27]).astype(int)
    assert tuple(draw_overlays(image, [face(points)], [red, blue])[y, x]) == (0, 0, 255)
    assert tuple(draw_overlays(image, [face(points)], [blue, red])[y, x]) == (255, 0, 0)


# --- Where it comes from --------------------------------------------------------------------------------------


def test_each_place_has_its_picture():
    assert set(PLACES) == {path.stem for path in PICTURES.iterdir()}
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 200_000


def test_a_file_lies_where_glasses_do_or_where_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.png", "logo@2x.png", "logo@hat.png"):
        Image.fromarray(disc()).save(name)
    assert load_overlay("mine.png").place == PLACES["glasses"]
    assert load_overlay(tmp_path / "mine.png").place == PLACES["glasses"]
    assert load_overlay("mine.png@hat").place == PLACES["hat"]
    assert load_overlay("logo@2x.png").place == load_overlay("logo@hat.png").place == PLACES["glasses"]
    assert load_overlay("logo@2x.png@nose").place == PLACES["nose"]


def test_a_large_file_lies_where_a_small_one_does(tmp_path):
    for name, side in (("large.png", 2000), ("small.png", 300)):
        Image.fromarray(plain((10, 200, 30, 128), side)).save(tmp_path / name)
    image, points = noise(), labels(roll=10)
    large, small = (
        draw_overlays(image, [face(points)], [load_overlay(tmp_path / f"{n}.png")]) for n in ("large", "small")
    )
    assert apart(large, small, image) < 0.04  # their edges are as wide as their pixels


def test_a_transparent_palette_entry_is_transparent(tmp_path):
    image = Image.new("P", (20, 10), 1)
    image.putpalette([0, 0, 0, 250, 0, 0])
    image.paste(0, (0, 0, 10, 10))
    image.save(tmp_path / "a.png", transparency=0)
    rgba = read_cutout(tmp_path / "a.png")
    assert (rgba[:, :10, 3] == 0).all() and (rgba[:, 10:] == (250, 0, 0, 255)).all()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("monocle", "monocle: no such overlay; use one of glasses,"),
        ("missing.png", "missing.png: no such file"),
        ("missing.png@hat", "missing.png: no such file"),
        ("photo.png@mouth", "photo.png@mouth: there is no place @mouth; use one of @glasses,"),
        ("photo.png", "photo.png: no pixel of it is transparent"),
        ("opaque.png", "opaque.png: no pixel of it is transparent"),
        ("text.png", "text.png: is not an image"),
        ("folder", "folder: is a folder"),
    ],
)
def test_what_can_not_be_worn_is_one_line(tmp_path, monkeypatch, name, told):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 20)).save("photo.png")
    Image.new("RGBA", (20, 20), (1, 2, 3, 255)).save("opaque.png")
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError) as error:
        load_overlay(name)
    assert told in str(error.value) and "\n" not in str(error.value)


# --- The commands ---------------------------------------------------------------------------------------------


def test_predict_lays_them_on_the_photograph_and_draws_no_points(tmp_path, call, hopper, landmarker):
    Image.fromarray(disc()).save(tmp_path / "mine.png")
    done = call("--overlay", "sunglasses", "--overlay", "mine.png@hat", "--output", "worn.png")
    assert done.returncode == 0, done.stderr
    overlays = [SHIPPED_OVERLAYS["sunglasses"], load_overlay(f"{tmp_path / 'mine.png'}@hat")]
    worn = read_image(tmp_path / "worn.png")
    assert (worn == draw_overlays(hopper, landmarker(hopper), overlays)).all()
    assert 0.02 < (worn != hopper).any(axis=2).mean() < 0.15


def test_predict_shows_them_on_contact_sheets_too(tmp_path, call, photos):
    done = call("--image", "photos", "--overlay", "sunglasses", "--output", "worn", detector="none")
    assert done.returncode == 0, done.stderr
    sheet = read_image(tmp_path / "worn" / "contact_sheet_1.jpg")
    assert call("--image", "photos", "--output", "points", detector="none").returncode == 0
    other = read_image(tmp_path / "points" / "contact_sheet_1.jpg")
    dark = [(one.max(axis=2) < 60).mean() for one in (sheet, other)]
    assert dark[0] > dark[1] + 0.005


def test_the_sheet_shows_photograph_and_drawn_heads():
    sheet = pictures.overlay_sheet(tile=48)
    assert sheet.shape == (3 * (48 + 14 + 2) + 2, 5 * 50 + 2, 3) and sheet.std() > 30
