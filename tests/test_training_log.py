"""The log of a training: the columns of history.csv, and TensorBoard."""

import csv
import math
import sys

import numpy as np
import pytest
import torch
from conftest import SAMPLE

from face68.files import InputError
from training import run
from training.checkpoint import load_checkpoint
from training.keypoints import HEATMAP_WEIGHT, KeypointValidation
from training.optimizers import one_cycle


def test_each_set_has_its_own_error():
    truth = np.zeros((3, 68, 2), np.float32)
    truth[:, 45, 0] = 1  # the eye distance
    predicted = truth.copy()
    predicted[1] += [0.0, 0.5]
    of_two = KeypointValidation(0.0, predicted, truth, None, np.array([0, 1, 1]), ["a", "b"])
    assert of_two.of_sets == pytest.approx({"a": 0, "b": 0.25}) and "(a 0.00%, b 25.00%)" in str(of_two)
    assert KeypointValidation(0.0, predicted, truth, None, np.zeros(3), ["a"]).of_sets == {}


def test_without_tensorboard_it_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        run.open_tensorboard(tmp_path / "log", 0)
    assert not (tmp_path / "log").exists()


def test_a_folder_that_can_not_be_is_one_line(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "log").write_text("mine")
    with pytest.raises(InputError, match="log: can't be written to"):
        run.open_tensorboard(tmp_path / "log", 0)


def scalars(folder) -> dict[str, dict[int, float]]:
    """What TensorBoard would draw: values by epoch by tag; images as nan."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    found = {tag: {one.step: one.value for one in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
    return found | {tag: {one.step: math.nan for one in events.Images(tag)} for tag in events.Tags()["images"]}


def test_tensorboard_shows_the_history_and_leaves_the_training_as_it_is(settings, trained, tmp_path):
    pytest.importorskip("tensorboard")
    line = ("--data", SAMPLE, "--train-faces", 8, "--epochs", 1, "--batch-size", 4, "--folds", 20)
    line = (*line, "--model-option", "widths=8,8,16,16,16")
    trained(settings(*line, "--output-dir", tmp_path / "shown", "--tensorboard"))
    trained(settings(*line, "--output-dir", tmp_path / "plain"))
    shown, plain = (load_checkpoint(tmp_path / name / "last.pt") for name in ("shown", "plain"))
    assert torch.equal(shown["training"]["random"], plain["training"]["random"]), "from which dropout draws"
    assert all(torch.equal(value, plain["weights"][name]) for name, value in shown["weights"].items())

    with (tmp_path / "shown" / "history.csv").open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    found = scalars(tmp_path / "shown" / "tensorboard")
    assert set(found.pop("validation")) == {0, 1}
    names = {"loss/train": "train_loss", "loss/val": "val_loss", "val_nme": "val_nme", "lr": "lr", "seconds": "seconds"}
    names |= {f"loss/{part}": f"{part}_loss" for part in ("points", "heatmaps", "errors", "face")}
    names |= {"val_nme/tiny": "val_nme tiny", "val_nme/sample": "val_nme sample"}
    names |= {"images_per_second": "images_per_second"}
    assert set(names) == set(found) and set(names.values()) | {"epoch"} == set(rows[0])
    for tag, column in names.items():
        told = {row["epoch"]: row[column] for row in rows if not math.isnan(row[column])}
        assert found[tag] == pytest.approx(told, rel=1e-5), tag
        assert len(told) == (1 if math.isnan(rows[0][column]) else 2), tag
    for row in rows[1:]:
        whole = row["points_loss"] + HEATMAP_WEIGHT * row["heatmaps_loss"]
        assert row["train_loss"] == pytest.approx(whole, rel=1e-4)
        assert row["lr"] == pytest.approx(2e-3 * one_cycle(row["epoch"]), rel=1e-4, abs=1e-9)
        assert row["images_per_second"] > 0
