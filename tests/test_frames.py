"""Films come in frame by frame, each once and at its time, as far as they can be read; and go out whole."""

import itertools
import socketserver
import struct
import sys
import threading
import time
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from face68 import frames
from face68.files import InputError
from face68.frames import FilmReader, film_writer, is_marked_film, read_ahead
from face68.images import is_marked

SIZE = (64, 48)
INTERLACED = {"flags": "+ildct+ilme", "b": "4000000"}
MILLISECOND = Fraction(1, 1000)


def numbered(count: int) -> list[np.ndarray]:
    """Frames (48, 64, 3) uint8 of one gray each, which tells their number after encoding too."""
    return [np.full((48, 64, 3), 20 + 7 * (i % 30), np.uint8) for i in range(count)]


def number_of(image: np.ndarray) -> int:
    return round((float(image.mean()) - 20) / 7)


def write_film(path, count=30, rate=30000 / 1001):
    with film_writer(path, rate, SIZE) as write:
        for image in numbered(count):
            write(image)
    return path


@pytest.mark.parametrize(
    ("suffix", "rate"), [(".mp4", 30000 / 1001), (".mp4", 12.5), (".mov", 24000 / 1001), (".mov", 25)]
)
def test_every_frame_comes_back_once_and_in_time(tmp_path, suffix, rate):
    reader = FilmReader(write_film(tmp_path / f"a{suffix}", rate=rate))
    assert reader.rate == pytest.approx(rate, rel=1e-4) and reader.size == SIZE and reader.count == 30
    assert not reader.is_live
    film = list(reader)
    assert [frame.index for frame in film] == [number_of(frame.image) for frame in film] == list(range(30))
    np.testing.assert_allclose([frame.time for frame in film], np.arange(30) / rate, atol=2e-4)
    assert reader.problem is None


def test_colours_are_rgb(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    with film_writer(tmp_path / "red.mp4", 25, SIZE) as write:
        write(red)
    (frame,) = FilmReader(tmp_path / "red.mp4")
    np.testing.assert_allclose(frame.image.mean(axis=(0, 1)), (200, 0, 0), atol=6)


def test_a_part_and_every_nth_frame(tmp_path):
    path = write_film(tmp_path / "a.mp4", rate=25)
    reader = FilmReader(path, start=0.2, end=0.8, every=3)
    assert reader.rate == pytest.approx(25 / 3)
    found = [frame.index for frame in reader]
    assert found == [5, 8, 11, 14, 17] and reader.count == len(found)
    assert list(FilmReader(path, start=5)) == []


def encode(path, codec, milliseconds=range(0, 1200, 40), options=None, rate=25, aspect=Fraction(1)):
    """A film as other programs make it, of numbered frames at these times. Returns its path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate, options or {})
        stream.width, stream.height = SIZE
        stream.codec_context.sample_aspect_ratio = aspect
        stream.codec_context.time_base = Fraction(1, rate) if codec.startswith("mpeg") else MILLISECOND
        for image, moment in zip(numbered(len(milliseconds)), milliseconds, strict=True):
            frame = av.VideoFrame.from_ndarray(image).reformat(format="yuv420p")
            frame.pts, frame.time_base = moment, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def animation(path) -> tuple[list[float], list[int]]:
    """The mean gray and the duration, ms, of each frame of an animated picture."""
    grays, durations = [], []
    with Image.open(path) as image:
        for i in range(image.n_frames):
            image.seek(i)
            grays.append(np.asarray(image.convert("RGB")).mean())
            durations.append(image.info["duration"])
    return grays, durations


def check_film(reader: FilmReader, seconds) -> None:
    """That a film's frames are those of `encode`, each at its time."""
    film = list(reader)
    assert [frame.index for frame in film] == [number_of(frame.image) for frame in film] == list(range(len(seconds)))
    np.testing.assert_allclose([frame.time for frame in film], seconds, atol=2e-3)
    assert reader.problem is None


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("a.mpg", "mpeg2video"), ("a.ts", "mpeg2video"), ("a.avi", "mpeg4")),
        *(("a.ts", "libx264"), ("a.mkv", "libx264"), ("a.mp4", "libx264")),
    ],
)
def test_interlaced_films_are_read(tmp_path, name, codec):
    options = INTERLACED | ({"x264-params": "tff=1"} if codec == "libx264" else {})
    path = encode(tmp_path / name, codec, options=options)
    assert next(av.open(str(path)).decode(video=0)).interlaced_frame
    check_film(FilmReader(path), np.arange(30) / 25)


@pytest.mark.parametrize(
    ("suffix", "rate"),
    [
        *((".mkv", "slow"), (".mkv", "late"), (".flv", "gap"), (".flv", "late"), (".ts", "late"), (".ts", "varying")),
        *((".webm", "varying"), (".mp4", "slow"), (".mp4", "varying"), (".avi", "slow"), (".avi", "gap")),
    ],
)
def test_films_of_a_variable_rate_are_read_and_written_at_their_times(tmp_path, suffix, rate):
    numbers, is_avi = np.arange(30), suffix == ".avi"  # which counts time in frames, from the first one on
    milliseconds = {
        "slow": 10_000 * numbers,
        "gap": 40 * numbers + 5000 * (numbers >= 15),
        "late": 3000 * (not is_avi) + 40 * numbers,
        "varying": 40 * numbers + (not is_avi) * 13 * (numbers % 3),
    }[rate].tolist()
    codec = {".webm": "libvpx", ".avi": "mpeg4"}.get(suffix, "libx264")
    path, seconds = tmp_path / f"a{suffix}", (np.array(milliseconds) - milliseconds[0]) / 1000
    encode(path, codec, milliseconds, {"b": "1000000"})
    check_film(FilmReader(path), seconds)
    reader = FilmReader(path)
    with film_writer(tmp_path / "b.mp4", reader.rate, reader.size) as write:
        for frame in reader:
            write(frame.image, frame.time)
    check_film(FilmReader(tmp_path / "b.mp4"), seconds)
    assert av.open(str(tmp_path / "b.mp4")).duration / 1e6 == pytest.approx(seconds[-1], abs=11)


def test_a_film_that_says_no_rate_lasts_as_long(tmp_path):
    """As browsers write them: their clock of 1,000 ticks a second is all that is known."""
    path = encode(tmp_path / "a.webm", "libvpx", range(0, 1200, 40), rate=1000)
    assert av.open(str(path)).streams.video[0].average_rate == 1000
    reader = FilmReader(path)
    assert 10 < reader.rate < 60
    check_film(reader, np.arange(30) / 25)


def test_an_animated_picture_lasts_as_long(tmp_path):
    with film_writer(tmp_path / "a.webp", 25, SIZE) as write:
        for image, seconds in zip(numbered(28)[::4], (5, 5.1, 5.2, 6.2, 6.3, 6.4, 6.5), strict=True):
            write(image, seconds)
    _, durations = animation(tmp_path / "a.webp")
    np.testing.assert_allclose(durations, [100, 100, 1000, 100, 100, 100, 40], atol=1)


@pytest.mark.parametrize(("rotation", "size"), [(90, (48, 64)), (-90, (48, 64)), (180, SIZE)])
def test_films_are_read_upright(tmp_path, rotation, size):
    """As a phone is held: a stripe along the stored frame's left side lies where players show it."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", 25)
        stream.width, stream.height = SIZE
        stream.set_display_rotation(rotation)
        stored = np.zeros((48, 64, 3), np.uint8)
        stored[:, :16] = 255
        container.mux([*stream.encode(av.VideoFrame.from_ndarray(stored)), *stream.encode()])
    reader = FilmReader(tmp_path / "a.mp4")
    (frame,) = reader
    assert reader.size == size == frame.image.shape[1::-1]
    stripe = {90: np.s_[-12:], -90: np.s_[:12], 180: np.s_[:, -12:]}[rotation]
    assert frame.image[stripe].mean() > 240 and frame.image.mean() < 90


def test_films_are_read_with_square_pixels(tmp_path):
    """A wide DVD's pixels are 64:45; a face in them would be too narrow."""
    reader = FilmReader(encode(tmp_path / "a.mkv", "libx264", aspect=Fraction(64, 45)))
    assert reader.size == (91, 48) and next(iter(reader)).image.shape == (48, 91, 3)


def test_a_film_can_be_read_again(tmp_path):
    reader = FilmReader(write_film(tmp_path / "a.mp4"), end=0.5)
    one, other = list(reader), list(reader)
    assert len(one) == len(other) == 15 and reader.problem is None
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))


def test_what_an_edit_left_out_is_not_missing(tmp_path):
    """A film that was trimmed keeps all its frames, and a list of what is to be shown: here 0.4 s from the 0.8th on."""
    path = encode(tmp_path / "a.mp4", "libx264", options={"g": "5", "bf": "0"})
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    ticks = av.open(str(path)).streams.video[0].time_base.denominator
    struct.pack_into(">2I", data, at, 400, ticks * 8 // 10)
    path.write_bytes(data)
    reader = FilmReader(path)
    assert [number_of(frame.image) for frame in reader] == list(range(20, 30)) and reader.problem is None


def test_without_pyav_a_film_is_one_line(monkeypatch, tmp_path):
    path = write_film(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="films need PyAV, which is missing; pip install av"):
        FilmReader(path)


@pytest.fixture
def stalling(tmp_path, monkeypatch):
    """An address that sends a part of a film, and then nothing."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(frames, "PATIENCE", 0.5)
    data, done = encode(tmp_path / "a.ts", "libx264", options={"g": "5"}).read_bytes(), threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1 << 16)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + data[: server.sent])
            done.wait(10)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    done.set()
    server.shutdown()
    server.server_close()


def test_an_address_that_stalls_is_given_up(stalling):
    address, stalling.sent = f"http://127.0.0.1:{stalling.server_address[1]}/a.ts", 0
    with pytest.raises(InputError, match="gives no film; see that the address answers"):
        FilmReader(address)
    stalling.sent = 10**6
    reader = FilmReader(address)
    assert len(list(reader)) == 30
    assert "breaks off after 30 frames (nothing came for 0.5 s); see that all of it is there" in reader.problem


@pytest.fixture
def restless(tmp_path):
    """A film of 60 frames that are hard to encode, and where in the file its frames lie."""
    path, rng = tmp_path / "restless.mp4", np.random.default_rng(0)
    with film_writer(path, 25, (320, 240)) as write:
        for _ in range(60):
            write(cv2.resize(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8), (320, 240)))
    data = path.read_bytes()
    return path, data.index(b"mdat") + 4, data.index(b"moov") - 4


def test_a_film_is_read_as_far_as_it_goes(restless):
    path, begin, end = restless
    data, middle = path.read_bytes(), (begin + end) // 2
    path.write_bytes(data[:middle] + bytes(end - middle) + data[end:])
    reader = FilmReader(path)
    found = list(reader)
    assert [frame.index for frame in found] == list(range(len(found))) and 20 <= len(found) <= 40
    assert reader.problem == f"{path}: {60 - len(found)} of 60 frames can't be read, the film is damaged"


def test_what_comes_behind_damage_is_read_and_knows_its_time(restless):
    path, begin, end = restless
    data = path.read_bytes()
    hole = slice(begin + (end - begin) // 3, begin + (end - begin) // 2)
    path.write_bytes(data[: hole.start] + bytes(hole.stop - hole.start) + data[hole.stop :])
    reader = FilmReader(path)
    film = list(reader)
    assert film[-1].index == 59 and 30 <= len(film) < 58 and "can't be read" in reader.problem
    for frame in film:
        assert frame.time == pytest.approx(frame.index / 25)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.mp4", None, "no such film; check the path"),
        ("empty.mp4", b"", "can't be read as a film"),
        ("text.mp4", b"no film", "can't be read as a film"),
        ("folder", "folder", "is a folder; give a film"),
    ],
)
def test_what_is_no_film_is_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        FilmReader(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["97", "999999999999", str(2**31), str(2**64)])
def test_a_camera_that_is_not_there_is_one_line(number):
    with pytest.raises(InputError, match=f"camera {number}: can't be opened"):
        FilmReader(number)


def test_a_camera_that_vanishes_ends(monkeypatch):
    """A camera has no time stamps, may not say how fast it is, and gives frames until it is pulled out."""

    class Camera:
        left = 3

        def read(self):
            self.left -= 1
            return self.left >= 0, np.zeros((48, 64, 3), np.uint8)

        def get(self, what):
            return {cv2.CAP_PROP_FRAME_WIDTH: 64.0, cv2.CAP_PROP_FRAME_HEIGHT: 48.0}.get(what, 0.0)

        def open(self, number):
            return number == 0

        def release(self):
            pass

    monkeypatch.setattr(frames.cv2, "VideoCapture", lambda *_: Camera())
    reader = FilmReader("0")
    assert reader.is_live and reader.count is None and reader.rate == 30
    found = list(reader)
    assert [frame.index for frame in found] == [0, 1, 2] and reader.problem is None
    assert all(a.time <= b.time < 60 for a, b in itertools.pairwise(found))


# --- Written --------------------------------------------------------------------------------------------------


def test_a_film_says_whose_it_is(tmp_path):
    path = write_film(tmp_path / "a.mp4")
    assert is_marked_film(path) and not is_marked(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_marked_film(path) and not is_marked_film(tmp_path / "none.mp4")
    assert is_marked(write_film(tmp_path / "a.webp", 3))


def test_an_animated_picture_has_its_frames_and_rate(tmp_path):
    with film_writer(tmp_path / "a.webp", 1000 / 33.4, SIZE) as write:
        for i in range(10):
            write(np.full((48, 64, 3), 20 + 25 * (i % 9), np.uint8))
    grays, durations = animation(tmp_path / "a.webp")
    np.testing.assert_allclose(grays, [20 + 25 * (i % 9) for i in range(10)], atol=2)
    assert sum(durations) == pytest.approx(334, abs=1) and set(durations) == {33, 34}


@pytest.mark.parametrize("suffix", [".mp4", ".webp"])
@pytest.mark.parametrize("problem", [KeyboardInterrupt, InputError])
def test_whatever_goes_wrong_the_film_so_far_is_kept(tmp_path, suffix, problem):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(problem), film_writer(path, 25, SIZE) as write:
        for image in numbered(28)[::4]:  # so different that WebP joins none
            write(image)
        raise problem
    assert (Image.open(path).n_frames if suffix == ".webp" else len(list(FilmReader(path)))) == 7
    before = path.read_bytes()
    with pytest.raises(problem), film_writer(path, 25, SIZE):
        raise problem
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_films_that_cannot_be_written_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="can't tell the format"), film_writer(tmp_path / "a.gif", 25, SIZE):
        pass
    with pytest.raises(InputError, match=r"a\.mp4: no frame came"), film_writer(tmp_path / "a.mp4", 25, SIZE):
        pass
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(frames, "MAX_ANIMATION", 2)
    with pytest.raises(InputError, match="at most 2 frames"):
        write_film(tmp_path / "a.webp", 3)
    assert is_marked(tmp_path / "a.webp")  # those two


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
def test_where_there_is_no_room_what_was_there_stays(tmp_path):
    """A limit of 20 kB stands for a disk that is full, before the film's end or in its last bytes."""
    import resource

    rng, limits = np.random.default_rng(0), resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "a.mp4").write_bytes(b"before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a\.mp4: can't be written \(File too large\)"):  # noqa: SIM117
            with film_writer(tmp_path / "a.mp4", 25, SIZE) as write:
                for _ in range(30):
                    write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "a.mp4").read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1


# --- In time --------------------------------------------------------------------------------------------------


def test_items_are_taken_ahead_and_no_further():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    for i in read_ahead(items(), 4):
        assert len(taken) <= i + 7  # those that wait, one in the hand of the thread, and this one
    assert taken == list(range(100))


def test_an_error_ahead_is_raised_in_its_place():
    def items():
        yield from range(3)
        raise InputError("three")

    results = read_ahead(items())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="three"):
        next(results)


def test_who_stops_asking_stops_the_thread():
    closed = threading.Event()

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.set()

    taken = read_ahead(items(), 2)
    assert next(taken) == 0
    taken.close()
    del taken
    assert closed.wait(5)


def test_of_a_camera_the_newest_frame_counts():
    def camera():
        for i in range(20):
            yield i
            time.sleep(0.01)

    seen = []
    for i in read_ahead(camera(), 1, drops=True):
        seen.append(i)
        time.sleep(0.05)
    assert seen == sorted(set(seen)) and len(seen) < 15 and seen[-1] == 19
