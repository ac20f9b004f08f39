"""The attacks that take minutes can be run; what they use is tested fast in the tests of each room."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY

from benchmarks.material import damaged
from face68.files import InputError

pytest.importorskip("resource", reason="the attacks need a POSIX system")
from benchmarks import stress
from benchmarks.harness import FAULT, Outcome


def test_the_attacks_run_and_count(tmp_path):
    options = ["--cases", "1", "--seed", "3", "--folder", tmp_path]
    line = [sys.executable, "-m", "benchmarks.stress", "labels", "readers", "downloads", *options]
    result = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^labels: 1 cases in \d+ s$", result.stdout, re.MULTILINE)
    assert result.stdout.endswith("3 outcomes, 0 faults\n") and not list(tmp_path.iterdir())


def test_an_attack_that_is_unknown_is_a_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stress", "tickles"])
    with pytest.raises(SystemExit) as exit_:
        stress.main()
    assert exit_.value.code == 2 and "there is no attack tickles" in capsys.readouterr().err
    assert len(stress.ATTACKS) == 14 and all(attack.__doc__ for attack in stress.ATTACKS.values())


@pytest.mark.parametrize(
    ("status", "stderr", "memory", "by_file", "by_end"),
    [
        (0, "", 0, "done", "done"),
        (0, "note: the face is small\n", 0, "done", "done"),
        (2, "error: x.pt: is cut off\n", 0, "named", "named"),
        (2, "error: is cut off\n", 0, "unexplained", "named"),
        (2, "error: x.pt: is cut off\nerror: x.pt: is cut off\n", 0, "unexplained", "named"),
        (2, "", 0, "unexplained", "unexplained"),
        (0, "chatter\n", 0, "unexplained", "unexplained"),
        (1, "Traceback (most recent call last):\nKeyError\n", 0, "traceback", "traceback"),
        (-11, "", 0, "crash", "crash"),
        (None, "", 0, "hangs", "hangs"),
        (0, "", 3 << 30, "took 3.2 GB", "took 3.2 GB"),
    ],
)
def test_what_came_of_a_command_is_judged(status, stderr, memory, by_file, by_end):
    outcome = Outcome(status, "", stderr, 1.0, memory)
    for fate, expected in ((outcome.judged("x.pt"), by_file), (outcome.judged(), by_end)):
        assert expected in fate and fate.startswith(FAULT) == (expected not in ("done", "named"))
    assert (outcome.judged("x.pt", done=False) == by_file) == (by_file == "named")


def test_damage_is_damage_and_the_same_again():
    content = bytes(range(256)) * 40
    once, again = ([damaged(np.random.default_rng([7, i]), content) for i in range(200)] for _ in range(2))
    assert once == again and len(set(once)) > 190 and sum(one != content for one in once) > 190
    assert damaged(np.random.default_rng(0), b"") == b""


def test_what_grows_over_a_long_run_is_told_from_what_doesnt():
    flat = [(300 + second % 3, 10, 5) for second in range(100)]
    assert stress.growth(flat) == "301 -> 301 MB, 10 -> 10 open files, 5 -> 5 threads"
    for column, by in ((0, 1.0), (1, 0.05), (2, 0.05)):
        grown = np.array(flat, dtype=float)
        grown[:, column] += (by * np.arange(100)) // 1
        assert stress.growth(grown).startswith(FAULT)


@pytest.mark.parametrize("name", stress.READERS)
def test_a_line_that_names_nothing_and_what_reads_otherwise_again_are_faults(name, tmp_path, monkeypatch):
    _, write, good = stress.READERS[name]

    def misleading(path):
        raise InputError("is empty")

    def forgetful(path, value):
        write(path, value)
        path.write_bytes(path.read_bytes() + str(next(count)).encode())

    count = itertools.count()
    for reader in ((misleading, write, good), (lambda path: good, forgetful, good)):
        monkeypatch.setitem(stress.READERS, name, reader)
        with pytest.raises(AssertionError):
            stress.read_damaged(np.random.default_rng(0), tmp_path / "file", name)
