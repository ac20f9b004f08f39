"""Work done ahead comes in order, and no further ahead than it must."""

import threading
import time

import cv2
import numpy as np
import pytest

from face68 import photos
from face68.files import InputError
from face68.images import read_image, write_image
from face68.inputs import glance_at_source
from face68.landmarks import Face, inter_ocular


def test_prefetch_keeps_the_order_and_runs_at_the_same_time():
    barrier = threading.Barrier(2, timeout=10)  # breaks unless two calls are under way together

    def work(i):
        barrier.wait()
        time.sleep(0.02 * (i % 2 == 0))
        return i

    assert list(photos.prefetch(work, range(10), threads=2)) == list(range(10))


def test_prefetch_takes_no_more_than_it_may():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    for i in photos.prefetch(lambda item: item, items(), threads=3):
        assert len(taken) <= i + 4


def test_an_error_comes_in_its_place_and_ends_it():
    def work(i):
        if i == 3:
            raise InputError("three")
        return i

    results = photos.prefetch(work, range(1000), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="three"):
        next(results)


class FakeLandmarker:
    """Finds a face in each image, whose box says the image's number."""

    def __init__(self):
        self.groups = []

    def detect(self, image):
        return np.full((1, 4), image[0, 0, 0], float), np.ones(1)

    def faces(self, images, found):
        self.groups.append(len(images))
        return [[Face(tuple(box), 1.0, np.zeros((68, 2))) for box in boxes] for boxes, _ in found]


def test_photos_share_batches_and_stay_in_order(monkeypatch):
    monkeypatch.setattr(photos, "GROUP_PIXELS", 1000)

    def read(source):
        number = int(source)
        if number == 7:
            raise InputError("7: broken")
        side = 40 if number == 20 else 5  # the 20th alone fills a group
        return np.full((side, side, 3), number, np.uint8)

    landmarker = FakeLandmarker()
    found = list(photos.find_faces(landmarker, map(str, range(50)), read))
    assert [photo.source for photo in found] == [str(i) for i in range(50)]
    for i, photo in enumerate(found):
        if i == 7:
            assert str(photo.problem) == "7: broken" and photo.faces == [] and photo.image is None
        else:
            assert photo.problem is None and photo.faces[0].box == (i, i, i, i)
    assert landmarker.groups == [15, 5, 16, 13], "one of the first 16 has no image"


def test_whatever_goes_wrong_with_a_photo_is_its_line():
    """In reading, in finding faces, or in the network, where the group it was in is done again one by one."""

    def read(source):
        if source == "unreadable":
            raise OSError("the disk\nis gone")
        return np.full((5, 5, 3), int(source), np.uint8)

    class Breaking(FakeLandmarker):
        def detect(self, image):
            if image[0, 0, 0] == 2:
                raise RuntimeError("detector")
            if image[0, 0, 0] == 5:
                raise InputError("maps.onnx: says what can't be")
            return super().detect(image)

        def faces(self, images, found):
            if any(image is not None and image[0, 0, 0] == 3 for image in images):
                raise MemoryError
            if any(image is not None and image[0, 0, 0] == 6 for image in images):
                raise InputError("net.onnx: says what can't be")
            return super().faces(images, found)

    sources = ["1", "unreadable", "2", "3", "4", "5", "6"]
    found = {photo.source: photo for photo in photos.find_faces(Breaking(), sources, read)}
    assert list(found) == sources
    for source, told in (("unreadable", "OSError: the disk is gone"), ("2", "detector"), ("3", "MemoryError")):
        line = str(found[source].problem)
        assert line.startswith(f"{source}: failed (") and told in line and found[source].faces == []
    for source, network in (("5", "maps"), ("6", "net")):
        assert str(found[source].problem) == f"{source}: {network}.onnx: says what can't be", "the photo is named"
    assert [found[source].faces[0].box[0] for source in ("1", "4")] == [1, 4]


@pytest.mark.parametrize("place", ["read", "detect", "faces"])
def test_ctrl_c_is_no_photos_problem(place):
    def interrupt(*_):
        raise KeyboardInterrupt

    landmarker = FakeLandmarker()
    read = interrupt if place == "read" else lambda source: np.zeros((5, 5, 3), np.uint8)
    if place != "read":
        setattr(landmarker, place, interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(photos.find_faces(landmarker, ["a", "b"], read))


def test_a_large_jpeg_is_read_small_where_its_faces_are_large_enough(tmp_path, landmarker, hopper):
    """The points are those of the whole photo, which is read where a face is too small in the other."""
    large = cv2.resize(hopper, (3076, 3604), interpolation=cv2.INTER_CUBIC)
    crowd = np.zeros_like(large)
    crowd[:300, :256] = cv2.resize(hopper, (256, 300), interpolation=cv2.INTER_AREA)
    write_image(tmp_path / "near.jpg", large)
    write_image(tmp_path / "far.jpg", crowd)
    sources, read = [str(tmp_path / "near.jpg"), str(tmp_path / "far.jpg")], []

    def whole(source):
        read.append(source)
        return read_image(source)

    glanced = list(photos.find_faces(landmarker, sources, whole, glance_at_source))
    assert read == [sources[1]]
    for photo, expected in zip(glanced, photos.find_faces(landmarker, sources, read_image), strict=True):
        assert photo.size == expected.size == (3076, 3604)
        (face,), (same,) = photo.faces, expected.faces
        eyes = inter_ocular(same.keypoints)
        assert np.linalg.norm(face.keypoints - same.keypoints, axis=1).mean() < 0.005 * eyes
        np.testing.assert_allclose(face.box, same.box, atol=0.05 * eyes)
