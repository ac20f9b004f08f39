"""Training that begins with a checkpoint's weights."""

import pytest
import torch
from conftest import PRETRAINED

import train
from cli.weights import file_of
from face68.files import InputError
from models import create_model
from training import run
from training.checkpoint import load_checkpoint, start_from
from training.settings import as_plain


@pytest.fixture(scope="module")
def shipped():
    return load_checkpoint(PRETRAINED)


def test_all_layers_are_the_checkpoints_and_the_calibration_starts_anew(shipped):
    model = create_model("base", shipped["annotators"])
    assert start_from(model, shipped, PRETRAINED) == ""
    assert shipped["weights"]["calibration"].tolist() != [0, 1], "or this shows nothing"
    for name, value in model.state_dict().items():
        expected = torch.tensor([0.0, 1.0]) if name == "calibration" else shipped["weights"][name]
        assert torch.equal(value, expected), name


def test_a_layer_that_does_not_fit_starts_anew_as_a_whole(shipped):
    """With another last width the classifier's first layer is of another shape but for its bias."""
    model = create_model("base", widths=(16, 32, 72, 104, 96))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    anew = start_from(model, shipped, PRETRAINED).split(", ")
    assert "face.0" in anew and "stages.3.body.0.0" in anew and "lateral.1.0" in anew
    assert "stem.0.0" not in anew and "exponent" not in anew and "face.2" not in anew
    for name, value in model.state_dict().items():
        layer = name.rpartition(".")[0] or name
        kept = layer in anew or name == "calibration"
        assert torch.equal(value, before[name] if kept else shipped["weights"][name]), name
    assert before["face.0.bias"].shape == shipped["weights"]["face.0.bias"].shape, "alone it would fit"


def test_a_checkpoint_of_another_network_is_refused(shipped):
    with pytest.raises(InputError, match="no layer fits --model net; it is a checkpoint of base"):
        start_from(create_model("net"), shipped, PRETRAINED)


def test_shipped_networks_go_by_their_names(settings, tmp_path, capsys):
    of_fast = settings("--model", "fast", "--init", "fast")
    model, weights = train.create_untrained(of_fast, torch.device("cpu")), load_checkpoint(file_of("fast", ".pt"))
    assert "weights: fast, " in capsys.readouterr().out and as_plain(of_fast)["init"] == "fast"
    assert torch.equal(model.state_dict()["stem.0.0.weight"], weights["weights"]["stem.0.0.weight"])
    settings("--init", "fats", "--output-dir", tmp_path)
    with pytest.raises(InputError, match="fats: no such network; give fast, base or large"):
        train.main()


def test_it_starts_from_the_weights_and_not_from_a_file_that_it_replaces(settings, trained, tmp_path, capsys):
    line = ("--init", PRETRAINED, "--recipe", "best", "--epochs", 1, "--batch-size", 4, "--output-dir", tmp_path)
    training = trained(settings(*line))
    assert f"weights: {PRETRAINED}, all layers" in capsys.readouterr().out
    before, after = run.read_history(tmp_path)["val_nme"]
    assert max(before, after) < 0.1, "an untrained network is off by more than 0.5"
    assert before == pytest.approx(training.task.validate(training.before, *validation(training)).error, rel=1e-4)
    assert load_checkpoint(tmp_path / "best.pt")["arguments"]["init"] == str(PRETRAINED)

    settings("--init", tmp_path / "best.pt", "--output-dir", tmp_path)
    with pytest.raises(InputError, match="is read by this run"):  # the same line would not begin with the same again
        train.main()


def test_fine_tuning_that_never_beats_its_start_keeps_it_and_says_so(settings, trained, tmp_path, capsys):
    line = ("--init", PRETRAINED, "--recipe", "best", "--epochs", 1, "--batch-size", 4, "--output-dir", tmp_path)
    training = trained(settings(*line, "--lr", 0.1))
    before, after = run.read_history(tmp_path)["val_nme"]
    assert before < after == pytest.approx(training.best_error, rel=1e-4)
    run.keep_start(training, validation(training)[0])
    assert f"no epoch was better than {PRETRAINED}" in capsys.readouterr().out
    best, start = load_checkpoint(tmp_path / "best.pt"), training.before.state_dict()
    assert all(torch.equal(value, start[name]) for name, value in best["weights"].items() if name != "calibration")
    assert best["epoch"] == 0 and best["metrics"]["val_nme_inter_ocular"] == pytest.approx(before, rel=1e-4)
    assert training.best_error == pytest.approx(before, rel=1e-4), "which train.py tells in the end"

    training.best_error = before / 2
    run.keep_start(training, validation(training)[0])
    assert capsys.readouterr().out.count("no epoch") == 0 and training.best_error == before / 2


def validation(training):
    """The data and the device that it validates on."""
    return training.task.load()[1], training.device
