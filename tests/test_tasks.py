"""What a training measures on people that it never saw."""

import sys

import numpy as np
import pytest
import torch
from conftest import PRETRAINED, SAMPLE

import train
from benchmarks.limits import turned
from data_load import open_split
from evaluation import metrics
from evaluation.predictions import predict_all
from face68 import draw
from face68.detect import EMPTY, Detections
from face68.formats import write_pts
from face68.images import write_image
from face68.landmarker import Landmarker
from train import task_of
from training.checkpoint import TorchNetwork, build_model, load_checkpoint
from training.detector import DetectionValidation, match, true_faces, validate_detections

CPU = torch.device("cpu")


def circles(*faces) -> Detections:
    """From x, y, side, roll, score."""
    x, y, sides, rolls, scores = np.array(faces, float).reshape(-1, 5).T
    return Detections(np.column_stack([x, y]), sides, rolls, scores)


NOWHERE = np.zeros((24, 24), bool)  # nothing is ignored


def test_each_face_is_found_once_by_the_surest():
    there = circles((50, 50, 40, 10, 1), (120, 50, 40, 0, 1))
    found = circles((54, 53, 44, -10, 0.9), (50, 50, 40, 10, 0.8), (122, 50, 30, 5, 0.7), (150, 150, 40, 0, 0.6))
    scores, is_true, off = match(found, there, NOWHERE)
    assert scores.tolist() == [0.9, 0.8, 0.7, 0.6] and is_true.tolist() == [True, False, True, False]
    np.testing.assert_allclose(off, [(5 / 40, 0.1, 20), (2 / 40, 0.25, 5)])


@pytest.mark.parametrize("face", [(70, 50, 40, 0, 1), (50, 50, 80, 0, 1), (50, 50, 20, 0, 1)])
def test_what_is_beside_or_of_another_size_is_another(face):
    assert match(circles((50, 50, 40, 0, 0.9)), circles(face), NOWHERE)[1].tolist() == [False]


def test_rolls_are_compared_around_the_circle():
    assert match(circles((50, 50, 40, 175, 0.9)), circles((50, 50, 40, -175, 1)), NOWHERE)[2][0, 2] == pytest.approx(10)


def test_what_is_found_where_nobody_knows_does_not_count():
    ignore_mask = NOWHERE.copy()
    ignore_mask[6, 6] = True
    found = circles((50, 50, 40, 0, 0.9), (100, 100, 40, 0, 0.8))
    assert match(found, EMPTY, ignore_mask)[0].tolist() == [0.8]


def test_batches_are_measured_together():
    """Of two mosaics with a face each, one is found and something beside."""
    heatmap = torch.zeros(2, 24, 24)
    heatmap[:, 6, 6] = 1
    zero, two = torch.zeros(2, 24, 24), torch.zeros(2, 2, 24, 24)
    batch = {"heatmap": heatmap, "ignore_mask": zero.bool()}
    batch |= {"centers": two, "log_sides": zero + np.log(5), "axes": two + 1}
    np.testing.assert_allclose(true_faces(batch)[0].centers, [(51.5, 51.5)])
    np.testing.assert_allclose(true_faces(batch)[0].sides, [40], rtol=1e-6)
    detected = [circles((51.5, 51.5, 40, 45, 0.9)), circles((150, 150, 40, 0, 0.95))]
    found = validate_detections(lambda _: detected, [batch])
    assert found.count == 2 and found.error == pytest.approx(1 - 0.5 / 2)
    assert "1 - AP 75.00%" in str(found) and "roll 0.0°" in str(found)
    assert found.metrics["val_average_precision"] == pytest.approx(0.25)
    assert "no face found" in str(DetectionValidation(np.zeros(0), np.zeros(0, bool), np.zeros((0, 3)), 1)), (
        "before training"
    )


@pytest.fixture
def opened(tiny, monkeypatch):
    """A task, its validation samples and the untrained network, as train.py has them."""

    def open_task(model: str):
        monkeypatch.setattr(sys, "argv", ["train.py", "--model", model, "--data", str(tiny), "--folds", "2"])
        settings = train.parse_arguments()
        task, network = task_of(settings), train.create_untrained(settings, CPU)
        return task, task.load()[1], network, train.create_untrained(settings, CPU)

    return open_task


@pytest.mark.parametrize(("model", "share"), [("net", 0.0), ("heatmap", 0.1)])
def test_only_a_network_with_a_face_score_learns_from_what_is_no_upright_face(opened, model, share):
    data, upright = opened(model)[0].load()[0], []
    for data.epoch in range(60):
        upright += [data[key]["is_upright_face"] for key in data.order()]
    assert 1 - np.mean(upright) == pytest.approx(share, abs=0.4 * share)


@pytest.mark.parametrize("model", ["net", "detector"])
def test_looking_at_an_untrained_network_draws_nothing_at_random(model, opened):
    task, data, network, again = opened(model)
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), "--seed alone decides the weights"
    before = torch.get_rng_state()
    answers = task.answers(network, data, CPU)
    tiles = task.tiles(data, [answers, answers])
    assert len(answers) == 5 and [len(row) for row in tiles] == [5, 5]
    assert torch.equal(torch.get_rng_state(), before)


def test_the_watched_points_are_those_that_were_validated_and_both_sheets_show_the_same_faces(opened, written):
    task, data, network, _ = opened("heatmap")
    found = task.validate(network, data, CPU)
    rows = np.linspace(0, len(data) - 1, 5).astype(int)
    answers = torch.stack(task.answers(network, data, CPU)).numpy()
    np.testing.assert_allclose(metrics.nme(answers, data.keypoints[rows]), found.nme[rows], rtol=1e-3)
    (tiles,) = task.tiles(data, [list(torch.from_numpy(data.keypoints[rows]))])  # what a perfect network would say
    for tile in tiles:
        assert all((np.abs(tile.astype(int) - color).max(axis=2) < 3).any() for color in draw.COLORS.values())
    assert len(task.sheets(network, network, data, CPU)) == 2
    captions = [text for _, text, *_ in written if "%" in text]
    assert captions[: len(data)] == captions[len(data) :], "the same faces"
    errors = [float(text.split("%")[0]) for text in captions[: len(data)]]
    np.testing.assert_allclose(errors, 100 * np.sort(found.nme), atol=0.06)


def test_faces_that_lie_are_validated_drawn_and_evaluated_in_the_same_crops(tmp_path, monkeypatch):
    """Level ones, though their photos lie on the side: a trained network is right about them, wherever it is asked."""
    upright = open_split(SAMPLE, "test")
    for i in range(6):
        image, points = turned(upright.image(i), upright.keypoints[i], 90)
        write_image(tmp_path / "lying" / f"{i}.png", image)
        write_pts(tmp_path / "lying" / f"{i}.pts", points)
    line = ["train.py", "--model", "base", "--data", tmp_path / "lying", "--folds", 2]
    monkeypatch.setattr(sys, "argv", list(map(str, line)))
    task = task_of(train.parse_arguments())
    data, shipped = task.load()[1], TorchNetwork(PRETRAINED)
    network = build_model(load_checkpoint(PRETRAINED), PRETRAINED)
    found = task.validate(network, data, CPU)
    assert found.error < 0.1
    drawn = torch.stack(task.answers(network, data, CPU)).numpy()
    np.testing.assert_allclose(metrics.nme(drawn, data.keypoints), found.nme, rtol=1e-3)
    evaluated = predict_all(Landmarker(shipped), data, "truth").keypoints
    np.testing.assert_allclose(metrics.nme(evaluated, data.keypoints), found.nme, rtol=1e-2)


def test_what_a_detector_found_is_drawn_on_the_watched_mosaics(opened):
    task, data, _, _ = opened("detector")
    somewhere, nothing = torch.tensor([[90.0, 90, 60, 20]], dtype=torch.float64), torch.zeros((0, 4))
    (tiles,) = task.tiles(data, [[somewhere, nothing, somewhere, nothing, nothing]])
    assert [(tile == draw.VERMILION).all(axis=2).any() for tile in tiles] == [True, False, True, False, False]
