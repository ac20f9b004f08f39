"""Drawn films: their truth is that of what is drawn, their motion what it says, and their files what they should be."""

import json
import sys
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY

import prepare
from datasets.synthetic import Frame, face_labels, films, scripts
from datasets.synthetic.pose import posed_landmarks, rotation
from face68.files import InputError
from face68.frames import film_writer, is_marked_film

NTSC = 30000 / 1001


def at_times(monkeypatch, name: str, times: list[float]) -> str:
    """The name of a film that has just the frames of another one at these times."""
    film = films.FILMS[name](0)

    class Part(scripts.Film):
        times = property(lambda self: list(times))

    part = Part(film.rate, film.seconds, film.video, film.actors, film.board)
    monkeypatch.setitem(films.FILMS, "part", lambda seed: part)
    return "part"


def in_small(monkeypatch, name: str, frames: int) -> str:
    """The name of a film that is the beginning of another one, a quarter as large."""

    def small(seed: int) -> scripts.Film:
        film = FULL[name](seed)
        return replace(film, seconds=frames / film.rate, video=replace(film.video, size=(160, 90)))

    monkeypatch.setitem(films.FILMS, name, small)
    return name


FULL = dict(films.FILMS)


def same(one: films.Seen, other: films.Seen) -> bool:
    return np.array_equal(one.keypoints, other.keypoints) and one.to_dict() == other.to_dict()


@pytest.mark.parametrize("name", FULL)
def test_the_truth_is_that_of_the_frames(monkeypatch, name):
    in_small(monkeypatch, name, 2)
    drawn, known = list(films.frames(name)), list(films.truth(name))
    assert len(drawn) == len(known) == 2 and [frame.time for frame in drawn] == [frame.time for frame in known]
    for frame, (_, actors) in zip(drawn, known, strict=True):
        assert frame.image.shape == (90, 160, 3) and frame.image.dtype == np.uint8
        assert len(actors) == {"crossing": 2, "four": 4}.get(name, 1)
        assert all(map(same, frame.actors, actors))


def test_a_calm_frontal_face_has_the_labels_of_a_picture(monkeypatch):
    film = films.FILMS["still"](0)
    (actor,) = film.actors
    calm = replace(actor.script(0.0), yaw=0.0, pitch=0.0, roll=0.0, smile=0.0)
    film = replace(film, actors=[replace(actor, script=lambda time: calm)])
    monkeypatch.setitem(films.FILMS, "calm", lambda seed: film)
    (seen,) = next(films.truth("calm")).actors
    labels = face_labels(actor.person, film.video, calm)[2]
    assert np.abs(seen.keypoints - labels).max() < 1e-9
    assert np.ptp(labels[:, 0]) == pytest.approx(calm.face_width * film.video.size[0])


@pytest.mark.parametrize(("name", "step"), [("turns", 44), ("crossing", 31)])
def test_a_perspective_fit_finds_the_pose(monkeypatch, name, step):
    """Of the head's rigid points, by the truth's camera. The model's z comes towards the camera, OpenCV's goes away."""
    film, away = films.FILMS[name](0), np.array([1, 1, -1])
    rigid = list(range(17, 48))  # the jaw's are elsewhere on the head in each pose
    for _, actors in films.truth(at_times(monkeypatch, name, film.times[::step])):
        for seen in actors:
            model = posed_landmarks(film.actors[seen.identity - 1].person, Frame())[1][rigid] * away
            camera = np.array([[seen.focal, 0, seen.axis[0]], [0, seen.focal, seen.axis[1]], [0, 0, 1]])
            _, turn, _ = cv2.solvePnP(model, seen.keypoints[rigid], camera, None)
            found = cv2.Rodrigues(turn)[0] * np.outer(away, away)
            assert np.abs(found - rotation(*seen.pose)).max() < 1e-3


def test_the_drawing_lies_under_the_truth(monkeypatch):
    """Closed and open eyes differ where the truth has the eyes, and nowhere else."""
    film = films.FILMS["speech"](0)
    (actor,) = film.actors
    film = replace(film, video=replace(film.video, noise=0.0))
    images = []
    for blink in (0.0, 1.0):
        frame = Frame(yaw=10, roll=5, blink=blink, face_width=0.19)
        posed = replace(film, seconds=1 / film.rate, actors=[replace(actor, script=lambda time, f=frame: f)])
        monkeypatch.setitem(films.FILMS, "eyes", lambda seed, posed=posed: posed)
        (drawn,) = films.frames("eyes")
        images.append(drawn.image.astype(int))
        if not blink:
            eyes = drawn.actors[0].keypoints[36:48].reshape(2, 6, 2)
    changed = np.abs(images[0] - images[1]).sum(-1) > 60
    inside = np.zeros(changed.shape, np.uint8)
    for eye in eyes:
        cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(eye).astype(np.int32)), 1)
    wide = cv2.dilate(inside, np.ones((11, 11))) > 0  # lashes, and the crease above the lid
    assert (changed & (inside > 0)).sum() > 0.5 * inside.sum()
    assert not (changed & ~wide).any()


# --- Motion -------------------------------------------------------------------------------------------------------


def test_still_is_still_but_for_the_noise(monkeypatch):
    in_small(monkeypatch, "still", 3)
    drawn = list(films.frames("still"))
    assert all(same(frame.actors[0], drawn[0].actors[0]) for frame in drawn)
    images = np.stack([frame.image.astype(float) for frame in drawn])
    noise = [images[1] - images[0], images[2] - images[1]]
    assert all(0.5 < one.std() < 3 and np.abs(one).max() < 12 for one in noise)
    assert (
        abs(np.corrcoef(images[1].ravel() - images[0].ravel(), noise[1].ravel())[0, 1] + 0.5) < 0.1
    )  # all independent


def test_turns_go_as_far_as_they_say():
    film = films.FILMS["turns"](0)
    frames = [film.actors[0].script(time) for time in film.times]
    poses = np.array([(frame.yaw, frame.pitch, frame.roll) for frame in frames])
    assert len(poses) == 450
    time = np.arange(150) / 30
    for axis, amplitude in enumerate((60, 25, 40)):
        of_axis = poses[150 * axis : 150 * (axis + 1)]
        assert np.abs(of_axis[:, axis] - amplitude * np.sin(2 * np.pi * time / 5)).max() < 1e-6
        assert np.abs(of_axis[:, axis]).max() > 0.99 * amplitude and not np.delete(of_axis, axis, 1).any()


def test_speech_opens_the_mouth_four_times_a_second_and_blinks_when_it_says():
    script = films.FILMS["speech"](0).actors[0].script
    times = np.arange(0, 8, 0.001)
    mouth = np.array([script(time).mouth_open for time in times])
    spoken = mouth[(times > 0.7) & (times < 3.2)]
    peaks = ((spoken[1:-1] > spoken[:-2]) & (spoken[1:-1] >= spoken[2:])).sum()
    assert peaks == 10 and spoken.max() < 0.6  # 4 Hz in 2.5 s
    blinks = np.array([script(time).blink for time in times])
    for start, duration in scripts.BLINKS:
        assert 0.15 <= duration <= 0.3
        assert script(start + duration / 2).blink == pytest.approx(1)
        assert script(start).blink == script(start + duration).blink == 0
    assert (blinks > 0).mean() * 8 == pytest.approx(sum(duration for _, duration in scripts.BLINKS), abs=0.01)


def test_the_points_open_and_close_with_the_script():
    """Where the script says open, the lips' and lids' points are apart."""
    for _, (seen,) in islice(films.truth("speech"), 0, 150, 5):
        p = seen.keypoints
        lips = np.linalg.norm(p[66] - p[62]) / np.linalg.norm(p[45] - p[36])
        lids = np.linalg.norm(p[[37, 38, 43, 44]] - p[[41, 40, 47, 46]], axis=1).mean()
        lids /= np.linalg.norm(p[45] - p[36])
        assert lips == pytest.approx(0.02 + 0.26 * seen.mouth_open, abs=0.03)
        assert lids < 0.02 if seen.blink > 0.9 else seen.blink > 0 or lids > 0.05


def test_fast_jumps_by_a_face_width():
    script = films.FILMS["fast"](0).actors[0].script
    for t0, t1, sign in ((4.0, 4.3, 1), (4.8, 5.1, -1), (5.6, 5.9, -1), (6.4, 6.7, 1)):
        before, after = script(t0), script(t1)
        assert after.centre[0] - before.centre[0] == pytest.approx(sign * before.face_width)
    yaw = np.array([script(time).yaw for time in np.arange(0, 2, 0.001)])
    assert np.abs(yaw).max() == pytest.approx(25, abs=0.01)
    assert (np.diff(np.sign(yaw)) != 0).sum() in range(5, 8)  # 3 periods


# --- Who is hidden ------------------------------------------------------------------------------------------------


def test_the_board_hides_the_face_for_its_time():
    hidden = np.array([frame.actors[0].hidden for frame in films.truth("occluded")])
    whole = np.flatnonzero(hidden == 1)
    assert len(whole) / 25 == pytest.approx(0.8, abs=0.081)
    assert (np.diff(whole) == 1).all()
    assert not hidden[: whole[0] - 10].any() and not hidden[whole[-1] + 10 :].any()


def test_the_nearer_one_hides_the_other(monkeypatch):
    times = [0.4, 1.9, 2.3, 2.35, 2.6, 4.6]
    known = list(films.truth(at_times(monkeypatch, "crossing", times)))
    far, near = ([frame.actors[i].hidden for frame in known] for i in (0, 1))
    assert near == [0] * 6
    assert far[0] == far[-1] == 0 and far[2] == far[3] == 1 and 0 < far[1] < 1 and 0 < far[4] < 1


def test_a_point_is_hidden_where_the_nearer_one_is_drawn(monkeypatch):
    """With the nearer one in the picture and without it: another colour means hidden."""
    time = 1.95
    film = films.FILMS["crossing"](0)
    film = replace(film, video=replace(film.video, noise=0.0), seconds=1 / film.rate)
    moved = [replace(actor, script=lambda t, script=actor.script: script(time)) for actor in film.actors]
    images = []
    for actors in (moved[:1], moved):
        monkeypatch.setitem(films.FILMS, "both", lambda seed, actors=actors: replace(film, actors=actors))
        (frame,) = films.frames("both")
        images.append(frame.image.astype(int))
    points = frame.actors[0].keypoints
    x, y = np.rint(points).astype(int).T
    covered = np.abs(images[0] - images[1]).sum(-1)[y, x] > 6
    assert 0.2 < covered.mean() < 0.98
    assert frame.actors[0].hidden == pytest.approx(covered.mean(), abs=0.06)


def test_who_comes_in_is_there_from_the_first_point_on(monkeypatch):
    times = [0.0, 4.9, 5.2, 5.35, 7.5]
    known = list(films.truth(at_times(monkeypatch, "demo", times)))
    assert [one.identity for one in known[0].actors] == [1]
    assert [one.identity for one in known[-1].actors] == [1, 2] and known[-1].actors[1].hidden == 0
    for _, actors in known:
        for one in actors:
            outside = ((one.keypoints < -0.5) | (one.keypoints >= np.array(scripts.SIZE) - 0.5)).any(1).mean()
            assert outside < 1 and one.hidden >= outside
    assert any(0 < one.hidden < 1 for frame in known for one in frame.actors if one.identity == 2)


# --- Seeds and files --------------------------------------------------------------------------------------------


def prepare_film(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", "film", *map(str, arguments)])
    prepare.main()


def test_the_command_writes_a_film_of_the_exact_rate_and_its_truth(monkeypatch, tmp_path):
    in_small(monkeypatch, "speech", 5)
    path = tmp_path / "new" / "speech.mp4"
    prepare_film(monkeypatch, "speech", "--output", path)
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FPS) == NTSC
    lines = [json.loads(line) for line in (path.parent / "speech.truth.jsonl").read_text().splitlines()]
    drawn = list(films.frames("speech"))
    assert [line["frame"] for line in lines] == list(range(5))
    for line, frame in zip(lines, drawn, strict=True):
        there, image = film.read()
        assert there and np.abs(image[..., ::-1].astype(int) - frame.image).mean() < 6
        assert line["time"] == pytest.approx(line["frame"] / NTSC, abs=1e-6)
        (actor,) = line["actors"]
        assert actor["identity"] == 1 and actor["blink"] == pytest.approx(frame.actors[0].blink, abs=1e-4)
        assert np.abs(np.array(actor["keypoints"]) - frame.actors[0].keypoints).max() < 0.0051
        assert actor["pose"] == pytest.approx(frame.actors[0].pose, abs=1e-4)
    assert not film.read()[0]


@pytest.mark.parametrize("rate", [12.5, 24000 / 1001, 29.97, 60])
def test_a_film_says_its_rate_exactly(tmp_path, rate):
    path = tmp_path / "film.mp4"
    with film_writer(path, rate, (64, 48)) as write:
        for level in range(4):
            write(np.full((48, 64, 3), 40 * level, np.uint8))
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FPS) == rate
    for index in range(4):
        assert film.grab()
        assert film.get(cv2.CAP_PROP_POS_MSEC) == pytest.approx(1000 * index / rate, abs=1e-6)
    assert not film.grab()


def test_the_command_replaces_its_own_films_alone(monkeypatch, tmp_path):
    in_small(monkeypatch, "still", 2)
    path, truth_file = tmp_path / "a.mp4", tmp_path / "a.truth.jsonl"
    prepare_film(monkeypatch, "still", "--output", path)
    first, truth = path.read_bytes(), truth_file.read_bytes()
    prepare_film(monkeypatch, "still", "--output", path, "--seed", 1)
    assert path.read_bytes() != first and truth_file.read_bytes() != truth
    prepare_film(monkeypatch, "still", "--output", path)
    assert truth_file.read_bytes() == truth, "the same seed gives the same again"
    for file in (path, truth_file):
        ours = file.read_bytes()
        file.write_bytes(b"my own")
        with pytest.raises(InputError, match=file.name):
            prepare_film(monkeypatch, "still", "--output", path)
        assert file.read_bytes() == b"my own"
        file.write_bytes(ours)


def test_stopped_while_drawing_it_leaves_nothing_and_what_was_there(monkeypatch, tmp_path):
    in_small(monkeypatch, "still", 2)
    path = tmp_path / "a.mp4"
    prepare_film(monkeypatch, "still", "--output", path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(before) == 2

    def stopped(name, seed):
        yield next(draw(name, seed))
        raise KeyboardInterrupt

    draw = films.frames
    monkeypatch.setattr(films, "frames", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare_film(monkeypatch, "still", "--output", path, "--seed", 1)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("arguments", [[], ["nothing"]])
def test_without_a_films_name_it_lists_them_in_one_line(monkeypatch, capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        prepare_film(monkeypatch, *arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2 and all(name in line for name in FULL)


def test_the_command_refuses_another_format(monkeypatch):
    with pytest.raises(InputError, match=r"film\.avi: "):
        prepare_film(monkeypatch, "still", "--output", "film.avi")


def test_the_embedded_film():
    path = REPOSITORY / "data" / "film.mp4"
    film = cv2.VideoCapture(str(path))
    assert is_marked_film(path) and path.stat().st_size <= 600_000
    assert film.get(cv2.CAP_PROP_FPS) == NTSC and film.get(cv2.CAP_PROP_FRAME_COUNT) == 240
    first = next(films.frames("demo"))
    _, image = film.read()
    assert np.abs(image[..., ::-1].astype(int) - first.image).mean() < 6
