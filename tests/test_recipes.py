"""train.py's options: recipes, and the options that override them."""

import pytest
import torch

import models
import train
from face68.files import InputError
from training.checkpoint import build_model, load_checkpoint, save_checkpoint
from training.keypoints import KeypointTask
from training.optimizers import create_optimizers
from training.settings import as_plain
from training.task import open_people


def chosen(settings) -> dict:
    return {name: getattr(settings, name) for name in ("loss", "optimizer", "lr")}


def test_a_recipe_is_the_options_that_it_names(settings):
    classic = {"loss": "mse", "optimizer": "adam", "lr": 2e-3}
    assert chosen(settings()) == chosen(settings("--recipe", "classic")) == classic
    best = settings("--recipe", "best")
    assert best == settings("--loss", "wing", "--optimizer", "muon", "--lr", "4e-3")
    assert as_plain(best)["optimizer"] == "muon" and "recipe" not in as_plain(best), "what a checkpoint holds"


@pytest.mark.parametrize("flag, value", [("loss", "l1"), ("optimizer", "sgd"), ("lr", 0.5), ("lr", 2e-3)])
def test_each_flag_overrides_the_recipe_wherever_it_stands(settings, flag, value):
    flags = [f"--{flag}", value]
    expected = train.RECIPES["best"] | {flag: value}
    assert chosen(settings("--recipe", "best", *flags)) == chosen(settings(*flags, "--recipe", "best")) == expected


def test_fewer_training_faces_are_a_part_of_more_and_of_no_other_people(settings):
    _, everyone, validation = open_people(settings())
    _, five, same = open_people(settings("--train-faces", "5"))
    _, three, _ = open_people(settings("--train-faces", "3"))
    assert same == validation and len(five) == 5 and three == five[:3]
    assert set(five) <= set(everyone) and five != everyone[:5]
    assert set(open_people(settings("--train-faces", "5", "--seed", "1"))[1]) != set(five)
    with pytest.raises(InputError, match=f"--train-faces 13: there are {len(everyone)}"):
        open_people(settings("--train-faces", "13"))


def test_a_networks_options_are_its_own_constructors(settings, tmp_path):
    chosen = settings("--model-option", "widths=8,16,24,32,40")
    assert chosen.model_option == {"widths": (8, 16, 24, 32, 40)} and settings().model_option == {}
    model = train.create_untrained(chosen, torch.device("cpu"))
    assert model.stem[0][0].out_channels == 8 and model.face[0].in_features == 40
    path = tmp_path / "small.pt"
    told = {"epoch": 1, "metrics": {}, "arguments": {}, "versions": {}}
    save_checkpoint(path, told | {"model": model.name, "options": model.options, "weights": model.state_dict()})
    again = build_model(load_checkpoint(path), path)
    assert again.options == chosen.model_option and again(torch.rand(1, 1, 112, 112)).keypoints.shape == (1, 68, 2)


@pytest.mark.parametrize(
    "model, option, told",
    [
        ("heatmap", "depth=3", "heatmap has these: widths=16,32,88,112,160"),
        ("net", "widths=1", "net has none"),
        ("heatmap", "widths", "as in widths=16,32,88,112,160"),
        ("detector", "widths=8,16,0,56,72", "as in widths=8,16,32,56,72"),
        ("heatmap", "widths=8,16,24,32,wide", "expected as many numbers above 0"),
    ],
)
def test_other_options_are_refused_in_a_line(settings, model, option, told):
    with pytest.raises(InputError, match=told) as error:
        settings("--model", model, "--model-option", option)
    assert "\n" not in str(error.value) and f"--model-option {option}" in str(error.value)


def test_one_number_is_an_option_too(monkeypatch):
    class Small(torch.nn.Module):
        def __init__(self, width: int = 16, drop: float = 0.5):
            super().__init__()

    monkeypatch.setitem(models.MODELS, "small", Small)
    assert models.read_option("small", "width=8") == ("width", 8)
    assert models.read_option("small", "drop=0") == ("drop", 0.0)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_decay_by_lr_times_as_much(name):
    """Without a gradient a step takes nothing else off."""
    model = models.create_model("heatmap", widths=(4, 4, 4, 4, 4))
    before = {name: value.clone() for name, value in model.named_parameters()}
    for optimizer in create_optimizers(name, model, lr=0.5, weight_decay=0.25):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, before[name] * (1 - 0.5 * 0.25), msg=name)


def test_the_heat_maps_loss_has_its_weight(settings):
    """What is watched is the loss on points and so much of that on heat maps."""
    batch = {"image": torch.rand(2, 1, 112, 112), "keypoints": torch.zeros(2, 68, 2), "is_upright_face": torch.ones(2)}
    losses = {}
    for weight in (0, 0.5):
        chosen = settings("--heatmap-weight", weight)
        loss = KeypointTask(chosen).loss(train.create_untrained(chosen, torch.device("cpu")).train(), batch)
        parts = loss.parts
        assert loss.total.item() == pytest.approx((parts["points"] + weight * parts["heatmaps"]).item(), rel=1e-6)
        assert loss.auxiliary.item() == pytest.approx((parts["errors"] + parts["face"]).item(), rel=1e-6)
        losses[weight] = parts["heatmaps"].item()
    assert losses[0] == losses[0.5] > 0.1
