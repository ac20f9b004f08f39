"""What a network says of a labelled set, and what files of predictions are taken for."""

import re
import sys

import numpy as np
import pytest
import torch
from conftest import SAMPLE, SHIPPED, Terminal

from data_load import open_split
from datasets.labels import write_csv
from evaluation.predictions import (
    as_predictions,
    background_scores,
    confidence_report,
    predict_all,
    read_predictions,
    row_finder,
)
from face68 import geometry
from face68.detect import WholeFrame
from face68.files import InputError
from face68.formats import ImageResult, write_faces_csv, write_json, write_jsonl, write_pts
from face68.landmarker import Landmarker
from face68.landmarks import Face, inter_ocular


@pytest.fixture
def data():
    return open_split(SAMPLE, "test").subset(range(4), None)


def face(points, score=0.9):
    return Face(tuple(geometry.box_of(points).tolist()), score, points)


def test_what_the_network_says_in_groups_is_what_it_says_of_each(data, monkeypatch):
    monkeypatch.setattr("face68.photos.GROUP", 3)
    landmarker, images = Landmarker(SHIPPED), [data.image(i) for i in range(4)]
    boxes = {
        "truth": [geometry.box_of(points) for points in data.keypoints],
        "frame": [WholeFrame()(image).boxes[0] for image in images],
    }
    for kind, of_kind in boxes.items():
        expected = landmarker.predict(images, of_kind)
        for name, values in predict_all(landmarker, data, kind)._asdict().items():
            if values is not None:
                np.testing.assert_allclose(values, getattr(expected, name), atol=1e-3)
    found = predict_all(landmarker, data, "detector")
    for i, image in enumerate(images):
        (alone,) = landmarker(image)
        np.testing.assert_allclose(found.keypoints[i], alone.keypoints, atol=1e-2)


@pytest.mark.parametrize("boxes", ["truth", "detector"])
def test_measuring_has_a_bar_on_a_terminal(data, monkeypatch, boxes):
    landmarker = Landmarker(SHIPPED)
    monkeypatch.setattr(sys, "stderr", Terminal())
    predict_all(landmarker, data, boxes, progress=True)
    assert "pretrained: " in sys.stderr.getvalue() and "/4 [" in sys.stderr.getvalue()


def test_a_missed_face_has_no_points(data, monkeypatch):
    gray = np.full((90, 120, 3), 128, np.uint8)  # nothing to find
    show = data.image
    monkeypatch.setattr(data, "image", lambda i: show(i) if i == 2 else gray)
    predicted = predict_all(Landmarker(SHIPPED), data, "detector")
    assert np.isfinite(predicted.keypoints).all(axis=(1, 2)).tolist() == [False, False, True, False]
    assert predicted.errors.shape == (4, 68) and np.isnan(predicted.face_scores[[0, 1, 3]]).all()
    measured = np.where(np.isnan(predicted.errors), np.nan, 0.05)
    report = confidence_report(predicted, np.array([0.9, 0.1, 0.1, 0.1]), measured, inter_ocular(data.keypoints))
    assert report["face_scores"] == {"recall": 0.25, "precision": 0.5}
    assert np.array(report["expected_and_measured_errors"])[:, 1] == pytest.approx([0.05] * 10)


def test_an_image_that_cant_be_read_is_said(data, monkeypatch):
    def broken(row):
        raise InputError("photo.jpg: no image; convert it")

    monkeypatch.setattr(data, "image", broken)
    for boxes in ("truth", "detector"):
        with pytest.raises(InputError, match=r"photo\.jpg"):
            predict_all(Landmarker(SHIPPED), data, boxes)


def test_without_errors_of_all_there_are_none():
    points = np.zeros((68, 2), np.float32)
    judged = Face((0, 0, 1, 1), 0.5, points, np.ones(68, np.float32), 0.9)
    assert as_predictions([judged, None]).errors.shape == (2, 68)
    assert as_predictions([judged, face(points)]).errors is None
    assert as_predictions([None]).errors is None and np.isnan(as_predictions([None]).keypoints).all()


@pytest.mark.parametrize(
    ("name", "write"), [("p.json", write_json), ("p.jsonl", write_jsonl), ("p.csv", write_faces_csv)]
)
def test_files_give_the_face_at_the_labels(tmp_path, data, name, write):
    points = data.keypoints
    faces = [[face(points[0] + 60), face(points[0] + 1)], [face(points[1] + 60)], [face(points[2], 0.1)]]
    images = [*data.names[:3], "of/another/set.jpg"]
    results = [
        ImageResult(f"/far/away/{i}", 90, 90, f) for i, f in zip(images, [*faces, [face(points[3])]], strict=True)
    ]
    write(tmp_path / name, results)
    predicted, unnamed = read_predictions(tmp_path / name, data)
    assert unnamed == 1
    np.testing.assert_allclose(predicted.keypoints[[0, 2]], [points[0] + 1, points[2]], atol=0.006)
    assert np.isnan(predicted.keypoints[[1, 3]]).all(), "found elsewhere, and not named"


def test_a_csv_in_the_layout_of_a_data_set_gives_its_points(tmp_path, data):
    points = data.keypoints + 1
    points[1] += 60
    write_csv(tmp_path / "p.csv", [*data.names[:3], "another.jpg"], points)
    predicted, unnamed = read_predictions(tmp_path / "p.csv", data)
    assert unnamed == 1
    np.testing.assert_array_equal(predicted.keypoints[[0, 2]], points[[0, 2]])
    assert np.isnan(predicted.keypoints[[1, 3]]).all() and predicted.errors is None
    (tmp_path / "p.csv").write_text((tmp_path / "p.csv").read_text().replace(",", ",x", 200))
    with pytest.raises(InputError, match=r"p\.csv: row 2, column 2: "):
        read_predictions(tmp_path / "p.csv", data)


def test_a_folder_of_pts_files_gives_the_face_at_the_labels(tmp_path, data):
    stems = [re.sub(r"\.jpg$", "", name) for name in data.names]
    write_pts(tmp_path / f"{stems[0]}.pts", data.keypoints[0] + 60)
    write_pts(tmp_path / f"{stems[0]}.face2.pts", data.keypoints[0])
    write_pts(tmp_path / "inner" / f"{data.names[1]}.pts", data.keypoints[1])
    predicted, unnamed = read_predictions(tmp_path, data)
    assert unnamed == 2
    np.testing.assert_allclose(predicted.keypoints[:2], data.keypoints[:2], atol=1e-3)
    assert np.isnan(predicted.keypoints[2:]).all()


def test_what_holds_no_predictions_of_these_is_one_line(tmp_path, data):
    write_json(tmp_path / "p.json", [ImageResult("other.jpg", 9, 9, [])])
    (tmp_path / "empty").mkdir()
    (tmp_path / "p.txt").write_text("1 2")
    said = {
        "p.json": "names none of the 4 images, such as",
        "empty": r"holds no \.pts files",
        "p.txt": r"results are read from \.json, \.jsonl, \.csv",
        "nowhere.csv": "can't be read",
    }
    for name, line in said.items():
        with pytest.raises(InputError, match=rf"{name}: {line}"):
            read_predictions(tmp_path / name, data)


def test_images_are_known_by_the_ends_of_their_paths():
    row_of = row_finder(["helen/testset/1.jpg", "lfpw/testset/1.jpg", "ibug/2.png"])
    assert row_of("helen/testset/1.jpg") == row_of("/x/300W/helen/testset/1.jpg") == row_of("helen/testset/1") == 0
    assert row_of("2.png") == row_of("2") == row_of("../a/ibug/2") == 2
    assert row_of("helen/trainset/1.jpg") is None and row_of("3.png") is None and row_of("12.png") is None
    for several in ("1.jpg", "testset/1.jpg"):
        with pytest.raises(KeyError):
            row_of(several)


def test_a_name_that_several_images_have_is_one_line(tmp_path, data):
    data.names = ["a/1.jpg", "b/1.jpg", "a/2.jpg", "b/2.jpg"]
    write_json(tmp_path / "p.json", [ImageResult("1.jpg", 9, 9, [])])
    with pytest.raises(InputError, match=r"p\.json: 1\.jpg may be several of the images; name them with their folders"):
        read_predictions(tmp_path / "p.json", data)


def test_the_pieces_of_background_are_the_same_and_disturb_nobodys_random_numbers():
    data, landmarker = open_split(SAMPLE, "test").subset([0, 1, 2], None), Landmarker(SHIPPED)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    scores = [background_scores(landmarker, data) for _ in range(2)]
    assert torch.equal(torch.rand(3), expected)
    assert (scores[0] == scores[1]).all()
