"""The folder of a training: what is its own, and its history."""

import csv
import shutil

import pytest
from conftest import PRETRAINED, SHIPPED

from checkpoint import load_checkpoint, save_checkpoint
from face68.files import InputError
from runs import HISTORY, append_history, is_of_a_run, load_state, read_history

ROW = {"epoch": 1, "train_loss": 0.5, "val_loss": 0.25, "val_nme": 0.1, "seconds": 1.0}


def test_the_history_has_each_epoch_once(tmp_path):
    path = tmp_path / "history.csv"
    for epoch in (1, 2, 3, 3, 4):  # killed after the third, before last.pt
        append_history(tmp_path, {**ROW, "epoch": epoch})
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"] and set(rows[0]) == {*HISTORY, "val_nme"}
    assert read_history(tmp_path, ["val_nme"])["val_nme"] == [0.1] * 4
    append_history(tmp_path, ROW)
    assert len(path.read_text().splitlines()) == 2  # a new run


@pytest.mark.parametrize("name", ["best.pt", "best.onnx", "history.csv", "training_curves.png"])
def test_files_of_a_training_are_known_by_their_form(tmp_path, name):
    path = tmp_path / name
    for content in (b"", b"mine", b"epoch,mine\n1,2\n"):
        path.write_bytes(content)
        assert not is_of_a_run(path)
    path.unlink()
    append_history(tmp_path, ROW)
    if name in ("best.pt", "best.onnx"):
        shutil.copy({"best.pt": PRETRAINED, "best.onnx": SHIPPED}[name], path)
    assert is_of_a_run(path) == (not name.endswith(".png"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, None),
        ({"training": None}, "holds no training state"),
        ({"arguments": {"lr": 0.1}}, "with --lr 0.1, not with --lr 0.2"),
        ({"training": {"faces": "others", "average": {"steps": 3}}}, "other faces"),
        ({"training": {"faces": "mine", "average": {"n_averaged": 3}}}, "earlier version"),
    ],
)
def test_a_run_goes_on_only_as_it_was_begun(tmp_path, change, told):
    saved = load_checkpoint(PRETRAINED)
    saved |= {"arguments": {"lr": 0.2, "workers": 4}, "training": {"faces": "mine", "average": {"steps": 3}}} | change
    save_checkpoint(tmp_path / "last.pt", {name: value for name, value in saved.items() if value is not None})
    if told is None:
        assert load_state(tmp_path, {"lr": 0.2, "workers": 0}, "mine")["average"] == {"steps": 3}
    else:
        with pytest.raises(InputError, match=told):
            load_state(tmp_path, {"lr": 0.2, "workers": 0}, "mine")
