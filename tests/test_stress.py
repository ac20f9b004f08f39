"""The attacks that take minutes can be run; what they use is tested fast in the tests of each room."""

import re

from conftest import REPOSITORY
from stress import ATTACKS


def test_the_attacks_run_and_count(command, tmp_path):
    script = REPOSITORY / "tests" / "stress.py"
    result = command(script, "labels", "checkpoints", "--cases", "2", "--seed", "3", "--folder", tmp_path)
    assert result.returncode == 0, result.stdout
    assert re.search(r"^labels: 2 cases in \d+ s$", result.stdout, re.MULTILINE)
    assert result.stdout.endswith("4 outcomes, 0 faults\n") and not list(tmp_path.iterdir())
    refused = command(script, "tickles")
    assert refused.returncode == 2 and "there is no attack tickles" in refused.stderr
    assert all(attack.__doc__ for attack in ATTACKS.values())
