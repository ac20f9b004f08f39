"""Aligned faces: known turns, scales and shifts come back exactly, and points go there and back."""

import json
import math

import numpy as np
import pytest
from conftest import one_line_error
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import video
from face68 import align, geometry
from face68.align import BORDERS, TEMPLATES, open_template
from face68.files import InputError
from face68.frames import FilmReader, film_writer
from face68.geometry import invert, similarity, transform_points
from face68.images import is_marked, read_image
from face68.landmarks import LEFT_EYE, MOUTH_CORNERS, OUTER_EYE_CORNERS, RIGHT_EYE, Face

BLACK = np.zeros((60, 80, 3), np.uint8)
SHAPE = np.random.default_rng(0).normal(size=(68, 2))
SHAPE[RIGHT_EYE], SHAPE[LEFT_EYE], SHAPE[MOUTH_CORNERS] = (-1, -1), (1, -1), (0, 1)  # of each part all in one place


def face_of(points: np.ndarray) -> Face:
    keypoints = np.asarray(points, np.float32)
    return Face(tuple(geometry.box_of(keypoints).tolist()), None, keypoints)


def moved_by(matrix: np.ndarray) -> np.ndarray:
    return transform_points(SHAPE, matrix)


moves = st.builds(
    lambda scale, degrees, x, y: similarity((0, 0), (x, y), scale, degrees),
    st.floats(5, 200),
    st.floats(-180, 180),
    st.floats(-300, 300),
    st.floats(-300, 300),
)


@pytest.mark.parametrize("name", TEMPLATES)
@given(move=moves)
def test_however_a_face_lies_it_is_turned_and_scaled_back_exactly(name, move):
    """The picture of a moved face is that of the face: its matrix takes the move back."""
    resting, moved = (align(BLACK, face_of(points), 100, name).matrix for points in (SHAPE, moved_by(move)))
    corners = np.array([[-2, -2], [2, -2], [0, 2.0]])
    there = transform_points(transform_points(corners, move), moved)
    np.testing.assert_allclose(there, transform_points(corners, resting), atol=0.02)  # px; keypoints are float32


@given(move=moves, size=st.integers(16, 400))
def test_a_face_that_has_the_templates_shape_is_laid_on_it(tmp_path_factory, move, size):
    path = tmp_path_factory.mktemp("template") / "own.json"
    path.write_text('{"36": [0.3, 0.4], "45": [0.7, 0.4], "48,54": [0.5, 0.8], "8": [0.45, 0.95]}')
    points = np.zeros((68, 2))
    points[[36, 45, 48, 54, 8]] = (0.3, 0.4), (0.7, 0.4), (0.4, 0.75), (0.6, 0.85), (0.45, 0.95)
    places = points * size - 0.5  # shares of the side, from edge to edge
    face = face_of(transform_points(places, move))
    there = transform_points(face.keypoints, align(BLACK, face, size, path).matrix)
    np.testing.assert_allclose(there[[36, 45, 48, 54, 8]], places[[36, 45, 48, 54, 8]], atol=0.02)


def test_arcface_and_dlib_lay_their_own_shapes_on_the_places_that_they_publish():
    arcface = SHAPE.copy()
    arcface[RIGHT_EYE], arcface[LEFT_EYE], arcface[30] = (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366)
    arcface[MOUTH_CORNERS] = (41.5493, 92.3655), (70.7299, 92.2041)
    np.testing.assert_allclose(align(BLACK, face_of(arcface), 112, "arcface").matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-3)
    *_, there = (transform_points(SHAPE, align(BLACK, face_of(SHAPE), size, "dlib").matrix) for size in (75, 150))
    half = transform_points(SHAPE, align(BLACK, face_of(SHAPE), 75, "dlib").matrix)
    np.testing.assert_allclose(there, 2 * half + 0.5, atol=1e-2)  # a picture twice as large shows the same


def test_ffhq_is_the_square_of_its_recipe():
    """Eyes 2 apart, the mouth 2 below: the square's side is 2 · max(2 · 2, 1.8 · 2), its middle 0.2 below the eyes."""
    matrix = align(BLACK, face_of(SHAPE), 80, "ffhq").matrix
    np.testing.assert_allclose(matrix, [[10, 0, 39.5], [0, 10, 39.5 + 8]], atol=1e-5)
    long = SHAPE.copy()
    long[MOUTH_CORNERS] = (0, 4)  # 5 below: 1.8 · 5 counts
    np.testing.assert_allclose(align(BLACK, face_of(long), 90, "ffhq").matrix[0, 0], 90 / 18)


@given(degrees=st.floats(-180, 180))
def test_upright_eyes_are_level_and_the_face_is_in_the_middle(degrees):
    face = face_of(transform_points(SHAPE, similarity((0, 0), (40, 30), 20, degrees)))
    there = transform_points(face.keypoints, align(BLACK, face, 150, "upright").matrix)
    right, left = there[RIGHT_EYE].mean(axis=0), there[LEFT_EYE].mean(axis=0)
    assert left[0] > right[0] and left[1] == pytest.approx(right[1], abs=1e-2)
    box = geometry.box_of(there)
    np.testing.assert_allclose((box[:2] + box[2:]) / 2, 74.5, atol=1e-2)
    assert max(box[2:] - box[:2]) == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_picture_shows_what_the_points_lie_on(name, hopper, landmarker):
    (face,) = landmarker(hopper)
    picture, matrix = align(hopper, face, 200, name)
    assert picture.shape == (200, 200, 3) and picture.dtype == np.uint8
    there = transform_points(face.keypoints, matrix)
    np.testing.assert_allclose(transform_points(there, invert(matrix)), face.keypoints, atol=1e-2)
    (again,) = landmarker(picture)
    np.testing.assert_allclose(again.keypoints, there, atol=0.06 * np.ptp(there[:, 0]))
    assert np.linalg.norm(again.keypoints - there, axis=1).mean() < 0.015 * np.ptp(there[:, 0])


def test_a_reduced_picture_has_no_pattern_that_the_image_lacks():
    """Of a chessboard of single pixels a picture of any smaller scale is gray."""
    board = np.repeat((np.indices((400, 400)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    for scale in (0.9, 0.7, 0.45, 0.13):
        points = SHAPE * 10 / scale + 200
        inside = align(board, face_of(points), 80, "ffhq").image[35:45, 35:45].astype(int)
        assert abs(inside - 127).max() < 70, scale
        assert abs(inside.mean() - 127) < 3


def test_borders_are_black_or_mirrored_or_blurred():
    image = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    keypoints = SHAPE * 2 + 20
    square = similarity((0, 0), (10, 12))  # the template puts the image there, at its own scale, in 80×80
    pictures = {}
    for border in BORDERS:
        pictures[border], _ = align(image, face_of(keypoints), 80, lambda _: (1 / 80, (10.5 + 12.5j) / 80), border)
    assert square[0, 2] == 10
    for border, picture in pictures.items():
        np.testing.assert_array_equal(picture[12:52, 10:60], image, err_msg=border)
    assert pictures["black"].sum() == image.sum()
    np.testing.assert_array_equal(pictures["mirrored"][12:52, :10], image[:, 9::-1])
    np.testing.assert_array_equal(pictures["mirrored"][52:, 10:60], image[:11:-1])
    far, sharp = pictures["blurred"][60:].astype(float), pictures["mirrored"][60:].astype(float)
    assert np.abs(np.diff(far, axis=1)).mean() < 0.3 * np.abs(np.diff(sharp, axis=1)).mean()


NONE = (
    "",
    "[]",
    "{}",
    '{"36": [0.3, 0.4]}',
    '{"36": [0, 0], "68": [1, 1]}',
    '{"36": 1, "45": 2}',
    '{"36": [1]}',
    '{"36": [0.5, 0.5], "45": [0.5, 0.5]}',
    '{"eye": [0, 0], "45": [1, 1]}',
    '{"36": [0, NaN], "45": [1, 1]}',
)


@pytest.mark.parametrize("text", NONE)
def test_a_template_that_is_none_is_one_line(text, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"own\.json: is none of ffhq") as error:
        open_template(path)
    assert "\n" not in str(error.value)


def test_what_can_not_be_aligned_is_named():
    face, nowhere = face_of(SHAPE), face_of(np.ones((68, 2)))
    for name in TEMPLATES:
        with pytest.raises(InputError, match="all in one place"):
            align(BLACK, nowhere, template=name)
    with pytest.raises(InputError, match="border pink"):
        align(BLACK, face, border="pink")
    with pytest.raises(InputError, match=r"1 to 2,048 px"):
        align(BLACK, face, size=0)
    with pytest.raises(InputError, match="give black"):
        align(np.zeros((1, 40_000, 3), np.uint8), face, border="mirrored")
    with pytest.raises(InputError, match="is none of ffhq"):
        align(BLACK, face, template="ffqh")


def test_dlib_cuts_out_the_same(hopper, landmarker):
    dlib = pytest.importorskip("dlib")
    keypoints = np.rint(landmarker(hopper)[0].keypoints)
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, 9, 9), [dlib.point(*map(int, xy)) for xy in keypoints])
    theirs = dlib.get_face_chip(hopper, shape, size=150).astype(float)
    assert np.abs(align(hopper, face_of(keypoints), 150, "dlib").image - theirs).mean() < 4


# --- The commands ---------------------------------------------------------------------------------------------


def test_predict_writes_a_picture_of_each_face(call, tmp_path, hopper):
    Image.fromarray(np.hstack([hopper, hopper])).save(tmp_path / "two.png")
    Image.fromarray(np.zeros_like(hopper)).save(tmp_path / "nobody.jpg")
    line = ("two.png", "nobody.jpg", "--align", "faces", "--no-pictures", "--json", "points.json")
    done = call(*line, "--align-template", "arcface", "--align-size", 112)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == ["two.face2.png", "two.png"]
    pictures = [read_image(path).astype(float) for path in (tmp_path / "faces").iterdir()]
    assert all(picture.shape == (112, 112, 3) for picture in pictures)
    assert np.abs(pictures[0] - pictures[1]).mean() < 6, "it is twice the same face"
    points = json.loads((tmp_path / "points.json").read_text())["images"][0]["faces"][0]["keypoints"]
    expected = align(np.hstack([hopper, hopper]), face_of(points), 112, "arcface").image
    assert np.abs(read_image(tmp_path / "faces" / "two.png") - expected.astype(float)).mean() < 0.5
    assert is_marked(tmp_path / "faces" / "two.png") and call(*line).returncode == 0, "its own pictures are replaced"


def test_no_photo_is_replaced_by_a_face(call, tmp_path, hopper):
    Image.fromarray(hopper).save(tmp_path / "photo.png")
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "photo.png").write_bytes(b"mine")
    assert "faces/photo.png: is there" in one_line_error(call("photo.png", "--align", "faces", "--no-pictures"))
    assert "would lie among photos" in one_line_error(call("photo.png", "--align", ".", "--no-pictures"))
    assert "--align-template" in one_line_error(call("photo.png", "--align", "new", "--align-template", "eyes"))
    assert "--align-size" in one_line_error(call("photo.png", "--align", "new", "--align-size", "4096"))
    assert (tmp_path / "faces" / "photo.png").read_bytes() == b"mine" and not (tmp_path / "new").exists()


def test_a_films_faces_are_written_by_identity_and_frame_and_do_not_shake(in_process, tmp_path, hopper, landmarker):
    """The head turns by 10° in the film; in its pictures the eyes stay where they are."""
    with film_writer(tmp_path / "film.mp4", 25, (512, 600)) as write:
        for i in range(8):
            write(geometry.warp(hopper, similarity((256, 250), (256, 250), 1, 1.5 * i), 600, 512))
    done = in_process(video.main, "--video", "film.mp4", "--align", "faces", "--align-size", 128)
    assert done.returncode == 0, done.stderr
    paths = sorted((tmp_path / "faces").glob("*/*.png"))
    assert [str(path.relative_to(tmp_path / "faces")) for path in paths] == [f"1/{i:06}.png" for i in range(8)]
    eyes = []
    for path in paths:
        (face,) = landmarker(read_image(path))
        eyes.append(face.keypoints[OUTER_EYE_CORNERS])
    assert np.std(eyes, axis=0).max() < 1.0  # px of 128
    turns = [math.degrees(math.atan2(*(left - right)[::-1])) for right, left in eyes]
    assert max(map(abs, turns)) < 2
    assert len(list(FilmReader(tmp_path / "film.mp4"))) == 8 and not (tmp_path / "outputs").exists()
