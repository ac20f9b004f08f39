"""video.py as a user runs it: films in, films and points out, and whatever is wrong in a line."""

import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPOSITORY, one_line_error

import video
from cli.outputs import only_writer
from datasets.synthetic.films import truth
from face68 import FilmReader, InputError, Tracker
from face68.formats import read_faces_csv, read_jsonl
from face68.frames import film_writer, is_marked_film
from face68.landmarks import inter_ocular
from face68.network import shipped_network

FILM = REPOSITORY / "data" / "film.mp4"


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The first 1.5 seconds of the drawn film, 45 frames."""
    path = tmp_path_factory.mktemp("film") / "short.mp4"
    with film_writer(path, 30000 / 1001, (640, 360)) as write:
        for frame in FilmReader(FILM, end=1.5):
            write(frame.image)
    return path


@pytest.fixture
def follow(in_process):
    """video.py in this process."""
    return lambda *arguments: in_process(video.main, *arguments)


def test_a_film_becomes_a_film_with_points(command, tmp_path, short):
    result = command("video.py", "--video", short)
    assert result.returncode == 0, result.stderr
    assert f"network: base, {shipped_network('base')}" in result.stdout
    assert result.stderr == "" and "45 frames" in result.stdout and "1 face ->" in result.stdout
    before, after = FilmReader(short), FilmReader(tmp_path / "outputs" / "short_keypoints.mp4")
    assert after.rate == before.rate == pytest.approx(30000 / 1001, rel=1e-6) and after.size == before.size
    marked = [
        (np.abs(one.image.astype(int) - other.image).max(axis=2) > 60).mean()
        for one, other in zip(before, after, strict=True)
    ]
    assert len(marked) == 45 and min(marked) > 0.001  # each frame has its points, as lines on faces this small
    assert is_marked_film(tmp_path / "outputs" / "short_keypoints.mp4")


def test_points_of_each_frame_with_their_times(follow, tmp_path, short):
    arguments = ("--jsonl", "a.jsonl", "--csv", "a.csv", "--measures", "--smooth", "off")
    result = follow("--video", short, *arguments)
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "outputs").exists()  # no film was asked for
    frames = read_jsonl(tmp_path / "a.jsonl")
    assert [frame.frame for frame in frames] == list(range(45))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(45) * 1001 / 30000, atol=1e-4)
    expected = itertools.islice(truth("demo"), 45)
    for frame, (_, actors) in zip(frames, expected, strict=True):
        (face,) = frame.faces
        error = np.linalg.norm(face.keypoints - actors[0].keypoints, axis=1).mean()
        assert face.identity == 1 and error < 0.08 * inter_ocular(actors[0].keypoints)
        assert set(face.measures) == {"yaw", "pitch", "roll", "right_eye", "left_eye", "mouth", "blinks"}
        assert abs(face.measures["roll"] - actors[0].pose[2]) < 8
    rows = read_faces_csv(tmp_path / "a.csv")
    assert [(row.frame, row.time) for row in rows] == [(frame.frame, frame.time) for frame in frames]
    for row, frame in zip(rows, frames, strict=True):
        assert row.faces[0].to_dict() == frame.faces[0].to_dict()
    header = (tmp_path / "a.csv").read_text().partition("\n")[0]
    assert header.endswith(",frame,time,identity,yaw,pitch,roll,right_eye,left_eye,mouth,blinks")


def test_a_part_offline_and_every_second_frame(follow, tmp_path, short):
    options = ("--start", "0.5", "--end", "1", "--every", "2", "--smooth", "offline", "--jsonl", "a.jsonl")
    result = follow("--video", short, *options, "--output", "a.mov")
    assert result.returncode == 0, result.stderr
    frames = [frame.frame for frame in read_jsonl(tmp_path / "a.jsonl")]
    assert frames == list(range(15, 30, 2))
    film = FilmReader(tmp_path / "a.mov")
    assert film.rate == pytest.approx(15000 / 1001, rel=1e-4) and len(list(film)) == 8


def test_an_animated_picture_and_overlays(follow, tmp_path, short):
    result = follow("--video", short, "--end", "0.2", "--output", "a.webp", "--overlay", "sunglasses")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "a.webp").read_bytes()[8:12] == b"WEBP"


def test_a_film_without_faces(follow, tmp_path):
    with film_writer(tmp_path / "gray.mp4", 25, (64, 48)) as write:
        for _ in range(5):
            write(np.full((48, 64, 3), 128, np.uint8))
    result = follow("--video", "gray.mp4", "--jsonl", "a.jsonl", "--csv", "a.csv")
    assert result.returncode == 0 and "no face" in result.stdout
    assert [frame.faces for frame in read_jsonl(tmp_path / "a.jsonl")] == [[]] * 5
    assert read_faces_csv(tmp_path / "a.csv") == []


def test_a_broken_film_is_used_as_far_as_it_goes(follow, tmp_path, short):
    data = bytearray(short.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[(begin + end) // 2 : end] = bytes(end - (begin + end) // 2)
    (tmp_path / "broken.mp4").write_bytes(data)
    result = follow("--video", "broken.mp4", "--output", "a.mp4", "--jsonl", "a.jsonl")
    assert "frames can't be read, the film is damaged" in one_line_error(result)
    frames = read_jsonl(tmp_path / "a.jsonl")
    assert 5 < len(frames) < 45 and len(list(FilmReader(tmp_path / "a.mp4"))) == len(frames)


def start(folder, *arguments) -> subprocess.Popen:
    line = [sys.executable, REPOSITORY / "video.py", *arguments]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a process alone")
def test_ctrl_c_leaves_files_that_agree(tmp_path):
    process = start(tmp_path, "--video", FILM, "--output", "a.mp4", "--jsonl", "a.jsonl")
    deadline = time.monotonic() + 60
    lines = tmp_path / "a.jsonl"
    while not (lines.exists() and lines.read_text().count("\n") >= 10):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.strip() == "stopped by Ctrl-C", errors
    frames = read_jsonl(lines)
    assert 10 <= len(frames) < 240 and f"{len(frames)} frames" in output
    assert [frame.index for frame in FilmReader(tmp_path / "a.mp4")] == [frame.frame for frame in frames]
    assert not list(tmp_path.glob(".partial*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_film_from_a_pipe_that_stops_can_be_ended(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    process = start(tmp_path, "--video", "pipe", "--output", "a.mp4")
    with (tmp_path / "pipe").open("wb", buffering=0) as pipe:  # once the other end is open, too
        pipe.write(FILM.read_bytes()[:1000])
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and errors.startswith("stopped by "), errors
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_frame_that_fails_leaves_the_film_so_far(follow, monkeypatch, short, tmp_path):
    class Failing(Tracker):
        def __call__(self, image, time=None):
            if self.frames == 20:
                raise InputError("net.onnx: gives no probabilities")
            return super().__call__(image, time)

    monkeypatch.setattr(video, "Tracker", Failing)
    result = follow("--video", short, "--output", "a.mp4", "--jsonl", "a.jsonl")
    assert one_line_error(result) == "error: frame 20: net.onnx: gives no probabilities"
    frames = read_jsonl(tmp_path / "a.jsonl")
    assert 10 <= len(frames) <= 20 and f"{len(frames)} frames" in result.stdout
    assert len(list(FilmReader(tmp_path / "a.mp4"))) == len(frames)


def test_one_run_at_a_time_writes_a_file(follow, tmp_path, short):
    for option in ("--jsonl", "--csv"):
        with only_writer(tmp_path, "a.x"):
            words = one_line_error(follow("--video", short, option, "a.x"))
        assert "a.x: another process writes into it" in words and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--video", "none.mp4"), "none.mp4: no such film"),
        (("--video", "text.mp4"), "can't be read as a film"),
        (("--video", "97"), "camera 97: can't be opened"),
        (("--video", "999999999999"), "camera 999999999999: can't be opened"),
        (("--output", "a.gif"), "can't tell the format"),
        (("--output", "text.mp4"), "is there and not this program's"),
        (("--jsonl", "a", "--csv", "a"), "is named for two results"),
        (("--start", "3", "--end", "2"), "--end comes after --start"),
        (("--start", "99", "--output", "a.mp4"), "has no frame there"),
        (("--overlay", "moustache", "--confidence"), "--overlay draws no points"),
        (("--every", "0"), "not a whole number from 1"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(follow, tmp_path, arguments, words):
    (tmp_path / "text.mp4").write_text("no film")
    result = follow(*arguments)
    assert words in one_line_error(result)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.mp4"]
    assert (tmp_path / "text.mp4").read_text() == "no film"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a screen without $DISPLAY")
def test_without_a_screen_a_window_is_one_line(follow, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "no window can be opened here" in one_line_error(follow("--show"))


def test_a_window_shows_the_film_until_a_key_ends_it(follow, monkeypatch, short, tmp_path):
    """OpenCV's windows, but for the screen: pictures with points, until q is pressed at the tenth."""
    shown = []
    monkeypatch.setattr(video.cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(video.cv2, "imshow", lambda _, picture: shown.append(picture))
    monkeypatch.setattr(video.cv2, "waitKey", lambda _: ord("q") if len(shown) == 10 else -1)
    monkeypatch.setattr(video.cv2, "getWindowProperty", lambda *_: 1.0)
    monkeypatch.setattr(video.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    result = follow("--video", short, "--show")
    assert len(shown) == 10 and shown[0].shape == (360, 640, 3) and list(tmp_path.iterdir()) == []
    assert "10 frames, 1 face" in result.stdout


def test_the_film_that_is_read_is_never_replaced(follow, tmp_path, short):
    (tmp_path / "a.mp4").write_bytes(short.read_bytes())
    assert "is read by this run" in one_line_error(follow("--video", "a.mp4", "--output", "a.mp4", "--overwrite"))
    assert (tmp_path / "a.mp4").read_bytes() == short.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows doesn't tell")
def test_memory_does_not_grow_with_the_film(tmp_path):
    """A film of four times the length takes as much: 180 more frames of 640×360 would be 124 MB."""
    peaks = {}
    for count in (60, 240):
        path = tmp_path / f"{count}.mp4"
        with film_writer(path, 25, (640, 360)) as write:
            for i in range(count):
                write(np.full((360, 640, 3), i % 200, np.uint8))
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        line = [sys.executable, "-c", code, sys.executable, str(REPOSITORY / "video.py"), "--video", str(path)]
        out = subprocess.run(
            [*line, "--output", str(tmp_path / "o.mp4"), "--overwrite"], capture_output=True, text=True
        )
        peaks[count] = int(out.stdout) / (1024 if sys.platform == "linux" else 1024**2)
    assert peaks[240] < peaks[60] + 60, peaks
