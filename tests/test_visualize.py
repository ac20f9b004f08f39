"""Sheets show the faces they got, and the commands write their pictures."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SHIPPED

import visualize
from benchmarks import figures
from data_load import RandomCropFace, crop_face, open_split
from docs import pictures
from face68 import draw, geometry
from face68.files import InputError
from face68.images import is_marked, read_image
from face68.landmarks import FLIP
from training import inspection

ROOT = Path(visualize.__file__).parent


def test_history_lays_runs_over_each_other(tmp_path, monkeypatch, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text("epoch,train_loss,val_loss,val_nme,seconds\n1,0.5,0.4,0.3,9\n")
    output = tmp_path / "history.png"

    def run(*folders):
        monkeypatch.setattr(sys, "argv", ["visualize.py", "history", *map(str, folders), "--output", str(output)])
        visualize.main()

    run(tmp_path / "a", tmp_path / "b")
    assert capsys.readouterr().out.strip() == str(output)
    picture = cv2.imread(str(output))
    for color in visualize.COLORS[:2]:
        assert (np.abs(picture.astype(int) - color[::-1]).max(axis=2) < 3).any()
    with pytest.raises(InputError, match="9 trainings can't be told apart"):
        run(*[tmp_path / "a"] * 9)
    with pytest.raises(
        InputError, match=r"c, \S+d: no training there; make it by python train.py --output-dir \S+c and"
    ):
        run(tmp_path / "c", tmp_path / "a", tmp_path / "d")


def test_speed_has_a_named_dot_for_each_row_on_the_line_of_its_times():
    rows = [
        {"name": "slow", "ms": 40.0, "ms_p90": 70.0, "nme_all": 0.03},
        {"name": "fast", "ms": 5.0, "ms_p90": 6.0, "nme_all": 0.051},
    ]
    (axes,) = figures.plot_speed(rows).axes
    assert axes.get_xscale() == "log" and axes.get_ylim()[0] == 0
    drawn = sorted([np.round(line.get_xydata(), 6).tolist() for line in axes.lines], key=str)
    assert drawn == sorted([[[5, 5.1]], [[5, 5.1], [6, 5.1]], [[40, 3]], [[40, 3], [70, 3]]], key=str)
    assert {text.get_text(): text.xy for text in axes.texts} == {"fast": (5, pytest.approx(5.1)), "slow": (40, 3)}


def test_drawing_alone_loads_neither_matplotlib_nor_torch():
    code = "import sys, visualize; print([m for m in ('matplotlib', 'torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_samples_show_the_face_and_not_a_large_photo_around_it(tiny):
    data = open_split(tiny, "training")
    for path in data.paths:
        image = cv2.imread(str(path))
        cv2.imwrite(str(path), cv2.copyMakeBorder(image, 0, 2000, 0, 2000, cv2.BORDER_CONSTANT))
    sheet = visualize.sample_sheet(data, 2, seed=0)
    assert all((sheet == color).all(axis=2).any() for color in draw.COLORS.values())
    assert (sheet.max(axis=2) < 20).mean() < 0.5


def test_samples_with_a_network_show_its_errors(tiny, written):
    visualize.sample_sheet(open_split(tiny, "training"), 3, seed=0, network=SHIPPED)
    *title, first, second, third = [text for _, text, *_ in written]
    assert "pretrained.onnx on 3 faces" in " ".join(title) and "NME (inter-ocular)" in " ".join(title)
    assert all(0 < float(caption.split("%")[0]) < 20 for caption in (first, second, third))


def test_a_face_is_chosen_by_number_or_name(tiny):
    data = open_split(tiny, "training")
    assert visualize.find_face(data, "3") == 3
    assert visualize.find_face(data, data.names[5]) == visualize.find_face(data, Path(data.names[5]).stem) == 5
    for wrong in ("12", "-1", "nobody"):
        with pytest.raises(InputError, match=f"--face {wrong}: no such face; give a number from 0 to 11"):
            visualize.find_face(data, wrong)


def test_transforms_are_named_with_their_parameters_and_taken_to_their_ends(tiny, written):
    data = open_split(tiny, "training")
    height, width, _ = visualize.transform_sheet(data, seed=0, face=2).shape
    assert height < 1080 and width < 2100, "as large as a screen"
    texts = [text for _, text, *_ in written]
    shown = " ".join(texts)
    assert texts[3:6] == ["→ RandomCrop(224): 224×224", "→ Normalize(): gray, 0 … 1", "→ ToTensor(): (1, 224, 224)"]
    assert (
        "RandomLight(contrast=0.4, brightness=0.25, gamma=0.5, blur=1.2, motion=9.0, quality=20, noise=10.0)" in shown
    )
    assert "degrees=24.0, scale=0.15, shift=0.1, mirror=0.5" in shown
    assert {"turned −48°", "turned 48°", "× 0.74", "× 1.35", "mirrored", "all at once"} <= set(texts)


def test_the_ends_of_a_warp_are_what_their_names_say(tiny):
    data, policy = open_split(tiny, "training"), geometry.CropPolicy()
    ends = dict(visualize.extremes(RandomCropFace(policy), data[0]))
    straight = crop_face(data[0], policy)["keypoints"]

    def eyes(points):
        return points[45] - points[36]

    def turn(one, other):
        return np.degrees(np.arctan2(one[0] * other[1] - one[1] * other[0], np.dot(one, other)))

    for name, degrees in (("turned −48°", -48), ("turned 48°", 48), ("upside down", 180)):
        assert abs(turn(eyes(straight), eyes(ends[name]["keypoints"]))) == pytest.approx(abs(degrees), abs=0.01)
    assert turn(eyes(straight), eyes(ends["turned 48°"]["keypoints"])) > 0  # clockwise, y pointing down
    ratio = np.linalg.norm(eyes(ends["× 1.35"]["keypoints"])) / np.linalg.norm(eyes(straight))
    assert ratio == pytest.approx(np.exp(0.3), rel=1e-4)
    np.testing.assert_allclose(ends["mirrored"]["keypoints"][FLIP][:, 0], 111 - straight[:, 0], atol=1e-3)


def test_the_overview_shows_the_points_of_every_face_and_an_overlay(monkeypatch):
    drawn, draw_faces = [], pictures.draw_faces

    def noted(image, faces, **options):
        drawn.append((image.shape, faces, options))
        return draw_faces(image, faces, **options)

    monkeypatch.setattr(pictures, "draw_faces", noted)
    picture = pictures.overview_picture()
    path = ROOT / "docs" / "overview.jpg"  # the README's first picture is this one, and light
    assert is_marked(path) and path.stat().st_size <= 250_000
    assert read_image(path).shape == picture.shape
    assert [len(faces) for _, faces, _ in drawn] == [1, 1, 1, 4]
    for (height, width, _), faces, _ in drawn:
        for face in faces:  # no more than a cheek is beyond the edge
            inside = (face.keypoints >= 0).all(axis=1) & (face.keypoints < (width, height)).all(axis=1)
            assert inside.mean() > 0.8
    assert [options for *_, options in drawn] == [{}, {"confidence": True}, {}, {}]
    (face,) = drawn[2][1]
    x, y = face.keypoints[45] - face.keypoints[36]
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(125, abs=5)


@pytest.mark.parametrize("command", ["samples", "transforms", "landmarks"])
def test_commands_write_their_picture_and_the_seed_decides(command, tiny, tmp_path, monkeypatch, capsys):
    written = []
    for number in range(2):
        output = tmp_path / f"{number}.png"
        data = [] if command == "landmarks" else ["--data", str(tiny), "--seed", "3"]
        monkeypatch.setattr(sys, "argv", ["visualize.py", command, *data, "--output", str(output)])
        visualize.main()
        assert capsys.readouterr().out.strip() == str(output)
        written.append(cv2.imread(str(output)))
    assert (written[0] == written[1]).all()
    for color in draw.COLORS.values():
        assert (np.abs(written[0].astype(int) - color[::-1]).max(axis=2) < 3).any()


def test_the_audit_is_a_picture_and_a_split_without_labels_counts_too(tiny, tmp_path, monkeypatch):
    (tiny / "test").mkdir()
    cv2.imwrite(str(tiny / "test" / "Zoe_00.png"), np.full((40, 50, 3), 90, np.uint8))
    output = tmp_path / "audit.png"
    monkeypatch.setattr(sys, "argv", ["visualize.py", "audit", "--data", str(tiny), "--output", str(output)])
    visualize.main()
    assert is_marked(output) and cv2.imread(str(output)).std() > 0
    (tiny / "training_frames_keypoints.csv").write_text("not, a table\n1\n")
    monkeypatch.setattr(sys, "argv", ["visualize.py", "audit", "--data", str(tiny), "--output", str(output)])
    with pytest.raises(InputError, match="training_frames_keypoints"):
        visualize.main()


@pytest.mark.parametrize("kind", ["filters", "samples"])
def test_shipped_networks_go_by_their_names(kind, tmp_path, monkeypatch):
    """`filters` opens a .pt, `samples` an .onnx too."""
    opened, open_ = [], inspection.open_network if kind == "filters" else visualize.open_network
    module = inspection if kind == "filters" else visualize
    monkeypatch.setattr(module, "open_network", lambda path, **options: opened.append(path) or open_(path, **options))
    line = ["visualize.py", kind, "--checkpoint", "fast", "--output", str(tmp_path / "p.png")]
    monkeypatch.setattr(sys, "argv", line)
    visualize.main()
    assert [path.name for path in opened] == ["pretrained_fast" + {"filters": ".pt", "samples": ".onnx"}[kind]]
    line[3] = "fats"
    with pytest.raises(InputError, match="fats: no such network; give fast, base or large"):
        visualize.main()


def test_data_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["visualize.py", "samples", "--data", str(tmp_path)])
    with pytest.raises(InputError, match="training_frames_keypoints"):
        visualize.main()
