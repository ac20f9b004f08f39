"""A network on whole images: its three passes, and the points of a real photograph."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from conftest import PRETRAINED, SHIPPED
from PIL import Image

from datasets.labels import read_csv
from evaluation.metrics import nme
from face68 import geometry
from face68.detect import FaceBoxes
from face68.files import InputError
from face68.images import read_image, write_image
from face68.landmarker import MIN_FACE_SCORE, Landmarker, certainty, combine, distinct
from face68.landmarks import CHIN, FLIP, LEFT_EYE, MOUTH_CORNERS, Face, upright_frame
from face68.network import Predictions, shipped_network
from training.checkpoint import TorchNetwork


def test_a_real_photograph(hopper, landmarker):
    """The eyes, the nose and the mouth are where they are seen in the picture, looked up by hand in an enlargement.

    The limit is a twentieth of the distance between the outer eye corners, 120 px here.
    """
    (face,) = landmarker(hopper)
    seen = {(36, 42): (222, 190), (42, 48): (307, 187), (31, 36): (267, 248), (48, 68): (269, 279)}
    for (first, last), place in seen.items():
        np.testing.assert_allclose(face.keypoints[first:last].mean(axis=0), place, atol=6)
    x0, y0, x1, y1 = face.box
    assert 140 < x0 < 200 and 120 < y0 < 180 and 330 < x1 < 390 and 320 < y1 < 370


def test_points_follow_a_scaled_photograph(hopper, landmarker):
    """What is found in a photo of half the size is half of what is found in the photo."""
    half = cv2.resize(hopper, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    box = np.array([170, 155, 365, 350])
    large = landmarker.predict([hopper], [box]).keypoints
    small = landmarker.predict([half], [(box + 0.5) / 2 - 0.5]).keypoints
    assert nme((small + 0.5) * 2 - 0.5, large)[0] < 0.01


@pytest.mark.parametrize("degrees", [-35, 15, 90, 180])
def test_points_follow_a_turned_photograph(hopper, landmarker, degrees):
    """Later passes level the eyes, so a head on the shoulder has the points of an upright one. The first one turns a
    photo that lies on its side or stands on its head.
    """
    matrix = geometry.similarity((269, 250), (300, 300), degrees=degrees)
    turned = geometry.warp(hopper, matrix, 600, 600)
    (upright,) = landmarker(hopper)
    center = geometry.transform_points(np.array([268, 252]), matrix)
    (face,) = landmarker(turned, boxes=[(*center - 98, *center + 98)])
    expected = geometry.transform_points(upright.keypoints, matrix)
    assert nme(face.keypoints[None], expected[None])[0] < 0.03


def test_the_upright_frame_of_turned_points_is_theirs_turned(hopper, landmarker):
    points = landmarker(hopper)[0].keypoints
    box, degrees = upright_frame(points)
    matrix = geometry.similarity((250, 260), (90, 40), scale=2, degrees=25)
    turned_box, turned_degrees = upright_frame(geometry.transform_points(points, matrix))
    assert turned_degrees == pytest.approx(degrees - 25, abs=1e-3)
    centers = (box[:2] + box[2:]) / 2, (turned_box[:2] + turned_box[2:]) / 2
    np.testing.assert_allclose(geometry.transform_points(centers[0], matrix), centers[1], atol=1e-2)
    assert turned_box[2] - turned_box[0] == pytest.approx(2 * (box[2] - box[0]), abs=1e-2)


def test_a_mirrored_pass_is_that_over_the_mirrored_photograph(hopper):
    """Turned boxes too: what mirrors the crop must turn it the other way and renumber the points. In fp32: in 8 bits a
    gray level that is rounded otherwise moves points by a tenth of a pixel of the crop.
    """
    landmarker = Landmarker(TorchNetwork(PRETRAINED))
    box, degrees = upright_frame(landmarker(hopper)[0].keypoints)
    one = landmarker.predict([hopper], [box], [degrees + 10], mirror=True)
    last = hopper.shape[1] - 1
    flipped = np.ascontiguousarray(hopper[:, ::-1])
    other = landmarker.predict([flipped], [(last - box[2], box[1], last - box[0], box[3])], [-degrees - 10])
    np.testing.assert_allclose(one.keypoints[..., 0], last - other.keypoints[:, FLIP, 0], atol=0.05)
    np.testing.assert_allclose(one.keypoints[..., 1], other.keypoints[:, FLIP, 1], atol=0.05)
    np.testing.assert_allclose(one.errors, other.errors[:, FLIP], rtol=0.01)
    assert nme(one.keypoints, landmarker.predict([hopper], [box], [degrees]).keypoints)[0] < 0.03


def test_the_points_of_a_face_that_is_turned_are_not_trusted(hopper, landmarker):
    """The face score tells where one pass is lost."""
    (face,) = landmarker(hopper)
    scores = landmarker.predict([hopper] * 4, [face.box] * 4, [0, 90, 180, 270]).face_scores
    assert scores[0] > 0.9 and (scores[1:] < MIN_FACE_SCORE).all()


def test_a_face_is_turned_only_where_that_shows_one_better(landmarker, monkeypatch):
    """Four faces: upright for sure, on its head, none however it is turned, upright but not surely."""
    scores = {
        0: [0.99, 0.50, 0.10, 0.90],
        90: [1.00, 0.70, 0.30, 0.70],
        180: [1.00, 0.99, 0.50, 0.97],
        270: [1.00, 0.80, 0.20, 0.85],
    }

    def predict(images, boxes, degrees, network):
        faces = boxes[:, 0].astype(int)
        points = np.full((len(faces), 68, 2), degrees[0], np.float32)
        return Predictions(points, points[..., 0].copy(), np.array(scores[degrees[0]], np.float32)[faces])

    monkeypatch.setattr(landmarker, "predict", predict)
    images, boxes = [np.zeros((9, 9, 3), np.uint8)] * 4, np.arange(4.0)[:, None] + np.zeros(4)
    found = landmarker.coarse_pass(images, boxes, [None] * 4)
    assert found.keypoints[:, 0, 0].tolist() == found.errors[:, 0].tolist() == [0, 180, 0, 0]
    assert found.face_scores.tolist() == pytest.approx([0.99, 0.99, 0.1, 0.9])
    told = landmarker.coarse_pass(images, boxes, [0.0] * 4)
    assert told.face_scores.tolist() == pytest.approx(scores[0]), "a detector that tells the roll is believed"


def test_passes_are_combined():
    def say(value, score):
        return Predictions(np.full((1, 68, 2), value), np.full((1, 68), value), np.array([score]))

    together = combine([say(9.0, 0.2), say(1.0, 0.9), say(2.0, 0.4)])  # the first only frames the second
    assert (together.keypoints == 1.5).all() and (together.errors == 1.5).all()
    assert together.face_scores == pytest.approx([0.65])
    silent = [Predictions(np.full((1, 68, 2), value), None, None) for value in (9.0, 1.0, 2.0)]
    assert combine(silent)[1:] == (None, None, None) and (combine(silent).keypoints == 1.5).all()
    assert (combine([say(9.0, 0.2)]).keypoints == 9).all(), "of one pass it is that one"


def test_an_image_is_taken_as_what_it_is(tmp_path, hopper):
    """A path, bytes, an open file, an image of Pillow, RGB, RGBA, gray or floats: the same face."""
    landmarker, path = Landmarker(SHIPPED, passes=1), tmp_path / "photo.png"
    write_image(path, hopper)
    alpha = np.full((*hopper.shape[:2], 1), 255, np.uint8)
    gray = cv2.cvtColor(hopper, cv2.COLOR_RGB2GRAY)
    content = path.read_bytes()
    exact = [path, str(path), content, io.BytesIO(content), Image.open(path), Image.fromarray(hopper)]
    exact += [np.dstack([hopper, alpha]), hopper / 255.0]
    expected = landmarker(hopper)[0].keypoints
    for image in (*exact, (hopper / 255).astype(np.float16)):
        np.testing.assert_allclose(landmarker(image)[0].keypoints, expected, atol=0.5)
    for image in (gray, gray[..., None], gray / 255.0):
        assert nme(landmarker(image)[0].keypoints[None], expected[None])[0] < 0.02
    assert len(landmarker.batch([gray, exact[0]])) == 2


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (bytearray(b"x"), "bytearray"),
        (None, "NoneType"),
        ([[0, 1], [2, 3]], "list"),
        (np.zeros((9, 9, 2), np.uint8), r"\(9, 9, 2\) of uint8"),
        (np.zeros((1, 9, 9, 3), np.uint8), r"\(1, 9, 9, 3\) of uint8"),
        (np.zeros((0, 9, 3), np.uint8), r"\(0, 9, 3\)"),
        (np.zeros((9, 9, 3), np.int64), "int64"),
        (np.zeros((9, 9, 3), bool), "bool"),
        (np.full((9, 9, 3), 255.0), "float64 from 255 to 255"),
        (np.full((9, 9), -0.1), "from -0.1"),
        (np.full((9, 9), np.nan), "from nan"),
    ],
)
def test_what_is_no_image_is_refused_with_what_is_taken(landmarker, image, told):
    with pytest.raises(InputError, match=told) as error:
        landmarker(image)
    assert "floats from 0 to 1" in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_image_in_memory_is_refused(landmarker):
    for image, told in ((b"", "is empty"), (io.BytesIO(), "is empty"), (io.StringIO("x"), "is damaged"), (b"x", "no")):
        with pytest.raises(InputError, match=f"the image: .*{told}"):
            landmarker(image)


def test_points_are_those_of_an_image_of_pillow_as_its_pixels_lie(hopper, landmarker):
    turned = Image.fromarray(np.rot90(hopper).copy())
    turned.getexif()[0x0112] = 6  # what a viewer would show upright
    expected = landmarker(np.asarray(turned))
    np.testing.assert_array_equal(landmarker(turned)[0].keypoints, expected[0].keypoints)


@pytest.mark.parametrize("boxes", [[[1, 2, 3]], "x", [[1, 2, 3, 4, 0.9, 0]] * 2, [1, 2, 300, 400], 5, [None], [{}]])
def test_what_are_no_boxes_is_refused(hopper, landmarker, boxes):
    with pytest.raises(InputError, match=r"boxes .*left,top,right,bottom"):
        landmarker(hopper, boxes=boxes)


def test_what_is_no_detector_is_refused_at_once(tmp_path):
    for detector in ("mtcnn", tmp_path / "missing.onnx", SHIPPED):
        with pytest.raises(InputError):
            Landmarker(SHIPPED, detector=detector)


def test_certainty_by_hand():
    points = np.zeros((68, 2), np.float32)
    points[LEFT_EYE], points[MOUTH_CORNERS], points[CHIN] = (30, 0), (15, 40), (15, 50)  # level, and 50 px high
    face = Face((0, 0, 1, 1), 0.9, points, np.full(68, 2.0), 0.8)
    assert certainty(face) == pytest.approx(0.9 * 0.8 * 50 / 2)
    assert certainty(replace(face, score=None)) == pytest.approx(0.8 * 50 / 2)
    assert certainty(replace(face, errors=None, face_score=None)) == 0.9
    # Points that can't be seen hardly count.
    half = np.repeat([1.0, 0.0], 34)
    unseen = replace(face, errors=np.repeat([2.0, 20.0], 34), visible=half)
    assert certainty(unseen) == pytest.approx(0.9 * 0.8 * 50 / ((1.05 * 2 + 0.05 * 20) / 1.1))


def test_of_places_that_turn_out_as_one_face_the_most_certain_stays():
    points = np.array([(0, 0), (60, 80)] * 34, np.float32)
    points[36], points[45] = (0, 0), (50, 0)

    def face(x, error, score=0.5):
        return Face((x, 0, x + 100, 100), score, points + np.float32([x, 0]), np.full(68, error), 1.0)

    sure, unsure, beside = face(10, 2.0), face(0, 9.0), face(90, 5.0)
    assert distinct([unsure, beside, sure]) == [sure, beside]
    assert distinct([face(0, 2.0, 0.1), face(0, 4.0, 0.9)])[0].score == 0.9, "the detector's word counts too"
    given = [replace(one, score=None) for one in (sure, unsure)]
    assert len(distinct(given)) == 2, "who gives boxes wants a face for each"
    assert distinct([]) == []


@pytest.mark.parametrize(("quarters", "passes"), [(0, 1), (1, 1), (3, 1), (2, 2), (3, 2), (0, 3), (1, 3), (2, 3)])
def test_a_face_is_found_however_the_photograph_is_turned(hopper, quarters, passes):
    """The detector tells its roll; the points are those of the upright photograph, turned with it."""
    landmarker = Landmarker(SHIPPED, passes=passes)
    turned = np.ascontiguousarray(np.rot90(hopper, -quarters))
    (upright,), (face,) = landmarker(hopper), landmarker(turned)
    expected = upright.keypoints
    for height in ([600, 512] * 2)[:quarters]:  # a quarter turn clockwise: x, y → height - 1 - y, x
        expected = np.column_stack([height - 1 - expected[:, 1], expected[:, 0]])
    assert nme(face.keypoints[None], expected[None])[0] < 0.03
    x0, y0, x1, y1 = face.box
    assert x0 < expected[:, 0].mean() < x1 and y0 < expected[:, 1].mean() < y1


def test_the_largest_face_alone(hopper):
    small = cv2.resize(hopper, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    both = np.hstack([hopper, np.pad(small, ((0, 300), (0, 0), (0, 0)))])
    everybody = Landmarker(SHIPPED)(both)
    (face,) = Landmarker(SHIPPED, largest=True)(both)
    assert len(everybody) == 2 and np.allclose(face.keypoints, everybody[0].keypoints, atol=0.05)


def test_a_batch_is_its_images(hopper, landmarker):
    images = [hopper, np.zeros((50, 60, 3), np.uint8), np.hstack([hopper, hopper])]
    together = landmarker.batch(images)
    assert [len(faces) for faces in together] == [1, 0, 2]
    for image, faces in zip(images, together, strict=True):
        for alone, face in zip(landmarker(image), faces, strict=True):
            assert alone.box == face.box
            # A pass's last digits move the next one's crop, which is cut to 1/32 px.
            np.testing.assert_allclose(alone.keypoints, face.keypoints, atol=0.05)
            np.testing.assert_allclose(alone.errors, face.errors, rtol=0.01)
    assert landmarker.batch([]) == []
    left, right = together[2]
    # The two are framed a little differently, so their points differ by a few pixels.
    np.testing.assert_allclose(right.keypoints[:, 0] - left.keypoints[:, 0], hopper.shape[1], atol=8)

    boxes = [(170, 155, 365, 350), (160, 150, 370, 360)]
    both = landmarker.predict([hopper, hopper], boxes)
    for i, box in enumerate(boxes):
        alone = landmarker.predict([hopper], [box])
        np.testing.assert_allclose(alone.keypoints[0], both.keypoints[i], atol=1e-2)
        np.testing.assert_allclose(alone.errors[0], both.errors[i], rtol=1e-3)


def test_what_the_network_holds_for_no_face_is_dropped(hopper):
    doubtful = Landmarker(TorchNetwork(PRETRAINED), min_face_score=0.3)
    with torch.no_grad():
        doubtful.network.model.model.face[-1].weight.zero_()
        doubtful.network.model.model.face[-1].bias.fill_(-1.0)  # a probability of 0.27
    assert doubtful(hopper) == []
    (face,) = doubtful(hopper, boxes=[(170, 155, 365, 350)])  # who gives a box is not doubted
    assert face.score is None and face.face_score == pytest.approx(0.269, abs=1e-3)
    doubtful.min_face_score = 0.25
    assert len(doubtful(hopper)) == 1


def test_the_shipped_network_on_real_faces(real_data, landmarker):
    """A regression bound well above the measured error: a wrong crop, colour or shift would break it."""
    names, keypoints, *_ = read_csv(real_data / "test_frames_keypoints.csv")
    images = [read_image(real_data / "test" / name) for name in names]
    predicted = landmarker.predict(images, [geometry.box_of(points) for points in keypoints])
    assert nme(predicted.keypoints, keypoints).mean() < 0.065


def test_a_smaller_network_frames_faces_for_the_shipped_ones(hopper):
    """In the first of three passes; a network of somebody else frames its own."""
    large, base = Landmarker("large"), Landmarker(shipped_network("base"))
    assert large.coarse_network.metadata["model"] == base.coarse_network.metadata["model"] == "fast"
    assert Landmarker("fast").coarse_network.metadata["model"] == "fast"
    own = Landmarker(TorchNetwork(PRETRAINED))
    assert own.coarse_network is own.network
    (framed,) = large(hopper)
    (by_itself,) = Landmarker(large.network)(hopper)
    assert 0 < nme(framed.keypoints[None], by_itself.keypoints[None])[0] < 0.01
    once = Landmarker("large", passes=1).predict([hopper], [framed.box]).keypoints
    np.testing.assert_array_equal(once, Landmarker(large.network, passes=1).predict([hopper], [framed.box]).keypoints)


def test_a_roll_that_was_told_the_wrong_way_round_is_mended(landmarker, monkeypatch):
    """Five faces: a sure one, three that may be one, surer upside down, less sure, and of a roll that nobody told, and
    none. Only what may be a face is looked at once more, and its surer points count.
    """
    scores = {0: [0.99, 0.6, 0.6, 0.6, 0.1], 180: [1.0, 1.0, 0.4, 1.0, 1.0]}
    seen, told = [], []

    def passes(images, boxes, coarse):
        faces = coarse.keypoints[:, 0].astype(int) % 10
        turn = 180 if seen else 0
        seen.append(faces.tolist())
        points = np.tile(np.arange(68.0)[:, None], (len(faces), 1, 2)).reshape(-1, 68, 2) + turn
        return Predictions(points, np.ones((len(faces), 68)), np.array(scores[turn])[faces])

    def coarse_pass(images, boxes, degrees):
        told.append(degrees)
        return Predictions(boxes, None, None)

    monkeypatch.setattr(landmarker, "_passes", passes)
    monkeypatch.setattr(landmarker, "coarse_pass", coarse_pass)
    monkeypatch.setattr("face68.landmarker.upright_frames", lambda boxes, scheme: (boxes, [0.0] * len(boxes)))
    boxes, rolls = np.arange(5.0)[:, None] + np.zeros(4), [0.0, 0.0, 0.0, None, 0.0]
    found = landmarker.all_passes([None] * 5, boxes, rolls, Predictions(boxes, None, None))
    assert seen == [[0, 1, 2, 3, 4], [1, 2]] and told == [[180.0, 180.0], [0.0, 0.0]]
    assert found.face_scores.tolist() == pytest.approx([0.99, 1.0, 0.6, 0.6, 0.1])
    assert found.keypoints[:, 0, 0].tolist() == [0, 180, 0, 0, 0]


@pytest.mark.parametrize(
    ("searched", "least", "looked_at"), [(True, 0.3, [1, 3]), (False, 0.3, [0, 1, 2, 3]), (True, 0.0, [0, 1, 2, 3])]
)
def test_what_is_no_face_is_looked_at_once(landmarker, monkeypatch, searched, least, looked_at):
    """Of four boxes of a detector, but not of the user's, and not where all are asked for."""
    counts = []
    points, errors = np.random.default_rng(0).uniform(0, 90, (4, 68, 2)), np.ones((4, 68), np.float32)
    first = Predictions(points, errors, np.array([0.05, 0.5, 0.09, 0.1], np.float32))

    def all_passes(images, boxes, degrees, coarse):
        counts.append(boxes[:, 0].tolist())
        return coarse

    monkeypatch.setattr(landmarker, "coarse_pass", lambda images, boxes, degrees: first)
    monkeypatch.setattr(landmarker, "all_passes", all_passes)
    monkeypatch.setattr(landmarker, "min_face_score", least)
    boxes = np.arange(4.0)[:, None] + np.array([0, 0, 90, 90])
    landmarker.faces([np.zeros((9, 9, 3), np.uint8)], [FaceBoxes(boxes, np.ones(4) if searched else None)])
    assert counts == [looked_at]


@pytest.mark.parametrize("shape", [(1, 0.4), (0.4, 1)])
def test_a_face_is_seen_well_from_the_size_of_the_crop_on(landmarker, shape):
    policy = landmarker.network.policy
    for side, is_seen_well in ((0.98, False), (1.02, True)):
        far = np.array([500, 700]) + np.array(shape) * side * policy.size / policy.margin
        face = Face((0, 0, 1, 1), 1.0, np.array([(500, 700), far] * 34, np.float32))
        assert landmarker.has_full_resolution(face) == is_seen_well
