"""Many photos at once: reading, searching and the network overlap, in order, and memory doesn't grow with their number.

Threads are enough, since OpenCV, Pillow and torch let the others run while they compute.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from face68.detect import NOTHING, Found
from face68.files import InputError, as_problem
from face68.images import Reduced
from face68.landmarker import Landmarker
from face68.landmarks import Face

Source, Item, Result = TypeVar("Source"), TypeVar("Item"), TypeVar("Result")

THREADS = min(4, os.cpu_count() or 1)
GROUP = 16  # photos whose faces share a batch …
GROUP_PIXELS = 16_000_000  # … unless they have more pixels than these: then fewer are held


@dataclass
class Photo:
    """What became of a source: image and drawing (H, W, 3) uint8 RGB and faces, or what went wrong.

    factor: how many times larger the photo is that the faces belong to than `image`.
    """

    source: str
    image: np.ndarray | None = None
    faces: list[Face] = field(default_factory=list)
    problem: InputError | None = None
    picture: np.ndarray | None = None
    factor: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.factor * self.image.shape[1], self.factor * self.image.shape[0]


def find_faces(
    landmarker: Landmarker,
    sources: Iterable[str],
    read: Callable[[str], np.ndarray],
    glance: Callable[[str], Reduced] | None = None,
) -> Iterator[Photo]:
    """Read each source and find its faces; the photos come in the order of their sources.

    read: gives a source's picture; it is called from several threads. Whatever it, the detector or the network raises
        is that photo's problem, and the others go on.
    glance: gives a smaller one. It is searched first, and is enough where its faces are large.
    """

    detect = landmarker.detect  # opened here and not in each thread

    def search(source: str, whole: bool = glance is None) -> tuple[Photo, Found]:
        try:
            image, factor = Reduced(read(source), 1) if whole else glance(source)
            return Photo(source, image, factor=factor), detect(image)
        except Exception as error:
            return Photo(source, problem=as_problem(source, error)), NOTHING

    def predict(group: list[tuple[Photo, Found]]) -> list[Photo]:
        searched = [(photo, found) for photo, found in group if photo.problem is None]
        try:
            together = landmarker.faces([photo.image for photo, _ in searched], [found for _, found in searched])
        except Exception as error:
            if len(group) > 1:  # the others have done nothing wrong
                return [photo for one in group for photo in predict([one])]
            ((photo, _),) = group
            return [Photo(photo.source, problem=as_problem(photo.source, error))]
        for (photo, _), faces in zip(searched, together, strict=True):
            photo.faces = faces
        return [in_full(photo) if photo.factor > 1 else photo for photo, _ in group]

    def in_full(photo: Photo) -> Photo:
        if all(map(landmarker.sees_well, photo.faces)):
            photo.faces = [face.scaled(photo.factor) for face in photo.faces]
            return photo
        return predict([search(photo.source, whole=True)])[0]

    for photos in prefetch(predict, _groups(prefetch(search, sources)), threads=1):
        yield from photos


def prefetch(function: Callable[[Item], Result], items: Iterable[Item], threads: int = THREADS) -> Iterator[Result]:
    """`map(function, items)`, computed in threads a few items ahead of who asks for them."""
    pool, pending = ThreadPoolExecutor(threads), deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an error or Ctrl-C nothing new is begun


def _groups(looked: Iterable[tuple[Photo, Found]]) -> Iterator[list]:
    """Neighbours in lists of up to GROUP photos and about GROUP_PIXELS pixels."""
    group, pixels = [], 0
    for photo, found in looked:
        group.append((photo, found))
        pixels += 0 if photo.image is None else photo.image.shape[0] * photo.image.shape[1]
        if len(group) == GROUP or pixels >= GROUP_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group
