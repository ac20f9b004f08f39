"""The folder of a training: what is its own, and its history."""

import math
import shutil

import pytest
import torch
from conftest import PRETRAINED, SHIPPED

from face68.files import InputError
from training.checkpoint import load_checkpoint, save_checkpoint
from training.run import append_history, check_resumable, is_of_a_run, read_histories, read_history
from training.settings import COLUMNS
from training.state import load_state

ROW = {"epoch": 1, "train_loss": 0.5, "val_loss": 0.25, "val_nme": 0.1, "seconds": 1.0}


def test_the_history_has_each_epoch_once(tmp_path):
    for epoch in (1, 2, 3, 3, 4):  # killed after the third, before last.pt
        append_history(tmp_path, {**ROW, "epoch": epoch})
    header, *rows = (tmp_path / "history.csv").read_text().splitlines()
    assert rows == [f"{epoch},0.5,0.25,0.1,1" for epoch in (1, 2, 3, 4)] and set(header.split(",")) == set(ROW)
    assert set(ROW) == {*COLUMNS, "val_nme"} and read_history(tmp_path)["val_nme"] == [0.1] * 4
    for epoch, loss in ((0, math.nan), (1, 0.5), (2, 0.5), (2, 0.12345678), (3, 0.5)):  # a new run
        append_history(tmp_path, {**ROW, "epoch": epoch, "train_loss": loss})
    history = read_history(tmp_path)
    assert history["epoch"] == [0, 1, 2, 3] and history["train_loss"] == pytest.approx(
        [math.nan, 0.5, 0.123457, 0.5], abs=0, nan_ok=True
    )


def test_columns_may_join_a_history(tmp_path):
    """Epoch 0 has no learning rate; a data set whose folder has moved has another name."""
    append_history(tmp_path, ROW)
    append_history(tmp_path, ROW | {"epoch": 2, "lr": 0.125, "val_nme a,b": 0.5})
    assert (tmp_path / "history.csv").read_text().splitlines() == [
        'epoch,train_loss,val_loss,val_nme,seconds,lr,"val_nme a,b"',
        "1,0.5,0.25,0.1,1,nan,nan",
        "2,0.5,0.25,0.1,1,0.125,0.5",
    ]
    assert read_history(tmp_path)["epoch"] == [1, 2] and is_of_a_run(tmp_path / "history.csv")


def test_histories_are_told_apart_by_folder_and_hold_one_measure(tmp_path):
    detector = {name: value for name, value in ROW.items() if name != "val_nme"} | {"val_1_minus_ap": 0.2}
    for name, row in (("a/net", ROW), ("b/net", ROW), ("wing", ROW), ("detector", detector)):
        (tmp_path / name).mkdir(parents=True)
        append_history(tmp_path / name, row)
    a, b, wing = (tmp_path / name for name in ("a/net", "b/net", "wing"))
    histories, column = read_histories([a, wing])
    assert list(histories) == ["net", "wing"] and column == "val_nme"
    assert list(read_histories([a, b])[0]) == [str(a), str(b)]
    assert read_histories([tmp_path / "detector"])[1] == "val_1_minus_ap"
    with pytest.raises(InputError, match=r"detector.history\.csv: measures 1 - AP, others NME"):
        read_histories([wing, tmp_path / "detector"])
    with pytest.raises(InputError, match=r"none: no training there; make it by python train\.py --output-dir"):
        read_histories([tmp_path / "none"])
    for content in ("", "epoch,mine\n1,2\n", "epoch,train_loss,val_loss,seconds\n1,2,3,4\n", "mine"):
        (wing / "history.csv").write_text(content)
        with pytest.raises(InputError, match="not the history of a training"):
            read_histories([wing])


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


def state(**change) -> dict:
    """A training state after 3 steps of the first epoch."""
    counts = {
        "faces": "mine",
        "epoch": 0,
        "step": 3,
        "sums": {"train_loss": 1.5},
        "snapshots": [],
        "best_error": float("inf"),
    }
    parts = {"model": {}, "average": {}, "optimizers": [], "random": torch.get_rng_state()}
    return counts | parts | change


SETTINGS = {"lr": 0.2, "workers": 0, "epochs": 2}


def begun(folder, **change) -> None:
    """A last.pt of a training with these settings, and other values of some keys; None: without that key."""
    saved = load_checkpoint(PRETRAINED) | {"arguments": SETTINGS | {"workers": 4}, "training": state()} | change
    save_checkpoint(folder / "last.pt", {name: value for name, value in saved.items() if value is not None})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, None),
        ({"training": None}, "holds no training state"),
        ({"arguments": {"lr": 0.1}}, "with --lr 0.1, not with --lr 0.2"),
        ({"arguments": {"epochs": 3}}, r"begun with --epochs 3.*--init .*best\.pt --output-dir"),
        ({"arguments": {"init": "c.pt"}}, r"with --init c\.pt, not without --init"),
        ({"arguments": {"options": {"widths": (1, 2)}}}, "begun with --options widths=1,2, not without --options;"),
        ({"training": state(faces="others")}, "other faces"),
        ({"training": state(average=[], sums={"train_loss": "a"}, snapshots=3)}, "average, sums, snapshots missing"),
        ({"training": []}, "makes no sense"),
        ({"training": state(epoch=-5)}, "makes no sense .epoch missing or impossible"),
        ({"training": state(epoch=3)}, "makes no sense .epoch 3, step 3"),
        ({"training": state(step=10**9)}, "makes no sense .epoch 0, step 1000000000"),
        ({"training": state(step=0.5)}, "makes no sense .step missing"),
        ({"training": state(sums={})}, "no losses of the steps before"),
        ({"training": state(best_error="x", random=[1], optimizers={})}, "optimizers, best_error, random missing"),
        ({"training": state(model={"a": torch.tensor([1.0, float("nan")])})}, "aren't finite; begin anew"),
        ({"training": state(best_error=0.1)}, "best.pt: no such checkpoint"),
    ],
)
def test_a_run_goes_on_only_as_it_was_begun(tmp_path, change, told):
    begun(tmp_path, **change)
    if told is None:
        assert load_state(tmp_path, SETTINGS, "mine", 3)["step"] == 3
    else:
        with pytest.raises(InputError, match=told):
            load_state(tmp_path, SETTINGS, "mine", 3)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage\n,,\n", b"epoch,loss\n1,2\n", b"epoch,train_loss\n1\n"])
def test_a_garbage_history_is_told_before_a_run_goes_on(tmp_path, content):
    begun(tmp_path)
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"history\.csv: isn't the history of a training; take it away"):
        check_resumable(tmp_path)


def test_a_damaged_best_checkpoint_is_told_before_a_run_goes_on(tmp_path):
    begun(tmp_path)
    check_resumable(tmp_path)
    (tmp_path / "best.pt").write_bytes(PRETRAINED.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"best\.pt: not a checkpoint"):
        check_resumable(tmp_path)
