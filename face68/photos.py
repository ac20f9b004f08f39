"""Many photos at once: threads read, search and predict at the same time, in order and in bounded memory.

Threads are enough, since OpenCV, Pillow and ONNX Runtime let others run while they compute.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from face68.detect import NOTHING, FaceBoxes
from face68.files import InputError, as_problem
from face68.images import Reduced
from face68.landmarker import Landmarker
from face68.landmarks import Face

Source, Item, Result = TypeVar("Source"), TypeVar("Item"), TypeVar("Result")

THREADS = min(4, os.cpu_count() or 1)
GROUP, GROUP_PIXELS = 16, 16_000_000  # the most photos whose faces share a batch, and about the most pixels of these
AHEAD_PIXELS = 48_000_000  # of pictures that a step may hold ahead of the next one, or a single larger one


@dataclass
class Photo:
    """A source with its image and drawing (H, W, 3) uint8 RGB and its faces, or with its problem.

    factor: the photo, in whose pixels the faces are, is so many times larger than `image`.
    thumbnail: a small drawing, for a sheet of many.
    size: width and height of the photo, px; known also after its image was given up.
    """

    source: str
    image: np.ndarray | None = None
    faces: list[Face] = field(default_factory=list)
    problem: InputError | None = None
    picture: np.ndarray | None = None
    thumbnail: np.ndarray | None = None
    factor: int = 1
    size: tuple[int, int] = (0, 0)

    def __post_init__(self):
        if self.image is not None:
            self.size = self.factor * self.image.shape[1], self.factor * self.image.shape[0]

    @property
    def pixels(self) -> int:
        """Of `image`."""
        return 0 if self.image is None else self.image.shape[0] * self.image.shape[1]


def find_faces(
    landmarker: Landmarker,
    sources: Iterable[str],
    read: Callable[[str], np.ndarray],
    glance: Callable[[str], Reduced] | None = None,
    weigh: Callable[[str], int] = lambda _: 0,
) -> Iterator[Photo]:
    """Read each source and find its faces; the photos come in the order of their sources.

    read: gives a source's picture, in several threads. Any error of it, of the detector or of the network is that
        photo's problem, and the others go on.
    glance: gives a smaller picture. It is searched first, and is enough where its faces are large.
    weigh: gives the number of pixels of a source's picture without reading it, 0 if unknown: see AHEAD_PIXELS.
    """
    steps = _Steps(landmarker, read, glance)
    searched = prefetch(steps.search, sources, weigh=weigh)
    groups = in_groups(searched, lambda searched_photo: searched_photo[0].pixels)
    for photos in prefetch(steps.predict, groups, 1, lambda group: sum(photo.pixels for photo, _ in group)):
        photos.reverse()
        while photos:  # a photo that was given out isn't held here
            yield photos.pop()


class _Steps(NamedTuple):
    """What `find_faces` does with a photo."""

    landmarker: Landmarker
    read: Callable[[str], np.ndarray]
    glance: Callable[[str], Reduced] | None

    def search(self, source: str, whole: bool = False) -> tuple[Photo, FaceBoxes]:
        """Read a source, at a glance unless the `whole` picture is asked for, and search it for faces."""
        try:
            image, factor = self.glance(source) if self.glance and not whole else Reduced(self.read(source), 1)
        except Exception as error:
            return Photo(source, problem=as_problem(source, error)), NOTHING
        try:
            return Photo(source, image, factor=factor), self.landmarker.detect(image)
        except Exception as error:
            return _failed(source, error), NOTHING

    def predict(self, group: list[tuple[Photo, FaceBoxes]]) -> list[Photo]:
        """The photos of a group with their faces."""
        photos, boxes = [photo for photo, _ in group], [(p, b) for p, b in group if p.problem is None]
        try:
            faces = self.landmarker.faces([photo.image for photo, _ in boxes], [of_photo for _, of_photo in boxes])
        except Exception as error:
            if len(group) > 1:  # one by one: the others are in order
                return [photo for one in group for photo in self.predict([one])]
            return [_failed(photos[0].source, error)]
        for (photo, _), of_photo in zip(boxes, faces, strict=True):
            photo.faces = of_photo
        return [self.in_full(photo) if photo.factor > 1 else photo for photo in photos]

    def in_full(self, photo: Photo) -> Photo:
        """The photo with faces in its own pixels, after a second search of the whole picture where these are small."""
        if all(map(self.landmarker.has_full_resolution, photo.faces)):
            photo.faces = [face.scaled(photo.factor) for face in photo.faces]
        else:
            (whole,) = self.predict([self.search(photo.source, whole=True)])
            photo.faces, photo.problem = whole.faces, whole.problem  # and the large image is given up
        return photo


def _failed(source: str, error: Exception) -> Photo:
    """A photo with an error of the detector or the network, which names those and not the photo."""
    problem = InputError(f"{source}: {error}") if isinstance(error, InputError) else as_problem(source, error)
    return Photo(source, problem=problem)


def prefetch(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int = THREADS,
    weigh: Callable[[Item], int] = lambda _: 0,
) -> Iterator[Result]:
    """`map(function, items)`, computed in threads a few items before the results are asked for.

    weigh: the pixels of an item, or of its result. The items ahead have at most AHEAD_PIXELS, or are a single one.
    """
    pool, pending, ahead = ThreadPoolExecutor(threads), deque(), 0

    def oldest() -> Result:
        nonlocal ahead
        future, weight = pending.popleft()
        ahead -= weight
        return future.result()

    try:
        for item in items:
            weight = weigh(item)
            while pending and ahead + weight > AHEAD_PIXELS:
                yield oldest()
            pending.append((pool.submit(function, item), weight))
            ahead += weight
            del item  # it may be large, and the next one is far
            while len(pending) > threads or ahead >= AHEAD_PIXELS:
                yield oldest()
        while pending:
            yield oldest()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an error or Ctrl-C nothing new is begun


def in_groups(items: Iterable[Item], weigh: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Successive items in lists of at most GROUP items and about GROUP_PIXELS pixels. weigh: the pixels of an item."""
    group, pixels = [], 0
    for item in items:
        group.append(item)
        pixels += weigh(item)
        del item  # as in `prefetch`
        if len(group) == GROUP or pixels >= GROUP_PIXELS:
            whole, group, pixels = [group], [], 0
            yield whole.pop()  # a group that was given out isn't held here
    if group:
        yield group
