"""Filtered points: what rests is still, what moves isn't late, wherever the face is and however it is turned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face68 import geometry
from face68.draw import schematic_face
from face68.landmarks import inter_ocular
from face68.smoothing import SteadyPoints, share, similarity_between

RATE = 30
FACE = schematic_face() * 100 + 200  # (68, 2) px, eyes 100 apart


def steady(film: np.ndarray, errors=None, times=None) -> np.ndarray:
    """(T, 68, 2) px, filtered as a film."""
    times = np.arange(len(film)) / RATE if times is None else times
    smoother = SteadyPoints()
    return np.stack([smoother(points, errors, time) for points, time in zip(film, times, strict=True)])


def shaking(frames: int, pixels: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, pixels, (frames, 68, 2))


def second_differences(film: np.ndarray) -> float:
    return float(np.diff(film, 2, axis=0)[30:].std())


def test_the_share_is_that_of_a_low_pass_filter():
    """After the time of 1 / (2π × cut-off) a step of 1 has come to 1 - 1/e, in steps short enough."""
    cutoff, gap = 0.5, 1e-4
    steps = round(1 / (2 * np.pi * cutoff) / gap)
    assert 1 - (1 - share(cutoff, gap)) ** steps == pytest.approx(1 - np.exp(-1), abs=1e-3)


def test_points_at_rest_stay_where_they_are():
    film = np.tile(FACE, (40, 1, 1))
    np.testing.assert_allclose(steady(film), film, atol=1e-3)


def test_what_rests_shakes_a_third_at_most_and_is_nearer_to_the_truth():
    noisy = FACE + shaking(120, 1.0)
    calm = steady(noisy)
    assert second_differences(noisy) / second_differences(calm) > 4
    assert np.abs(calm[30:] - FACE).mean() < 0.5 * np.abs(noisy[30:] - FACE).mean()


@pytest.mark.parametrize("speed", [20.0, 300.0])
def test_a_head_that_moves_steadily_is_not_late(speed):
    """px a second, at eyes 100 px apart; a filter without a trend would stay behind by speed / (2π × cut-off)."""
    way = speed * np.arange(90)[:, None, None] / RATE * [1.0, 0.3]
    late = (FACE + way - steady(FACE + way))[45:]
    assert np.abs(late).max() < 0.02 * speed / RATE


def test_a_head_that_turns_round_and_round_makes_no_jump():
    film = np.stack([turned(FACE, 12 * i) for i in range(90)])  # three turns
    off = np.linalg.norm(steady(film) - film, axis=2) / 100
    assert off[15:].max() < 0.02


def turned(points: np.ndarray, degrees: float, scale: float = 1.0, to=(200, 200)) -> np.ndarray:
    return points @ (matrix := geometry.similarity((200, 200), to, scale, degrees))[:, :2].T + matrix[:, 2]


def test_a_mouth_that_opens_at_once_follows_within_three_frames():
    opened = FACE.copy()
    opened[[56, 57, 58, 65, 66, 67], 1] += 30
    film = np.stack([FACE] * 30 + [opened] * 30)
    came = (steady(film)[:, 66, 1] - FACE[66, 1]) / 30
    assert came[29] == pytest.approx(0, abs=0.01)
    assert came[32] > 0.7 and came[40] > 0.95


@settings(max_examples=25)
@given(st.floats(-180, 180), st.floats(0.2, 5), st.floats(-500, 500), st.floats(-500, 500), st.integers(0, 100))
def test_place_size_and_roll_do_not_matter(degrees, scale, x, y, seed):
    film = FACE + shaking(8, 2.0, seed) + np.arange(8)[:, None, None] * [3.0, 1.0]
    elsewhere = steady(np.stack([turned(points, degrees, scale, (x, y)) for points in film]))
    expected = np.stack([turned(points, degrees, scale, (x, y)) for points in steady(film)])
    np.testing.assert_allclose(elsewhere, expected, atol=0.02 * max(1, scale))


def test_uncertain_points_do_not_move_the_head():
    """The head's place is that of the certain points: one that jumps and says that it is unsure moves no other."""
    film = np.tile(FACE, (40, 1, 1))
    film[20:, 8] += 80
    sure, unsure = np.full(68, 2.0), np.full(68, 2.0)
    unsure[8] = 200.0
    moved = [np.abs(steady(film, errors)[:, :8] - FACE[:8]).max() for errors in (sure, unsure)]
    assert moved[1] < 0.05 < moved[0]


def test_what_is_much_less_certain_is_filtered_more_and_nothing_else_is():
    """A point that rests shakes less after filtering if it is known four times as badly as the others; a jaw, half as
    well known as the rest, is filtered like it.
    """
    film = FACE + shaking(150, 1.0)

    def shakes(error: float) -> float:
        errors = np.full(68, 2.0)
        errors[8] = error
        return float(np.diff(steady(film, errors)[30:, 8], 2, axis=0).std())

    assert shakes(3.9) == pytest.approx(shakes(2.0), rel=0.02)
    assert shakes(16.0) < 0.5 * shakes(2.0)


def test_time_stamps_count_and_not_frames():
    """At half the rate the filter is as slow in seconds: after the same time about as much of a step has come."""
    stepped = np.stack([FACE] * 10 + [turned(FACE, 0, to=(210, 200))] * 10)
    fast = steady(np.repeat(stepped, 2, axis=0), times=np.arange(40) / 60)[20:, :, 0].mean(axis=1)
    slow = steady(stepped, times=np.arange(20) / 30)[10:, :, 0].mean(axis=1)
    assert np.abs(fast[1::2] - slow)[1:].max() < 1.0  # of 10 px, from the second frame on


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10), degrees=st.floats(-180, 180))
def test_a_similarity_is_found(seed, scale, degrees):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=68) + 1j * rng.normal(size=68)
    factor, shift = scale * np.exp(1j * np.radians(degrees)), complex(rng.normal(), rng.normal())
    found = similarity_between(points, factor * points + shift, rng.uniform(0.1, 1, 68))
    np.testing.assert_allclose(found, (factor, shift), atol=1e-6 * max(1, scale))


def test_a_face_of_one_point_is_no_error():
    film = np.tile(FACE[:1], (5, 68, 1))
    assert np.isfinite(steady(film)[0]).all()
    assert inter_ocular(film[0]) == 0


def speaking(frames: int, hertz: float) -> np.ndarray:
    """(T, 68, 2) px: the lower lips go down by up to 12% of the eye distance, so often a second."""
    opening = 6 * (1 - np.cos(2 * np.pi * hertz * np.arange(frames) / RATE))
    film = np.tile(FACE, (frames, 1, 1))
    film[:, [55, 56, 57, 58, 59, 65, 66, 67], 1] += opening[:, None]
    return film


def gap(film: np.ndarray) -> np.ndarray:
    """(T,) px between the inner lips."""
    return film[:, 66, 1] - film[:, 62, 1]


@pytest.mark.parametrize("hertz", [2.0, 4.0, 6.0])
def test_a_mouth_that_speaks_keeps_its_movement_and_is_not_late(hertz):
    film = speaking(120, hertz)
    spoken, kept = (gap(points)[30:] for points in (film, steady(film + shaking(120, 0.3))))
    slope = np.polyfit(spoken - spoken.mean(), kept, 1)[0]
    assert 0.9 < slope < 1.05


@given(depth=st.floats(3, 8), begin=st.integers(30, 60), length=st.integers(3, 8), roll=st.floats(-180, 180))
@settings(max_examples=20)
def test_a_blink_keeps_its_depth_in_every_pose(depth, begin, length, roll):
    film = np.tile(FACE, (80, 1, 1))
    film[begin : begin + length, [37, 38, 43, 44], 1] += depth
    calm = steady(np.stack([turned(points, roll) for points in film + shaking(80, 0.2)]))
    back = np.stack([turned(points, -roll) for points in calm])
    openings = np.linalg.norm(back[:, 41] - back[:, 37], axis=1)
    before = openings[begin - 5 : begin].mean()
    assert before - openings[begin : begin + length].min() > 0.8 * depth


def test_the_noise_is_learned_from_the_face_itself():
    """The lips' opening is held as still where all shakes four times as much as usual."""

    def shakes(pixels: float) -> float:
        noisy = FACE + shaking(150, pixels)
        lips = [film[:, 55:60, 1].mean(axis=1) - film[:, 49:54, 1].mean(axis=1) for film in (steady(noisy), noisy)]
        calm, restless = (np.diff(signal, 2)[60:].std() for signal in lips)
        return calm / restless

    assert shakes(0.3) < 0.1 and shakes(1.2) < 0.25


def test_a_face_that_jumps_as_at_a_cut_is_where_it_jumped_to():
    film = np.stack([FACE] * 10 + [turned(FACE, 5, 1.3, (320, 220))] * 5)
    np.testing.assert_allclose(steady(film)[10:], film[10:], atol=1e-2)
