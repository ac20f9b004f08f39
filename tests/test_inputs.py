"""Files, folders, globs and "-" on a command line stand for photos, each once and under a name of its own."""

import errno
import ntpath
import os
from pathlib import Path, PureWindowsPath

import pytest

from face68 import inputs as face68_inputs
from face68.files import InputError
from face68.inputs import find_images, find_inputs


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


def test_what_is_left_out_of_a_folder_is_told(tmp_path, monkeypatch):
    for name in ("a.JFIF", "b.jpe", "phone/c.heic", "phone/d.HEIF", "locked/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scandir = os.scandir

    def as_a_user(path):  # root may read all
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", as_a_user)
    inputs = find_inputs([str(tmp_path)], recursive=True)
    assert list(map(str, inputs.names)) == ["a.JFIF", "b.jpe"]
    locked, heic = map(str, inputs.problems)
    assert locked == f"{tmp_path / 'locked'}: can't be read (Permission denied); check the path"
    assert heic.startswith(f"{tmp_path}: 2 HEIC photos are left out; save as JPEG")
    (told,) = find_inputs([str(tmp_path / "locked")]).problems
    assert str(told) == locked, "and not that it holds no images"
    with pytest.raises(InputError, match="phone: 2 HEIC photos"):
        find_images(tmp_path / "phone")


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
    monkeypatch.setattr(face68_inputs.os, "path", ntpath)
    one, other = PureWindowsPath(r"C:\photos\x.png"), PureWindowsPath(r"D:\y.png")
    assert face68_inputs._names([one, other], set()) == [
        PureWindowsPath(r"C\photos\x.png"),
        PureWindowsPath(r"D\y.png"),
    ]
    assert face68_inputs._names([one], set()) == [PureWindowsPath("x.png")]
