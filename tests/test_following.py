"""The measures of how well films are followed, on films of which all is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.films import SeenFrame, film_row, follow_actors, jitter, lag, mouth_opening, switches, tiled
from face68.draw import schematic_face
from face68.landmarks import Face

FACE = (schematic_face() * 100 + 200).astype(np.float32)  # (68, 2) px, eyes 100 apart
EYES = np.full(60, 100.0)


def actor(identity: int, x: float, hidden: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(identity=identity, keypoints=FACE + np.float32([x, 0]), hidden=hidden, blink=0.0)


def face(identity: int, x: float) -> Face:
    return Face((0, 0, 1, 1), 1.0, FACE + np.float32([x, 0]), identity=identity)


def test_a_switch_is_another_identity_than_the_last_one_seen():
    assert switches(np.array([1, 1, 0, 0, 1, 2, 2, 0, 1])) == 2
    assert switches(np.array([0, 0, 0])) == 0


def test_jitter_is_that_of_second_differences():
    """Of a point that goes to and fro by ±d from frame to frame they are ±4d; of a steady motion they are 0."""
    to_and_fro = np.where(np.arange(60) % 2, 1.0, -1.0)[:, None, None] * np.ones((68, 2))
    assert jitter(to_and_fro, EYES) == pytest.approx(0.04, abs=1e-3)
    assert jitter(np.arange(60)[:, None, None] * np.ones((68, 2)) * 3, EYES) == pytest.approx(0, abs=1e-9)


@given(late=st.integers(-3, 3))
def test_a_lag_is_found_whatever_the_scale(late):
    truth = np.sin(np.arange(80) / 3.0) + 0.5 * np.sin(np.arange(80) / 5.3)
    assert lag(2 * np.roll(truth, late) + 7, truth) == pytest.approx(late, abs=0.06)


def test_the_mouth_opens_by_the_distance_of_the_inner_lips():
    opened = np.stack([FACE, FACE])
    opened[1, 66, 1] += 20
    assert np.diff(mouth_opening(opened)) == pytest.approx(0.2, abs=1e-3)


def test_each_face_is_one_actors_alone():
    """While the second one is hidden behind the first, the one face that is there is not hers too."""
    film = [
        SeenFrame(0.0, [actor(1, 0), actor(2, 300)], [face(7, 1), face(8, 300)]),
        SeenFrame(0.1, [actor(1, 0), actor(2, 20, hidden=0.9)], [face(7, 1)]),
        SeenFrame(0.2, [actor(1, 0), actor(2, -300)], [face(8, -300), face(7, 1)]),
    ]
    first, second = follow_actors(film)
    assert first.identities.tolist() == [7, 7, 7] and second.identities.tolist() == [8, 0, 8]
    row = film_row([first, second])
    assert row["found"] == 1 and row["switches"] == 0  # hidden, she need not be found
    assert row["nme"] == pytest.approx(0.01 * 3 / 5, rel=1e-3)  # 1 px of 100 in three of five


def test_tiles_show_the_frame_as_often_as_asked():
    image = np.full((90, 160, 3), 50, np.uint8)
    image[30:60, 60:100] = 250
    for count in (1, 2, 4):  # two of a quarter of the size, four of it
        frame = tiled(image, count)
        assert frame.shape == image.shape
        bright = (frame[..., 0] > 150).sum() / 1200
        assert bright == pytest.approx({1: 1, 2: 1 / 2, 4: 1}[count], rel=0.2)
