"""Decoded images, in one file for each data set that maps into memory.

Nearly all the time that it takes to open a data set goes into decoding, and the pixels are the same every time. So they
are written once, and from then on every process reads them from the same pages of memory: data-loading workers, however
they are started, and other runs.

Such a file holds the pixels of one image after the other, an index in JSON that says where each lies, and `_END`: the
length of the index, and a CRC-32 of pixels and index.
"""

import hashlib
import json
import os
import struct
import sys
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL
from tqdm import tqdm

from face68.files import WriteError, atomic_path, cache_folder
from face68.formats import unreadable
from face68.images import decoded_pixels, read_image
from face68.photos import prefetch

FORMAT = 1  # to be raised when these files or the pixels that `read_image` gives change
BUDGET = 2048  # MB
_END = struct.Struct("<QI")


def default_folder() -> Path:
    return cache_folder() / "images"


class ImageCache:
    """The decoded images in `file`, if it is the one with this key; else none.

    Pickled, it is these two and no pixels.
    """

    def __init__(self, file: Path, key: str):
        self.file, self.key = file, key
        try:
            content = np.asarray(np.memmap(file, np.uint8, "r"))
            self._content, end = content[: -_END.size], content[-_END.size :]
            size, self._crc = _END.unpack(end)
            index = json.loads(self._content[-size:].tobytes())
            self.is_current = index["key"] == key
            self._places = index["places"] if self.is_current else {}  # path: offset, height, width
        except (OSError, ValueError, TypeError, KeyError, struct.error):  # not there, cut off, something else
            self.is_current, self._places = False, {}

    def __reduce__(self):
        return ImageCache, (self.file, self.key)

    def is_intact(self) -> bool:
        """Whether the file is the one with this key, and as it was written. Reads all of it."""
        return self.is_current and zlib.crc32(self._content) == self._crc

    def get(self, path: Path) -> np.ndarray | None:
        """The image of that path, (H, W, 3) uint8 RGB, read only; None: it isn't here."""
        if (place := self._places.get(str(path.absolute()))) is None:
            return None
        offset, height, width = place
        return self._content[offset : offset + height * width * 3].reshape(height, width, 3)


def open_cache(paths: Sequence[Path], folder: Path, budget: float) -> ImageCache | None:
    """The decoded images of a data set, from its file in `folder`.

    The file is made, on all cores, where it is missing, broken, or made from other images: other paths, sizes or times.
    It holds the first images that fit into the budget, in MB. Where it can't be written a line on stderr says so, and
    there is none.

    Raises:
        InputError: an image can't be read.
    """
    budget = int(budget * 2**20)
    place = os.path.commonpath([path.absolute().parent for path in paths])
    file = folder / f"{Path(place).name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}.images"
    key = _key_of(paths, budget)
    cache = ImageCache(file, key)
    if cache.is_intact():
        return cache
    del cache  # Windows replaces no file that is mapped
    try:
        _write(file, key, paths, budget)
    except WriteError as error:
        print(f"note: decoded images are not kept, which makes training slower; {error}", file=sys.stderr)
        deque(_decoded(paths), maxlen=0)  # what can't be read is to show now all the same
        return None
    return ImageCache(file, key)


def _key_of(paths: Sequence[Path], budget: int) -> str:
    """A hash of all that the content of a cache depends on."""
    digest = hashlib.sha256(f"{FORMAT} {PIL.__version__} {budget}".encode())
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise unreadable(path, error) from error
        digest.update(os.fsencode(path.absolute()) + f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _write(file: Path, key: str, paths: Sequence[Path], budget: int) -> None:
    """Make the cache; whoever reads the old one keeps it, and of two that make it at once the last one's stays."""
    places, offset, crc = {}, 0, 0
    with atomic_path(file) as temporary, temporary.open("wb") as sink:
        for path, image in zip(paths, _decoded(paths), strict=True):
            if offset + image.nbytes <= budget:
                places[str(path.absolute())] = offset, *image.shape[:2]
                crc = zlib.crc32(image, crc)
                offset += sink.write(image)
        index = json.dumps({"key": key, "places": places}).encode()
        sink.write(index + _END.pack(len(index), zlib.crc32(index, crc)))


def _decoded(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    """The images in order, a few of them in memory at a time."""
    images = prefetch(read_image, paths, os.cpu_count() or 1, decoded_pixels)
    yield from tqdm(images, total=len(paths), desc="decoding", unit="image", leave=False, disable=None)
