"""Films and cameras in and out, frame by frame, always (H, W, 3) uint8 RGB in memory.

FFmpeg decodes and encodes, through PyAV, which photos do without; OpenCV reads cameras. Sound is neither read nor
written.
"""

import contextlib
import itertools
import operator
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image

from face68.files import MARK, InputError, atomic_path
from face68.images import write_animation

Item = TypeVar("Item")
Decoded = tuple[int, float, Callable[[], np.ndarray]]  # a frame's index and time, and what gives its image

CODEC = "mpeg4"  # MPEG-4 part 2, of any size, at 1 ms a frame of 640×360; players play it
QUANTISER = 3  # 1 … 31: a finer one makes the file larger
FINEST = 65535  # ticks a second that the clock of such a film may have
ANIMATION = ".webp"
FILM_SUFFIXES = (".mp4", ".mov", ANIMATION)
_END = (8 + len(MARK)).to_bytes(4, "big") + b"free" + MARK.encode()  # an atom that players skip: whose film this is
MAX_ANIMATION = 600  # frames, which are all held until the end …
MAX_ANIMATION_PIXELS = 250_000_000  # … and how many pixels they may have together
MAX_FRAME = 40_000_000  # pixels of a frame; the largest format in use, 8192×4320, has 35 million
AHEAD_PIXELS = 64_000_000  # of the frames that are read ahead
PATIENCE = 10  # seconds that an address may send nothing
_MISSING = 2  # frames that a container may count and not have
_DAY = 86_400.0  # seconds: a film that claims to last longer doesn't know, and no time stamp goes further at once
_USUAL_RATE = 30  # frames a second, where nobody says
_STREAMS = ("rtsp:", "rtmp:", "rtp:", "udp:")


class Frame(NamedTuple):
    """index: 0 is the film's first; time: seconds since then, by the film's own time stamps; image: RGB."""

    index: int
    time: float
    image: np.ndarray


class FilmReader:
    """The frames of a film or camera, each once and in order, upright and with square pixels, as players show them.

    A thread reads them, a few ahead. Damaged ones are left out. Each iteration begins anew.

    source: a file, the number of a camera ("0"), or an address that FFmpeg reads (http://…, rtsp://…).
    start, end: seconds; only frames from `start` on and before `end`. Those before are decoded too, since only so is
        each frame the right one.
    every: 1, 2, 3, …; every n-th frame of these.

    `size`: width and height, px.
    `rate`: about how many of these frames a second has; exact where all last equally long.
    `count`: about how many will come; None where nobody knows, as of a camera.
    `is_live`: whether frames come in their own time and can be missed.
    `problem`: after the last frame, a line about those that could not be read, else None.

    Raises:
        InputError: there is no such film or camera, or nothing in it can be read; or PyAV is missing.
    """

    def __init__(self, source: str | Path, start: float = 0.0, end: float | None = None, every: int = 1):
        self.source, self.start, self.end, self.every = str(source), start, end, every
        self.is_live = self.source.isdecimal() or self.source.lower().startswith(_STREAMS)
        self._opened = next(read_ahead(map(_open, [self.source])))  # in a thread: a call of FFmpeg can't be interrupted
        self._rate, self._said = self._opened.rate, self._opened.count
        self.rate, self.size = self._rate / every, self._opened.size
        self.problem: str | None = None

    @property
    def ahead(self) -> int:
        """How many frames are read ahead: few large ones, see AHEAD_PIXELS."""
        return min(8, max(1, AHEAD_PIXELS // (self.size[0] * self.size[1])))

    @property
    def count(self) -> int | None:
        if not 0 < self._said < _DAY * self._rate or self.is_live:
            return None
        last = self._said if self.end is None else min(self._said, round(self.end * self._rate))
        return max(0, -(-(last - round(self.start * self._rate)) // self.every))

    def __iter__(self) -> Iterator[Frame]:
        return read_ahead(self._frames(), self.ahead)

    def _frames(self) -> Iterator[Frame]:
        film, self._opened = self._opened or _open(self.source), None
        self.problem, wanted = None, 0
        with contextlib.closing(film):
            for index, seconds, image in film.decoded():
                if self.end is not None and seconds >= self.end:
                    return
                if seconds < self.start:
                    continue
                if wanted % self.every == 0:
                    yield Frame(index, seconds, image())
                wanted += 1
            self.problem = film.problem()


def _open(source: str) -> "_Film | _Camera":
    return _Camera(source) if source.isdecimal() else _Film(source)


class _Film:
    """What FFmpeg reads. `rate`: 30 where nobody knows; `count`: of all frames, 0 where nobody knows."""

    def __init__(self, source: str):
        self._source, self._errors = source, _pyav().FFmpegError
        self._container, self._stream = _demuxer(source)
        _check_size(source, self._stream.width, self._stream.height)
        self._stream.thread_type = "AUTO"
        # Heads also count frames that an edit left out (MP4) or that only make others last longer (AVI); indices don't.
        entries = len(self._stream.index_entries)
        self._listed = entries if entries > 1 else self._stream.frames
        self._packets = self._read = 0  # what came, from the first key frame on; and the frames that it gave
        self._is_damaged = False
        self._break: Exception | None = None  # what ended it too early
        frames = self._frames()
        first = next(frames, None)
        if first is None:
            self.close()
            raise _unreadable(source)
        self._all = itertools.chain([first], frames)
        # An AVI says in which order frames come, and not when each is shown.
        self._stamp = operator.attrgetter("dts" if self._container.format.name == "avi" else "pts")
        self._turns, self._origin = round(first.rotation / 90), self._stamp(first) or 0
        aspect = self._stream.sample_aspect_ratio or 1  # of a pixel; a DVD's aren't square
        self._width = round(first.width * aspect) if 1 / 4 < aspect < 4 else first.width
        self._height = first.height
        self.size = (self._width, self._height)[:: -1 if self._turns % 2 else 1]
        said = (self._stream.average_rate, self._stream.guessed_rate)
        self.rate = next((float(rate) for rate in said if rate and 0.01 <= rate < 1000), _USUAL_RATE)
        self.count = self._stream.frames or round((self._container.duration or 0) / 1e6 * self.rate)

    def decoded(self) -> Iterator[Decoded]:
        index, seconds = -1, -1 / self.rate
        for frame in self._all:
            self._read += 1
            stamp = self._stamp(frame)
            told = None if stamp is None else float((stamp - self._origin) * self._stream.time_base)
            seconds = later(told, seconds, 1 / self.rate)
            # By its time a frame also knows how many before it are missing.
            index = max(index + 1, round(seconds * self.rate) if self._is_damaged else 0)
            yield index, seconds, partial(self._image, frame)

    def _frames(self) -> Iterator:
        for packet in self._demuxed():
            # A broadcast may begin amid what can't be decoded; behind the last packet, None asks for what is left.
            self._packets += packet is not None and (self._packets > 0 or packet.is_keyframe)
            try:
                yield from self._stream.decode(packet)
            except self._errors:
                self._is_damaged = self._packets > 0

    def _demuxed(self) -> Iterator:
        try:
            yield from (packet for packet in self._container.demux(self._stream) if packet.size)
        except self._errors as error:
            self._break = error
        yield None

    def _image(self, frame) -> np.ndarray:
        image = frame.to_ndarray(width=self._width, height=self._height, format="rgb24")
        return np.ascontiguousarray(np.rot90(image, self._turns))

    def problem(self) -> str | None:
        if self._break is not None:
            silent = isinstance(self._break, _pyav().error.ExitError)
            reason = f"nothing came for {PATIENCE} s" if silent else self._break.strerror
            return f"{self._source}: breaks off after {self._read} frames ({reason}); see that all of it is there"
        missing = self._listed - self._packets
        lost = (missing if missing > _MISSING else 0) + (self._packets - self._read if self._is_damaged else 0)
        if lost > 0:
            return f"{self._source}: {lost} of {lost + self._read} frames can't be read, the film is damaged"
        return None

    def close(self) -> None:
        self._container.close()


class _Camera:
    """A camera, which has no time stamps, may not say how fast it is, and gives frames until it is pulled out."""

    count = 0

    def __init__(self, source: str):
        self._capture = cv2.VideoCapture()
        if len(source) >= 10 or not self._capture.open(int(source)):  # OpenCV has no room for larger numbers
            raise InputError(
                f"camera {source}: can't be opened; see that it is plugged in and that no other program has it"
            )
        said = (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        rate, width, height = map(self._capture.get, said)
        _check_size(f"camera {source}", width, height)
        self.rate, self.size = rate if 0.01 <= rate <= 1000 else _USUAL_RATE, (int(width), int(height))

    def decoded(self) -> Iterator[Decoded]:
        began = time.monotonic()
        for index in itertools.count():
            there, bgr = self._capture.read()
            if not there:
                return
            yield index, time.monotonic() - began, partial(cv2.cvtColor, bgr, cv2.COLOR_BGR2RGB)

    def problem(self) -> None:
        return None

    def close(self) -> None:
        self._capture.release()


def later(told: float | None, last: float, step: float) -> float:
    """The time of a frame behind one at `last`, s: as told; a step on where that is missing, back or absurd."""
    return told if told is not None and last < told < last + _DAY else last + step


def _pyav():
    """PyAV, which is imported where a film is opened: it takes a moment, and who has photos alone needn't have it.

    Raises:
        InputError: it is missing.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("films need PyAV, which is missing; pip install av gives it") from error
    return av


def _demuxer(source: str) -> tuple:
    """A film's container, and the stream of pictures in it."""
    av, is_address = _pyav(), "://" in source
    path = Path(source)
    if not is_address and path.is_dir():
        raise InputError(f"{source}: is a folder; give a film")
    if not is_address and not path.exists():
        raise InputError(f"{source}: no such film; check the path")
    options = {"rtsp_flags": "prefer_tcp"}
    name = source if is_address else f"file:{source}"  # which may begin like an address, "data:…"
    try:
        container = av.open(name, options=options, timeout=PATIENCE if is_address else None)
        stream = container.streams.best("video")
    except (av.FFmpegError, ValueError) as error:
        raise _unreadable(source) from error
    if stream is None:
        raise _unreadable(source)
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME)}  # of a frame that is larger than the first, too
    return container, stream


def _unreadable(source: str) -> InputError:
    if "://" in source:
        return InputError(f"{source}: gives no film; see that the address answers with one that FFmpeg plays")
    return InputError(f"{source}: can't be read as a film; give one that FFmpeg plays, such as an MP4")


def _check_size(source: str, width: float, height: float) -> None:
    if width * height > MAX_FRAME:
        raise InputError(
            f"{source}: its frames have {width:.0f}×{height:.0f} pixels, more than {MAX_FRAME // 1_000_000} million; "
            "scale it down first"
        )


# --- Written --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def film_writer(path: str | Path, rate: float, size: tuple[int, int]) -> Iterator[Callable[..., None]]:
    """A block in which a film is written. It yields `write(image, time=None)`, which takes the next frame.

    image: (H, W, 3) uint8 RGB.
    time: seconds, from any zero, growing: how long a frame lasts is told by the next one's; of the last one, and
        where none is given, by the rate.

    The film is there at the end of the block, whole, or with the frames so far after Ctrl-C or any error. Where there
    are none, or no room for them, what was there before stays.

    path: .mp4 or .mov (MPEG-4), or .webp (an animated picture of at most MAX_ANIMATION frames).
    rate: frames a second; 30000/1001 stays exactly that, and 29.97 that.
    size: width and height, px.

    Raises:
        InputError: another suffix; a place that can't be written to; or no frame came.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FILM_SUFFIXES:
        known = ", ".join(FILM_SUFFIXES)
        raise InputError(f"{path}: can't tell the format from the suffix {suffix!r}; use one of {known}")
    written, began, problem = 0, 0.0, None
    with atomic_path(path) as temporary:
        encoder = _animation(temporary, rate) if suffix == ANIMATION else _film(temporary, rate, size)
        with encoder as encode:

            def write(image: np.ndarray, time: float | None = None) -> None:
                nonlocal written, began
                time = written / rate if time is None else time
                began = began if written else time
                encode(image, time - began)
                written += 1

            try:
                yield write
            except BaseException as error:  # what is done is kept
                problem = error
        if not written:
            raise problem or InputError(f"{path}: no frame came, so there is no film")
    if problem:
        raise problem


@contextlib.contextmanager
def _film(path: Path, rate: float, size: tuple[int, int]) -> Iterator[Callable[[np.ndarray, float], None]]:
    av = _pyav()
    exact = Fraction(rate).limit_denominator(max(1, min(1001, int(FINEST / rate) - 1))) or Fraction(1, 1001)
    tick = Fraction(
        1, FINEST // exact.numerator * exact.numerator
    )  # of which a frame's time at that rate is a multiple
    last = -1
    with av.open(f"file:{path}", "w") as container:
        options = {"flags": "+qscale", "global_quality": str(QUANTISER * 118)}  # in FFmpeg's units
        stream = container.add_stream(CODEC, exact, options)
        stream.width, stream.height = size
        stream.codec_context.time_base = tick

        def encode(image: np.ndarray, seconds: float) -> None:
            nonlocal last
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts = last = max(last + 1, round(seconds / tick))
            frame.time_base = tick
            container.mux(stream.encode(frame))

        yield encode
        container.mux(stream.encode())
    with path.open("ab") as file:
        file.write(_END)


@contextlib.contextmanager
def _animation(path: Path, rate: float) -> Iterator[Callable[[np.ndarray, float], None]]:
    frames: list[Image.Image] = []
    times: list[float] = []

    def encode(image: np.ndarray, seconds: float) -> None:
        most = min(MAX_ANIMATION, MAX_ANIMATION_PIXELS // (image.shape[0] * image.shape[1]))
        if len(frames) >= most:
            raise InputError(
                f"an animated picture of that size has at most {most} frames; write an .mp4, or less of the film"
            )
        frames.append(Image.fromarray(image))
        times.append(seconds)

    yield encode
    if frames:
        write_animation(path, frames, np.diff([*times, times[-1] + 1 / rate]))


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
        thread.join(timeout=0.5)  # longer where it waits for what never comes


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
