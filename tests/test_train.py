"""train.py: what it writes, resumes, refuses."""

import contextlib
import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY, SAMPLE, SHIPPED, digests, one_line_error

import predict
from cli.weights import OWN_DETECTOR, SAMPLE_RUN, SAVED_MODELS
from data_load import SeededSamples, join, open_split
from face68.detect import FaceDetector
from face68.files import InputError
from face68.formats import write_pts
from face68.geometry import CropPolicy
from train import parse_arguments
from training.checkpoint import build_model, load_checkpoint
from training.settings import LEARNING, UNTRAINED_FACES, VALIDATION_FACES, WRITTEN
from training.state import Training

SMALL = ("--model-option", "widths=4,4,8,8,8", "--batch-size", "4", "--seed", "3")


@pytest.fixture
def small(train_here, tiny, tmp_path):
    """Train a small network on `tiny`, into tmp_path / "run" or another folder there."""

    def train_small(*more, output: str = "run", **ends):
        return train_here("--data", tiny, "--output-dir", tmp_path / output, *SMALL, *more, **ends)

    return train_small


def assert_same_weights(one, other):
    one, other = load_checkpoint(one)["weights"], load_checkpoint(other)["weights"]
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def history(folder) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_learns_and_writes_what_it_says(tiny, tmp_path, command):
    line = ("--data", tiny, "--output-dir", "run", "--batch-size", 4, "--seed", 3, "--epochs", 36, "--recipe", "best")
    result = command("train.py", *line, "--model-option", "widths=8,16,32,32,48")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no progress bar where stderr is no terminal, no warning
    assert "parameters" in result.stdout and "git commit" in result.stdout and "other people" in result.stdout
    run = tmp_path / "run"
    assert {path.name for path in run.iterdir() if path.stat().st_size} == set(WRITTEN) - {"best.previous.pt"}
    rows = history(run)
    assert [int(row["epoch"]) for row in rows] == list(range(37))
    for column in ("train_loss", "val_nme"):
        assert float(rows[-1][column]) < 0.4 * float(rows[1][column]), column
    assert rows[0]["train_loss"] == "nan"
    assert f"before training: NME (inter-ocular) {float(rows[0]['val_nme']):.2%}" in result.stdout

    best = load_checkpoint(run / "best.pt")
    nme = [float(row["val_nme"]) for row in rows]
    assert best["metrics"]["val_nme_inter_ocular"] == pytest.approx(min(nme), rel=1e-4)
    assert best["epoch"] == nme.index(min(nme))
    assert best["arguments"]["seed"] == 3 and "torch" in best["versions"]
    model, policy = build_model(best, "best.pt"), CropPolicy(**best["policy"])
    assert model(torch.rand(1, 1, policy.size, policy.size)).keypoints.shape == (1, 68, 2)


def test_the_same_seed_gives_the_same_weights_with_any_number_of_workers(small, tmp_path):
    for name, more in (("a", ()), ("b", ("--workers", 2))):
        assert small("--epochs", 1, *more, output=name).status == 0
    assert_same_weights(tmp_path / "a" / "best.pt", tmp_path / "b" / "best.pt")


class Killed(Exception):
    pass


def test_an_interrupted_and_a_killed_run_end_where_an_uninterrupted_one_does(train_here, tiny, tmp_path, monkeypatch):
    """In the middle of epochs 2 and 3 of Net, which has dropout: its random numbers must go on too."""
    line = ("--data", tiny, "--model", "net", "--epochs", 3, "--batch-size", 4, "--output-dir")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train_here(*line, whole, pictures=True).status == 0

    def kill():
        raise Killed

    def end_after(epoch: int, act) -> None:
        """Act after a step of an epoch, as often as it is reached."""

        def step_weights(self, loss, step=Training.step_weights):
            step(self, loss)
            if (self.epoch, self.step) == (epoch, 1):
                act()

        monkeypatch.undo()
        monkeypatch.setattr(Training, "step_weights", step_weights)

    end_after(1, lambda: signal.raise_signal(signal.SIGINT))
    stopped = train_here(*line, broken)
    assert stopped.status == 130 and "stopped in epoch 2 after step 1; --resume goes on from there" in stopped.stdout
    end_after(2, kill)
    with pytest.raises(Killed):
        train_here(*line, broken, "--resume")
    state = load_checkpoint(broken / "last.pt")["training"]
    assert (state["epoch"], state["step"]) == (2, 0)
    monkeypatch.undo()
    assert train_here(*line, broken, "--resume", pictures=True).stdout.count("resumed") == 1
    assert_same_weights(whole / "last.pt", broken / "last.pt")
    for before, after in zip(history(whole), history(broken), strict=True):
        assert all(before[name] == after[name] for name in ("epoch", "lr", "train_loss", "points_loss", "val_nme"))
    for name in (LEARNING, UNTRAINED_FACES, VALIDATION_FACES):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.fixture
def begun(tiny, tmp_path):
    """A training with a worker in a session of its own, after its first epoch."""
    line = [sys.executable, "-u", str(REPOSITORY / "train.py"), "--data", str(tiny), *SMALL]
    line += ["--epochs", "5000", "--workers", "1", "--output-dir", str(tmp_path / "run")]

    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(line, **options) as process:
        next(printed for printed in process.stdout if printed.startswith("epoch   1/"))
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_group_saves_the_state_and_may_come_again(begun, tmp_path, number):
    """As systemd, a cluster and a terminal send it: workers get it too; torchrun hands it on besides."""
    os.killpg(begun.pid, number)
    os.killpg(begun.pid, signal.SIGTERM)
    output, errors = begun.communicate(timeout=60)
    assert (begun.returncode, errors) == (130, "") and "--resume goes on" in output
    assert load_checkpoint(tmp_path / "run" / "last.pt")["training"]["epoch"] >= 1


def test_a_worker_that_is_killed_costs_no_step(begun, tmp_path):
    workers = Path(f"/proc/{begun.pid}/task/{begun.pid}/children")
    while begun.poll() is None:  # the first may be one that has just done its part
        with contextlib.suppress(OSError):
            for worker in workers.read_text().split():
                os.kill(int(worker), signal.SIGKILL)
        time.sleep(0.1)
    _, errors = begun.communicate(timeout=60)
    assert begun.returncode == 2 and errors.count("\n") == 1, errors
    assert "error: --workers 1: a process that prepares samples failed (" in errors
    state = load_checkpoint(tmp_path / "run" / "last.pt")["training"]
    assert errors.endswith(f"--resume goes on in epoch {state['epoch'] + 1} after step {state['step']}\n")


def test_no_room_in_dev_shm_is_a_line(tiny, tmp_path):
    """In a namespace of its own, where 64 kB are there."""
    room = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none /dev/shm && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*room, "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    line = [sys.executable, REPOSITORY / "train.py", "--data", tiny, *SMALL, "--workers", "1", "--output-dir", tmp_path]
    done = subprocess.run([*room, *map(str, line)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "/dev/shm" in done.stderr, done.stderr


def test_dry_run_writes_nothing(small, tmp_path):
    assert "nothing written" in small("--dry-run").stdout
    assert not (tmp_path / "run").exists()


def test_results_of_drawn_faces_do_not_become_the_network_that_photos_get(settings, capsys):
    """Unless --output-dir says so; a user's own faces still do."""
    for data in (SAMPLE, SAMPLE.parent / ".." / "data" / "sample"):
        assert parse_arguments(["--data", str(data)]).output_dir == SAMPLE_RUN
        printed = capsys.readouterr().out
        assert f"results: {SAMPLE_RUN}" in printed and "rough on photos" in printed
        assert parse_arguments(["--data", str(data), "--output-dir", "mine"]).output_dir == Path("mine")
        assert capsys.readouterr().out == ""
    assert parse_arguments(["--data", str(SAMPLE), "--model", "detector"]).output_dir == SAMPLE_RUN / "detector"
    assert settings().output_dir == settings("--data", SAMPLE).output_dir == SAVED_MODELS
    assert settings("--model", "detector").output_dir == OWN_DETECTOR.parent
    ignored = subprocess.run(["git", "-C", REPOSITORY, "check-ignore", SAMPLE_RUN / "best.pt"])
    assert ignored.returncode in (0, 128), "git ignores it; 128: this is no checkout"


def test_a_training_that_diverges_is_one_line_and_leaves_an_earlier_ones_files(small, tmp_path):
    assert small("--epochs", 1, pictures=True).status == 0
    shutil.copy(SHIPPED, tmp_path / "run" / "best.onnx")  # any export will do
    before = digests(tmp_path / "run")
    assert len(before) == len(WRITTEN) - 1
    for lr, message in ((1000, "training has diverged"), (1e30, "the loss is .*; try a lower --lr")):
        with pytest.raises(InputError, match=message):
            small("--epochs", 1, "--optimizer", "sgd", "--lr", lr)
        assert digests(tmp_path / "run") == before


def test_the_best_of_an_earlier_training_is_kept_aside(small, tmp_path):
    best, previous = tmp_path / "run" / "best.pt", tmp_path / "run" / "best.previous.pt"
    assert "best.previous.pt" not in small("--epochs", 1).stdout and not previous.exists()
    first = best.read_bytes()
    assert small("--epochs", 2, "--lr", 1e-4).stdout.count("kept as best.previous.pt") == 1
    assert previous.read_bytes() == first and best.read_bytes() != first
    assert "kept" not in small("--epochs", 2, "--lr", 1e-4, "--resume").stdout
    assert previous.read_bytes() == first, "going on is no other training"


def test_a_users_file_is_not_replaced_and_that_shows_before_the_first_epoch(small, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "history.csv").write_text("mine")
    with pytest.raises(InputError, match=r"history\.csv: is there"):
        small("--dry-run")
    assert (tmp_path / "run" / "history.csv").read_text() == "mine"
    with pytest.raises(InputError, match="can't be written"):
        small("--dry-run", output="run/history.csv")


@pytest.mark.parametrize("line", ["--epochs 0", "--lr nan", "--seed -1", "--workers two", "--model resnet"])
def test_a_value_that_can_not_be_is_one_line(capsys, line):
    with pytest.raises(SystemExit) as end:
        parse_arguments(line.split())
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and line.split()[0] in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resume",), r"last\.pt"),
        (("--val-fold", "7"), "--val-fold 7|fold 7"),
        (("--folds", "1"), "too few people"),
        (("--device", "cuda"), "--device cuda"),
    ],
)
def test_what_is_not_there_is_one_line(small, arguments, message):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(InputError, match=message):
        small(*arguments)


def test_resume_with_other_settings_or_faces_is_refused(small, tiny):
    assert small("--epochs", 1).status == 0
    labels = tiny / "training_frames_keypoints.csv"
    for more, message in (
        (("--lr", 0.5), "with --lr 0.002, not with --lr 0.5"),
        (("--balance",), "with --balance 0.0, not with --balance 1.0"),
        ((), "other faces or labels"),
    ):
        if not more:
            labels.write_text("\n".join(labels.read_text().splitlines()[:-1]) + "\n")
        with pytest.raises(InputError, match=message):
            small("--epochs", 1, *more, "--resume")


def test_two_data_sets_one_of_them_with_pts_files(small, tiny, tmp_path):
    data, other = open_split(tiny, "training"), tmp_path / "other"
    other.mkdir()
    for i, path in enumerate(data.paths):
        (other / f"{i}.jpg").write_bytes(path.read_bytes())
        write_pts(other / f"{i}.pts", data.keypoints[i])
    result = small("--data", other, "--balance", "--epochs", 1)
    assert "training: " in result.stdout and result.stdout.count("%,") >= 1  # an NME for each set
    assert load_checkpoint(tmp_path / "run" / "best.pt")["arguments"]["data"] == [str(tiny), str(other)]


@pytest.mark.parametrize(("balance", "of_small"), [(0.0, 50), (0.5, 83), (1.0, 125)])  # 0.5: √50 / (√50 + √200)
def test_balance_shows_faces_of_small_data_sets_more_often(balance, of_small):
    large, small = open_split(SAMPLE, "training"), open_split(SAMPLE, "test")
    data = SeededSamples(join([large, small]), seed=0, balance=balance)
    keys = data.order()
    assert len(keys) == len(data) == len(set(keys)) >= 249  # a repeated face has another key; shares are whole faces
    sources = data.dataset.sources[[key % 250 for key in keys]]
    assert (sources == 1).sum() == of_small
    assert {key % 250 for key, source in zip(keys, sources, strict=True) if source == 1} == set(range(200, 250))
    data.epoch = 1
    assert data.order() != keys


def test_a_detector_is_trained_by_the_same_loop(train_here, in_process, tiny, tmp_path):
    """It learns, and ends with a file that finds faces and is used as others are."""
    line = ("--data", tiny, "--batch-size", 4, "--seed", 3, "--recipe", "best", "--epochs", 12, "--precision", "bf16")
    result = train_here(*line, "--model", "detector", "--output-dir", tmp_path / "run", pictures=True, export=True)
    rows, checkpoint = history(tmp_path / "run"), tmp_path / "run" / "best.pt"
    assert "1 - AP" in result.stdout and float(rows[-1]["train_loss"]) < 0.9 * float(rows[1]["train_loss"])
    error = 1 - load_checkpoint(checkpoint)["metrics"]["val_average_precision"]
    assert error == pytest.approx(min(float(row["val_1_minus_ap"]) for row in rows[1:]), abs=1e-5)
    assert FaceDetector(tmp_path / "run" / "best.onnx").network.metadata["model"] == "detector"
    assert {path.name for path in (tmp_path / "run").iterdir()} == set(WRITTEN) - {"best.previous.pt"}
    assert "places no keypoints, it finds faces" in one_line_error(
        in_process(predict.main, "--checkpoint", checkpoint, "--detector", "none", "--image", SAMPLE / "test")
    )
    assert in_process(predict.main, "--detector", tmp_path / "run" / "best.onnx", "--no-pictures").returncode == 0
