import json
import sys

import numpy as np
import pytest
import torch
from conftest import PRETRAINED, SAMPLE, SHIPPED, one_line_error

import evaluate
import metrics
from checkpoint import TorchNetwork, git_commit
from data_load import open_split
from evaluate import background_scores, predict_all
from face68 import geometry
from face68.files import InputError, sha256
from face68.landmarker import Landmarker
from face68.landmarks import Face
from metrics import is_near, labelled_face


def test_the_report_on_the_sample(tmp_path, command):
    arguments = ("--checkpoint", PRETRAINED, "--data", SAMPLE, "--json", "report.json", "--output-dir", "pictures")
    result = command("evaluate.py", *arguments, "--report", "page")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["faces"] == 50 and report["people"] == 25 and report["missed"] == 0
    low, high = report["nme_95_interval_over_people"]
    assert 0 < low < report["nme_inter_ocular"] < high
    assert f"{report['nme_inter_ocular']:.2%}" in result.stdout
    assert len(report["expected_and_measured_errors"]) == 10
    assert 0 <= report["face_scores"]["precision"] <= 1
    for picture in ("ced.png", "points.png", "groups.png", "faces.png", "calibration.png"):
        assert (tmp_path / "pictures" / picture).stat().st_size > 0
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["report.html"]
    page = (tmp_path / "page" / "report.html").read_text()
    assert f"{report['nme_inter_ocular']:.2%}" in page and page.count("<img") == 4 + 4 + 12
    assert f"python evaluate.py --checkpoint {PRETRAINED}" in page and sha256(PRETRAINED) in page
    assert git_commit() in page

    data = open_split(SAMPLE, "test")
    images = [data.image(i) for i in range(len(data))]
    boxes = [geometry.box_of(points) for points in data.keypoints]
    predicted = Landmarker(TorchNetwork(PRETRAINED)).predict(images, boxes).keypoints
    errors = metrics.nme(predicted, data.keypoints)
    assert errors.mean() == pytest.approx(report["nme_inter_ocular"], rel=1e-4)
    assert list(report["nme_by_face"]) == data.names
    assert list(report["nme_by_face"].values()) == pytest.approx(errors, abs=1e-4)

    (label, stored), *_ = evaluate.stored_curves([tmp_path / "report.json"], data.names).items()
    assert label == "report" and stored == pytest.approx(errors, abs=1e-4)
    assert list(evaluate.stored_curves([tmp_path / "report.json"], ["a.jpg"])) == ["report (other faces)"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"nme_by_face": {}}', '{"nme_by_face": {"a": "x"}}', "{", "1"])
def test_what_is_no_earlier_evaluation_is_one_line(content, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"old\.json: holds no errors by face; give a file"):
        evaluate.stored_curves([path], ["a.jpg"])
    with pytest.raises(InputError, match=r"nowhere\.json: can't be read"):
        evaluate.stored_curves([tmp_path / "nowhere.json"], ["a.jpg"])


def test_a_missed_face_counts_with_the_guess_of_the_frame(monkeypatch):
    data = open_split(SAMPLE, "test").subset([0, 1], None)
    monkeypatch.setattr(data, "image", lambda i: np.full((90, 120, 3), 128, np.uint8))  # gray: nothing to find
    predicted, missed = predict_all(Landmarker(SHIPPED), data, "detector")
    assert missed == 2 and predicted.keypoints.shape == (2, 68, 2) and np.isfinite(predicted.keypoints).all()
    assert predicted.errors.shape == (2, 68) and predicted.face_scores.shape == (2,)


def test_one_fold_has_fewer_faces(tmp_path, command):
    arguments = ("--checkpoint", PRETRAINED, "--data", SAMPLE, "--split", "training", "--val-fold", "1")
    result = command("evaluate.py", *arguments, "--json", "report.json", "--boxes", "frame")
    assert result.returncode == 0, result.stderr
    assert 0 < json.loads((tmp_path / "report.json").read_text())["faces"] < 200


def test_a_users_file_is_not_replaced(tmp_path, monkeypatch):
    places = ("--output-dir", tmp_path, "--json", tmp_path / "report.json", "--report", tmp_path)
    arguments = ("--checkpoint", SHIPPED, "--data", SAMPLE, "--split", "training", "--val-fold", "1", *places)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
    for name in ("ced.png", "report.json", "report.html"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=f"{name}: is there"):
            evaluate.main()
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    for _ in range(2):  # what it wrote itself is
        evaluate.main()


def test_the_pieces_of_background_are_the_same_and_disturb_nobodys_random_numbers():
    data, landmarker = open_split(SAMPLE, "test").subset([0, 1, 2], None), Landmarker(SHIPPED)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    scores = [background_scores(landmarker, data) for _ in range(2)]
    assert torch.equal(torch.rand(3), expected)
    assert (scores[0] == scores[1]).all()


def test_no_data_is_one_line(tmp_path, command):
    assert "nowhere" in one_line_error(command("evaluate.py", "--checkpoint", PRETRAINED, "--data", "nowhere"))


def test_the_labelled_face_is_the_one_at_the_labels():
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.column_stack([30 + 20 * np.cos(angles), 70 + 20 * np.sin(angles)])
    true = geometry.box_of(points)
    assert is_near(true, points) and is_near(true + 10, points)
    assert not is_near(true + 30, points)
    assert not is_near([0, 40, 90, 130], points) and not is_near([25, 65, 35, 75], points)
    there, less_sure = (Face(tuple(box), score, points) for box, score in ((true, 0.8), (true + 5, 0.7)))
    elsewhere = Face(tuple(true + 60), 0.9, points + 60)
    assert labelled_face([elsewhere, less_sure, there], points) is there
    assert labelled_face([elsewhere], points) is None
    badly_framed, badly_placed = Face(tuple(true + 60), 0.9, points), Face(tuple(true), 0.9, points + 60)
    assert labelled_face([badly_framed], points) is badly_framed
    assert labelled_face([badly_placed], points) is badly_placed
