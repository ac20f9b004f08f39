"""The fuzzer's readers take what they begin with, and what is a finding is one; the fuzzing itself takes minutes."""

import sys

import pytest

from benchmarks import fuzz
from benchmarks.fuzz import READERS, attempt
from face68.files import InputError


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # by Pillow, of what was damaged here
@pytest.mark.parametrize("name", READERS)
def test_each_reader_takes_its_seeds_and_names_what_it_refuses(tmp_path, name):
    seeds, work = tmp_path / "seeds", tmp_path / "work"
    seeds.mkdir(), work.mkdir()
    READERS[name].seeds(seeds)
    contents = [path.read_bytes() for path in seeds.iterdir()]
    assert contents
    for content in contents:
        READERS[name].read(_written(work, content))  # without an error of any kind
        for damaged in (content[: len(content) // 2], content + b"\xff\x00", b"", b"\x00" * 100):
            attempt(READERS[name].read, damaged, work)


def _written(folder, content):
    path = folder / "input"
    path.write_bytes(content)
    return path


def test_a_line_that_names_nothing_and_any_other_error_are_findings(tmp_path):
    def raising(error):
        def read(path):
            raise error

        return read

    attempt(raising(InputError(f"{tmp_path}/input: is empty; fill it")), b"", tmp_path)
    for error in (InputError("is empty"), InputError(f"{tmp_path}/input: two\nlines"), KeyError("x")):
        with pytest.raises((AssertionError, KeyError)):
            attempt(raising(error), b"", tmp_path)


def test_without_such_a_reader_it_says_which_there_are(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fuzz", "tickles"])
    with pytest.raises(SystemExit) as exit_:
        fuzz.main()
    assert exit_.value.code == 2 and "no such reader: tickles" in capsys.readouterr().err
