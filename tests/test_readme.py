"""The README's snippets do what it says."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY, SAMPLE

from face68.formats import read_json
from face68.images import write_cutout, write_image

FILM = REPOSITORY / "data" / "film.mp4"
README = (REPOSITORY / "README.md").read_text()


def snippets(section: str) -> list[str]:
    """The Python snippets of a section of the README."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_photos_from_python(tmp_path, monkeypatch, capsys, hopper):
    """All of the section, one after the other as a reader would: faces, their measures, and pictures on them."""
    write_image(tmp_path / "photo.jpg", hopper)
    write_cutout(tmp_path / "my_cap.png", np.zeros((40, 60, 4), np.uint8))
    monkeypatch.chdir(tmp_path)
    known = {}
    for snippet in snippets("Predict"):
        exec(snippet, known)
    assert "(68, 2)" in capsys.readouterr().out
    assert abs(known["measures"].roll) < 15 and (known["picture"] != hopper).any()


def test_films_from_python(capsys):
    (snippet,) = snippets("Films and cameras")
    assert 'FilmReader("0")' in snippet
    exec(snippet.replace('FilmReader("0")', f"FilmReader({str(FILM)!r}, end=1)"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 30 and all(line.startswith("1 [") for line in lines)


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
        file.write("\n\n" + snippets("Train")[0])

    def run(*arguments):
        result = subprocess.run([sys.executable, *map(str, arguments)], cwd=copy, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    run("train.py", "--model", "small", "--epochs", "1", "--data", tiny, "--output-dir", "run")
    photo = sorted((SAMPLE / "test").glob("*.jpg"))[0]
    run("predict.py", "--checkpoint", "run/best.pt", "--image", photo, "--detector", "none", "--json", "points.json")
    (image,) = read_json(copy / "points.json")
    assert image.faces[0].keypoints.shape == (68, 2) and image.faces[0].errors is None
