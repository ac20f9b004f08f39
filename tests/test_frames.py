"""Films come in frame by frame, each once and at its time, as far as they can be read; and go out whole."""

import itertools
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from face68 import frames
from face68.files import InputError
from face68.frames import FilmReader, film_writer, is_marked_film, newest, read_ahead
from face68.images import is_marked

SIZE = (64, 48)


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


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("rate", [30000 / 1001, 25, 24000 / 1001, 12.5])
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
    with Image.open(tmp_path / "a.webp") as image:
        grays, durations = [], []
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            grays.append(np.asarray(image.convert("RGB")).mean())
            durations.append(image.info["duration"])
    np.testing.assert_allclose(grays, [20 + 25 * (i % 9) for i in range(10)], atol=2)
    assert sum(durations) == pytest.approx(334, abs=1) and set(durations) == {33, 34}


def count_frames(path) -> int:
    if path.suffix == ".webp":
        with Image.open(path) as image:
            return image.n_frames
    return len(list(FilmReader(path)))


@pytest.mark.parametrize("suffix", [".mp4", ".webp"])
@pytest.mark.parametrize("problem", [KeyboardInterrupt, RuntimeError, InputError])
def test_whatever_goes_wrong_the_film_so_far_is_kept(tmp_path, suffix, problem):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(problem), film_writer(path, 25, SIZE) as write:
        for image in numbered(28)[::4]:  # so different that WebP joins none
            write(image)
        raise problem
    assert count_frames(path) == 7
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
    for i in newest(camera()):
        seen.append(i)
        time.sleep(0.05)
    assert seen == sorted(set(seen)) and len(seen) < 15 and seen[-1] == 19


def test_what_goes_wrong_at_a_camera_is_raised():
    def camera():
        yield 1
        raise InputError("camera 0: is gone")

    with pytest.raises(InputError, match="is gone"):
        list(newest(camera()))
