"""The prediction command on whatever a user has, and the class behind it."""

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from conftest import PRETRAINED, REPOSITORY, SAMPLE, one_line_error
from PIL import Image

import predict
from checkpoint import TorchNetwork, load_checkpoint
from data_load import read_csv
from face68 import detect, geometry
from face68.command import arguments as commandline
from face68.command import results
from face68.formats import read_coco, read_faces_csv, read_json, read_jsonl, read_pts
from face68.images import read_image, write_image
from face68.landmarker import MIN_FACE_SCORE, Landmarker, Predictions, combine, upright_frame
from face68.landmarks import FLIP
from metrics import nme

torch.set_num_threads(2)


@pytest.fixture(scope="module")
def hopper():
    from matplotlib import cbook

    return read_image(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture(scope="module")
def landmarker():
    return Landmarker(TorchNetwork(PRETRAINED), "haar")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run predict.py's `main` as the command does, but in this process: torch is there already."""

    def run(*arguments, detector="haar"):
        detecting = [] if detector is None else ["--detector", detector]
        line = ["predict.py", "--checkpoint", PRETRAINED, *detecting, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, line)))
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as exit_:
            commandline.run(predict.main)
        output, errors = capsys.readouterr()
        return SimpleNamespace(returncode=exit_.value.code or 0, stdout=output, stderr=errors)

    return run


@pytest.fixture
def photos(tmp_path, hopper):
    """A folder of six drawn faces, as whole frames: "photos/0.jpg" … "photos/5.jpg"."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, path in enumerate(sorted((SAMPLE / "test").glob("*.jpg"))[:6]):
        (folder / f"{i}.jpg").write_bytes(path.read_bytes())
    return folder


def digests(folder) -> dict:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


# --- The class ------------------------------------------------------------------------------------------------


def test_a_real_photograph(hopper, landmarker):
    """The eyes, the nose and the mouth are where they are seen in the picture, looked up by hand in an enlargement.

    The limit is a twentieth of the distance between the outer eye corners, 120 px here.
    """
    (face,) = landmarker(hopper)
    seen = {(36, 42): (222, 190), (42, 48): (307, 187), (31, 36): (267, 248), (48, 68): (269, 279)}
    for (first, last), place in seen.items():
        np.testing.assert_allclose(face.keypoints[first:last].mean(axis=0), place, atol=6)
    x0, y0, x1, y1 = face.box
    assert 140 < x0 < 200 and 120 < y0 < 180 and 330 < x1 < 390 and 320 < y1 < 370


def test_points_follow_a_scaled_photograph(hopper, landmarker):
    """What is found in a photo of half the size is half of what is found in the photo."""
    half = cv2.resize(hopper, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    (box,), _ = detect.Haar()(hopper)
    large = landmarker.predict([hopper], [box]).keypoints
    small = landmarker.predict([half], [(box + 0.5) / 2 - 0.5]).keypoints
    assert nme((small + 0.5) * 2 - 0.5, large)[0] < 0.01


@pytest.mark.parametrize("degrees", [-35, -15, 15, 35, 90, 180, 270])
def test_points_follow_a_turned_photograph(hopper, landmarker, degrees):
    """Later passes level the eyes, so a head on the shoulder has the points of an upright one. The first one turns a
    photo that lies on its side or stands on its head.
    """
    matrix = geometry.similarity((269, 250), (300, 300), degrees=degrees)
    turned = geometry.warp(hopper, matrix, 600, 600)
    (upright,) = landmarker(hopper)
    center = geometry.transform_points(np.array([268, 252]), matrix)
    (face,) = landmarker(turned, boxes=[(*center - 98, *center + 98)])
    expected = geometry.transform_points(upright.keypoints, matrix)
    assert nme(face.keypoints[None], expected[None])[0] < 0.03


def test_the_upright_frame_of_turned_points_is_theirs_turned(hopper, landmarker):
    points = landmarker(hopper)[0].keypoints
    box, degrees = upright_frame(points)
    matrix = geometry.similarity((250, 260), (90, 40), scale=2, degrees=25)
    turned_box, turned_degrees = upright_frame(geometry.transform_points(points, matrix))
    assert turned_degrees == pytest.approx(degrees - 25, abs=1e-3)
    centers = (box[:2] + box[2:]) / 2, (turned_box[:2] + turned_box[2:]) / 2
    np.testing.assert_allclose(geometry.transform_points(centers[0], matrix), centers[1], atol=1e-2)
    assert turned_box[2] - turned_box[0] == pytest.approx(2 * (box[2] - box[0]), abs=1e-2)


def test_a_mirrored_pass_is_that_over_the_mirrored_photograph(hopper, landmarker):
    """Turned boxes too: what mirrors the crop must turn it the other way and renumber the points."""
    box, degrees = upright_frame(landmarker(hopper)[0].keypoints)
    one = landmarker.predict([hopper], [box], [degrees + 10], mirror=True)
    last = hopper.shape[1] - 1
    flipped = np.ascontiguousarray(hopper[:, ::-1])
    other = landmarker.predict([flipped], [(last - box[2], box[1], last - box[0], box[3])], [-degrees - 10])
    np.testing.assert_allclose(one.keypoints[..., 0], last - other.keypoints[:, FLIP, 0], atol=0.05)
    np.testing.assert_allclose(one.keypoints[..., 1], other.keypoints[:, FLIP, 1], atol=0.05)
    np.testing.assert_allclose(one.errors, other.errors[:, FLIP], rtol=0.01)
    assert nme(one.keypoints, landmarker.predict([hopper], [box], [degrees]).keypoints)[0] < 0.03


def test_the_points_of_a_face_that_is_turned_are_not_trusted(hopper, landmarker):
    """The face score tells where one pass is lost."""
    (face,) = landmarker(hopper)
    scores = landmarker.predict([hopper] * 4, [face.box] * 4, [0, 90, 180, 270]).face_scores
    assert scores[0] > 0.9 and (scores[1:] < MIN_FACE_SCORE).all()


def test_a_face_is_turned_only_where_that_shows_one_better(landmarker, monkeypatch):
    """Four faces: upright for sure, on its head, none however it is turned, upright but not surely."""
    scores = {
        0: [0.99, 0.50, 0.10, 0.90],
        90: [1.00, 0.70, 0.30, 0.70],
        180: [1.00, 0.99, 0.50, 0.97],
        270: [1.00, 0.80, 0.20, 0.85],
    }

    def predict(images, boxes, degrees=(0,)):
        faces = boxes[:, 0].astype(int)
        points = np.full((len(faces), 68, 2), degrees[0], np.float32)
        return Predictions(points, points[..., 0].copy(), np.array(scores[degrees[0]], np.float32)[faces])

    monkeypatch.setattr(landmarker, "predict", predict)
    found = landmarker.first_pass([np.zeros((9, 9, 3), np.uint8)] * 4, np.arange(4.0)[:, None] + np.zeros(4))
    assert found.keypoints[:, 0, 0].tolist() == found.errors[:, 0].tolist() == [0, 180, 0, 0]
    assert found.face_scores.tolist() == pytest.approx([0.99, 0.99, 0.1, 0.9])


def test_passes_are_combined():
    def say(value, score):
        return Predictions(np.full((1, 68, 2), value), np.full((1, 68), value), np.array([score]))

    together = combine(say(9.0, 0.2), say(1.0, 0.9), say(2.0, 0.4))  # the first only frames the second
    assert (together.keypoints == 1.5).all() and (together.errors == 1.5).all() and together.face_scores == [0.9]
    silent = [Predictions(np.full((1, 68, 2), value), None, None) for value in (9.0, 1.0, 2.0)]
    assert combine(*silent)[1:] == (None, None) and (combine(*silent).keypoints == 1.5).all()


def test_two_faces_come_left_to_right(hopper, landmarker):
    faces = landmarker(np.hstack([hopper, hopper]))
    assert len(faces) == 2
    # Haar frames the two a little differently, so their points differ by a few pixels.
    np.testing.assert_allclose(faces[1].keypoints[:, 0] - faces[0].keypoints[:, 0], hopper.shape[1], atol=8)


def test_a_batch_is_its_images(hopper, landmarker):
    images = [hopper, np.zeros((50, 60, 3), np.uint8), np.hstack([hopper, hopper])]
    together = landmarker.batch(images)
    assert [len(faces) for faces in together] == [1, 0, 2]
    for image, faces in zip(images, together, strict=True):
        for alone, face in zip(landmarker(image), faces, strict=True):
            assert alone.box == face.box
            # A pass's last digits move the next one's crop, which is cut to 1/32 px.
            np.testing.assert_allclose(alone.keypoints, face.keypoints, atol=0.05)
            np.testing.assert_allclose(alone.errors, face.errors, rtol=0.01)
    assert landmarker.batch([]) == []

    boxes = [(170, 155, 365, 350), (160, 150, 370, 360)]
    both = landmarker.predict([hopper, hopper], boxes)
    for i, box in enumerate(boxes):
        alone = landmarker.predict([hopper], [box])
        np.testing.assert_allclose(alone.keypoints[0], both.keypoints[i], atol=1e-2)
        np.testing.assert_allclose(alone.errors[0], both.errors[i], rtol=1e-3)


def test_what_the_network_holds_for_no_face_is_dropped(hopper):
    doubtful = Landmarker(TorchNetwork(PRETRAINED), "haar", min_face_score=0.3)
    with torch.no_grad():
        doubtful.network.model.model.face[-1].weight.zero_()
        doubtful.network.model.model.face[-1].bias.fill_(-1.0)  # a probability of 0.27
    assert doubtful(hopper) == []
    (face,) = doubtful(hopper, boxes=[(170, 155, 365, 350)])  # who gives a box is not doubted
    assert face.score is None and face.face_score == pytest.approx(0.269, abs=1e-3)
    doubtful.min_face_score = 0.25
    assert len(doubtful(hopper)) == 1


def test_the_readme_snippet_runs(tmp_path, monkeypatch, capsys, hopper):
    write_image(tmp_path / "photo.jpg", hopper)
    monkeypatch.chdir(tmp_path)
    section = (REPOSITORY / "README.md").read_text().partition("## Predict")[2].partition("\n## ")[0]
    (snippet,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    exec(snippet, {})
    assert "(68, 2)" in capsys.readouterr().out


def test_the_shipped_network_on_real_faces(real_data, landmarker):
    """A regression bound well above the measured error: a wrong crop, colour or shift would break it."""
    names, keypoints = read_csv(real_data / "test_frames_keypoints.csv")
    images = [read_image(real_data / "test" / name) for name in names]
    predicted = landmarker.predict(images, [geometry.box_of(points) for points in keypoints])
    assert nme(predicted.keypoints, keypoints).mean() < 0.065


# --- Input ----------------------------------------------------------------------------------------------------


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def write_every_kind(folder, rgb) -> None:
    image = Image.fromarray(rgb)
    gray = image.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned clockwise
    files = {
        "gray one.png": encoded(gray, "PNG"),
        "RGBA ü.png": encoded(image.convert("RGBA"), "PNG"),
        "palette 😀.gif": encoded(image.quantize(64), "GIF", save_all=True, append_images=[Image.new("P", image.size)]),
        "-16 bit.png": encoded(Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), "PNG"),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG", quality=92),
        "lying.jpg": encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=92),
        "wrong suffix.jpg": encoded(image, "PNG"),
        "bilevel [1].tiff": encoded(image.convert("1"), "TIFF"),
        "one pixel.bmp": encoded(Image.new("RGB", (1, 1)), "BMP"),
        "a line.webp": encoded(Image.new("RGB", (900, 1)), "WEBP"),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_every_kind_of_image_among_bad_files_through_the_real_command(tmp_path, command, hopper, landmarker):
    folder = tmp_path / "in"
    (folder / "empty.jpg").parent.mkdir()
    write_every_kind(folder, hopper)
    bad = {"empty.jpg": b"", "text.png": b"no image", "cut off.png": (folder / "RGBA ü.png").read_bytes()[:9000]}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    before = digests(folder)
    arguments = ("--checkpoint", PRETRAINED, "--detector", "haar", "--output", "out", "--json", "all.json")
    result = command("predict.py", "--image", folder, "missing.jpg", "no*match", *arguments)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == len(bad) + 2, result.stderr
    for name in [*bad, "missing.jpg", "no*match"]:
        assert sum(name in line and line.startswith("error: ") for line in lines) == 1, name
    assert digests(folder) == before
    faces = {image.image.rpartition("/")[2]: image for image in read_json(tmp_path / "all.json")}
    assert len(faces) == 10 and len(list((tmp_path / "out").rglob("*.*"))) == 10 + 1  # and a contact sheet
    expected = landmarker(hopper)[0].keypoints
    for name, image in faces.items():
        if name in ("one pixel.bmp", "a line.webp"):
            assert image.faces == []
        else:
            assert (image.width, image.height) == (hopper.shape[1], hopper.shape[0]), name
            limit = 0.06 if "bilevel" in name else 0.03
            assert nme(image.faces[0].keypoints[None], expected[None])[0] < limit, name


@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_an_unusable_image_is_one_line(tmp_path, call, content):
    if content is not None:
        (tmp_path / "photo.jpg").write_bytes(content)
    assert "photo.jpg" in one_line_error(call("--image", "photo.jpg", "--json", "points.json"))
    assert not (tmp_path / "points.json").exists()


def test_a_photo_from_standard_input(tmp_path, hopper):
    line = [sys.executable, REPOSITORY / "predict.py", "--image", "-", "--checkpoint", PRETRAINED, "--detector", "haar"]
    data = encoded(Image.fromarray(hopper), "PNG")
    result = subprocess.run(line, input=data, capture_output=True, timeout=120, cwd=tmp_path)
    assert result.returncode == 0 and b"-: 1 face -> outputs/stdin_keypoints.png" in result.stdout, result.stderr
    assert read_image(tmp_path / "outputs" / "stdin_keypoints.png").shape == hopper.shape
    result = subprocess.run(line, input=b"text", capture_output=True, timeout=120, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.startswith(b"error: standard input: is not an image")


def test_folders_globs_and_files_name_each_photo_once(tmp_path, photos, call):
    (photos / "sub").mkdir()
    for name in ("3.jpg", "4.jpg"):
        (photos / name).rename(photos / "sub" / name)
    (photos / "5.jpg").rename(photos / "-5.jpg")
    result = call("--image", "photos/0.jpg", "photos", "photos/[01].jpg", "--image", "photos/**/3*", detector="none")
    assert result.returncode == 0, result.stderr
    found = sorted(str(path.relative_to(tmp_path / "outputs")) for path in (tmp_path / "outputs").rglob("*"))
    assert found == ["-5.jpg", "0.jpg", "1.jpg", "2.jpg", "contact_sheet_1.jpg", "sub", "sub/3.jpg"]
    result = call("--image", "photos", "--recursive", "--no-pictures", "--json", "all.json", detector="none")
    assert len(read_json(tmp_path / "all.json")) == 6
    one = call("--image", "photos/-5.jpg", "--output", "marked.jpg", detector="none")
    assert "1 face -> marked.jpg" in one.stdout


def test_file_names_that_are_no_text(tmp_path, photos, command):
    name = os.fsdecode(b"caf\xe9.jpg")
    (photos / "0.jpg").rename(photos / name)
    arguments = ("--checkpoint", PRETRAINED, "--detector", "none", "--csv", "all.csv", "--json", "all.json")
    result = command("predict.py", "--image", photos, *arguments)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "outputs" / name).exists()
    for read, file in ((read_json, "all.json"), (read_faces_csv, "all.csv")):
        assert str(photos / name) in [image.image for image in read(tmp_path / file)]


@pytest.mark.parametrize("option", ["--output", "--json", "--csv", "--coco", "--jsonl"])
def test_a_photo_is_never_overwritten(photos, call, option):
    (photos / "link.png").symlink_to(photos / "1.jpg")
    before = digests(photos)
    for place in ("photos/1.jpg", "photos/link.png"):
        assert place in one_line_error(call("--image", "photos/1.jpg", option, place, detector="none"))
    assert digests(photos) == before


def test_a_folder_of_photos_takes_no_results_of_theirs(photos, call):
    (photos / "0.pts").write_text("somebody's labels")
    before = digests(photos)
    for option in ("--output", "--pts"):
        assert "photos" in one_line_error(call("--image", "photos", option, "photos", detector="none"))
    assert digests(photos) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--json", "a.txt", "--csv", "a.txt"), "a.txt: is named for two results"),
        (("--output", "marked.png"), "marked.png: is a file's name"),
        (("--resume",), "--jsonl"),
        (("--box", "1,2,3"), "x0,y0,x1,y1"),
        (("--box", "9,9,3,20"), "left,top,right,bottom"),
        (("--min-face-score", "2"), "0 to 1"),
        (("--checkpoint", "missing.pt"), "missing.pt"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(photos, call, arguments, told):
    assert told in one_line_error(call("--image", "photos", *arguments, detector="none"))


def test_boxes_by_hand(tmp_path, call, hopper, landmarker):
    write_image(tmp_path / "two.png", np.hstack([hopper, hopper]))
    call("--image", "two.png", "--box", "682,155,877,350", "--box", "170,155,365,350", "--json", "two.json")
    (image,) = read_json(tmp_path / "two.json")
    assert [face.box for face in image.faces] == [(170, 155, 365, 350), (682, 155, 877, 350)]
    assert [face.score for face in image.faces] == [None, None]
    found = landmarker(hopper)[0].keypoints
    np.testing.assert_allclose(image.faces[0].keypoints, found, atol=6)


# --- Output ---------------------------------------------------------------------------------------------------


def test_the_command_on_the_photograph_that_comes_with_matplotlib(tmp_path, command, landmarker, hopper):
    files = ("--json", "p.json", "--csv", "p.csv", "--coco", "p.coco", "--jsonl", "p.jsonl", "--pts", "pts")
    arguments = ("--checkpoint", PRETRAINED, "--detector", "haar", "--output", tmp_path / "out.png")
    result = command("predict.py", *arguments, *files, "--numbers", "--boxes", "--confidence")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "1 face" in result.stdout and str(PRETRAINED) in result.stdout
    picture = read_image(tmp_path / "out.png")
    assert picture.shape == hopper.shape and (picture != hopper).any()
    (face,) = landmarker(hopper)
    readers = {"p.json": read_json, "p.csv": read_faces_csv, "p.coco": read_coco, "p.jsonl": read_jsonl}
    for name, read in readers.items():
        (image,) = read(tmp_path / name)
        assert (image.width, image.height) == (hopper.shape[1], hopper.shape[0])
        np.testing.assert_allclose(image.faces[0].keypoints, face.keypoints, atol=0.02)
        assert image.faces[0].score == pytest.approx(face.score, abs=1e-3)
        np.testing.assert_allclose(image.faces[0].errors, face.errors, atol=0.01)
    np.testing.assert_allclose(read_pts(tmp_path / "pts" / "grace_hopper.pts"), face.keypoints, atol=0.02)


def test_no_face_is_no_error(tmp_path, call):
    write_image(tmp_path / "blank.png", np.full((60, 80, 3), 90, np.uint8))
    result = call("--image", "blank.png", "--output", "out.png", "--pts", "pts")
    assert result.returncode == 0 and "no face found" in result.stdout
    np.testing.assert_array_equal(read_image(tmp_path / "out.png"), read_image(tmp_path / "blank.png"))
    assert not (tmp_path / "pts").exists()


def test_pts_files_are_named_after_photo_and_face(tmp_path, call, hopper):
    for name in ("a.jpg", "a.png", "sub/a.png", "two.png"):
        write_image(tmp_path / "in" / name, np.hstack([hopper, hopper]) if name == "two.png" else hopper)
    call("--image", "in", "--recursive", "--no-pictures", "--pts", "pts", "--json", "all.json")
    found = sorted(str(path.relative_to(tmp_path / "pts")) for path in (tmp_path / "pts").rglob("*.pts"))
    assert found == ["a.jpg.pts", "a.png.pts", "sub/a.pts", "two.face2.pts", "two.pts"]
    second = read_json(tmp_path / "all.json")[-1].faces[1]
    np.testing.assert_allclose(read_pts(tmp_path / "pts" / "two.face2.pts"), second.keypoints, atol=0.01)


def test_contact_sheets_have_pages_named_after_their_first_photo(tmp_path, call, photos, monkeypatch):
    monkeypatch.setattr(results, "PAGE", 4)
    call("--image", "photos", "--output", "out", detector="none")
    pages = sorted((tmp_path / "out").glob("contact_sheet_*.jpg"))
    assert [page.name for page in pages] == ["contact_sheet_1.jpg", "contact_sheet_5.jpg"]
    first, second = (read_image(page) for page in pages)
    assert first.shape[1] > 1.8 * second.shape[1], "four photos are wider than two"


def test_a_run_that_cannot_begin_spoils_nothing(tmp_path, call, photos, monkeypatch):
    monkeypatch.setenv("YUNET_FILE", "missing.onnx")
    (tmp_path / "all.jsonl").write_text("precious\n")
    run = ("--image", "photos", "--jsonl", "all.jsonl")
    assert "missing.pt" in one_line_error(call(*run, "--checkpoint", "missing.pt"))
    assert "missing.onnx" in one_line_error(call(*run, detector="yunet"))
    assert "all.jsonl: line 1: not JSON" in one_line_error(call(*run, "--resume"))
    assert (tmp_path / "all.jsonl").read_text() == "precious\n"


def test_resume_does_the_rest_once(tmp_path, call, photos):
    run = ("--image", "photos", "--no-pictures", "--jsonl", "all.jsonl", "--json", "all.json")
    call(*run, detector="none")
    whole = (tmp_path / "all.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (tmp_path / "all.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:100])  # as if it was killed there
    result = call(*run, "--resume", detector="none")
    assert "3 of 6 photos are done already" in result.stdout and result.stdout.count("1 face") == 3
    assert (tmp_path / "all.jsonl").read_bytes() == whole
    assert len(read_json(tmp_path / "all.json")) == 6
    again = call(*run, "--resume", detector="none")
    assert again.returncode == 0 and "1 face" not in again.stdout and (tmp_path / "all.jsonl").read_bytes() == whole


def test_ctrl_c_keeps_what_is_done(tmp_path, photos):
    for i in range(6, 400):
        (photos / f"{i}.jpg").write_bytes((photos / f"{i % 6}.jpg").read_bytes())
    arguments = ["--checkpoint", PRETRAINED, "--detector", "none", "--jsonl", "all.jsonl", "--json", "all.json"]
    line = [sys.executable, REPOSITORY / "predict.py", "--image", "photos", *arguments]
    process = subprocess.Popen(
        line,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == "stopped by Ctrl-C\n"
    done = read_jsonl(tmp_path / "all.jsonl")
    assert 0 < len(done) < 400
    assert [image.image for image in read_json(tmp_path / "all.json")] == [image.image for image in done]
    assert all((tmp_path / "outputs" / image.image.rpartition("/")[2]).exists() for image in done)
    assert not list(tmp_path.rglob(".partial-*"))


# --- Checkpoints ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint", "other"])
def test_an_unusable_checkpoint_is_one_line(tmp_path, call, content):
    path = tmp_path / "net.pt"
    if content == "other":
        torch.save({"weights": {}}, path)
    elif content is not None:
        path.write_bytes(content)
    assert "net.pt" in one_line_error(call("--checkpoint", path))


def test_a_checkpoint_of_another_network_is_one_line(tmp_path, call):
    torch.save(load_checkpoint(PRETRAINED) | {"model": "net"}, tmp_path / "net.pt")
    assert "train it again" in one_line_error(call("--checkpoint", tmp_path / "net.pt"))


def test_a_checkpoint_that_runs_code_is_refused(tmp_path, call):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "written by the checkpoint"), "w"))

    torch.save({"weights": Harmful()}, tmp_path / "net.pt")
    one_line_error(call("--checkpoint", tmp_path / "net.pt"))
    assert not (tmp_path / "written by the checkpoint").exists()
