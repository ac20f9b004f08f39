"""Detectors frame the 68 points whatever the image's size, and the search is as fine as its faces need."""

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from conftest import SHIPPED

from datasets.labels import read_csv
from face68 import detect, geometry
from face68.files import InputError
from face68.images import read_image
from face68.landmarker import Landmarker
from face68.network import shipped_detector


@pytest.fixture(scope="module")
def own():
    return detect.FaceDetector(shipped_detector())


def test_auto_is_our_own_and_another_name_is_one_line():
    assert isinstance(detect.open_detector(), detect.FaceDetector)
    assert [detect.open_detector(name, 0.1).min_face for name in ("auto", shipped_detector())] == [0.1, 0.1]
    for name in ("mtcnn", "yunet", "haar"):
        with pytest.raises(InputError, match=f"--detector {name}: .* choose from auto, none, or give an .onnx file"):
            detect.open_detector(name)
    with pytest.raises(InputError, match="finds no faces"):
        detect.open_detector(SHIPPED)
    with pytest.raises(InputError, match="none: doesn't know min_face"):
        detect.open_detector("none", min_face=20)


def test_the_whole_frame_is_a_square_in_the_middle():
    boxes, scores, _ = detect.WholeFrame()(np.zeros((100, 300, 3), np.uint8))
    x0, y0, x1, y1 = boxes[0]
    assert x1 - x0 == pytest.approx(44) and y1 - y0 == pytest.approx(44) and scores is None
    assert (x0 + x1) / 2 == pytest.approx(149.5) and (y0 + y1) / 2 == pytest.approx(49.5 + 5)


def test_given_boxes_are_found_everywhere():
    boxes, scores, _ = detect.Given([(1, 2, 3, 4), (5, 6, 7, 8)])(np.zeros((9, 9, 3), np.uint8))
    assert boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]] and scores is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (23, 23), (3000, 40), (31, 33)])
def test_any_size_without_a_face(own, shape):
    boxes, scores, _ = own(np.zeros((*shape, 3), np.uint8))
    assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_boxes_frame_the_points_of_real_faces(real_data, own):
    """The box has the place and size of the points' own box, to a fifth of it."""
    names, keypoints, *_ = read_csv(real_data / "test_frames_keypoints.csv")
    off = []
    for file, points in zip(names, keypoints, strict=True):
        boxes, scores, _ = own(read_image(real_data / "test" / file))
        x0, y0, x1, y1 = boxes[np.argmax(scores)]
        true = geometry.box_of(points)
        side = max(true[2:] - true[:2])
        center = (true[:2] + true[2:]) / 2
        off.append([math.hypot((x0 + x1) / 2 - center[0], (y0 + y1) / 2 - center[1]) / side, (x1 - x0) / side - 1])
    assert np.median(np.abs(off), axis=0).max() < 0.2


def test_small_and_large_faces_of_a_large_photo_are_found_once_each(own, hopper):
    """One search alone would miss either the face of 40 pixels or the one of 1,000."""
    large = cv2.resize(hopper, None, fx=4, fy=4)  # 2400×2048, the face is 770 px high
    small = cv2.resize(hopper, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    large[-150:, :128] = small
    faces = Landmarker(SHIPPED, own)(large)
    sides = sorted(face.box[2] - face.box[0] for face in faces)
    assert len(faces) == 2 and sides[0] == pytest.approx(47, rel=0.25) and sides[1] == pytest.approx(750, rel=0.25)
    assert min(face.score for face in faces) > detect.LEAST


def test_the_same_is_found_in_many_threads(own, hopper):
    images = [hopper, np.ascontiguousarray(hopper[:, ::-1]), hopper[:400], np.zeros((90, 80, 3), np.uint8)] * 4
    expected = [own(image).boxes for image in images[:4]] * 4
    with ThreadPoolExecutor(8) as pool:
        for faces, boxes in zip(pool.map(own, images), expected, strict=True):
            np.testing.assert_array_equal(faces.boxes, boxes)


def maps(*faces, rows=6, columns=9):
    """A network's maps of faces x, y, side, degrees, score: (H, W) and (5, H, W)."""
    scores, outputs = np.zeros((rows, columns), np.float32), np.zeros((5, rows, columns), np.float32)
    for x, y, side, degrees, score in faces:
        row, column = int((y + 0.5) / 8), int((x + 0.5) / 8)
        near = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        scores[near], scores[row, column] = np.maximum(scores[near], score / 4), score
        turn = math.radians(degrees)
        outputs[(slice(None), *near)] = np.array([x, y, side, math.cos(turn), math.sin(turn)])[:, None, None]
    return scores, outputs


def test_faces_are_read_off_the_maps():
    found = detect.peaks(*maps((10.3, 20.2, 12, 0, 0.5), (50, 30, 30, -170, 0.9), (60, 5, 9, 90, 0.2)), least=0.3)
    assert found.scores.tolist() == pytest.approx([0.9, 0.5]), "the surest first, and nothing below the least"
    np.testing.assert_allclose(found.centers, [(50, 30), (10.3, 20.2)], atol=1e-4)
    np.testing.assert_allclose(found.sides, [30, 12], atol=1e-4)
    np.testing.assert_allclose(found.rolls, [-170, 0], atol=1e-3)
    nothing = detect.peaks(*maps(), least=0.3)
    assert len(nothing.scores) == 0 and nothing.as_face_boxes().boxes.shape == (0, 4)


def test_detections_move_with_their_picture():
    detections = detect.Detections(np.array([[3.5, 1.5]]), np.array([4.0]), np.array([20.0]), np.array([0.8]))
    twice = detections.scaled(2)
    assert twice.centers.tolist() == [[7.5, 3.5]] and twice.sides.tolist() == [8], "edges are at -0.5"
    found = twice.as_face_boxes()
    assert found.boxes.tolist() == [[3.5, -0.5, 11.5, 7.5]] and found.degrees.tolist() == [-20]


@pytest.mark.parametrize("degrees", [0, 40, 90, 180, 250])
def test_the_roll_of_a_face_is_told(own, hopper, degrees):
    middle = (255.5, 299.5)
    turned = geometry.warp(hopper, geometry.similarity(middle, middle, degrees=degrees), 600, 512)
    one, other = own(hopper), own(turned)
    upright, level = (found.degrees[found.scores.argmax()] for found in (one, other))
    assert other.scores.max() > 0.9 and (level + degrees - upright + 180) % 360 - 180 == pytest.approx(0, abs=12)


def test_the_search_is_as_fine_as_the_smallest_face_takes(hopper):
    """A face of 24 px in a photo of 2,000: seen only by who searches for such."""
    photo = np.full((1500, 2000, 3), 90, np.uint8)
    small = cv2.resize(hopper, None, fx=0.12, fy=0.12, interpolation=cv2.INTER_AREA)
    photo[1400 : 1400 + small.shape[0], 1800 : 1800 + small.shape[1]] = small
    photo[:1200, :1024] = cv2.resize(hopper, None, fx=2, fy=2)

    class Counted(detect.FaceDetector):
        def search(self, picture):
            self.finest = max(picture.shape)
            return super().search(picture)

    for min_face, is_small in ((20, True), (0.01, True), (60, False), (0.1, False)):
        find = Counted(shipped_detector(), min_face)
        faces = find(photo)
        lefts = faces.boxes[faces.scores > detect.SURE, 0]
        assert any(300 < x < 400 for x in lefts) and any(x > 1800 for x in lefts) == is_small, min_face
        assert (find.finest > 1000) == is_small, "nobody searches finer than asked"


@pytest.mark.parametrize(("height", "width"), [(100, 150), (192, 192), (333, 640), (1201, 799)])
def test_a_picture_is_the_image_at_its_place(own, height, width):
    """Small enough, in multiples of 32, and what is seen there lies where it lies in the image."""
    image = np.zeros((height, width, 3), np.uint8)
    cv2.circle(image, (int(0.7 * width), int(0.4 * height)), max(height, width) // 12, (255, 255, 255), -1, cv2.LINE_AA)

    def middle(picture):
        weights = picture[..., 0].astype(float)
        rows, columns = np.indices(weights.shape)
        return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()

    picture, factor = own.picture_of(image, 192)
    assert picture.shape[0] % 32 == picture.shape[1] % 32 == 0
    assert factor == min(1, 192 / max(height, width)) and max(picture.shape) <= 192
    np.testing.assert_allclose((middle(picture) + 0.5) / factor - 0.5, middle(image), atol=0.3 / factor)


def test_the_search_goes_on_until_all_that_is_sure_is_seen_well(own, hopper):
    """A face of 26 px in a photo of 1,600 isn't seen in the smallest picture."""
    small = cv2.resize(hopper, None, fx=0.13, fy=0.13, interpolation=cv2.INTER_AREA)
    photo = np.full((1200, 1600, 3), 90, np.uint8)
    photo[1000 : 1000 + small.shape[0], 1400 : 1400 + small.shape[1]] = small
    (x0, y0, x1, y1), *others = own(photo).boxes
    assert not others and (x0 + x1) / 2 == pytest.approx(1435, abs=4) and (y0 + y1) / 2 == pytest.approx(1033, abs=4)

    def more(*faces, is_first=False):
        sides, scores = np.reshape(faces, (-1, 2)).T
        return detect.may_be_more(detect.Detections(np.zeros((len(sides), 2)), sides, sides, scores), is_first)

    assert more() and more((100, 0.4)), "nothing sure"
    assert more((100, 0.9), (21, 0.6)), "sure, but small"
    assert not more((23, 0.6)) and not more((100, 0.9), (9, 0.4))
    assert more((100, 0.9), (100, 0.4), is_first=True) and not more((100, 0.9), is_first=True)


def test_the_box_frames_the_points_of_a_photo_of_any_size(own, hopper):
    points, off = Landmarker(SHIPPED)(hopper)[0].keypoints, 0.08
    for factor in (1, 3):
        found = own(cv2.resize(hopper, None, fx=factor, fy=factor))
        box = found.boxes[found.scores.argmax()] / factor
        true = geometry.box_of(points)
        side = (true[2:] - true[:2]).max()
        np.testing.assert_allclose((box[:2] + box[2:]) / 2, (true[:2] + true[2:]) / 2, atol=off * side)
        assert box[2] - box[0] == pytest.approx(box[3] - box[1]) == pytest.approx(side, rel=2 * off)


def test_what_the_cells_beside_a_peak_say_counts_by_their_scores():
    scores, faces = maps((36, 20, 10, 0, 0.8))
    # x of the cells left and right, y of the one above
    faces[0, 2, 3], faces[0, 2, 5], faces[1, 1, 4] = 33, 42, 26
    (center,) = detect.peaks(scores, faces, least=0.3).centers
    weight = 0.2 / (0.8 + 8 * 0.2)
    np.testing.assert_allclose(center, (36 + weight * (-3 + 6), 20 + weight * 6), atol=1e-4)


@pytest.mark.parametrize(
    ("faces", "scores"),
    [
        # 16 px beside a face of 40 there is no other.
        (((20, 20, 40, 0, 0.9), (36, 20, 44, 0, 0.6), (20, 44, 9, 0, 0.5)), [0.9, 0.5]),
        (((20, 20, 20, 0, 0.9), (120, 20, 20, 0, 0.8), (220, 20, 20, 0, 0.7), (212, 36, 40, 0, 0.6)), [0.9, 0.8, 0.7]),
    ],
)
def test_two_peaks_of_one_face_are_one_beside_other_faces_too(faces, scores):
    assert detect.peaks(*maps(*faces, columns=40), least=0.3).scores.tolist() == pytest.approx(scores)
