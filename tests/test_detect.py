"""Detectors frame the 68 points whatever the image's size, and YuNet's file is fetched once or its absence told."""

import hashlib
import math
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from conftest import SHIPPED, YUNET

from datasets.labels import read_csv
from face68 import detect, geometry, images
from face68.files import InputError
from face68.images import read_image
from face68.landmarker import Landmarker
from face68.network import shipped_detector

CONTENT = b"not a network, but what the address gives"


@pytest.fixture(scope="module")
def own():
    return detect.FaceDetector(shipped_detector())


@pytest.fixture(scope="module")
def haar():
    return detect.Haar()


@pytest.fixture(scope="module")
def yunet():
    if not YUNET.is_file():
        pytest.skip("YuNet's file is not here")
    return detect.YuNet(YUNET)


@pytest.fixture(scope="module")
def hopper():
    from matplotlib import cbook

    return read_image(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture
def address(tmp_path, monkeypatch):
    """A server that stands for YuNet's address, an empty cache, and no $YUNET_FILE. Gives the folder it serves."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "yunet.onnx").write_bytes(CONTENT)
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *args: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(served)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr(detect, "YUNET_URL", f"http://127.0.0.1:{server.server_port}/yunet.onnx")
    monkeypatch.setattr(detect, "YUNET_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("YUNET_FILE")
    yield served
    server.shutdown()
    server.server_close()


def test_the_file_is_fetched_once_and_again_when_it_is_damaged(tmp_path, address):
    path = detect.yunet_file()
    assert path.is_relative_to(tmp_path / "cache") and path.read_bytes() == CONTENT
    (address / "yunet.onnx").unlink()
    assert detect.yunet_file() == path, "what is in the cache needs no server"
    path.write_bytes(b"damaged")
    with pytest.raises(InputError):
        detect.yunet_file()
    (address / "yunet.onnx").write_bytes(CONTENT)
    assert detect.yunet_file().read_bytes() == CONTENT


def test_other_content_than_known_is_not_kept(tmp_path, address):
    (address / "yunet.onnx").write_bytes(b"something else")
    with pytest.raises(InputError, match="other content"):
        detect.yunet_file()
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_yunet_that_cannot_be_fetched_is_one_line(address):
    (address / "yunet.onnx").unlink()
    with pytest.raises(InputError, match="404"):
        detect.open_detector("yunet")


def test_auto_is_our_own_and_needs_no_network(address, capsys):
    (address / "yunet.onnx").unlink()
    assert isinstance(detect.open_detector("auto"), detect.FaceDetector)
    assert isinstance(detect.open_detector(), detect.FaceDetector)
    assert capsys.readouterr() == ("", "")


def test_the_file_may_lie_elsewhere(tmp_path, monkeypatch, address):
    monkeypatch.setenv("YUNET_FILE", str(tmp_path / "my.onnx"))
    with pytest.raises(InputError, match=r"my\.onnx: no such file"):
        detect.open_detector("yunet")
    (tmp_path / "my.onnx").write_bytes(CONTENT)
    with pytest.raises(InputError, match=r"my\.onnx: ONNX Runtime can't r(ead|un) it"):
        detect.open_detector("yunet")


def test_an_unknown_detector_is_one_line():
    with pytest.raises(InputError, match="choose from auto, yunet, haar, none, or give an"):
        detect.open_detector("mtcnn")
    with pytest.raises(InputError, match="finds no faces"):
        detect.open_detector(SHIPPED)
    with pytest.raises(InputError, match="haar: doesn't know min_face"):
        detect.open_detector("haar", min_face=20)


def test_the_whole_frame_is_a_square_in_the_middle():
    boxes, scores, _ = detect.WholeFrame()(np.zeros((100, 300, 3), np.uint8))
    x0, y0, x1, y1 = boxes[0]
    assert x1 - x0 == pytest.approx(44) and y1 - y0 == pytest.approx(44) and scores is None
    assert (x0 + x1) / 2 == pytest.approx(149.5) and (y0 + y1) / 2 == pytest.approx(49.5 + 5)


def test_given_boxes_are_found_everywhere():
    boxes, scores, _ = detect.Given([(1, 2, 3, 4), (5, 6, 7, 8)])(np.zeros((9, 9, 3), np.uint8))
    assert boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]] and scores is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (23, 23), (3000, 40), (31, 33)])
@pytest.mark.parametrize("name", ["own", "haar", "yunet"])
def test_any_size_without_a_face(name, shape, request, hopper):
    find = request.getfixturevalue(name)
    for _ in range(3):
        find(hopper)  # whose traces nobody may find
        boxes, scores, _ = find(np.zeros((*shape, 3), np.uint8))
        assert boxes.shape == (0, 4) and scores.shape == (0,)


@pytest.mark.parametrize(("name", "share"), [("own", 1.0), ("haar", 0.9), ("yunet", 1.0)])
def test_boxes_frame_the_points_of_real_faces(name, share, real_data, request):
    """Where the face is found, its box has the place and size of the points' own box, to a fifth of it."""
    find = request.getfixturevalue(name)
    names, keypoints = read_csv(real_data / "test_frames_keypoints.csv")
    off = []
    for file, points in zip(names, keypoints, strict=True):
        boxes, scores, _ = find(read_image(real_data / "test" / file))
        if len(boxes):
            x0, y0, x1, y1 = boxes[np.argmax(scores)]
            true = geometry.box_of(points)
            side = max(true[2:] - true[:2])
            center = (true[:2] + true[2:]) / 2
            off.append([math.hypot((x0 + x1) / 2 - center[0], (y0 + y1) / 2 - center[1]) / side, (x1 - x0) / side - 1])
    assert len(off) >= share * len(names)
    assert np.median(np.abs(off), axis=0).max() < 0.2


@pytest.mark.parametrize("name", ["own", "yunet"])
def test_small_and_large_faces_of_a_large_photo_are_found_once_each(name, request, hopper):
    """One search alone would miss either the face of 40 pixels or the one of 1,000."""
    large = cv2.resize(hopper, None, fx=4, fy=4)  # 2400×2048, the face is 770 px high
    small = cv2.resize(hopper, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    large[-150:, :128] = small
    faces = Landmarker(SHIPPED, request.getfixturevalue(name))(large)
    sides = sorted(face.box[2] - face.box[0] for face in faces)
    assert len(faces) == 2 and sides[0] == pytest.approx(47, rel=0.25) and sides[1] == pytest.approx(750, rel=0.25)
    assert min(face.score for face in faces) > {"own": detect.LEAST, "yunet": detect.YUNET_SCORE}[name]


def test_yunet_finds_what_opencvs_own_finds(yunet, hopper):
    """In pictures whose sides are no multiples of 32, of one face, two and none."""
    network = cv2.FaceDetectorYN.create(str(YUNET), "", (320, 320), detect.YUNET_SCORE)
    for image in (hopper[:600, :500], np.hstack([hopper, hopper[:, ::-1]])[:400, :901], hopper[:120, :100]):
        small, factor = images.reduced(np.ascontiguousarray(image), 320)
        network.setInputSize(small.shape[1::-1])
        _, rows = network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        expected = np.zeros((0, 5)) if rows is None else np.column_stack([rows[:, :4] / factor, rows[:, -1]])
        found = yunet._search(image, 320)
        np.testing.assert_allclose(found[found[:, 0].argsort()], expected[expected[:, 0].argsort()], atol=0.2)


def test_another_network_is_no_yunet():
    with pytest.raises(InputError, match="is no YuNet"):
        detect.YuNet(SHIPPED)


@pytest.mark.parametrize("name", ["own", "yunet"])
def test_the_same_is_found_in_many_threads(name, request, hopper):
    find = request.getfixturevalue(name)
    images = [hopper, np.ascontiguousarray(hopper[:, ::-1]), hopper[:400], np.zeros((90, 80, 3), np.uint8)]
    expected = [find(image)[0] for image in images]
    results = [None] * 8

    def work(i):
        results[i] = [find(image)[0] for image in images]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        for found, boxes in zip(result, expected, strict=True):
            np.testing.assert_array_equal(found, boxes)


def maps(*faces, rows=6, columns=9):
    """What a network would say of faces x, y, side, degrees, score: (H, W) and (5, H, W)."""
    scores, said = np.zeros((rows, columns), np.float32), np.zeros((5, rows, columns), np.float32)
    for x, y, side, degrees, score in faces:
        row, column = int((y + 0.5) / 8), int((x + 0.5) / 8)
        near = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        scores[near], scores[row, column] = np.maximum(scores[near], score / 4), score
        turn = math.radians(degrees)
        said[(slice(None), *near)] = np.array([x, y, side, math.cos(turn), math.sin(turn)])[:, None, None]
    return scores, said


def test_faces_are_read_off_the_maps():
    found = detect.peaks(*maps((10.3, 20.2, 12, 0, 0.5), (50, 30, 30, -170, 0.9), (60, 5, 9, 90, 0.2)), least=0.3)
    assert found.scores.tolist() == pytest.approx([0.9, 0.5]), "the surest first, and nothing below the least"
    np.testing.assert_allclose(found.centers, [(50, 30), (10.3, 20.2)], atol=1e-4)
    np.testing.assert_allclose(found.sides, [30, 12], atol=1e-4)
    np.testing.assert_allclose(found.rolls, [-170, 0], atol=1e-3)
    nothing = detect.peaks(*maps(), least=0.3)
    assert len(nothing.scores) == 0 and nothing.as_found().boxes.shape == (0, 4)


def test_two_peaks_of_one_face_are_one():
    found = detect.peaks(*maps((20, 20, 40, 0, 0.9), (36, 20, 44, 0, 0.6), (20, 44, 9, 0, 0.5)), least=0.3)
    assert found.scores.tolist() == pytest.approx([0.9, 0.5]), "16 px beside a face of 40 there is no other"


def test_circles_move_with_their_picture():
    circles = detect.Detections(np.array([[3.5, 1.5]]), np.array([4.0]), np.array([20.0]), np.array([0.8]))
    twice = circles.scaled(2)
    assert twice.centers.tolist() == [[7.5, 3.5]] and twice.sides.tolist() == [8], "edges are at -0.5"
    found = twice.as_found()
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
        lefts = [face.box[0] for face in Landmarker(SHIPPED, find)(photo)]
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
