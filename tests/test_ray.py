"""examples/predict_ray.py on a Ray of this machine: the faces of predict.py, and nothing done twice or lost."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY, SAMPLE, digests, one_line_error

from face68.formats import read_jsonl

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

SCRIPT = "examples/predict_ray.py"
BAD = "bad.jpg"


@pytest.fixture(scope="module", autouse=True)
def importable():
    """face68 of this checkout, also for Ray's workers, which inherit the variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
        yield


@pytest.fixture(scope="module")
def cluster(importable):
    """The address of a Ray with two cores."""
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture
def find(command, cluster):
    """Run the command in the cluster, 16 photos a file."""
    return lambda *arguments: command(SCRIPT, *arguments, "--batch-size", 16, "--address", cluster)


@pytest.fixture
def photos(tmp_path):
    """The sample's 50 test photos, a portrait, a photo without a face and a damaged one, as "photos/…"."""
    folder = tmp_path / "photos"
    shutil.copytree(SAMPLE / "test", folder)
    shutil.copy(REPOSITORY / "docs" / "collins.jpg", folder)
    shutil.copy(REPOSITORY / "docs" / "speed.png", folder)
    (folder / BAD).write_bytes((folder / "collins.jpg").read_bytes()[:5000])
    return folder


def lines_by_photo(*files):
    """Each photo's line, as it is written."""
    lines = [line for path in files for line in path.read_text().splitlines()]
    by_photo = {json.loads(line)["image"]: line for line in lines}
    assert len(by_photo) == len(lines)  # none is there twice
    return by_photo


def test_the_faces_are_those_of_predict(find, call, photos, tmp_path):
    result = find("photos", "--output", "faces")
    call("--image", "photos", "--no-pictures", "--jsonl", "plain.jsonl")
    files = sorted((tmp_path / "faces").iterdir())
    found, plain = lines_by_photo(*files), lines_by_photo(tmp_path / "plain.jsonl")
    assert found == plain and len(found) == 52 and len(files) == 4
    by_read = {one.image: one for path in files for one in read_jsonl(path)}
    assert len(by_read["photos/collins.jpg"].faces) == 1 and by_read["photos/speed.png"].faces == []
    # The damaged photo is a line on stderr, where Ray may say something too.
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: photos/{BAD}: ") and result.returncode == 2
    assert "52 photos done, 51 faces" in result.stdout


def test_what_was_done_is_skipped_and_what_is_missing_is_made_up_for(find, photos, tmp_path):
    (photos / BAD).unlink()
    assert find("photos", "--output", "faces").returncode == 0
    whole = lines_by_photo(*(tmp_path / "faces").iterdir())
    before = digests(tmp_path / "faces")
    times = {path: path.stat().st_mtime_ns for path in before}
    again = find("photos", "--output", "faces")
    assert again.returncode == 0 and "52 of 52 photos are done already" in again.stdout
    assert digests(tmp_path / "faces") == before

    # A run that was killed: half of the files aren't there, one is unfinished.
    lost, torn, *kept = sorted(before)
    torn.rename(torn.with_name(".partial-0123456789abcdef.jsonl"))
    lost.unlink()
    done = len(lines_by_photo(*kept))
    on = find("photos", "--output", "faces")
    assert on.returncode == 0 and f"{done} of 52 photos are done already" in on.stdout
    assert lines_by_photo(*(tmp_path / "faces").iterdir()) == whole  # the leftover is gone, too
    assert {path: path.stat().st_mtime_ns for path in kept} == {path: times[path] for path in kept}


def test_a_photo_that_was_mended_is_found_by_the_next_run(find, photos, tmp_path):
    for path in photos.iterdir():
        if path.name not in (BAD, "collins.jpg"):
            path.unlink()
    assert find(photos, "--output", "faces").returncode == 2
    shutil.copy(photos / "collins.jpg", photos / BAD)
    assert find(photos, "--output", "faces").returncode == 0
    found = lines_by_photo(*(tmp_path / "faces").iterdir())
    assert set(found) == {str(photos / BAD), str(photos / "collins.jpg")}  # as they were named, here absolute


def test_a_ray_of_its_own_without_an_address(command, photos):
    result = command(SCRIPT, photos / "collins.jpg", "--output", "faces", "--concurrency", 2)
    assert result.returncode == 0 and "1 photos done, 1 faces" in result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["no*.jpg"], "no*.jpg"),
        (["photos", "--checkpoint", "missing.onnx"], "missing.onnx"),
        (["photos", "--batch-size", "0"], "--batch-size"),
        (["photos", "--address", "nonsense"], "--address"),
        (["photos", "--output", "photos/bad.jpg"], "photos/bad.jpg"),
    ],
)
def test_bad_input_is_one_line(command, photos, arguments, named):
    output = [] if "--output" in arguments else ["--output", "faces"]
    assert named in one_line_error(command(SCRIPT, *arguments, *output))


def test_a_folder_with_others_jsonl_is_refused(command, photos, tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "other.jsonl").write_text('{"text": "of somebody else"}\n')
    assert "other.jsonl" in one_line_error(command(SCRIPT, "photos", "--output", "faces"))


def test_without_ray_it_says_what_to_install(photos, tmp_path):
    code = f"""
import runpy, sys
sys.modules["ray"] = None
sys.argv = ["predict_ray.py", "photos", "--output", "faces"]
runpy.run_path({str(REPOSITORY / SCRIPT)!r}, run_name="__main__")
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "pip install 'ray[data]'" in one_line_error(result)
