"""What keeps the house small: limits of the root and of the README, and a map that names every room."""

import re
import subprocess

import pytest
from conftest import REPOSITORY

MOST_FILES, MOST_ENTRIES, MOST_WORDS = 10, 30, 1900
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def entries() -> set[str]:
    """What git keeps at the root."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout")
    return {line.strip('"').partition("/")[0] for line in listed.stdout.splitlines()}


def test_the_root_is_read_at_a_glance():
    assert len([name for name in entries() if name.endswith(".py")]) <= MOST_FILES
    assert len(entries()) <= MOST_ENTRIES


def test_the_readme_is_short():
    assert len(README.split()) <= MOST_WORDS


def test_the_map_names_every_room_and_command():
    rows = README[README.index("## The folders") :]
    for name in entries():
        if not name.startswith(".") and ((REPOSITORY / name).is_dir() or name.endswith(".py")):
            assert f"`{name}`" in rows or f"`{name}/`" in rows, name


def test_what_is_read_in_an_afternoon_is_as_long_as_it_says():
    named = re.findall(r"^\| `([\w/]+\.py)` \| (\d+) \|", README, re.MULTILINE)
    assert len(named) == 5
    for path, lines in named:
        assert abs(len((REPOSITORY / path).read_text(encoding="utf-8").splitlines()) - int(lines)) <= 15, path
