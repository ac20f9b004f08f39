import json
import re
import sys

import numpy as np
import pytest
from conftest import PRETRAINED, SAMPLE, SHIPPED, one_line_error

import evaluate
from data_load import open_split
from evaluation import metrics
from evaluation.tables import stored_curves
from face68 import geometry
from face68.files import InputError, sha256
from face68.formats import ImageResult, write_json
from face68.landmarker import Landmarker
from face68.landmarks import Face, inter_ocular
from training.checkpoint import TorchNetwork, git_commit


def test_the_report_on_the_sample(tmp_path, in_process):
    arguments = ("--checkpoint", PRETRAINED, "--data", SAMPLE, "--json", "report.json", "--output-dir", "pictures")
    result = in_process(evaluate.main, *arguments)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["faces"] == 50 and report["people"] == 25 and report["missed"] == 0
    low, high = report["nme_95_interval_over_people"]
    assert 0 < low < report["nme"] < high
    assert f"{report['nme']:.2%}" in result.stdout and report["normaliser"] == "inter-ocular"
    assert len(report["expected_and_measured_errors"]) == 10
    assert 0 <= report["face_scores"]["precision"] <= 1
    for picture in ("ced.png", "points.png", "groups.png", "faces.png", "calibration.png"):
        assert (tmp_path / "pictures" / picture).stat().st_size > 0
    page = (tmp_path / "pictures" / "report.html").read_text()
    shown = re.findall('<img src="(.*?)"', page)
    assert {*shown, "report.html"} == {path.name for path in (tmp_path / "pictures").iterdir()}
    assert f"{report['nme']:.2%}" in page and f"{report['nme_by_region']['jaw']:.2%}" in page
    assert f"python evaluate.py --checkpoint {PRETRAINED}" in page and sha256(PRETRAINED) in page
    assert git_commit() in page

    data = open_split(SAMPLE, "test")
    images = [data.image(i) for i in range(len(data))]
    boxes = [geometry.box_of(points) for points in data.keypoints]
    predicted = Landmarker(TorchNetwork(PRETRAINED)).predict(images, boxes).keypoints
    errors = metrics.nme(predicted, data.keypoints)
    assert errors.mean() == pytest.approx(report["nme"], rel=1e-4)
    assert list(report["nme_by_face"]) == data.names
    assert list(report["nme_by_face"].values()) == pytest.approx(errors, abs=1e-4)

    path = tmp_path / "report.json"
    stored = stored_curves([path], data.names, "inter-ocular", ["pretrained"])
    assert stored["report"] == pytest.approx(errors, abs=1e-4)
    others = stored_curves([path], ["a.jpg"], "inter-ocular", ["pretrained"])
    assert list(others) == ["report (other faces)"]
    twice = stored_curves([path], data.names, "inter-ocular", ["report"])  # beside this network's own
    assert list(twice) == [str(path)]
    with pytest.raises(InputError, match=r"report\.json: its errors are inter-ocular, not box; .*--norm box"):
        stored_curves([path], data.names, "box", [])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"nme_by_face": {}}', '{"nme_by_face": {"a": "x"}}', "{", "1"])
def test_what_is_no_earlier_evaluation_is_one_line(content, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"old\.json: holds no errors by face; give a file"):
        stored_curves([path], ["a.jpg"], "inter-ocular", [])
    with pytest.raises(InputError, match=r"nowhere\.json: can't be read"):
        stored_curves([tmp_path / "nowhere.json"], ["a.jpg"], "inter-ocular", [])


def test_one_fold_has_fewer_faces(tmp_path, monkeypatch):
    line = ("--checkpoint", SHIPPED, "--split", "training", "--val-fold", "1", "--boxes", "frame")
    assert 0 < measured(parsed(monkeypatch, tmp_path, *line))["faces"] < 200


def test_a_users_file_is_not_replaced(tmp_path, monkeypatch):
    places = ("--output-dir", tmp_path, "--json", tmp_path / "report.json")
    arguments = ("--checkpoint", SHIPPED, "--data", SAMPLE, "--split", "training", "--val-fold", "1", *places)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
    for name in ("ced.png", "report.json", "report.html"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=f"{name}: is there"):
            evaluate.main()
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()


def test_no_data_is_one_line(in_process):
    assert "nowhere" in one_line_error(in_process(evaluate.main, "--checkpoint", PRETRAINED, "--data", "nowhere"))


def parsed(monkeypatch, folder, *arguments):
    """The arguments of evaluate.py, on the sample's test images unless they say otherwise."""
    line = ["evaluate.py", "--data", SAMPLE, "--json", folder / "r.json", "--output-dir", folder / "o", *arguments]
    monkeypatch.setattr(sys, "argv", list(map(str, line)))
    return evaluate.parse_arguments()


def measured(args) -> dict:
    """The report on the one that is to be measured."""
    data = evaluate.open_data(args)
    report, _ = evaluate.measure(evaluate.predict((args.predictions or args.checkpoint)[0], data, args), data, args)
    return report


@pytest.fixture
def shifted(tmp_path):
    """Files of predictions that lie 2 px to the right of the sample's labels, and as much below."""
    data = open_split(SAMPLE, "test")
    places = {}
    for name, offset in (("right", [2.0, 0.0]), ("below", [0.0, 2.0])):
        faces = [Face(tuple(geometry.box_of(points)), None, points + offset) for points in data.keypoints]
        results = [
            ImageResult(f"photos/{image}", 90, 90, [face]) for image, face in zip(data.names, faces, strict=True)
        ]
        places[name] = tmp_path / f"{name}.json"
        write_json(places[name], results)
    return places


def test_networks_and_files_make_one_table_and_its_files(tmp_path, monkeypatch, capsys, shifted):
    files = ("--markdown", tmp_path / "t.md", "--latex", tmp_path / "t.tex", "--csv", tmp_path / "t.csv")
    places = ("--predictions", f"first={shifted['right']}", shifted["below"])
    args = parsed(monkeypatch, tmp_path, "--checkpoint", f"net={SHIPPED}", *places, *files)
    evaluate.main()
    report = json.loads((tmp_path / "r.json").read_text())
    eyes = inter_ocular(open_split(SAMPLE, "test").keypoints)
    others = report["compared_with"]
    assert report["name"] == "net" and list(others) == ["first", "below"]
    assert others["first"]["nme"] == pytest.approx((2 / eyes).mean(), rel=1e-3)
    pairs = {(pair["of"], pair["minus"]): pair for pair in report["differences"]}
    assert pairs["net", "first"]["difference"] == pytest.approx(report["nme"] - others["first"]["nme"], abs=1e-5)
    assert not pairs["first", "below"]["more_than_noise"], "they are off by the same"
    printed = capsys.readouterr().out
    for path in files[1::2]:
        assert path.stat().st_size > 0
    assert f"{report['nme']:.2%}" in printed and f"{report['nme']:.2%}" in (tmp_path / "t.md").read_text()
    assert "NME (inter-ocular)" in printed and "labels: as published" in printed
    page = (tmp_path / "o" / "report.html").read_text()
    assert "<h1>net, first, below on " in page and "pictures are of net" in page
    for figures in (report, *others.values()):
        assert (
            page.count(f"<td>{figures['nme']:.2%}</td>") and f"<td>{figures['nme_by_region']['jaw']:.2%}</td>" in page
        )
    evaluate.check_files(args, args.predictions)  # what it wrote itself is replaced
    (tmp_path / "t.md").write_text("mine")
    with pytest.raises(InputError, match=r"t\.md: is there"):
        evaluate.check_files(args, args.predictions)


def test_normaliser_and_thresholds_are_the_users(tmp_path, monkeypatch, shifted):
    options = ("--predictions", shifted["below"], "--norm", "diagonal", "--threshold", "2.5")
    report = measured(parsed(monkeypatch, tmp_path, *options))
    labels = open_split(SAMPLE, "test").keypoints
    diagonals = np.linalg.norm(labels.max(axis=1) - labels.min(axis=1), axis=1)
    assert report["normaliser"] == "diagonal" and report["boxes"] == "file"
    assert report["nme"] == pytest.approx((2 / diagonals).mean(), rel=1e-3)
    assert report["failure_rate_at_2.5_percent"] == pytest.approx((2 / diagonals > 0.025).mean())
    assert "auc_at_8_percent" not in report and len(report["nme_by_point"]) == 68
    assert report["nme_by_point"] == pytest.approx([report["nme"]] * 68, rel=1e-2)


@pytest.mark.parametrize("arguments", [(), ("--published-labels",)])
def test_a_score_says_whether_labels_were_taken_as_published(tmp_path, monkeypatch, tiny, arguments):
    (tiny / "label_shift.json").write_text('{"x_pixels": 1.0}')
    published = open_split(tiny, "training").as_published()
    faces = [Face(tuple(geometry.box_of(points)), None, points) for points in published.keypoints]
    rows = zip(published.names, faces, strict=True)
    write_json(tmp_path / "p.json", [ImageResult(name, 90, 90, [face]) for name, face in rows])
    line = ("--predictions", tmp_path / "p.json", "--data", tiny, "--split", "training", *arguments)
    report = measured(parsed(monkeypatch, tmp_path, *line))
    if arguments:
        assert report["labels"] == "as published" and report["nme"] == pytest.approx(0, abs=2e-4)
    else:
        assert "a mean of 1.00 px to the right and 0.00 down) added to predictions" in report["labels"]
        assert report["nme"] == pytest.approx((1 / inter_ocular(published.keypoints)).mean(), rel=5e-3)


def test_names_are_as_short_as_tells_them_apart():
    def names(*texts):
        return [place.name for place in evaluate.with_names([evaluate.named(text) for text in texts])]

    assert names("a/net.pt", "ours=b/x.pt", "b/points.json", "fast") == ["net", "ours", "points", "fast"]
    assert names("a/net.pt", "a/net.onnx") == ["net.pt", "net.onnx"]
    assert names("a/best.pt", "b/best.pt", "net=c.pt") == ["a/best.pt", "b/best.pt", "net"]
    for twice in (("n=a.pt", "n=b.pt"), ("a.pt", "a.pt")):
        with pytest.raises(InputError, match="names 2 of --checkpoint and --predictions; give each another"):
            names(*twice)
    assert evaluate.named(str(SAMPLE)) == ("", SAMPLE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--predictions", "x="), "'x=' is not NAME=PLACE"),
        (("--norm", "nose"), "--norm: invalid choice: 'nose'"),
        (("--threshold", "0"), "'0' is not a number above 0"),
    ],
)
def test_an_option_that_is_wrong_is_one_line(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments])
    with pytest.raises(SystemExit) as exit_:
        evaluate.parse_arguments()
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_an_empty_test_set_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "ibug").mkdir()
    args = parsed(monkeypatch, tmp_path, "--data", tmp_path, "--split", "challenging")
    with pytest.raises(InputError, match="no labelled challenging face here; choose another split or fold"):
        evaluate.open_data(args)
