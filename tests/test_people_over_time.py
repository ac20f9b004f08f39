"""The picture of what people do over time: who is in it, and when a mouth talks."""

import numpy as np
import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import video
from face68.draw import schematic_face
from face68.landmarks import Face
from plots.films import MOST_PEOPLE, PeopleOverTime, talks
from plots.style import as_picture

FILM = REPOSITORY / "data" / "film.mp4"


def face(identity: int, blinks: int = 0, mouth: float | None = 0.2) -> Face:
    angles = {"yaw": 3.0, "pitch": -2.0, "roll": 1.0}
    measures = {"right_eye": 0.3, "left_eye": 0.32, "mouth": mouth, "blinks": blinks} | angles
    return Face((0, 0, 1, 1), 1.0, schematic_face(), identity=identity, measures=measures)


def titles(people: PeopleOverTime) -> list[str]:
    return [axes.get_title() for axes in people.figure().axes]


def test_each_person_has_a_row_and_blinks_are_counted():
    people = PeopleOverTime()
    for i in range(30):
        people.add(i / 10, [face(1, blinks=i // 12), face(2, mouth=None)])
    told = titles(people)
    assert len(told) == 6 and "face 1" in told[0] and "2 blinks" in told[0]
    assert "face 2" in told[3] and "0 blinks" in told[3]
    assert as_picture(people.figure(), dpi=40).std() > 5


def test_of_many_people_those_who_are_seen_for_longest_are_shown():
    people = PeopleOverTime()
    for i in range(20):
        people.add(i / 10, [face(identity) for identity in range(1, 13) if i < identity])
    shown = [title.split(":")[0] for title in titles(people)[::3]]
    assert shown == [f"face {identity}" for identity in range(13 - MOST_PEOPLE, 13)]


def test_a_film_without_faces_gives_an_empty_picture():
    assert len(PeopleOverTime().figure().axes) == 3


@given(rate=st.floats(15, 60), level=st.floats(0.1, 0.5), begin=st.floats(2, 4))
def test_a_mouth_talks_where_it_moves(rate, level, begin):
    times = np.arange(0, 9, 1 / rate)
    moves = (times >= begin) & (times < begin + 3)
    told = talks(times, level + 0.1 * moves * np.sin(2 * np.pi * 4 * times))
    assert told[(times > begin + 0.6) & (times < begin + 2.4)].all()
    assert not told[(times < begin - 0.6) | (times > begin + 3.6)].any()


def test_the_command_draws_the_picture(in_process, tmp_path):
    result = in_process(video.main, "--video", FILM, "--end", "0.3", "--measures", "--plot", "people.png")
    assert result.returncode == 0, result.stderr
    assert "people.png" in result.stdout and not (tmp_path / "outputs").exists()
    with Image.open(tmp_path / "people.png") as image:
        assert image.width > 1000


@pytest.mark.parametrize(
    ("options", "words"), [(("--plot", "a.png"), "--measures"), (("--measures", "--plot", "a.txt"), ".png, .svg, .pdf")]
)
def test_a_plot_that_can_not_be_drawn_is_one_line(in_process, tmp_path, options, words):
    result = in_process(video.main, "--video", FILM, *options)
    assert result.returncode == 2 and words in result.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
