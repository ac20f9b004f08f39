import json

import cv2
import numpy as np
import pytest
import torch
from conftest import SAMPLE, one_line_error

import detect
import geometry
from checkpoint import PRETRAINED, load_checkpoint
from images import read_image, write_image
from landmarks import read_csv, read_json
from metrics import nme
from predict import Landmarker

torch.set_num_threads(2)


@pytest.fixture(scope="module")
def hopper():
    from matplotlib import cbook

    return read_image(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture(scope="module")
def landmarker():
    return Landmarker(PRETRAINED, "haar")


def test_a_real_photograph(hopper, landmarker):
    """The eyes, the nose and the mouth are where they are seen in the picture, looked up by hand in an enlargement.

    The limit is a twelfth of the distance between the outer eye corners, 120 px here.
    """
    (face,) = landmarker(hopper)
    seen = {(36, 42): (222, 190), (42, 48): (307, 187), (31, 36): (267, 248), (48, 68): (269, 279)}
    for (first, last), place in seen.items():
        np.testing.assert_allclose(face.keypoints[first:last].mean(axis=0), place, atol=10)
    x0, y0, x1, y1 = face.box
    assert 140 < x0 < 200 and 120 < y0 < 180 and 330 < x1 < 390 and 320 < y1 < 370


def test_the_command_on_the_photograph_that_comes_with_matplotlib(tmp_path, command, landmarker, hopper):
    result = command("predict.py", "--checkpoint", PRETRAINED, "--output", tmp_path / "out.png", "--json", "p.json")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "1 face" in result.stdout and str(PRETRAINED) in result.stdout
    picture = read_image(tmp_path / "out.png")
    assert picture.shape == hopper.shape and (picture != hopper).any()
    (entry,) = json.loads((tmp_path / "p.json").read_text())["images"]
    assert (entry["width"], entry["height"]) == (hopper.shape[1], hopper.shape[0])
    assert set(entry["faces"][0]) == {"box", "score", "keypoints"}
    (read,) = read_json(tmp_path / "p.json")
    np.testing.assert_allclose(read.faces[0].keypoints, landmarker(hopper)[0].keypoints, atol=0.02)


def test_points_follow_a_scaled_photograph(hopper, landmarker):
    """What is found in a photo of half the size is half of what is found in the photo."""
    half = cv2.resize(hopper, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    (box,), _ = detect.haar(hopper)
    large = landmarker.predict([hopper], [box]).keypoints
    small = landmarker.predict([half], [(box + 0.5) / 2 - 0.5]).keypoints
    assert nme((small + 0.5) * 2 - 0.5, large)[0] < 0.01


def test_two_faces_come_left_to_right(hopper, landmarker):
    faces = landmarker(np.hstack([hopper, hopper]))
    assert len(faces) == 2
    # Haar frames the two a little differently, so their points differ by a few pixels.
    np.testing.assert_allclose(faces[1].keypoints[:, 0] - faces[0].keypoints[:, 0], hopper.shape[1], atol=8)


def test_no_face_is_no_error(tmp_path, command):
    write_image(tmp_path / "blank.png", np.full((60, 80, 3), 90, np.uint8))
    result = command("predict.py", "--image", "blank.png", "--checkpoint", PRETRAINED, "--output", "out.png")
    assert result.returncode == 0 and "no face found" in result.stdout
    np.testing.assert_array_equal(read_image(tmp_path / "out.png"), read_image(tmp_path / "blank.png"))


def test_a_folder(tmp_path, command):
    folder = tmp_path / "photos ü"
    folder.mkdir()
    for i, path in enumerate(sorted((SAMPLE / "test").glob("*.jpg"))[:3]):
        (folder / f"-{i}.jpg").write_bytes(path.read_bytes())
    arguments = ("--detector", "none", "--checkpoint", PRETRAINED, "--output", "marked", "--json", "all.json")
    result = command("predict.py", "--image", folder, *arguments)
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "marked").iterdir())) == 3
    assert [len(image.faces) for image in read_json(tmp_path / "all.json")] == [1, 1, 1]


@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_an_unusable_image_is_one_line(tmp_path, command, content):
    if content is not None:
        (tmp_path / "photo.jpg").write_bytes(content)
    result = command("predict.py", "--image", "photo.jpg", "--checkpoint", PRETRAINED)
    assert "photo.jpg" in one_line_error(result)


def test_a_photo_is_never_overwritten(tmp_path, command):
    write_image(tmp_path / "photo.png", np.zeros((40, 40, 3), np.uint8))
    before = (tmp_path / "photo.png").read_bytes()
    result = command("predict.py", "--image", "photo.png", "--output", "photo.png", "--checkpoint", PRETRAINED)
    assert "photo.png" in one_line_error(result)
    assert (tmp_path / "photo.png").read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint", "other"])
def test_an_unusable_checkpoint_is_one_line(tmp_path, command, content):
    path = tmp_path / "net.pt"
    if content == "other":
        torch.save({"weights": {}}, path)
    elif content is not None:
        path.write_bytes(content)
    assert "net.pt" in one_line_error(command("predict.py", "--checkpoint", path))


def test_a_checkpoint_of_another_network_is_one_line(tmp_path, command):
    torch.save(load_checkpoint(PRETRAINED) | {"model": "net"}, tmp_path / "net.pt")
    assert "train it again" in one_line_error(command("predict.py", "--checkpoint", tmp_path / "net.pt"))


def test_a_checkpoint_that_runs_code_is_refused(tmp_path, command):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "written by the checkpoint"), "w"))

    torch.save({"weights": Harmful()}, tmp_path / "net.pt")
    one_line_error(command("predict.py", "--checkpoint", tmp_path / "net.pt"))
    assert not (tmp_path / "written by the checkpoint").exists()


def test_the_shipped_network_on_real_faces(real_data, landmarker):
    """A regression bound well above the measured error: a wrong crop, colour or shift would break it."""
    names, keypoints = read_csv(real_data / "test_frames_keypoints.csv")
    images = [read_image(real_data / "test" / name) for name in names]
    predicted = landmarker.predict(images, [geometry.box_of(points) for points in keypoints])
    assert nme(predicted.keypoints, keypoints).mean() < 0.065
