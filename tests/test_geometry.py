import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face68.geometry import (
    CropPolicy,
    box_of,
    crop_matrix,
    denormalize_keypoints,
    invert,
    normalize_keypoints,
    overlap,
    resize,
    resize_matrix,
    similarity,
    transform_points,
    warp,
)

finite = st.floats(-500, 500)


def test_similarity_against_the_closed_form():
    # A quarter turn clockwise (y down) takes the x axis to the y axis; the centre goes to the target.
    matrix = similarity((10, 20), (0, 0), scale=2, degrees=90)
    np.testing.assert_allclose(transform_points([[10, 20], [11, 20], [10, 21]], matrix), [[0, 0], [0, 2], [-2, 0]])


def test_mirroring_comes_before_the_turn():
    matrix = similarity((10, 20), (5, 5), degrees=90, mirror=True)
    np.testing.assert_allclose(transform_points([[11, 20], [10, 21]], matrix), [[5, 4], [4, 5]], atol=1e-6)


@given(finite, finite, st.floats(0.05, 20), st.floats(-180, 180), st.booleans(), finite, finite)
def test_inverse_takes_points_back(x, y, scale, degrees, mirror, px, py):
    matrix = similarity((x, y), (3, 4), scale, degrees, mirror)
    there = np.array([[px, py]]) @ matrix[:, :2].T + matrix[:, 2]
    back = there @ invert(matrix)[:, :2].T + invert(matrix)[:, 2]
    np.testing.assert_allclose(back, [[px, py]], atol=1e-6)


def test_box_of():
    np.testing.assert_array_equal(box_of(np.array([[3, 9], [1, 4], [2, 5]])), [1, 4, 3, 9])


def test_crop_puts_the_box_in_the_middle_with_its_margin():
    policy = CropPolicy(size=101, margin=2.0)
    corners = transform_points([[10, 20], [60, 60]], crop_matrix([10, 20, 60, 60], policy))
    # The longer side, 50 px, becomes 101 / 2 px; the middle of a 101 px crop is pixel 50.
    np.testing.assert_allclose(corners[1, 0] - corners[0, 0], 50.5, rtol=1e-6)
    np.testing.assert_allclose(corners.mean(axis=0), [50, 50], atol=1e-5)


def test_a_box_without_extent_is_refused():
    with pytest.raises(ValueError, match="no extent"):
        crop_matrix([5, 5, 5, 5], CropPolicy())


def test_a_smaller_image_is_an_average_and_a_larger_one_is_interpolated():
    checkers = (np.indices((40, 60)).sum(axis=0) % 2 * 200).astype(np.uint8)
    assert (resize(checkers, 20, 30) == 100).all()
    step = np.repeat(np.uint8([[100] * 8 + [150] * 8]), 16, axis=0)
    linear, cubic = resize(step, 64, 64), resize(step, 64, 64, enlarging=cv2.INTER_CUBIC)
    assert linear.shape == cubic.shape == (64, 64)
    assert linear.max() == 150 < cubic.max()  # a cubic overshoots beside an edge


def test_resize_matrix_agrees_with_opencv():
    image = np.zeros((40, 60), np.float32)
    image[10:14, 20:24] = 1  # its centre is (21.5, 11.5)
    small = cv2.resize(image, (30, 20), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(
        transform_points([[21.5, 11.5]], resize_matrix(40, 60, 20, 30)), [centroid(small)], atol=1e-5
    )


@pytest.mark.parametrize("scale", [3.0, 1.0, 0.7, 0.45, 0.21, 0.1])
@pytest.mark.parametrize("degrees", [0, 30, -75])
def test_warp_moves_a_dot_where_the_points_go(scale, degrees):
    x, y = np.meshgrid(np.arange(301), np.arange(281))
    image = (255 * np.exp(-((x - 133.25) ** 2 + (y - 150.5) ** 2) / (2 * (4 / scale) ** 2))).astype(np.uint8)
    matrix = similarity((133.25, 150.5), (40.3, 30.6), scale, degrees)
    measured = centroid(warp(image, matrix, 70, 90).astype(np.float64))
    np.testing.assert_allclose(measured, [40.3, 30.6], atol=0.06)


def test_a_strong_reduction_averages():
    # Black and white columns of one pixel: bilinear sampling alone would return stripes, averaging returns gray.
    image = np.tile(np.array([0, 255], np.uint8), (200, 100))
    small = warp(image, similarity((99.5, 99.5), (9.5, 9.5), 0.1), 20, 20)
    assert small[2:-2, 2:-2].min() > 100 and small[2:-2, 2:-2].max() < 155


def test_warp_to_a_place_outside_is_black():
    assert warp(np.full((50, 50, 3), 200, np.uint8), similarity((5000, 5000), (5, 5), 0.1), 10, 10).max() == 0


def centroid(image):
    y, x = np.indices(image.shape)
    return np.array([(image * x).sum(), (image * y).sum()]) / image.sum()


def test_overlap_by_hand():
    box = np.array([0.0, 0.0, 4.0, 2.0])
    assert overlap(box, box) == 1
    assert overlap(box, np.array([2.0, 0.0, 6.0, 2.0])) == pytest.approx(4 / 12)
    assert overlap(box, np.array([4.0, 0.0, 6.0, 2.0])) == 0
    assert overlap(box, np.array([9.0, 9.0, 10.0, 10.0])) == 0
    assert overlap(box, np.array([0.0, 3.0, 4.0, 5.0])) == overlap(box, np.array([5.0, 0.0, 9.0, 2.0])) == 0
    assert overlap(box[[0, 1, 0, 1]], box[[0, 1, 0, 1]]) == 0, "points of a network that has learned nothing"


def test_minus_one_and_one_are_the_edges_of_the_image():
    pixels = np.array([[-0.5, -0.5], [99.5, 49.5], [49.5, 12.0]])
    edges = np.array([[-1, -1], [1, 1], [0, -0.5]])
    np.testing.assert_allclose(normalize_keypoints(pixels, 50, 100), edges, atol=1e-6)
    np.testing.assert_allclose(denormalize_keypoints(edges, 50, 100), pixels, atol=1e-5)


def test_a_crop_is_neither_turned_nor_moved_unless_that_is_asked_for():
    policy, box = CropPolicy(size=100, margin=2.0), (10, 20, 60, 70)
    np.testing.assert_array_equal(similarity((1, 2), (3, 5)), [[1, 0, 2], [0, 1, 3]])
    plain = crop_matrix(box, policy)
    np.testing.assert_allclose(plain, [[1, 0, 14.5], [0, 1, 4.5]], atol=1e-9)
    np.testing.assert_allclose(crop_matrix(box, policy, shift=(0.1, -0.2)) - plain, [[0, 0, 10], [0, 0, -20]])
    np.testing.assert_allclose(crop_matrix(box, policy, scale=2)[:, :2], 2 * np.eye(2))
