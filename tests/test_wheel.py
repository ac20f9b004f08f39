"""`pip install .` gives a library that predicts anywhere, without torch and without the checkout."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

from face68 import Landmarker, __version__
from face68.images import is_marked, write_image

FOREIGN = ("images", "models", "metrics", "geometry", "files", "checkpoint")  # somebody else's modules by these names
BOX = (170, 155, 365, 350)
CODE = """
import json, sys
from face68 import Landmarker, read_image
from face68.draw import draw_faces
from face68.overlays import PLACES, draw_overlays, load_overlay

for name in ("torch", "matplotlib", "pandas", "av"):
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
    wheels, folder = tmp_path / "wheels", tmp_path / "elsewhere"
    folder.mkdir()
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, REPOSITORY, cwd=folder)
    (wheel,) = wheels.glob("face68-*.whl")
    assert wheel.stat().st_size < 4_500_000
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=folder)  # whose pip takes seconds
    python = next((tmp_path / "venv").glob("[bS]*/python*"))
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile")
    run(*pip, wheel, cwd=folder)
    for name in FOREIGN:
        (folder / f"{name}.py").write_text("raise SystemExit('of somebody else')")
    Image.fromarray(hopper).save(folder / "photo.png")
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
    networks = {f"face68/{path.name}" for path in (REPOSITORY / "saved_models").glob("[pd]*.onnx")}
    assert len(networks) == 4 and networks | {"face68/py.typed"} <= names
    licences = {name.partition("/licenses/")[2] for name in names}
    assert {"LICENSE", "saved_models/README.md"} <= licences, "the code's, and what the weights may be used for"
    assert run(python.with_name("face68"), "--version", cwd=folder) == f"face68 {__version__}\n"
    line = json.loads(run(python.with_name("face68"), "photo.png", "--output", "marked", cwd=folder))
    assert line["image"] == "photo.png" and len(line["faces"]) == 1 and is_marked(folder / "marked" / "photo.png")
    given = json.loads(run(python, "-c", CODE, json.dumps(BOX), cwd=folder))
    (here,) = Landmarker()(hopper, boxes=[BOX])
    np.testing.assert_allclose(given["keypoints"], here.keypoints, atol=0.1)  # px; there may be another OpenCV there
    assert given["box"] == list(BOX) and given["face_score"] == pytest.approx(here.face_score, abs=0.01)


def requirement(line: str) -> tuple[str, str]:
    return re.fullmatch(r"([a-z-]+)([<>=].*)", line.partition("#")[0].strip()).groups()


def test_the_wheel_and_requirements_txt_agree():
    tomllib = pytest.importorskip("tomllib")  # since Python 3.11
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wheel = dict(map(requirement, [*project["dependencies"], *extras["films"], *extras["train"]]))
    wheel["opencv-python"] = wheel.pop("opencv-python-headless")  # video.py opens windows
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    assert wheel == dict(map(requirement, lines))


def ask(*line, cwd: Path, **more) -> subprocess.CompletedProcess:
    """`face68 …` in a checkout."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "face68", *map(str, line)]
    return subprocess.run(command, cwd=cwd, capture_output=True, env=environment, timeout=600, **more)


def test_the_command_gives_points_as_json_and_pictures(tmp_path, hopper):
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", hopper)
    write_image(tmp_path / "photos" / "nobody.png", np.zeros_like(hopper))
    (tmp_path / "photos" / "broken.png").write_bytes(b"x")
    done = ask("photos", "--network", "base", "--output", "marked", cwd=tmp_path)
    found, nobody = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 2 and done.stderr.startswith(b"error: photos/broken.png: is not an image")
    assert done.stderr.count(b"\n") == 1
    assert found["image"] == "photos/a.png" and (found["width"], found["height"]) == (512, 600)
    np.testing.assert_allclose(found["faces"][0]["keypoints"], Landmarker("base")(hopper)[0].keypoints, atol=0.01)
    assert nobody["faces"] == [] and sorted(p.name for p in (tmp_path / "marked").iterdir()) == ["a.png", "nobody.png"]
    piped = ask("-", cwd=tmp_path, input=(tmp_path / "photos" / "a.png").read_bytes())
    assert piped.returncode == 0 and len(json.loads(piped.stdout)["faces"]) == 1


def test_the_command_replaces_no_photo(tmp_path, hopper):
    Image.fromarray(hopper).save(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    for line in (("photo.png", "--output", "."), ("missing.png",), ("photo.png", "--network", "huge")):
        done = ask(*line, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1
        assert done.stdout == b"" and (tmp_path / "photo.png").read_bytes() == before
