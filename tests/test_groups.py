"""Counting what is found of the faces that somebody marked."""

import numpy as np
import pytest
from conftest import REPOSITORY

from face68.files import InputError
from face68.landmarks import Face
from benchmarks.groups import Marked, count, read_marks


def face(x, y, score=0.9) -> Face:
    return Face(
        (x - 20, y - 20, x + 20, y + 20), score, np.array([(x - 20, y - 20), (x + 20, y + 20)] * 34, np.float32)
    )


def test_each_marked_face_is_found_once_and_doubtful_ones_count_for_nothing():
    marks = [Marked(50, 50, 40, False), Marked(150, 50, 40, False), Marked(250, 50, 40, True)]
    assert count([face(55, 45), face(150, 69)], marks) == (2, 0)
    assert count([face(50, 50), face(55, 50)], marks) == (1, 1), "a second one there is something else"
    assert count([face(250, 50), face(71, 50)], marks) == (0, 1)
    assert count([], marks) == (0, 0)


def test_the_marks_that_ship_are_read():
    photos = read_marks(REPOSITORY / "data" / "group_photos.csv")
    marks = [mark for of_photo in photos.values() for mark in of_photo]
    assert len(photos) == 60 and sum(not mark.doubtful for mark in marks) == 96 and len(marks) == 132


@pytest.mark.parametrize("content", [None, "image,x\na,1\n", "image,x,y,side,doubtful\na,1,2,large,0\n"])
def test_what_is_no_list_of_marks_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "marks.csv").write_text(content)
    with pytest.raises(InputError, match=r"marks\.csv: is no list of faces"):
        read_marks(tmp_path / "marks.csv")
