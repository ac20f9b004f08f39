"""What is written of a run: whole, in order, and one file that fails costs no other."""

import numpy as np
import pytest

from cli import results as cli_results
from cli.results import Results, thumbnail
from face68.draw import COLORS, draw_faces, schematic_face
from face68.files import InputError
from face68.formats import read_json, read_jsonl, read_pts, write_faces_csv, write_json
from face68.images import read_image
from face68.landmarks import Face
from face68.photos import Photo


def photo(name="a.jpg", faces=1, side=100) -> Photo:
    """A gray photo with faces side by side."""
    points = [(schematic_face() * side / 3 + (side * (i + 0.5), 0.3 * side)).astype(np.float32) for i in range(faces)]
    found = [Face((side * i, 0, side * (i + 1), side), 0.9, keypoints) for i, keypoints in enumerate(points)]
    return Photo(name, np.full((side, side * max(faces, 1), 3), 128, np.uint8), found)


def test_a_picture_takes_the_place_of_the_image_and_the_size_stays(tmp_path):
    one = photo(faces=2)
    before = one.image.copy()
    Results(draw_faces, pictures={"a.jpg": tmp_path / "a.png"}).write(one)
    assert one.image is None and one.size == (200, 100)
    np.testing.assert_array_equal(one.picture, read_image(tmp_path / "a.png"))
    np.testing.assert_array_equal(one.picture, draw_faces(before, one.faces))
    assert (one.picture != before).any()


def test_faces_of_a_large_photo_are_seen_on_the_contact_sheet(tmp_path):
    """Points are drawn at the size of the sheet: drawn before reducing they would be too small to have a colour."""
    large = photo(side=3000)
    small = Photo("b.jpg", np.zeros((5, 5, 3), np.uint8))
    run = Results(draw_faces, sheets={"a.jpg": tmp_path / "sheet.png"})
    assert [run.add(run.write(one)) for one in (large, small)] == [[], []]
    assert run.close() == []
    sheet = read_image(tmp_path / "sheet.png")
    for region, color in COLORS.items():
        assert (np.abs(sheet.astype(int) - color).max(axis=2) < 40).sum() >= 3, region


def test_a_thumbnails_faces_lie_where_they_lay():
    one = photo(faces=2, side=1000)
    one.faces[0] = Face((-0.5, -0.5, 999.5, 999.5), 0.9, one.faces[0].keypoints, np.full(68, 10, np.float32))
    small, faces = thumbnail(one.image, one.faces)
    assert small.shape == (112, 224, 3)
    assert faces[0].box == pytest.approx((-0.5, -0.5, 111.5, 111.5), abs=1e-4)
    np.testing.assert_allclose(faces[0].errors, 1.12, rtol=1e-5)
    np.testing.assert_allclose(faces[1].keypoints, (one.faces[1].keypoints + 0.5) * 0.112 - 0.5, atol=1e-3)


def test_one_file_that_cannot_be_written_costs_no_other(tmp_path):
    (tmp_path / "file").touch()
    bad = tmp_path / "file" / "all.json"
    summaries = {
        bad: write_json,
        tmp_path / "worse": lambda path, results: 1 / 0,
        tmp_path / "all.csv": write_faces_csv,
    }
    run = Results(
        draw_faces,
        summaries=summaries,
        sheets={"a.jpg": tmp_path / "file" / "s.jpg"},
        jsonl=tmp_path / "file" / "all.jsonl",
    )
    names = ("a.jpg", "b.jpg")
    problems = [problem for name in names for problem in run.add(run.write(photo(name)))]
    assert [str(problem).split(": ")[0] for problem in problems] == [str(tmp_path / "file" / "all.jsonl")], "told once"
    ends = run.close()
    assert [str(problem).split(": ")[0] for problem in ends] == [
        str(tmp_path / "file" / "s.jpg"),
        str(bad),
        str(tmp_path / "worse"),
    ]
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 3


def test_what_goes_wrong_with_a_photo_is_its_problem(tmp_path):
    def draw(image, faces, numbers=True):
        raise ValueError("no\nink")

    run = Results(draw, pictures={"a.jpg": tmp_path / "a.png"})
    assert str(run.write(photo()).problem).startswith("a.jpg: failed (ValueError: no ink)")
    known = Photo("a.jpg", problem=InputError("a.jpg: is empty"))
    assert str(run.write(known).problem) == "a.jpg: is empty"


def test_a_face_more_than_planned_takes_no_labels(tmp_path):
    """How many faces a photo has is not known when its files are planned."""
    (tmp_path / "a.face2.pts").write_text("somebody's labels")
    paths = {"pts": {"a.jpg": tmp_path / "a.pts"}}
    told = str(Results(draw_faces, **paths).write(photo(faces=3)).problem)
    assert "a.face2.pts" in told and "--overwrite" in told
    assert [path.name for path in tmp_path.iterdir()] == ["a.face2.pts"], "nothing of a photo, if not all"
    assert Results(draw_faces, **paths, overwrite=True).write(photo(faces=3)).problem is None
    assert Results(draw_faces, **paths).write(photo(faces=3)).problem is None, "they are ours now"
    read_pts(tmp_path / "a.face3.pts")


def test_lines_are_there_as_soon_as_a_photo_is_done(tmp_path):
    path = tmp_path / "all.jsonl"
    earlier = photo("z.jpg")
    first = Results(draw_faces, jsonl=path)
    first.add(earlier)
    path.write_text(path.read_text() + '{"image": "cut o')
    run = Results(draw_faces, jsonl=path, earlier=read_jsonl(path), summaries={tmp_path / "all.json": write_json})
    assert '{"image": "cut o' in path.read_text(), "untouched until there is something to add"
    run.add(photo("a.jpg", faces=0))
    assert [result.image for result in read_jsonl(path)] == ["z.jpg", "a.jpg"]
    run.close()
    assert [result.image for result in read_json(tmp_path / "all.json")] == ["z.jpg", "a.jpg"]


def test_a_sheet_of_any_names_has_as_many_photos_as_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(cli_results, "PAGE", 2)
    names = ["a\nb.jpg", "\x1b[31m.jpg", "caf\udce9.jpg"]
    run = Results(draw_faces, sheets={name: tmp_path / f"{i}.png" for i, name in enumerate(names)})
    assert [run.add(run.write(photo(name))) for name in names] == [[], [], []] and run.close() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "2.png"]


def test_a_run_without_photos_writes_nothing(tmp_path):
    run = Results(draw_faces, summaries={tmp_path / "all.json": write_json}, jsonl=tmp_path / "all.jsonl")
    assert run.close() == [] and list(tmp_path.iterdir()) == []
