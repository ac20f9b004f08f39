"""Files, folders, globs and "-" on a command line stand for photos, each once and under a name of its own."""

import ntpath
from pathlib import PureWindowsPath

import pytest

from face68.command import inputs
from face68.command.inputs import find_images, find_inputs
from face68.files import InputError


def test_find_images(tmp_path):
    names = ["b.PNG", "a photo.jpg", "ü.Jpeg", "notes.txt", ".hidden.jpg", "sub/c.webp", ".git/d.png", "sub/😀.gif"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    top = ["a photo.jpg", "b.PNG", "ü.Jpeg"]
    assert find_images(tmp_path) == [tmp_path / name for name in top]
    assert find_images(str(tmp_path), recursive=True) == sorted(
        tmp_path / name for name in [*top, "sub/c.webp", "sub/😀.gif"]
    )


def test_find_images_says_when_there_is_nothing(tmp_path):
    with pytest.raises(InputError, match=r"holds no images .*\.jpg"):
        find_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_images(tmp_path / "missing")


def test_inputs_are_named_by_the_folder_that_holds_them_all(tmp_path, monkeypatch):
    for name in ("a/x.png", "a/deep/y.png", "b/x.png", "b/[1].png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path / "a")

    def names(*arguments, recursive=False):
        inputs = find_inputs(arguments, recursive)
        return [name.as_posix() for name in inputs.names], [str(problem).split(":")[0] for problem in inputs.problems]

    assert names("x.png") == (["x.png"], [])
    assert names("../a", recursive=True) == (["deep/y.png", "x.png"], [])
    assert names(".", "../b/x.png", "../a/x.png") == (["a/x.png", "b/x.png"], []), "each once"
    assert names("../b/[1].png", "-") == (["b/[1].png", "a/stdin"], []), "a file's own name is no glob"
    assert names("../*/*.png") == (["a/x.png", "b/[1].png", "b/x.png"], [])
    assert names("missing.png", "no*thing", "..", "y" * 300) == (["missing.png"], ["no*thing", "..", "y" * 300])
    assert find_inputs([]) == ([], [], [])


def test_photos_on_several_windows_drives_are_named_by_their_drives(monkeypatch):
    monkeypatch.setattr(inputs.os, "path", ntpath)
    one, other = PureWindowsPath(r"C:\photos\x.png"), PureWindowsPath(r"D:\y.png")
    assert inputs._names([one, other], set()) == [PureWindowsPath(r"C\photos\x.png"), PureWindowsPath(r"D\y.png")]
    assert inputs._names([one], set()) == [PureWindowsPath("x.png")]
