"""Poses that are known are recovered, ratios are those worked out by hand, and blinks are counted at any frame rate."""

import hashlib
import itertools
import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from datasets.synthetic import Frame, face_labels, random_frame, random_person, random_video
from datasets.synthetic.pose import CAMERA_DISTANCE, rotation, turn_head
from face68 import draw, measures
from face68.landmarks import FLIP, Face
from face68.measures import Blinks, angles, measure, pose_axes

TO_CAMERA = np.diag([1, 1, -1])
FACE_CENTRE = np.array([0.0, 0.35, 0.75])  # about the middle of eyes, nose and mouth of a drawn head, in its units


def projected(yaw, pitch, roll, distance=measures.CAMERA_DISTANCE, pixels=80.0, place=(200, 150)):
    """The mean face in a pose as a camera sees it whose line of sight is the middle of the face: (68, 2) px."""
    face, weights = measures._mean_face()
    face = np.nan_to_num(face - weights @ np.nan_to_num(face) / weights.sum())
    turned = face @ rotation(yaw, pitch, roll).T
    return np.array(place) + pixels * turned[:, :2] * (distance / (distance - turned[:, 2:]))


def difference(found, true) -> np.ndarray:
    return np.abs((np.array(found) - true + 180) % 360 - 180)


@settings(deadline=None, max_examples=100)
@given(
    yaw=st.floats(-80, 80), pitch=st.floats(-40, 40), roll=st.floats(-180, 180),
    pixels=st.floats(0.5, 5000), place=st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000)),
)  # fmt: skip
def test_the_pose_of_the_mean_face_is_recovered(yaw, pitch, roll, pixels, place):
    found = measure(projected(yaw, pitch, roll, pixels=pixels, place=place))
    own, true = (rotation(*pose) for pose in (found[:3], (yaw, pitch, roll)))
    apart = math.degrees(math.acos(np.clip((np.trace(own.T @ true) - 1) / 2, -1, 1)))
    assert apart < 0.5


def test_the_mean_face_is_the_one_that_was_made():
    """Its numbers have no other source here, and a wrong one moves poses by less than people differ."""
    table = np.array([[index, *values] for index, values in measures._HALF_FACE.items()])
    assert hashlib.sha256(table.astype("<f8").tobytes()).hexdigest()[:16] == "7282037a35774275"
    points, weights = measures._mean_face()
    np.testing.assert_array_equal(points[FLIP] * (-1, 1, 1), points)
    np.testing.assert_array_equal(weights[FLIP], weights)


def test_faces_keep_the_measures_that_they_have():
    points = projected(20, 5, 10)
    (face,) = measures.measured([Face((0, 0, 9, 9), 0.5, points, measures={"blinks": 3})])
    assert face.measures == measure(points).to_dict() | {"blinks": 3} and face.score == 0.5


def test_angles_have_the_signs_of_drawn_heads():
    for pose in ((30, 0, 0), (0, 15, 0), (0, 0, 40), (-50, -20, 170)):
        assert angles(TO_CAMERA @ rotation(*pose) @ TO_CAMERA) == pytest.approx(pose, abs=1e-9)


def test_heads_at_other_distances_are_off_by_a_few_degrees():
    for distance in (6, 60):
        for pose in itertools.product((-60, 0, 30), (-20, 0, 20), (0, 90)):
            assert difference(measure(projected(*pose, distance=distance))[:3], pose).max() < 9, (distance, pose)


def seen_rotation(frame: Frame) -> np.ndarray:
    """The rotation (3, 3), z away from the camera, of a drawn head to the line of sight to its face.

    A drawn head turns about its neck and so leaves the axis of the camera: by 5° at a yaw of 90.
    """
    x, y, z = turn_head(FACE_CENTRE, frame)
    sight = np.array([x, y, CAMERA_DISTANCE - z])
    sight /= np.linalg.norm(sight)
    axis = np.cross(sight, (0, 0, 1))
    turn = axis * (math.acos(sight[2]) / max(np.linalg.norm(axis), 1e-12))
    return cv2.Rodrigues(turn)[0] @ TO_CAMERA @ rotation(frame.yaw, frame.pitch, frame.roll) @ TO_CAMERA


def test_drawn_heads():
    """Whom the mean face knows nothing of, with expressions of all kinds; angles to the line of sight."""
    rng, true, found = np.random.default_rng(0), [], []
    for _ in range(60):
        person, video, frame = random_person(rng), random_video(rng), random_frame(rng)
        yaw, pitch, roll = rng.uniform((-75, -25, -25), (75, 25, 25)).tolist()
        frame = replace(frame, yaw=yaw, pitch=pitch, roll=roll)
        true.append(angles(seen_rotation(frame)))
        found.append(measure(face_labels(person, video, frame)[2])[:3])
    found, true = np.array(found), np.array(true)
    assert (np.median(difference(found, true), axis=0) < (2, 3, 1)).all()
    assert np.corrcoef(found[:, 0], true[:, 0])[0, 1] > 0.99


def test_the_line_of_sight_to_a_head_ahead_is_the_cameras_axis():
    yaw, pitch, roll = angles(seen_rotation(Frame()))
    assert (yaw, roll) == pytest.approx((0, 0)) and abs(pitch) < 3


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(-180, 180))
def test_a_mirrored_photo_negates_yaw_and_roll_and_a_turned_one_adds_to_roll(seed, degrees):
    rng = np.random.default_rng(seed)
    points = projected(*rng.uniform((-60, -25, -90), (60, 25, 90))) + rng.normal(0, 2, (68, 2))
    yaw, pitch, roll, right, left, mouth = measure(points)
    other = measure(points[FLIP] * (-1, 1))
    assert difference(other[:3], (-yaw, pitch, -roll)).max() < 1e-6
    assert other[3:] == pytest.approx((left, right, mouth))
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = measure(points @ np.array([[cos, sin], [-sin, cos]]))
    assert difference(turned[:3], (yaw, pitch, roll + degrees)).max() < 1e-6


def test_ratios_are_those_worked_out_by_hand():
    points = projected(0, 0, 0)
    points[36:42] = [(0, 0), (10, -4), (20, -3), (30, 0), (20, 5), (10, 2)]  # heights 6 and 8, width 30
    points[42:48] = [(0, 0), (10, 0), (20, 0), (30, 0), (20, 0), (10, 0)]
    points[60:68] = [(0, 0), (5, -3), (10, -4), (15, -3), (20, 0), (15, 2), (10, 5), (5, 3)]  # 6, 9, 5; width 20
    found = measure(points)
    assert found.right_eye == pytest.approx(7 / 30) and found.left_eye == 0
    assert found.mouth == pytest.approx(20 / 3 / 20)


def test_openness_is_the_mean_of_both_eyes_and_in_profile_that_of_the_nearer_one():
    assert measures.Measures(20, 0, 0, 0.3, 0.1, 0).eye_openness == pytest.approx(0.2)
    right, left = measures.Measures(50, 0, 0, 0.3, 0.1, 0), measures.Measures(-50, 0, 0, 0.3, 0.1, 0)
    assert (right.eye_openness, left.eye_openness) == (0.3, 0.1)


def test_measures_are_plain_values():
    found = measure(projected(20.04, 0, 0))
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    assert found.to_dict()["yaw"] == pytest.approx(20, abs=0.3)
    nothing = measure(np.full((68, 2), 7.0))
    assert all(map(math.isnan, nothing)) and set(nothing.to_dict().values()) == {None}
    assert np.isnan(pose_axes(np.full((68, 2), 7.0))).all()


@settings(deadline=None, max_examples=40)
@given(arrays(np.float32, (68, 2), elements={"allow_nan": False, "allow_infinity": False}))
def test_no_finite_points_raise(points):
    assert len(measure(points).to_dict()) == 6
    assert pose_axes(points).shape == (4, 2)


@pytest.mark.parametrize("line", [(1, 0), (0, 1), (1, 1)])
def test_points_on_a_line_raise_nothing(line):
    assert len(measure(np.outer(np.arange(68), line))) == 6


def test_axes_begin_at_the_nose_and_point_where_the_head_does():
    points = projected(0, 0, 0)
    nose, left, down, forward = pose_axes(points)
    assert tuple(nose) == tuple(points[30])
    assert left - nose == pytest.approx((48, 0), abs=1) and down - nose == pytest.approx((0, 48), abs=1)
    assert forward == pytest.approx(nose, abs=1)
    nose, _, _, forward = pose_axes(projected(40, 0, 0))
    assert forward - nose == pytest.approx((48 * math.sin(math.radians(40)), 0), abs=1)


def test_axes_are_drawn_in_their_colours():
    image = np.full((100, 100, 3), 128, np.uint8)
    drawn = draw.draw_axes(image, np.array([(50, 50), (90, 50), (50, 90), (20, 20)]))
    for color, (x, y) in zip(draw.AXES.values(), [(80, 50), (50, 80), (30, 30)], strict=True):
        assert tuple(drawn[y, x]) == color
    assert (image == 128).all()
    assert (draw.draw_axes(image, np.full((4, 2), np.nan)) == 128).all()


# --- Blinks ---------------------------------------------------------------------------------------------------


def signal(times, closings, length=0.2, level=0.35, shut=0.22):
    """Openness at given times, shut from each closing on for `length` seconds."""
    closed = [any(start <= t < start + length for start in closings) for t in times]
    return np.where(closed, shut, level)


def count(times, values) -> Blinks:
    blinks = Blinks()
    for t, value in zip(times, values, strict=True):
        blinks.add(float(t), float(value))
    return blinks


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(15, 60), st.floats(0.15, 0.6))
def test_blinks_are_counted_at_uneven_times_and_any_level(seed, rate, level):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 1.5, int(20 * rate)) / rate)
    closings = np.arange(2.0, times[-1] - 1, 2.5)
    values = signal(times, closings, level=level, shut=0.65 * level) + rng.normal(0, 0.01 * level, len(times))
    blinks = count(times, values)
    assert blinks.count == len(closings)
    np.testing.assert_allclose(blinks.times, closings, atol=1.6 / rate)


def test_a_blink_is_told_once_when_it_ends():
    blinks, times = Blinks(), np.arange(0, 4, 0.04)
    told = [blinks.add(t, value) for t, value in zip(times, signal(times, [2.0]), strict=True)]
    assert np.flatnonzero(told).tolist() == [np.searchsorted(times, 2.2)]
    assert blinks.times == pytest.approx([2.0], abs=0.04)


def test_eyes_that_stay_closed_are_no_blink():
    times = np.arange(0, 6, 0.04)
    assert count(times, signal(times, [3.0], length=1.5)).count == 0


def test_nothing_is_told_of_a_gap():
    times = np.concatenate([np.arange(0, 3, 0.04), np.arange(4, 6, 0.04)])
    values = signal(times, [2.9], length=0.1)
    assert count(times, values).count == 0, "the face was away while the eyes opened again"
    values = np.where((times > 1) & (times < 1.5), np.nan, 0.35)
    assert count(times, values).count == 0


def test_noise_and_slow_changes_are_no_blinks():
    rng, times = np.random.default_rng(0), np.arange(0, 60, 0.04)
    values = 0.3 + 0.05 * np.sin(times / 8) + rng.normal(0, 0.008, len(times))
    assert count(times, values).count == 0


def test_time_may_not_go_back():
    blinks = Blinks()
    blinks.add(1.0, 0.3)
    with pytest.raises(ValueError, match="order"):
        blinks.add(0.5, 0.3)


def test_measures_have_as_many_digits_as_they_are_worth():
    told = measures.Measures(20.04, -3.26, 179.99, 0.31249, 0.1, math.nan).to_dict()
    assert told == {"yaw": 20.0, "pitch": -3.3, "roll": 180.0, "right_eye": 0.312, "left_eye": 0.1, "mouth": None}
