"""`pip install .` gives a library that predicts anywhere, without torch and without the checkout."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

from face68 import Landmarker

FOREIGN = ("images", "models", "metrics", "geometry", "files", "checkpoint")  # somebody else's modules by these names
BOX = (170, 155, 365, 350)
CODE = """
import json, sys
from face68 import Landmarker, read_image
from face68.draw import draw_faces
from face68.overlays import PLACES, draw_overlays, load_overlay

for name in ("torch", "matplotlib", "pandas"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} is here")
(found,) = Landmarker()("photo.png")
(given,) = Landmarker()("photo.png", boxes=[json.loads(sys.argv[1])])
draw_faces(read_image("photo.png"), [found, given], numbers=True, confidence=True)
draw_overlays(read_image("photo.png"), [found], [load_overlay(name) for name in PLACES])
print(json.dumps(given.to_dict()))
"""


def run(*line, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(list(map(str, line)), cwd=cwd, capture_output=True, text=True, env=environment)
    if "NewConnectionError" in result.stderr:
        pytest.skip("pip reaches no package registry from here")
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_predicts_from_another_folder(tmp_path, hopper):
    wheels, place = tmp_path / "wheels", tmp_path / "elsewhere"
    place.mkdir()
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, REPOSITORY, cwd=place)
    (wheel,) = wheels.glob("face68-*.whl")
    assert wheel.stat().st_size < 4_500_000
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=place)
    python = next((tmp_path / "venv").glob("[bS]*/python*"))
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=place)
    for name in FOREIGN:
        (place / f"{name}.py").write_text("raise SystemExit('of somebody else')")
    Image.fromarray(hopper).save(place / "photo.png")
    said = json.loads(run(python, "-c", CODE, json.dumps(BOX), cwd=place))
    (here,) = Landmarker()(hopper, boxes=[BOX])
    np.testing.assert_allclose(said["keypoints"], here.keypoints, atol=0.1)  # px; there may be another OpenCV there
    assert said["box"] == list(BOX) and said["face_score"] == pytest.approx(here.face_score, abs=0.01)


def requirement(line: str) -> tuple[str, str]:
    return re.fullmatch(r"([a-z-]+)([<>=].*)", line.partition("#")[0].strip()).groups()


def test_the_wheel_and_requirements_txt_agree():
    tomllib = pytest.importorskip("tomllib")  # since Python 3.11
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wheel = dict(map(requirement, [*project["dependencies"], *project["optional-dependencies"]["train"]]))
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    assert wheel == dict(map(requirement, lines))
