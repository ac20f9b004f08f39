"""What is said of movement and blinks in films: on signals of which all is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import movement
from face68.draw import schematic_face
from face68.landmarks import Face

RATE = 30
TIMES = np.arange(0, 10, 1 / RATE)


def wave(hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * TIMES)


def test_a_band_holds_its_frequencies_alone():
    signal = 5 + wave(1) + wave(3) + wave(6)
    np.testing.assert_allclose(movement.band(signal, RATE, 2, 4), wave(3), atol=1e-6)
    np.testing.assert_allclose(movement.band(signal, RATE, 4, 7), wave(6), atol=1e-6)


@given(share=st.floats(0, 1), noise=st.floats(0, 0.5), seed=st.integers(0, 100))
def test_what_is_kept_is_told_through_the_noise_of_either_network(share, noise, seed):
    one, other = np.random.default_rng(seed).normal(0, noise, (2, len(TIMES)))
    assert movement.kept(share * wave(3), wave(3) + one, wave(3) + other) == pytest.approx(share, abs=0.25)
    assert movement.kept(share * (wave(3) + one), wave(3) + one, wave(3) + other) == pytest.approx(share)


@given(factor=st.floats(0.1, 2), offset=st.floats(-1, 1))
def test_a_slope_and_peaks_are_those_of_a_factor(factor, offset):
    truth = np.maximum(0, wave(2.5))
    assert movement.slope(factor * truth + offset, truth) == pytest.approx(factor)
    assert movement.peaks_kept(factor * truth + offset, truth) == pytest.approx(factor, rel=0.05)


def test_openings_are_distances_of_lips_and_lids():
    points = np.stack([schematic_face() * 100] * 2)
    points[1, [66], 1] += 20
    points[1, [40, 41, 46, 47], 1] += 10
    assert np.diff(movement.mouth_opening(points)) == pytest.approx(0.2, abs=1e-6)
    assert np.diff(movement.lid_opening(points)) == pytest.approx(0.1, abs=1e-6)


def test_blinks_are_found_missed_and_false():
    row = movement.blink_row([1.05, 3.0, 8.0], [(1.0, 1.2), (5.0, 5.2)], 60.0)
    assert row == {"blinks": 2, "found_blinks": 0.5, "false_a_minute": 2}
    assert np.isnan(movement.blink_row([], [], 10.0)["found_blinks"])


def test_one_blink_is_not_found_twice():
    assert movement.blink_row([1.0, 1.1], [(1.0, 1.2)], 60.0) == {"blinks": 1, "found_blinks": 1, "false_a_minute": 1}


def test_drawn_blinks_are_where_the_lids_are_more_than_half_shut():
    closed = np.array([0.2, 0.6, 1.0, 0.4, 0.0, 0.7])
    assert movement.drawn_blinks(np.arange(6) / 10, closed) == [(0.1, 0.2), (0.5, 0.5)]


def test_labelled_blinks_are_in_order_and_short():
    for film in ("speech_blinks", "talk_small", "window", "sbr"):
        blinks = np.array(movement.labelled_blinks(film))
        assert (np.diff(blinks.ravel()) > 0).all() and (np.diff(blinks) < 0.6).all()
    assert movement.labelled_blinks("nobody") is None


def test_one_euro_holds_still_what_rests_and_follows_what_moves():
    shape, filtered = np.float32(schematic_face() * 100), movement.OneEuro()
    still = [
        filtered(Face((0, 0, 1, 1), 1.0, shape + noise), i / RATE).keypoints for i, noise in enumerate([0, 1] * 20)
    ]
    assert np.abs(np.diff(still[-10:], axis=0)).max() < 1
    moved = [filtered(Face((0, 0, 1, 1), 1.0, shape + 10 * i), (40 + i) / RATE).keypoints for i in range(30)]
    assert np.abs(moved[-1] - (shape + 290)).max() < 10
