"""Results go where nothing of a user's is lost, each to a path of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PRETRAINED, REPOSITORY, encoded
from PIL import Image

from cli.outputs import check_outputs, face_paths, is_ours, only_writer, path_of_face, picture_paths, sheet_paths
from face68.draw import schematic_face
from face68.files import InputError
from face68.formats import ImageResult, append_jsonl, write_coco, write_faces_csv, write_json, write_jsonl, write_pts
from face68.images import write_image
from face68.inputs import find_inputs
from face68.landmarks import Face

BLACK = np.zeros((8, 9, 3), np.uint8)


def refused(*paths, **options) -> str:
    with pytest.raises(InputError) as caught:
        check_outputs(paths, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_ours(folder: Path) -> list[Path]:
    """A file of each kind that the commands write."""
    face = Face((0, 0, 9, 9), None, schematic_face())
    results = [ImageResult("a.jpg", 9, 8, [face])]
    for name, write in (("a.json", write_json), ("a.csv", write_faces_csv), ("a.coco", write_coco)):
        write(folder / name, results)
    write_jsonl(folder / "a.jsonl", [])
    append_jsonl(folder / "a.jsonl", results[0])
    write_pts(folder / "a.pts", face.keypoints)
    for suffix in (".jpg", ".png", ".webp", ".tif"):
        write_image(folder / f"a{suffix}", BLACK)
    return sorted(folder.iterdir())


def write_somebodys(folder: Path) -> list[Path]:
    """Files that a user may name by mistake."""
    shutil.copy(PRETRAINED, folder / "ck.pt")
    (folder / "photo.jpg").write_bytes(encoded(Image.fromarray(BLACK), "JPEG"))
    (folder / "photo.bmp").write_bytes(encoded(Image.fromarray(BLACK), "BMP"))
    (folder / "labels.csv").write_text("name,x0,y0\na.jpg,1,2\n")
    (folder / "labels.json").write_text('{"images": [], "annotations": []}')
    (folder / "labels.pts").write_text("version: 1\nn_points: 68\n{\n" + "1 2\n" * 68 + "}\n")
    (folder / "notes.txt").write_text("about faces")
    return sorted(folder.iterdir())


def test_what_we_wrote_is_replaced(tmp_path):
    paths = write_ours(tmp_path)
    assert len(paths) == 9 and all(map(is_ours, paths))
    check_outputs(paths)


def test_what_somebody_else_wrote_is_replaced_only_when_told_so(tmp_path):
    paths = write_somebodys(tmp_path)
    for path in paths:
        told = refused(path)
        assert str(path) in told and "--overwrite" in told
        link = tmp_path / "link"
        link.symlink_to(path)
        assert "--overwrite" in refused(link), "a link is what it leads to"
        link.unlink()
    check_outputs(paths, overwrite=True)
    check_outputs([tmp_path / "notes.txt"], known=lambda path: path.read_text() == "about faces")


def test_what_lies_in_outputs_is_replaced_and_what_it_links_to_isn_t(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("outputs").mkdir()
    Path("notes.txt").write_text("about faces")
    Path("outputs/notes.txt").write_text("about faces")
    check_outputs([Path("outputs/notes.txt"), tmp_path / "outputs" / "new" / "a.png"])
    Path("outputs/link.txt").symlink_to(tmp_path / "notes.txt")
    assert "--overwrite" in refused(Path("outputs/link.txt"))
    assert "--overwrite" in refused(Path("outputs/../notes.txt"))


def test_nothing_and_empty_files_are_free(tmp_path):
    (tmp_path / "empty").touch()
    check_outputs([tmp_path / "empty", tmp_path / "new", tmp_path / "new folder" / "deep" / "new"])
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_what_the_run_reads_is_never_replaced(tmp_path):
    write_image(tmp_path / "a.png", BLACK)  # ours, but read now
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    os.link(tmp_path / "a.png", tmp_path / "other.png")
    for path in ("a.png", "link.png", "other.png"):
        told = refused(tmp_path / path, reads=["missing.jpg", str(tmp_path / "a.png")], overwrite=True)
        assert path in told and "is read by this run" in told


def test_two_results_need_two_paths(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert "is named for two results" in refused(tmp_path / "a", tmp_path / "link")
    assert "is named for two results" in refused(tmp_path / "a", tmp_path / "." / "b" / ".." / "a")


def test_paths_that_will_not_do_are_told_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a folder; name a file" in refused(tmp_path)
    assert "can't be written" in refused(tmp_path / "file" / "a.json")
    assert "can't be written" in refused(Path("/proc/nothing/a.json"))


def test_pipes_and_devices_are_written_to(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    check_outputs([tmp_path / "fifo", Path("/dev/null"), Path("/dev/null"), Path("/dev/stdout")])


# --- Names ----------------------------------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path, monkeypatch):
    """Make files of these names in "in", and what stands for them there."""
    monkeypatch.chdir(tmp_path)

    def make(*names, arguments=("in",)):
        for name in names:
            Path("in", name).parent.mkdir(parents=True, exist_ok=True)
            Path("in", name).touch()
        return find_inputs(arguments, recursive=True)

    return make


def test_pictures_are_named_after_photos_in_a_format_that_says_whose_they_are(named):
    inputs = named("a.jpg", "sub/b.TIFF", "c.bmp", "d.gif")
    paths = picture_paths(inputs, Path("out"), single=False)
    assert [str(path) for path in paths.values()] == [
        "out/a.jpg",
        "out/c.bmp.png",
        "out/d.gif.png",
        "out/sub/b.TIFF",
    ]
    (path,) = picture_paths(named(arguments=["in/a.jpg"]), None, single=True).values()
    assert str(path) == "outputs/a_keypoints.jpg"
    (path,) = picture_paths(named(arguments=["in/c.bmp"]), Path("mine.bmp"), single=True).values()
    assert str(path) == "mine.bmp"
    with pytest.raises(InputError, match="is a file's name"):
        picture_paths(inputs, Path("mine.png"), single=False)


def test_photos_with_names_of_results_are_no_hindrance(named):
    """A folder with contact_sheet_1.jpg, or with a.gif and a.gif.png, was refused whole."""
    inputs = named("a.gif", "a.gif.png", "a.gif_2.png", "contact_sheet_1.jpg", "sub/a.gif")
    pictures = picture_paths(inputs, Path("out"), single=False)
    names = ["a.gif_3.png", "a.gif.png", "a.gif_2.png", "contact_sheet_1.jpg", "sub/a.gif.png"]
    assert list(pictures.values()) == [Path("out", name) for name in names]
    sheets = sheet_paths(inputs, Path("out"), pictures.values())
    assert list(sheets.values())[:2] == [Path("out/contact_sheet_1_2.jpg"), Path("out/contact_sheet_2.jpg")]
    check_outputs([*pictures.values(), *sheets.values()])


def test_sheets_are_numbered_by_the_photo_that_begins_them(named):
    paths = sheet_paths(named("a.jpg", "b.jpg"), None)
    assert [str(path) for path in paths.values()] == ["outputs/contact_sheet_1.jpg", "outputs/contact_sheet_2.jpg"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b.png", "sub/a.jpg"], ["a", "b", "sub/a"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.face2.jpg", "a.jpg"], ["a.face2.jpg", "a.jpg"]),
        (["a.face2.face3.jpg", "a.face2.jpg"], ["a.face2.face3.jpg", "a.face2.jpg"]),
        (["a.jpg", "a.jpg.jpg", "a.png"], ["a.jpg", "a.jpg.jpg", "a.png"]),
        (["a.face2.jpg"], ["a.face2"]),
        (["a.b.jpg", ".face2.jpg"], ["a.b"]),
    ],
)
def test_pts_files_are_named_after_photos_and_never_alike(named, names, expected):
    paths = face_paths(named(*names), Path("pts"))
    assert [str(path) for path in paths.values()] == [f"pts/{stem}.pts" for stem in expected]
    every = [path_of_face(path, number) for path in paths.values() for number in range(1, 9)]
    assert len(set(every)) == len(every), "however many faces they show"


def test_names_that_could_be_two_photos_in_spite_of_all_are_refused(named):
    named("a.jpg", "a.png", "a.jpg.face2")
    inputs = find_inputs(["in/a.jpg", "in/a.png", "in/a.jpg.face2"])
    with pytest.raises(InputError, match=r"a\.jpg\.face2: its \.pts could be that of another"):
        face_paths(inputs, Path("pts"))


def test_pts_files_never_lie_beside_a_photo(named, tmp_path):
    """In nested folders too, and where links lead: tools take them for labels there."""
    inputs = named("lfpw/a.jpg", "lfpw/b.jpg", "helen/c.jpg")
    for folder in ("in", tmp_path / "in", "in/../in"):
        with pytest.raises(InputError, match="would lie among photos"):
            face_paths(inputs, Path(folder))
    Path("other").symlink_to("in")
    with pytest.raises(InputError, match="would lie among photos"):
        face_paths(inputs, Path("other"))
    Path("linked").mkdir()
    Path("linked/a.jpg").symlink_to(tmp_path / "in/lfpw/a.jpg")
    for folder in ("linked", "in/lfpw"):
        with pytest.raises(InputError, match="would lie among photos"):
            face_paths(find_inputs(["linked/a.jpg"]), Path(folder))
    assert len(face_paths(inputs, Path("in/pts"))) == 3


@pytest.mark.parametrize("name", ["", "all.jsonl"])
def test_one_process_keeps_others_out_and_a_killed_one_doesn_t(tmp_path, name):
    """Nor do children that outlive it, as workers do by seconds."""
    folder = tmp_path / "run"
    code = f"""
import os, sys
from pathlib import Path
from cli.outputs import only_writer
with only_writer(Path({str(folder)!r}), {name!r}):
    if os.fork():
        print("in", flush=True)
    sys.stdin.read()
    os._exit(0)
"""
    other = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "in\n"
    with pytest.raises(InputError, match="another process writes into it; wait for it, or name another") as caught:
        only_writer(folder, name).__enter__()
    assert str(caught.value).startswith(f"{folder / name}: ")
    with only_writer(folder, "another"):
        pass
    other.kill()
    other.wait()
    with only_writer(folder, name):
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []
    other.stdin.close()  # which ends the child
    other.stdout.close()


def test_a_folder_that_can_t_be_locked_is_a_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can't be written"):
        only_writer(tmp_path / "file").__enter__()
