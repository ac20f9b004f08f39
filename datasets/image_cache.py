"""Decoded images: one file for each data set, mapped into memory and shared by all processes.

Decoding takes nearly all the time of opening a data set, and always gives the same pixels. So they are written once.
Later runs and all data-loading workers, forked or not, read the same pages of memory.

A file holds the images' pixels one after the other, an index in JSON (key, and offset, height and width of each image),
and `_END`: the length of the index, and the CRC-32 of pixels and index.
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
    """The decoded images in `file` if its key is `key`; else none. Pickled, it is these two and no pixels."""

    def __init__(self, file: Path, key: str):
        self.file, self.key, self.is_current = file, key, False
        self._positions = {}  # offset, height and width of each image, by its path
        try:
            content = np.asarray(np.memmap(file, np.uint8, "r"))
            self._content, end = content[: -_END.size], content[-_END.size :]
            size, self._crc = _END.unpack(end)
            index = json.loads(self._content[-size:].tobytes())
            if index["key"] == key:
                self.is_current, self._positions = True, index["positions"]
        except (OSError, ValueError, TypeError, KeyError, struct.error):  # missing, cut off, or another file
            pass

    def __reduce__(self):
        return ImageCache, (self.file, self.key)

    def is_intact(self) -> bool:
        """Whether the key is right and the content as it was written. Reads the whole file."""
        return self.is_current and zlib.crc32(self._content) == self._crc

    def get(self, path: Path) -> np.ndarray | None:
        """The image at a path, (H, W, 3) uint8 RGB, read-only; None: it isn't in the cache."""
        if (position := self._positions.get(str(path.absolute()))) is None:
            return None
        offset, height, width = position
        return self._content[offset : offset + height * width * 3].reshape(height, width, 3)


def open_cache(paths: Sequence[Path], folder: Path, budget: float) -> ImageCache | None:
    """The decoded images of a data set, from its file in `folder`.

    The file is written, with all cores decoding, if it is missing, damaged, or was made from other images (other paths,
    sizes or times). It holds the first images that fit into `budget` MB. If it can't be written, one line on stderr
    says so, and the result is None.

    Raises:
        InputError: an image can't be read.
    """
    budget = int(budget * 2**20)
    common = os.path.commonpath([path.absolute().parent for path in paths])
    file = folder / f"{Path(common).name}-{hashlib.sha256(os.fsencode(common)).hexdigest()[:16]}.images"
    key = _key_of(paths, budget)
    cache = ImageCache(file, key)
    if cache.is_intact():
        return cache
    del cache  # Windows can't replace a file that is mapped
    try:
        _write(file, key, paths, budget)
    except WriteError as error:
        print(f"note: decoded images are not kept, which makes training slower; {error}", file=sys.stderr)
        deque(_decoded(paths), maxlen=0)  # an unreadable image must show now all the same
        return None
    return ImageCache(file, key)


def _key_of(paths: Sequence[Path], budget: int) -> str:
    """A hash of all that determines the content of a cache."""
    digest = hashlib.sha256(f"{FORMAT} {PIL.__version__} {budget}".encode())
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise unreadable(path, error) from error
        digest.update(os.fsencode(path.absolute()) + f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _write(file: Path, key: str, paths: Sequence[Path], budget: int) -> None:
    """Write the cache. Readers of the old file keep it; of two processes that write at once, the last one wins."""
    positions, offset, crc = {}, 0, 0
    with atomic_path(file) as temporary, temporary.open("wb") as sink:
        for path, image in zip(paths, _decoded(paths), strict=True):
            if offset + image.nbytes <= budget:
                positions[str(path.absolute())] = offset, *image.shape[:2]
                crc = zlib.crc32(image, crc)
                offset += sink.write(image)
        index = json.dumps({"key": key, "positions": positions}).encode()
        sink.write(index + _END.pack(len(index), zlib.crc32(index, crc)))


def _decoded(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    """The images in order, a few of them in memory at a time."""
    images = prefetch(read_image, paths, os.cpu_count() or 1, decoded_pixels)
    yield from tqdm(images, total=len(paths), desc="decoding", unit="image", leave=False, disable=None)
