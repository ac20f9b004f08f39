"""Films and cameras in and out, frame by frame, always (H, W, 3) uint8 RGB in memory.

OpenCV's FFmpeg decodes and encodes. Sound is neither read nor written.
"""

import contextlib
import os
import queue
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image

from face68.files import MARK, InputError, atomic_path
from face68.images import write_animation

Item = TypeVar("Item")

CODEC = "mp4v"  # MPEG-4 part 2, which OpenCV's wheels can write at 1 ms a frame of 640×360, and players play
ANIMATION = ".webp"
FILM_SUFFIXES = (".mp4", ".mov", ANIMATION)
_END = (8 + len(MARK)).to_bytes(4, "big") + b"free" + MARK.encode()  # an atom that players skip: whose film this is
MAX_ANIMATION = 600  # frames, which are all held until the end …
MAX_ANIMATION_PIXELS = 250_000_000  # … and how many pixels they may have together
MAX_FRAME = 40_000_000  # pixels of a frame; the largest format in use, 8192×4320, has 35 million
AHEAD_PIXELS = 64_000_000  # of the frames that are read ahead
_MISSING = 2  # frames that a container may count and not have: many only estimate
_DAMAGED = 1000  # frames in a row that can't be read, after which a film counts as over …
_UNCOUNTED = 10  # … and of one that doesn't say how many it has
_LONGEST = 1e7  # seconds of a film: a time stamp beyond is damaged
_STREAMS = ("rtsp:", "rtmp:", "rtp:", "udp:")


class Frame(NamedTuple):
    """index: 0 is the film's first; time: seconds since then, by the film's own time stamps; image: RGB."""

    index: int
    time: float
    image: np.ndarray


class FilmReader:
    """The frames of a film or camera, each once and in order. Damaged ones are left out.

    source: a file, the number of a camera ("0"), or an address that FFmpeg reads (http://…, rtsp://…).
    start, end: seconds; only frames from `start` on and before `end`. Those before are decoded too, since only so is
        each frame the right one.
    every: 1, 2, 3, …; every n-th frame of these.

    `size`: width and height, px.
    `rate`: how many of these frames a second has, as the source says.
    `count`: about how many will come; None where nobody knows, as of a camera.
    `is_live`: whether frames come in their own time and can be missed.
    `problem`: after the last frame, a line about those that could not be read, else None.

    Raises:
        InputError: there is no such film or camera, or nothing in it can be read.
    """

    def __init__(self, source: str | Path, start: float = 0.0, end: float | None = None, every: int = 1):
        self.source, self.start, self.end, self.every = str(source), start, end, every
        self.is_live = self.source.isdecimal() or self.source.lower().startswith(_STREAMS)
        self._capture = _open(self.source)
        said = self._capture.get(cv2.CAP_PROP_FPS)
        self._rate = said if 0.01 <= said <= 1000 else 30.0  # a camera may not say, nor a damaged head
        self.rate = self._rate / every
        self.size = tuple(int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        counted = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._said = int(counted) if 0 < counted < _LONGEST * self._rate and not self.is_live else 0
        self.problem: str | None = None
        self._lost = 0  # frames that could not be read, with others behind them

    @property
    def ahead(self) -> int:
        """How many frames may be read ahead: few large ones, see AHEAD_PIXELS."""
        return min(8, max(1, AHEAD_PIXELS // (self.size[0] * self.size[1])))

    @property
    def count(self) -> int | None:
        if not self._said:
            return None
        last = self._said if self.end is None else min(self._said, round(self.end * self._rate))
        return max(0, -(-(last - round(self.start * self._rate)) // self.every))

    def __iter__(self) -> Iterator[Frame]:
        try:
            wanted = 0
            for index, seconds in self._grabbed():
                if self.end is not None and seconds >= self.end:
                    return
                if seconds < self.start:
                    continue
                if wanted % self.every == 0:
                    readable, image = self._capture.retrieve()
                    if readable:
                        yield Frame(index, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                wanted += 1
        finally:
            self._capture.release()

    def _grabbed(self) -> Iterator[tuple[int, float]]:
        """Index and time of each frame, which is then ready to be retrieved."""
        began, read, index, seconds = time.monotonic(), 0, -1, -1.0
        while self._grab(read):
            told = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if self.is_live:
                index, seconds = index + 1, time.monotonic() - began
            else:  # by its time stamp a frame also knows how many before it are missing
                told = told if 0 <= told < _LONGEST else 0.0
                index = max(index + 1, round(told * self._rate) if self._lost else 0)
                later = (told, index / self._rate, seconds + 1 / self._rate)  # stamps may be missing, or turn back
                seconds = next(moment for moment in later if moment > seconds)
            yield index, seconds
            read += 1
        lost = self._said - read if self._said else self._lost
        if lost > (_MISSING if self._said else 0):
            self.problem = f"{self.source}: {lost} of {lost + read} frames can't be read, the film is damaged"

    def _grab(self, read: int) -> bool:
        """The next frame that can be read, if there is one: behind damage there may be more of a film."""
        more = max(1, self._said - read) if self._said else 1 if self.is_live else _UNCOUNTED
        for attempt in range(min(more, _DAMAGED)):
            if self._capture.grab():
                self._lost += attempt
                return True
        return False


def _open(source: str) -> cv2.VideoCapture:
    is_address = "://" in source
    if not source.isdecimal() and not is_address:
        path = Path(source)
        if path.is_dir():
            raise InputError(f"{source}: is a folder; give a film")
        if not path.exists():
            raise InputError(f"{source}: no such film; check the path")
    capture = cv2.VideoCapture(int(source)) if source.isdecimal() else cv2.VideoCapture(source, cv2.CAP_FFMPEG)
    width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if capture.isOpened() and width >= 1 and height >= 1 and width * height <= MAX_FRAME:
        return capture
    capture.release()
    if width * height > MAX_FRAME:
        raise InputError(
            f"{source}: its frames have {width:.0f}×{height:.0f} pixels, more than {MAX_FRAME // 1_000_000} million; "
            "scale it down first"
        )
    if source.isdecimal():
        raise InputError(
            f"camera {source}: can't be opened; see that it is plugged in and that no other program has it"
        )
    if is_address:
        raise InputError(f"{source}: gives no film; see that the address answers with one that FFmpeg plays")
    raise InputError(f"{source}: can't be read as a film; give one that FFmpeg plays, such as an MP4")


@contextlib.contextmanager
def film_writer(path: str | Path, rate: float, size: tuple[int, int]) -> Iterator[Callable[[np.ndarray], None]]:
    """A block in which a film is written: it yields a function that takes the next frame, (H, W, 3) uint8 RGB.

    The film is there at the end of the block, whole, or with the frames so far after Ctrl-C; after any other error
    what was there before stays.

    path: .mp4 or .mov (MPEG-4), or .webp (an animated picture of at most MAX_ANIMATION frames).
    rate: frames a second; 30000/1001 stays exactly that, and 29.97 that.
    size: width and height, px.

    Raises:
        InputError: another suffix; a place that can't be written to; or no frame came, or could be encoded.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FILM_SUFFIXES:
        known = ", ".join(FILM_SUFFIXES)
        raise InputError(f"{path}: can't tell the format from the suffix {suffix!r}; use one of {known}")
    interrupted = None
    with atomic_path(path) as temporary:
        encoder = _animation(temporary, rate) if suffix == ANIMATION else _film(temporary, rate, size)
        with encoder as write:
            try:
                yield write
            except KeyboardInterrupt as stop:
                interrupted = stop
        if not temporary.stat().st_size:
            raise InputError(f"{path}: could not be encoded; see that there is room, or choose another format")
    if interrupted:
        raise interrupted


@contextlib.contextmanager
def _film(path: Path, rate: float, size: tuple[int, int]) -> Iterator[Callable[[np.ndarray], None]]:
    encoder = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*CODEC), rate, size)
    written = 0

    def write(image: np.ndarray) -> None:
        nonlocal written
        encoder.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        written += 1

    try:
        yield write
    finally:
        encoder.release()
    # FFmpeg tells OpenCV nothing of a full disk: what lies there is asked.
    written_film = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    there = int(written_film.get(cv2.CAP_PROP_FRAME_COUNT)) if written_film.isOpened() else 0
    written_film.release()
    if not written or abs(there - written) > _MISSING:
        path.write_bytes(b"")
        return
    _say_rate(path, rate)
    with path.open("ab") as file:
        file.write(_END)


def _say_rate(path: Path, rate: float) -> None:
    """Make an MP4 say its rate exactly: OpenCV rounds it to hundredths, 30000/1001 frames a second to 29.97.

    The head says how many ticks a second has and how many a frame lasts, ISO/IEC 14496-12, "mdhd" and "stts".
    """
    exact = Fraction(rate).limit_denominator(1001)
    ticks, lasts = exact.numerator, exact.denominator
    with path.open("rb+") as file:
        start = _atom(file, b"moov")
        file.seek(start)
        head = bytearray(file.read())
        clock, table = head.index(b"mdhd") + 4, head.index(b"stts") + 4
        entries, count, _ = struct.unpack_from(">3I", head, table + 4)
        if head[clock] or entries != 1 or ticks * lasts == 0 or max(ticks, count * lasts) >= 2**32:
            return  # a film of days, or one whose frames last unequally, as none does that came from here
        struct.pack_into(">2I", head, clock + 12, ticks, count * lasts)
        struct.pack_into(">I", head, table + 12, lasts)
        file.seek(start)
        file.write(head)


def _atom(file: BinaryIO, name: bytes) -> int:
    """Where an atom of an MP4's topmost level begins: each says first how long it is."""
    start = 0
    while True:
        file.seek(start)
        size, found, large = struct.unpack(">I4sQ", file.read(16))
        if found == name:
            return start
        start += large if size == 1 else size


@contextlib.contextmanager
def _animation(path: Path, rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    frames: list[Image.Image] = []

    def write(image: np.ndarray) -> None:
        most = min(MAX_ANIMATION, MAX_ANIMATION_PIXELS // (image.shape[0] * image.shape[1]))
        if len(frames) >= most:
            raise InputError(
                f"an animated picture of that size has at most {most} frames; write an .mp4, or less of the film"
            )
        frames.append(Image.fromarray(image))

    yield write
    if frames:
        write_animation(path, frames, rate)


def is_marked_film(path: str | Path) -> bool:
    """Whether a file is a film that `film_writer` wrote; of an animated picture see `images.is_marked`."""
    try:
        with Path(path).open("rb") as file:
            file.seek(-len(_END), os.SEEK_END)
            return file.read() == _END
    except (OSError, ValueError):  # not there, or shorter
        return False


# --- In time --------------------------------------------------------------------------------------------------


def read_ahead(items: Iterable[Item], count: int = 8) -> Iterator[Item]:
    """The same items, taken in a thread up to `count` ahead of who asks for them. What taking raises is raised here."""
    ready: queue.Queue = queue.Queue(count)
    stop = threading.Event()

    def put(entry: tuple) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                return ready.put(entry, timeout=0.1)

    def take() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join(timeout=5)


def newest(items: Iterable[Item]) -> Iterator[Item]:
    """Of items that come in their own time, as a camera's frames do, always the newest; those missed are left out."""
    ready: deque = deque(maxlen=1)
    has_come, ended = threading.Event(), threading.Event()
    problems: list[BaseException] = []

    def take() -> None:
        try:
            for item in items:
                ready.append(item)
                has_come.set()
                if ended.is_set():
                    return
        except BaseException as error:
            problems.append(error)
        ended.set()
        has_come.set()

    threading.Thread(target=take, daemon=True).start()
    try:
        while True:
            has_come.wait()
            has_come.clear()
            while ready:
                yield ready.pop()
            if problems:
                raise problems[0]
            if ended.is_set():
                return
    finally:
        ended.set()
