"""What train.py's flags come to: recipes, and what overrides them."""

import pytest

import train
from face68.files import InputError
from tasks import open_people


def chosen(settings) -> dict:
    return {name: getattr(settings, name) for name in ("loss", "optimizer", "lr")}


def test_a_recipe_is_the_flags_that_it_names(settings):
    assert (
        chosen(settings())
        == chosen(settings("--recipe", "classic"))
        == {"loss": "mse", "optimizer": "adam", "lr": 2e-3}
    )
    best = settings("--recipe", "best")
    assert best == settings("--loss", "wing", "--optimizer", "muon", "--lr", "4e-3")
    assert best.plain()["optimizer"] == "muon" and "recipe" not in best.plain(), "what a checkpoint holds"


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
