"""Films and cameras in and out, frame by frame, always (H, W, 3) uint8 RGB in memory.

FFmpeg decodes and encodes, through PyAV, which photos do without; OpenCV reads cameras. A written film takes over the
sound of the one that was read, as it is stored.
"""

import contextlib
import itertools
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image

from face68.files import MARK, InputError, atomic_path
from face68.images import write_animation

Item = TypeVar("Item")

CODEC = "mpeg4"  # MPEG-4 part 2, of any size, at 1 ms a frame of 640×360; players play it
QUANTISER = 3  # 1 … 31: a finer one makes the file larger
FINEST = 65535  # ticks a second that the clock of such a film may have
ANIMATION = ".webp"
_SOUNDS = {"aac", "ac3", "alac", "eac3", "mp2", "mp3", "pcm_s16le"}  # FFmpeg's names
SOUNDS = {".mp4": _SOUNDS | {"flac", "opus"}, ".mov": _SOUNDS, ANIMATION: set()}  # that each kind of film can hold
FILM_SUFFIXES = tuple(SOUNDS)
_END = (8 + len(MARK)).to_bytes(4, "big") + b"free" + MARK.encode()  # an atom that names us, which players skip
MAX_ANIMATION = 600  # frames, which are all held until the end …
MAX_ANIMATION_PIXELS = 250_000_000  # … and how many pixels they may have together
MAX_FRAME = 40_000_000  # pixels of a frame; the largest format in use, 8192×4320, has 35 million
AHEAD_PIXELS = 64_000_000  # of the frames that are read ahead
PATIENCE = 10  # seconds that an address may send nothing
_MISSING = 2  # frames that a container may count and not have
_DAY = 86_400.0  # seconds: a longer film is taken for one of unknown length, and no time stamp goes further at once
_USUAL_RATE = 30  # frames a second, of a film or camera that has no rate
_STREAMS = ("rtsp:", "rtmp:", "rtp:", "udp:")


class Frame(NamedTuple):
    """index: 0 is the film's first; time: seconds since then, by the film's own time stamps; image: RGB."""

    index: int
    time: float
    image: np.ndarray


class Sound(NamedTuple):
    """The sound of a film. codec: FFmpeg's name; origin: seconds of the film's first frame, by the file's clock."""

    source: str
    codec: str
    origin: float

    def fits(self, path: str | Path) -> bool:
        """Whether a film of that suffix can hold it."""
        return self.codec in SOUNDS[Path(path).suffix.lower()]


class FilmReader:
    """The frames of a film or camera, each once and in order, upright and with square pixels, as players show them.

    A thread reads them, a few ahead. Damaged ones are left out. Each iteration begins anew.

    source: a file, the number of a camera ("0"), or an address that FFmpeg reads (http://…, rtsp://…).
    start, end: seconds; only frames from `start` on and before `end`. Those before are decoded too, since only so is
        each frame the right one.
    every: 1, 2, 3, …; every n-th frame of these.

    `size`: width and height, px.
    `rate`: about how many of these frames a second has; exact where all last equally long.
    `count`: about how many will come; None where that is unknown, as of a camera.
    `ahead`: how many frames are read ahead, few large ones.
    `is_live`: whether frames come in their own time and can be missed.
    `sound`: of a file that has some, else None.
    `problem`: after the last frame, a line about those that could not be read, else None.

    Raises:
        InputError: there is no such film or camera, or nothing in it can be read; or PyAV is missing.
    """

    def __init__(self, source: str | Path, start: float = 0.0, end: float | None = None, every: int = 1):
        self.source, self.start, self.end, self.every = str(source), start, end, every
        self.is_live = self.source.isdecimal() or self.source.lower().startswith(_STREAMS)
        self._opened = next(read_ahead(map(_open, [self.source])))  # in a thread: a call of FFmpeg can't be interrupted
        self._rate, self._frames_of_file = self._opened.rate, self._opened.count
        self.rate, self.size, self.sound = self._rate / every, self._opened.size, self._opened.sound
        self.ahead = min(8, max(1, AHEAD_PIXELS // math.prod(self.size)))
        self.problem: str | None = None

    @property
    def count(self) -> int | None:
        if not 0 < self._frames_of_file < _DAY * self._rate or self.is_live:
            return None
        last = self._frames_of_file if self.end is None else min(self._frames_of_file, round(self.end * self._rate))
        return max(0, -(-(last - round(self.start * self._rate)) // self.every))

    def __iter__(self) -> Iterator[Frame]:
        return read_ahead(self._frames(), self.ahead)

    def _frames(self) -> Iterator[Frame]:
        film, self._opened = self._opened or _open(self.source), None
        self.problem, wanted = None, 0
        with contextlib.closing(film):
            for index, seconds, frame in film:
                if self.end is not None and seconds >= self.end:
                    return
                if seconds < self.start:
                    continue
                if wanted % self.every == 0:
                    yield Frame(index, seconds, film.image(frame))
                wanted += 1
            self.problem = film.problem()


def _open(source: str) -> "_Film | _Camera":
    return _Camera(source) if source.isdecimal() else _Film(source)


class _Film:
    """A film by FFmpeg: an iteration gives index, seconds and frame, of which `image` makes RGB.

    `rate`: 30 where the film has none. `count`: of all frames, 0 where that is unknown.
    """

    def __init__(self, source: str):
        self._source, self._av = source, _pyav()
        self._container, self._stream = _demuxer(source)
        _check_size(source, self._stream.width, self._stream.height)
        self._stream.thread_type = "AUTO"
        self._packets = self._read = 0  # packets from the first key frame on; and the frames that they gave
        self._is_damaged = False
        self._break: Exception | None = None  # the error that ended the film too early
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            self.close()
            raise _unreadable(source)
        self._all = itertools.chain([first], frames)
        # An AVI has the order of its frames, and not when each is shown.
        self._stamp = "dts" if self._container.format.name == "avi" else "pts"
        self._turns, self._origin = round(first.rotation / 90), getattr(first, self._stamp) or 0
        aspect = self._stream.sample_aspect_ratio or 1  # of a pixel; a DVD's aren't square
        self._width, self._height = round(first.width * (aspect if 1 / 4 < aspect < 4 else 1)), first.height
        self.size = (self._width, self._height)[:: -1 if self._turns % 2 else 1]
        rates = (self._stream.average_rate, self._stream.guessed_rate)
        self.rate = next((float(rate) for rate in rates if rate and 0.01 <= rate < 1000), _USUAL_RATE)
        self.count = self._stream.frames or round((self._container.duration or 0) / 1e6 * self.rate)
        sound = None if "://" in source else self._container.streams.best("audio")
        origin = float(self._origin * self._stream.time_base)
        self.sound = Sound(source, sound.codec.canonical_name, origin) if sound else None

    def __iter__(self) -> Iterator[tuple]:
        index, seconds = -1, -1 / self.rate
        for frame in self._all:
            self._read += 1
            stamp = getattr(frame, self._stamp)
            stamped = None if stamp is None else float((stamp - self._origin) * self._stream.time_base)
            seconds = later(stamped, seconds, 1 / self.rate)
            # Behind damage its time tells how many frames before it are missing.
            index = max(index + 1, round(seconds * self.rate) if self._is_damaged else 0)
            yield index, seconds, frame

    def _decoded(self) -> Iterator:
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    yield from self._frames_of(packet)
        except self._av.FFmpegError as error:
            self._break = error
        yield from self._frames_of(None)  # those that the decoder still holds

    def _frames_of(self, packet) -> Iterator:
        # A broadcast may begin amid frames that can't be decoded.
        self._packets += packet is not None and (self._packets > 0 or packet.is_keyframe)
        try:
            yield from self._stream.decode(packet)
        except self._av.FFmpegError:
            self._is_damaged = self._packets > 0

    def image(self, frame) -> np.ndarray:
        image = frame.to_ndarray(width=self._width, height=self._height, format="rgb24")
        return np.ascontiguousarray(np.rot90(image, self._turns))

    def problem(self) -> str | None:
        if self._break is not None:
            silent = isinstance(self._break, self._av.error.ExitError)
            reason = f"nothing came for {PATIENCE} s" if silent else self._break.strerror
            return f"{self._source}: breaks off after {self._read} frames ({reason}); see that all of it is there"
        # Heads also count frames that an edit left out (MP4) or that only make others last longer (AVI); indices don't.
        entries = len(self._stream.index_entries)
        missing = (entries if entries > 1 else self._stream.frames) - self._packets
        lost = (missing if missing > _MISSING else 0) + (self._packets - self._read if self._is_damaged else 0)
        if lost > 0:
            return f"{self._source}: {lost} of {lost + self._read} frames can't be read, the film is damaged"
        return None

    def close(self) -> None:
        self._container.close()


class _Camera:
    """A camera, as `_Film`: it has no time stamps, may have no rate, and gives frames until it is pulled out."""

    count, sound = 0, None

    def __init__(self, source: str):
        self._capture = cv2.VideoCapture()
        if len(source) >= 10 or not self._capture.open(int(source)):  # OpenCV has no room for larger numbers
            raise InputError(
                f"camera {source}: can't be opened; see that it is plugged in and that no other program has it"
            )
        properties = (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        rate, width, height = map(self._capture.get, properties)
        _check_size(f"camera {source}", width, height)
        self.rate, self.size = rate if 0.01 <= rate <= 1000 else _USUAL_RATE, (int(width), int(height))

    def __iter__(self) -> Iterator[tuple]:
        began = time.monotonic()
        for index in itertools.count():
            there, bgr = self._capture.read()
            if not there:
                return
            yield index, time.monotonic() - began, bgr

    def image(self, bgr: np.ndarray) -> np.ndarray:
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def problem(self) -> None:
        return None

    def close(self) -> None:
        self._capture.release()


def later(stamp: float | None, last: float, step: float) -> float:
    """The time of a frame behind one at `last`, s: its stamp, or a step on where that is missing, back or absurd."""
    return stamp if stamp is not None and last < stamp < last + _DAY else last + step


def _pyav():
    """PyAV, imported where a film is opened: that takes a moment, and photos do without it.

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
    if not is_address and Path(source).is_dir():
        raise InputError(f"{source}: is a folder; give a film")
    if not is_address and not Path(source).exists():
        raise InputError(f"{source}: no such film; check the path")
    options = {"rtsp_flags": "prefer_tcp"}
    name = source if is_address else f"file:{source}"  # a file's name may begin like an address, "data:…"
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
def film_writer(
    path: str | Path, rate: float, size: tuple[int, int], sound: Sound | None = None
) -> Iterator[Callable[..., None]]:
    """A block in which a film is written. It yields `write(image, time=None)`, which takes the next frame.

    image: (H, W, 3) uint8 RGB.
    time: seconds, from any zero, growing: a frame lasts until the next one's time; the last one, and all that come
        without a time, last as long as the rate says.

    The film is there at the end of the block, whole, or with the frames so far after Ctrl-C or any error. Without any
    frame, or without room for them, an earlier file of that name stays.

    path: .mp4 or .mov (MPEG-4), or .webp (an animated picture of at most MAX_ANIMATION frames).
    rate: frames a second; 30000/1001 stays exactly that, and 29.97 that.
    size: width and height, px.
    sound: of `FilmReader.sound`, whose times the frames have. What sounds from the first frame to the end of the last
        one is copied, if a film of that suffix can hold it.

    Raises:
        InputError: another suffix; a path that can't be written to; or no frame came.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FILM_SUFFIXES:
        known = ", ".join(FILM_SUFFIXES)
        raise InputError(f"{path}: can't tell the format from the suffix {suffix!r}; use one of {known}")
    written, problem = 0, None
    sound = sound if sound and sound.fits(path) else None
    with atomic_path(path) as temporary:
        encoder = _animation(temporary, rate) if suffix == ANIMATION else _film(temporary, rate, size, sound)
        with encoder as encode:

            def write(image: np.ndarray, time: float | None = None) -> None:
                nonlocal written
                encode(image, written / rate if time is None else time)
                written += 1

            try:
                yield write
            except BaseException as error:  # the frames so far are kept
                problem = error
        if not written:
            raise problem or InputError(f"{path}: no frame came, so there is no film")
    if problem:
        raise problem


@contextlib.contextmanager
def _film(
    path: Path, rate: float, size: tuple[int, int], sound: Sound | None
) -> Iterator[Callable[[np.ndarray, float], None]]:
    av = _pyav()
    exact = Fraction(rate).limit_denominator(max(1, min(1001, int(FINEST / rate) - 1))) or Fraction(1, 1001)
    tick = Fraction(1, FINEST // exact.numerator * exact.numerator)  # the clock's: frames at the rate fall on it
    first, last = 0.0, -1
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(av.open(f"file:{path}", "w"))
        options = {"flags": "+qscale", "global_quality": str(QUANTISER * 118)}  # in FFmpeg's units
        stream = container.add_stream(CODEC, exact, options)
        stream.width, stream.height = size
        stream.codec_context.time_base = tick
        copy_sound = stack.enter_context(_sound_copied(sound, container)) if sound else lambda *times: None

        def encode(image: np.ndarray, seconds: float) -> None:
            nonlocal first, last
            first = seconds if last < 0 else first
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts = last = max(last + 1, round((seconds - first) / tick))
            frame.time_base = tick
            container.mux(stream.encode(frame))
            copy_sound(first, first + float(last * tick))

        yield encode
        container.mux(stream.encode())
        copy_sound(first, first + float(last * tick) + 1 / rate)
    with path.open("ab") as file:
        file.write(_END)


@contextlib.contextmanager
def _sound_copied(sound: Sound, container) -> Iterator[Callable[[float, float], None]]:
    """A block in which a film's sound goes into another film's container, beside the frames.

    It yields `copy(first, until)`: what sounds from `first` on, which becomes 0 s, and before `until`, less what was
    copied already; both in seconds of the film that has the sound. Damaged sound is copied as far as it goes.
    """
    with _pyav().open(f"file:{sound.source}") as film:
        stream = film.streams.best("audio")
        written = container.add_stream_from_template(stream)
        packets = _packets(film, stream, sound.origin)
        waiting = next(packets, None)

        def copy(first: float, until: float) -> None:
            nonlocal waiting
            while waiting and waiting[0] < until:
                begins, ends, packet = waiting
                if ends > first:
                    packet.pts = packet.dts = round((begins - first) / packet.time_base)
                    packet.stream = written
                    container.mux(packet)
                waiting = next(packets, None)

        yield copy


def _packets(film, stream, origin: float) -> Iterator[tuple]:
    """When each packet begins and ends, seconds of the film, and the packet; up to damage."""
    with contextlib.suppress(_pyav().FFmpegError):
        for packet in film.demux(stream):
            if packet.pts is not None:
                begins = float(packet.pts * packet.time_base) - origin
                yield begins, begins + float((packet.duration or 0) * packet.time_base), packet


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


def read_ahead(items: Iterable[Item], count: int = 8, drops: bool = False) -> Iterator[Item]:
    """The same items, taken in a thread up to `count` before they are asked for. Errors of theirs are raised here.

    drops: a new item takes the place of the oldest that waits, as of a camera, whose frames come in their own time.
    """
    ready: queue.Queue = queue.Queue(count)
    stop = threading.Event()

    def put(item: Item | None, error: BaseException | None = None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                return ready.put((item, error), timeout=0.1)

    def take() -> None:
        try:
            for item in items:
                if drops and ready.full():
                    with contextlib.suppress(queue.Empty):
                        ready.get_nowait()
                put(item)
                if stop.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:
            put(None, error)

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
        thread.join(timeout=0.5)  # longer where it waits for an item that never comes
