"""The attacks that take minutes can be run; what they use is tested fast in the tests of each room."""

import re

from conftest import REPOSITORY

from benchmarks.long_runs import Look, grew
from benchmarks.stress import ATTACKS


def test_the_attacks_run_and_count(command, tmp_path):
    script = REPOSITORY / "tests" / "stress.py"
    result = command(script, "labels", "checkpoints", "--cases", "2", "--seed", "3", "--folder", tmp_path)
    assert result.returncode == 0, result.stdout
    assert re.search(r"^labels: 2 cases in \d+ s$", result.stdout, re.MULTILINE)
    assert result.stdout.endswith("4 outcomes, 0 faults\n") and not list(tmp_path.iterdir())
    refused = command(script, "tickles")
    assert refused.returncode == 2 and "there is no attack tickles" in refused.stderr
    assert all(attack.__doc__ for attack in ATTACKS.values())


def test_what_grows_over_a_long_run_is_told_from_what_doesnt(capsys):
    flat = [Look(second, 300 + second % 3, 10, 5) for second in range(100)]
    assert not grew("flat", flat)
    assert "flat, 99 s: 301 -> 301 MB, 10 -> 10 open files, 5 -> 5 threads" in capsys.readouterr().out
    assert grew("memory", [look._replace(megabytes=300 + look.seconds) for look in flat])
    assert grew("files", [look._replace(files=10 + int(look.seconds) // 20) for look in flat])
