"""Ablations are trainings of train.py that differ in one option."""

import pytest

import train
from face68.files import InputError
from benchmarks import ablations


@pytest.mark.parametrize("name", ablations.ABLATIONS)
def test_each_changes_what_it_says_by_options_that_train_takes(name, tiny):
    changed, base = (
        train.parse_arguments(["--data", str(tiny), *ablations.BASE, *options]).plain()
        for options in (ablations.ABLATIONS[name], ())
    )
    differences = {option for option in base if changed[option] != base[option]}
    assert 0 <= len(differences) <= 3 and bool(differences) == bool(ablations.ABLATIONS[name])


def test_means_and_spreads_are_over_seeds(monkeypatch):
    ends, lines = iter([0.04, 0.06, 0.05, 0.08]), []

    def fake(options):
        lines.append(options)
        return {"seconds": [9.0, 2.0, 2.0], "val_nme": [0.6, 0.1, next(ends)]}

    monkeypatch.setattr(ablations, "train_once", fake)
    said = []
    first, second = ablations.train_each(["Adam", "half the rate"], ["--epochs", "2"], [3, 5], said.append)
    assert [line[-1] for line in lines] == ["3", "3", "5", "5"] and len(said) == 4
    assert lines[0] == ["--recipe", "best", "--epochs", "2", "--optimizer", "adam", "--lr", "2e-3", "--seed", "3"]
    assert first["nme"] == pytest.approx(0.045) and first["nme_spread"] == pytest.approx(0.005)
    assert second["nme"] == pytest.approx(0.07) and second["nme_spread"] == pytest.approx(0.01)
    assert first["s_epoch"] == 2 and first["options"] == "--optimizer adam --lr 2e-3"


def test_what_train_refuses_is_said_in_its_words(tmp_path):
    with pytest.raises(InputError, match=r"train.py --data .*nowhere.* holds neither training_frames_keypoints.csv"):
        ablations.train_once(["--data", str(tmp_path / "nowhere")])
