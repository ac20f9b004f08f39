"""The prediction command on whatever a user has."""

import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from conftest import PRETRAINED, REPOSITORY, SHIPPED, Terminal, digests, encoded, one_line_error
from PIL import Image

import predict
from cli.outputs import only_writer
from evaluation.metrics import nme
from face68.files import InputError
from face68.formats import read_coco, read_faces_csv, read_json, read_jsonl, read_pts
from face68.images import read_image, write_image
from face68.measures import NAMES
from training.checkpoint import load_checkpoint

# The face in black and white dots is just found; this version's sums in 8 bits leave it just below the limit.
ROUNDS_OTHERWISE = onnxruntime.__version__.startswith("1.21.")

# --- Input ----------------------------------------------------------------------------------------------------


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
    arguments = ("--checkpoint", "large", "--output", "out", "--json", "all.json")
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
        elif image.faces or not ("bilevel" in name and ROUNDS_OTHERWISE):
            assert (image.width, image.height) == (hopper.shape[1], hopper.shape[0]), name
            limit = 0.06 if "bilevel" in name else 0.03
            assert nme(image.faces[0].keypoints[None], expected[None])[0] < limit, name


def test_a_photo_from_standard_input(tmp_path, hopper):
    line = [sys.executable, REPOSITORY / "predict.py", "--image", "-", "--checkpoint", SHIPPED]
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
    result = call("photos", "--recursive", "--no-pictures", "--json", "all.json", detector="none")
    assert len(read_json(tmp_path / "all.json")) == 6
    one = call("--image", "photos/-5.jpg", "--output", "marked.jpg", detector="none")
    assert "1 face -> marked.jpg" in one.stdout


@pytest.mark.parametrize("option", ["--output", "--json", "--csv", "--coco", "--jsonl"])
def test_a_photo_and_the_network_are_never_overwritten(tmp_path, photos, call, option):
    (photos / "link.png").symlink_to(photos / "1.jpg")
    (tmp_path / "net.onnx").write_bytes(SHIPPED.read_bytes())
    before = digests(tmp_path)
    for path in ("photos/1.jpg", "photos/link.png", "net.onnx"):
        arguments = ("photos/1.jpg", "--checkpoint", "net.onnx", "--overwrite", option, path)
        if not (option == "--output" and path == "net.onnx"):  # which is taken for a folder's name
            assert f"{path}: is read by this run" in one_line_error(call(*arguments, detector="none"))
    assert digests(tmp_path) == before


def test_a_command_that_is_run_again_replaces_what_it_wrote(tmp_path, call, photos):
    (photos / "0.jpg").rename(photos / "0.bmp")  # the content decides; a BMP of ours couldn't say whose it is
    files = ("--json", "all.json", "--csv", "all.csv", "--coco", "all.coco", "--jsonl", "all.jsonl", "--pts", "pts")
    run = ("photos", "--output", "out", *files)
    for _ in range(2):
        assert call(*run, detector="none").returncode == 0
    before = digests(tmp_path)
    assert len([path for path in before if "out" in path.parts]) == 6 + 1
    assert call(*run, detector="none").returncode == 0
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("out/1.jpg", "--output", "out"), ("labels.csv", "--csv", "labels.csv"), ("pts/3.pts", "--pts", "pts")],
)
def test_what_somebody_else_wrote_is_replaced_only_with_overwrite(tmp_path, call, photos, name, option, value):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("somebody's")
    before = digests(tmp_path)
    line = one_line_error(call("photos", option, value, detector="none"))
    assert f"error: {name}: " in line and "--overwrite" in line and digests(tmp_path) == before
    assert call("photos", option, value, "--overwrite", detector="none").returncode == 0
    assert (tmp_path / name).read_bytes() != b"somebody's"


def test_one_photo_that_fails_costs_no_other(tmp_path, call, photos, monkeypatch):
    Image.new("RGB", (40, 9)).save(photos / "2.png")

    def fail(image: np.ndarray, faces: list, **options) -> np.ndarray:
        return image if image.shape[0] != 9 else image[None]

    monkeypatch.setattr(predict, "draw_faces", fail)
    result = call("photos", "--json", "all.json", "--output", "out", detector="none")
    assert "photos/2.png" in one_line_error(result)
    assert len(read_json(tmp_path / "all.json")) == 6 and len(list((tmp_path / "out").iterdir())) == 6 + 1


@pytest.mark.parametrize("size", [(40_000, 9), (9, 40_000), (33_000, 200)])
def test_a_photo_of_any_sides_is_looked_at(tmp_path, call, size):
    """OpenCV warps no picture with a side of 32,767 pixels or more: what is needed of it is cut out."""
    Image.new("RGB", size).save(tmp_path / "long.png")
    for where in (("--detector", "none"), ("--box=-3,-3,5,9",), ("--box", "0,0,900000,900000"), ()):
        assert call("--image", "long.png", "--json", "a.json", "--no-pictures", *where).returncode == 0
    assert [image.width for image in read_json(tmp_path / "a.json")] == [size[0]]


def test_names_that_are_no_text_or_play_with_the_terminal(tmp_path, call, photos):
    no_text = os.fsdecode(b"caf\xe9.jpg")
    (photos / "2.jpg").rename(photos / no_text)
    (photos / "0.jpg").rename(photos / "a\nb.jpg")
    (photos / "1.jpg").rename(photos / "\x1b[31mred.jpg")
    (photos / "bad\x1b[2J\n.jpg").write_bytes(b"")
    result = call("photos", "--json", "all.json", "--csv", "all.csv", detector="none")
    assert r"photos/bad\x1b[2J\n.jpg: is empty" in one_line_error(result)
    assert len(result.stdout.splitlines()) == 1 + 6 + 1 and "\x1b" not in result.stdout + result.stderr
    assert r"photos/a\nb.jpg: 1 face -> outputs/a\nb.jpg" in result.stdout
    for read, file in ((read_json, "all.json"), (read_faces_csv, "all.csv")):
        names = {image.image for image in read(tmp_path / file)}
        assert {"photos/a\nb.jpg", "photos/\x1b[31mred.jpg", f"photos/{no_text}"} <= names, "the names themselves"
    assert (tmp_path / "outputs" / no_text).exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--json", "a.txt", "--csv", "a.txt"), "a.txt: is named for two results"),
        (("--output", "marked.png"), "marked.png: is a file's name"),
        (("--resume",), "--jsonl"),
        (("--box", "1,2,3"), "x0,y0,x1,y1"),
        (("--box", "9,9,3,20"), "left,top,right,bottom"),
        (("--min-face-score", "2"), "0 to 1"),
        (("--passes", "4"), "--passes"),
        (("--min-face", "0.5"), "neither pixels"),
        (("--min-face", "100%"), "neither pixels"),
        (("--min-face", "20"), "none: doesn't know min_face"),
        (("--detector", "mine.onnx"), "mine.onnx: no such network"),
        (("--detector", "dlib"), "--detector dlib"),
        (("--checkpoint", "missing.pt"), "missing.pt"),
        (("--overlay", "monocle"), "monocle: no such overlay"),
        (("--overlay", "hat", "--numbers"), "--overlay draws no points"),
        (("--overlay", "hat", "--confidence"), "--overlay draws no points"),
        (("--overlay", "hat", "--boxes"), "--overlay draws no points"),
        (("--show", "--no-pictures"), "--show has nothing to show"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(tmp_path, photos, call, arguments, told):
    assert told in one_line_error(call("photos", *arguments, detector="none"))
    assert list(tmp_path.iterdir()) == [photos]


def test_boxes_by_hand(tmp_path, call, hopper, landmarker):
    write_image(tmp_path / "two.png", np.hstack([hopper, hopper]))
    call("--image", "two.png", "--box", "682,155,877,350", "--box", "170,155,365,350", "--json", "two.json")
    (image,) = read_json(tmp_path / "two.json")
    assert [face.box for face in image.faces] == [(170, 155, 365, 350), (682, 155, 877, 350)]
    assert [face.score for face in image.faces] == [None, None]
    found = landmarker(hopper)[0].keypoints
    np.testing.assert_allclose(image.faces[0].keypoints, found, atol=6)


@pytest.mark.parametrize(("min_face", "faces"), [("40", 2), ("16%", 1), ("5%", 2), ("300", 0)])
def test_the_smallest_face_is_said_in_pixels_or_as_a_share(tmp_path, call, hopper, min_face, faces):
    small = cv2.resize(hopper, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)  # its face has 55 px
    write_image(tmp_path / "two.png", np.hstack([hopper, np.pad(small, ((0, 420), (0, 0), (0, 0)))]))
    assert call("--image", "two.png", "--min-face", min_face, "--json", "two.json", "--no-pictures").returncode == 0
    assert len(read_json(tmp_path / "two.json")[0].faces) == faces


def test_the_largest_face_in_one_pass(tmp_path, call, hopper, landmarker):
    small = cv2.resize(hopper, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    write_image(tmp_path / "two.png", np.hstack([np.pad(small, ((0, 300), (0, 0), (0, 0))), hopper]))
    assert call("--image", "two.png", "--largest", "--passes", "1", "--json", "two.json").returncode == 0
    ((face,),) = (image.faces for image in read_json(tmp_path / "two.json"))
    expected = landmarker(hopper)[0].keypoints + np.float32([small.shape[1], 0])
    error = nme(face.keypoints[None], expected[None])[0]
    assert 0.001 < error < 0.04, "the mean of two passes would be another"


# --- Output ---------------------------------------------------------------------------------------------------


def test_the_command_on_the_photograph_that_comes_with_matplotlib(tmp_path, command, landmarker, hopper):
    files = ("--json", "p.json", "--csv", "p.csv", "--coco", "p.coco", "--jsonl", "p.jsonl", "--pts", "pts")
    arguments = ("--checkpoint", SHIPPED, "--output", tmp_path / "out.png")
    result = command("predict.py", *arguments, *files, "--numbers", "--boxes", "--confidence")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "1 face" in result.stdout and str(SHIPPED) in result.stdout
    picture = read_image(tmp_path / "out.png")
    assert picture.shape[0] > 2 * hopper.shape[0], "enlarged, so that the numbers have room"
    (face,) = landmarker(hopper)
    readers = {"p.json": read_json, "p.csv": read_faces_csv, "p.coco": read_coco, "p.jsonl": read_jsonl}
    for name, read in readers.items():
        (image,) = read(tmp_path / name)
        assert (image.width, image.height) == (hopper.shape[1], hopper.shape[0])
        np.testing.assert_allclose(image.faces[0].keypoints, face.keypoints, atol=0.02)
        assert image.faces[0].score == pytest.approx(face.score, abs=1e-3)
        np.testing.assert_allclose(image.faces[0].errors, face.errors, atol=0.01)
    np.testing.assert_allclose(read_pts(tmp_path / "pts" / "grace_hopper.pts"), face.keypoints, atol=0.02)


def test_photos_stand_before_and_behind_options_and_the_last_line_says_where_results_are(tmp_path, call, photos):
    (photos / "3.jpg").write_bytes(b"")
    files = ("--json", "new/all.json", "--jsonl", "all.jsonl", "--pts", "pts")
    line = ("photos/0.jpg", *files, "photos/1.jpg", "--min-face-score", "0", "photos/3.jpg", "--image", "photos/2.jpg")
    result = call(*line, detector="none")
    assert "photos/3.jpg: is empty" in one_line_error(result)
    assert [image.image for image in read_json(tmp_path / "new" / "all.json")] == [f"photos/{i}.jpg" for i in range(3)]
    new, network, *_, last = result.stdout.splitlines()
    assert new == "new: is a new folder" and network == f"network: base, {SHIPPED}"
    assert last == "photos: 3 of 4, faces: 3, results: outputs, pts, all.jsonl, new/all.json"
    one = call("photos/0.jpg", "--csv", "new/one.csv", detector="none").stdout.splitlines()
    assert len(one) == 3 and one[-1] == "photos: 1 of 1, faces: 1, results: new/one.csv", "its picture is in its line"
    assert len(call("photos/0.jpg", detector="none").stdout.splitlines()) == 2


def test_many_photos_have_a_bar_on_a_terminal(call, photos, monkeypatch):
    assert call("photos", "--no-pictures", detector="none").stderr == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    result = call("photos", "--no-pictures", detector="none")
    assert "6/6" in sys.stderr.getvalue() and "photos: 6 of 6, faces: 6" in result.stdout
    monkeypatch.setattr(sys, "stderr", Terminal())
    call("photos/0.jpg", "--no-pictures", detector="none")
    assert sys.stderr.getvalue() == "", "one needs none"


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


def test_a_run_that_cannot_begin_spoils_nothing(tmp_path, call, photos):
    run = ("photos", "--jsonl", "all.jsonl")
    call(*run, detector="none")
    before = digests(tmp_path)
    assert "missing.pt" in one_line_error(call(*run, "--checkpoint", "missing.pt"))
    assert "missing.onnx" in one_line_error(call(*run, detector="missing.onnx"))
    assert digests(tmp_path) == before
    (tmp_path / "all.jsonl").write_text("precious\n")
    assert "all.jsonl: line 1: not JSON" in one_line_error(call(*run, "--resume"))
    assert (tmp_path / "all.jsonl").read_text() == "precious\n"


def test_resume_does_the_rest_once(tmp_path, call, photos):
    run = ("photos", "--no-pictures", "--jsonl", "all.jsonl", "--json", "all.json")
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


def test_one_run_at_a_time_writes_a_file(tmp_path, call, photos):
    with only_writer(tmp_path, "all.jsonl"):
        error = one_line_error(call("photos", "--no-pictures", "--jsonl", "all.jsonl", detector="none"))
    assert "all.jsonl: another process writes into it" in error and not (tmp_path / "all.jsonl").exists()


def test_a_run_with_other_options_or_doubled_photos_is_not_resumed(tmp_path, call, photos):
    run = ("photos", "--no-pictures", "--jsonl", "all.jsonl")
    call(*run, detector="none")
    before = (tmp_path / "all.jsonl").read_text()
    for arguments, words in (
        (("--checkpoint", "fast"), "made with checkpoint "),
        (("--passes", "1"), "made with passes 3, not 1"),
        (("--largest",), "made with largest its default, not True"),
        (("--box", "1,2,30,40"), "made with box its default, not [[1.0, 2.0, 30.0, 40.0]]"),
    ):
        error = one_line_error(call(*run, "--resume", *arguments, detector="none"))
        assert words in error and "all.jsonl: line 1" in error
        assert (tmp_path / "all.jsonl").read_text() == before
    lines = before.splitlines(keepends=True)
    (tmp_path / "all.jsonl").write_text("".join(lines[:4] + lines[2:]))
    error = one_line_error(call(*run, "--resume", detector="none"))
    assert "all.jsonl: line 5: photos/2.jpg is there twice" in error


def start(folder, *arguments, **options) -> subprocess.Popen:
    line = [sys.executable, REPOSITORY / "predict.py", "--checkpoint", SHIPPED, "--detector", "none", *arguments]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_ctrl_c_keeps_what_is_done(tmp_path, photos):
    for i in range(6, 400):
        (photos / f"{i}.jpg").write_bytes((photos / f"{i % 6}.jpg").read_bytes())
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a shell's background jobs ignore it
    process = start(tmp_path, "photos", "--jsonl", "all.jsonl", "--json", "all.json", **heard)
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


# --- The command itself ---------------------------------------------------------------------------------------


def test_help_waits_for_nothing_heavy():
    code = """
import sys, predict
sys.argv = ["predict.py", "--help"]
try:
    predict.parse_arguments()
finally:
    heavy = {"torch", "matplotlib", "pandas", "http", "urllib.request", "email", "multiprocessing", "asyncio"}
    print("heavy:", heavy & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert "--overwrite" in done.stdout and done.stdout.endswith("heavy: set()\n"), done.stderr


def test_without_matplotlib_a_photo_must_be_named(call, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "comes with matplotlib" in one_line_error(call())


@pytest.mark.parametrize(("arguments", "threads"), [((), 1), (("--threads", "3"), 3)])
def test_the_network_computes_in_as_many_threads_as_are_asked_for(call, monkeypatch, arguments, threads):
    def open_network(path, count, provider):
        raise InputError(f"{path}: asked for {count} threads")

    monkeypatch.setattr("cli.weights.open_network", open_network)
    assert f"asked for {threads} threads" in one_line_error(call(*arguments))


# --- Checkpoints ----------------------------------------------------------------------------------------------


def test_a_checkpoint_that_can_t_be_used_is_one_line_and_runs_no_code(tmp_path, call):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "written by the checkpoint"), "w"))

    for content in ({"weights": Harmful()}, {"weights": {}}, load_checkpoint(PRETRAINED) | {"model": "net"}):
        torch.save(content, tmp_path / "net.pt")
        assert "net.pt" in one_line_error(call("--checkpoint", "net.pt"))
    (tmp_path / "net.pt").write_bytes(b"no checkpoint")
    assert "net.pt" in one_line_error(call("--checkpoint", "net.pt"))
    assert not (tmp_path / "written by the checkpoint").exists()


def test_measures_are_in_all_files_and_the_axes_in_the_picture(tmp_path, call, hopper):
    files = ("--json", "a.json", "--csv", "a.csv", "--jsonl", "a.jsonl", "--coco", "coco.json")
    plain = call("--output", "plain.png")
    result = call("--measures", "--output", "a.png", *files)
    assert plain.returncode == result.returncode == 0, result.stderr
    readers = {"a.json": read_json, "a.csv": read_faces_csv, "a.jsonl": read_jsonl, "coco.json": read_coco}
    for name, read in readers.items():
        (photo,) = read(tmp_path / name)
        measures = photo.faces[0].measures
        assert list(measures) == list(NAMES), name
        assert abs(measures["roll"]) < 10 and 0.1 < measures["right_eye"] < 0.6  # she looks ahead, with open eyes
    assert (read_image(tmp_path / "a.png") != read_image(tmp_path / "plain.png")).any()
