"""The README's snippets do what it says."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY, SAMPLE

from face68.formats import read_json

README = (REPOSITORY / "README.md").read_text()


def snippet(section: str) -> str:
    """The one Python snippet of a section of the README."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return found


@pytest.fixture
def copy(tmp_path):
    """The repository's code in a folder of its own, to be changed as a reader would."""
    for path in REPOSITORY.glob("*.py"):
        shutil.copy(path, tmp_path)
    for package in ("face68", "curation"):
        shutil.copytree(REPOSITORY / package, tmp_path / package)
    return tmp_path


def test_a_network_of_ones_own(copy, tiny):
    with (copy / "models.py").open("a") as file:
        file.write("\n\n" + snippet("Train"))

    def run(*arguments):
        result = subprocess.run([sys.executable, *map(str, arguments)], cwd=copy, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    run("train.py", "--model", "small", "--epochs", "1", "--data", tiny, "--output-dir", "run")
    photo = sorted((SAMPLE / "test").glob("*.jpg"))[0]
    run("predict.py", "--checkpoint", "run/best.pt", "--image", photo, "--detector", "none", "--json", "points.json")
    (image,) = read_json(copy / "points.json")
    assert image.faces[0].keypoints.shape == (68, 2) and image.faces[0].errors is None
