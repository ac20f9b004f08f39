"""Work done ahead comes in order, and no further ahead than it must."""

import threading
import time

import numpy as np
import pytest

from face68 import photos
from face68.files import InputError
from face68.landmarks import Face


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
    assert landmarker.groups == [16, 5, 16, 13]
