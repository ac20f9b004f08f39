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
from conftest import REPOSITORY, SAMPLE, digests, one_line_error

from cli import weights as cli_weights
from data_load import SeededSamples, join, open_split
from face68.detect import FaceDetector
from face68.geometry import CropPolicy
from train import parse_arguments
from training.checkpoint import build_model, load_checkpoint
from training.settings import FACES, LEARNING, UNTRAINED, WRITTEN

QUICK = ("--batch-size", "4", "--seed", "3")


def train(command, data, output, *more, **options):
    return command("train.py", "--data", data, "--output-dir", output, *QUICK, *more, **options)


def weights(path):
    return load_checkpoint(path)["weights"]


def assert_same_weights(one, other):
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name


def test_it_learns_and_writes_what_it_says(tiny, tmp_path, command):
    recipe = ("--epochs", "36", "--loss", "wing", "--optimizer", "muon", "--lr", "4e-3")
    result = train(command, tiny, tmp_path / "run", *recipe)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no progress bar where stderr is no terminal, no warning
    assert "parameters" in result.stdout and "git commit" in result.stdout and "other people" in result.stdout
    for name in set(WRITTEN) - {"best.previous.pt"}:
        assert (tmp_path / "run" / name).stat().st_size > 0
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(37))
    for column in ("train_loss", "val_nme"):
        assert float(rows[-1][column]) < 0.3 * float(rows[1][column]), column
    assert rows[0][
        "train_loss"
    ] == "nan" and f"before training: NME (inter-ocular) {float(rows[0]['val_nme']):.2%}" in (result.stdout)

    best = load_checkpoint(tmp_path / "run" / "best.pt")
    nme = [float(row["val_nme"]) for row in rows]
    assert best["metrics"]["val_nme_inter_ocular"] == pytest.approx(min(nme), rel=1e-4)
    assert best["epoch"] == nme.index(min(nme))
    assert best["arguments"]["seed"] == 3 and "torch" in best["versions"]
    model, policy = build_model(best, "best.pt"), CropPolicy(**best["policy"])
    assert model(torch.rand(1, 1, policy.size, policy.size)).keypoints.shape == (1, 68, 2)
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]


def test_the_same_seed_gives_the_same_weights_with_any_number_of_workers(tiny, tmp_path, command):
    for name, more in (("a", ()), ("b", ("--workers", "2"))):
        result = train(command, tiny, tmp_path / name, "--epochs", "1", *more)
        assert result.returncode == 0, result.stderr
    assert_same_weights(tmp_path / "a" / "best.pt", tmp_path / "b" / "best.pt")


def test_ctrl_c_or_a_kill_and_resume_end_where_an_uninterrupted_run_does(tiny, tmp_path, command):
    arguments = ("--model", "net", "--epochs", "3")  # Net has dropout: its random numbers must go on too
    assert train(command, tiny, tmp_path / "whole", *arguments).returncode == 0
    line = [sys.executable, "-u", str(REPOSITORY / "train.py"), "--data", str(tiny), *QUICK, *arguments]
    for ended, epoch in ((signal.SIGINT, 1), (signal.SIGKILL, 2)):
        broken = tmp_path / ended.name
        process = subprocess.Popen(
            [*line, "--output-dir", str(broken)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for printed in process.stdout:
            if printed.startswith(f"epoch   {epoch}/3"):
                time.sleep(0.05)  # into the next epoch, or while this one is written
                process.send_signal(ended)
                break
        rest, errors = process.communicate(timeout=60)
        if ended is signal.SIGINT:
            assert process.returncode == 130 and "--resume" in rest and "Traceback" not in errors
        assert load_checkpoint(broken / "last.pt")["training"]["epoch"] in (1, 2)

        result = train(command, tiny, broken, *arguments, "--resume")
        assert result.returncode == 0, result.stderr
        assert_same_weights(tmp_path / "whole" / "last.pt", broken / "last.pt")
        with (broken / "history.csv").open() as file:
            assert [int(row["epoch"]) for row in csv.DictReader(file)] == [0, 1, 2, 3]
        for name in (LEARNING, UNTRAINED, FACES):
            assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.fixture
def begun(tiny, tmp_path):
    """Start a training with a worker in a session of its own, and wait for its first epoch's end."""
    line = [sys.executable, "-u", str(REPOSITORY / "train.py"), "--data", str(tiny), *QUICK, "--model", "net"]
    line += ["--epochs", "500", "--workers", "1", "--output-dir", str(tmp_path / "run")]

    def start(*before: str) -> subprocess.Popen:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        process = subprocess.Popen([*before, *line], **options)
        next((printed for printed in process.stdout if printed.startswith("epoch   1/")), None)
        return process

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_saves_the_state_and_may_come_again(begun, tmp_path, number):
    """As systemd, a cluster and a terminal send it: workers get it too; torchrun hands it on besides."""
    process = begun()
    os.killpg(process.pid, number)
    os.killpg(process.pid, signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "") and "--resume goes on" in output
    assert load_checkpoint(tmp_path / "run" / "last.pt")["training"]["epoch"] >= 1


def test_a_worker_that_is_killed_costs_no_step(begun, tmp_path):
    process = begun()
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:  # the first may be one that has just done its part
        with contextlib.suppress(OSError):
            for worker in workers.read_text().split():
                os.kill(int(worker), signal.SIGKILL)
        time.sleep(0.5)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and errors.count("\n") == 1, errors
    assert "error: --workers 1: a process that prepares samples failed (DataLoader worker" in errors
    state = load_checkpoint(tmp_path / "run" / "last.pt")["training"]
    assert errors.endswith(f"--resume goes on in epoch {state['epoch'] + 1} after step {state['step']}\n")


def test_no_room_in_dev_shm_is_a_line(begun):
    """In a namespace of its own, where 64 kB are there."""
    room = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none /dev/shm && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*room, "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    process = begun(*room)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and errors.count("\n") == 1, errors
    assert "/dev/shm" in errors


def test_dry_run_writes_nothing(tmp_path, command):
    result = train(command, SAMPLE, tmp_path / "run", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "run").exists()


def test_without_data_it_says_which_it_takes(tmp_path, command):
    result = command("train.py", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("data: ")
    if "sample" in result.stdout.splitlines()[0]:
        assert "prepare.py download" in result.stdout


def test_drawn_faces_do_not_become_the_network_that_photos_get(settings, monkeypatch, capsys):
    """Unless --output-dir says so; a user's own faces still do."""
    for data, folder in (
        (SAMPLE, cli_weights.SAMPLE_RUN),
        (SAMPLE.parent / ".." / "data" / "sample", cli_weights.SAMPLE_RUN),
    ):
        assert parse_arguments(["--data", str(data)]).output_dir == folder
        told = capsys.readouterr().out
        assert f"results: {folder}" in told and "of no use on photos" in told
        assert parse_arguments(["--data", str(data), "--output-dir", "mine"]).output_dir == Path("mine")
        assert "results" not in capsys.readouterr().out
    assert (
        parse_arguments(["--data", str(SAMPLE), "--model", "detector"]).output_dir
        == cli_weights.SAMPLE_RUN / "detector"
    )
    assert settings().output_dir == settings("--data", SAMPLE).output_dir == cli_weights.SAVED_MODELS
    assert settings("--model", "detector").output_dir == cli_weights.OWN_DETECTOR.parent
    ignored = subprocess.run(["git", "-C", REPOSITORY, "check-ignore", cli_weights.SAMPLE_RUN / "best.pt"])
    assert ignored.returncode in (0, 128), "git ignores it; 128: this is no checkout"


def test_a_loss_that_is_not_finite_stops_in_one_line(tiny, tmp_path, command):
    result = train(command, tiny, tmp_path / "run", "--epochs", "3", "--optimizer", "sgd", "--lr", "1e30")
    error = one_line_error(result)
    assert "--lr" in error and "epoch before" not in error, "there is none"


def test_a_training_that_diverges_in_its_first_epoch_is_one_line_and_leaves_an_earlier_ones_files(
    tiny, tmp_path, command
):
    assert train(command, tiny, tmp_path / "run", "--epochs", "1").returncode == 0
    before = digests(tmp_path / "run")
    result = train(command, tiny, tmp_path / "run", "--epochs", "1", "--optimizer", "sgd", "--lr", "1000")
    assert "diverged" in one_line_error(result)
    assert len(before) == len(WRITTEN) - 1 and digests(tmp_path / "run") == before


def test_the_best_of_an_earlier_training_is_kept_aside(tiny, tmp_path, command):
    best, previous = tmp_path / "run" / "best.pt", tmp_path / "run" / "best.previous.pt"
    result = train(command, tiny, tmp_path / "run", "--epochs", "1")
    first = best.read_bytes()
    assert "best.previous.pt" not in result.stdout and not previous.exists()
    result = train(command, tiny, tmp_path / "run", "--epochs", "2", "--lr", "1e-4")
    assert result.stdout.count("kept as best.previous.pt") == 1
    assert previous.read_bytes() == first and best.read_bytes() != first
    result = train(command, tiny, tmp_path / "run", "--epochs", "2", "--lr", "1e-4", "--resume")
    assert result.returncode == 0 and previous.read_bytes() == first, "going on is no other training"


def test_a_users_file_is_not_replaced_and_that_shows_before_the_first_epoch(tiny, tmp_path, command):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "history.csv").write_text("mine")
    assert "history.csv: is there" in one_line_error(train(command, tiny, tmp_path / "run", "--dry-run"))
    assert (tmp_path / "run" / "history.csv").read_text() == "mine"
    assert "can't be written" in one_line_error(train(command, tiny, tmp_path / "run" / "history.csv", "--dry-run"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--resume",), "last.pt"),
        (("--epochs", "0"), "--epochs"),
        (("--lr", "nan"), "--lr"),
        (("--seed", "-1"), "--seed"),
        (("--workers", "two"), "--workers"),
        (("--val-fold", "7"), "--val-fold 7"),
        (("--folds", "1"), "too few people"),
        (("--model", "resnet"), "--model"),
        (("--device", "cuda"), "--device cuda"),
    ],
)
def test_bad_arguments_are_one_line(tiny, tmp_path, command, arguments, message):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert message in one_line_error(train(command, tiny, tmp_path / "run", *arguments))


def test_resume_with_other_settings_or_faces_is_refused(tiny, tmp_path, command):
    assert train(command, tiny, tmp_path / "run", "--epochs", "1").returncode == 0

    def refusal(*more):
        return one_line_error(train(command, tiny, tmp_path / "run", "--epochs", "1", *more, "--resume"))

    assert "with --lr 0.002, not with --lr 0.5" in refusal("--lr", "0.5")
    assert "with --balance 0.0, not with --balance 1.0" in refusal("--balance")
    labels = tiny / "training_frames_keypoints.csv"
    labels.write_text("\n".join(labels.read_text().splitlines()[:-1]) + "\n")
    assert "other faces or labels" in refusal()


def test_a_data_set_of_one_person_cannot_be_split(tiny, tmp_path, command):
    path = tiny / "training_frames_keypoints.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    assert "too few people" in one_line_error(train(command, tiny, tmp_path / "run"))


def test_two_data_sets_one_of_them_with_pts_files(tiny, tmp_path, command):
    from face68.formats import write_pts

    data = open_split(tiny, "training")
    other = tmp_path / "other"
    other.mkdir()
    for i, path in enumerate(data.paths):
        (other / f"{i}.jpg").write_bytes(path.read_bytes())
        write_pts(other / f"{i}.pts", data.keypoints[i])
    result = train(command, tiny, tmp_path / "run", "--data", other, "--balance", "--epochs", "1")
    assert result.returncode == 0, result.stderr
    assert "training: " in result.stdout and result.stdout.count("%,") >= 1  # an NME for each set
    assert load_checkpoint(tmp_path / "run" / "best.pt")["arguments"]["data"] == [str(tiny), str(other)]


def test_balance_shows_each_data_set_equally_often():
    large, small = open_split(SAMPLE, "training"), open_split(SAMPLE, "test")
    data = SeededSamples(join([large, small]), seed=0, balance=True)
    keys = data.order()
    assert len(keys) == len(data) == 250 and len(set(keys)) == 250  # a repeated face has another key
    sources = data.dataset.sources[[key % 250 for key in keys]]
    assert (sources == 0).sum() == (sources == 1).sum() == 125
    assert {key % 250 for key, source in zip(keys, sources, strict=True) if source == 1} == set(range(200, 250))
    data.epoch = 1
    assert data.order() != keys


@pytest.mark.parametrize(("balance", "of_small"), [(0.0, 50), (0.5, 83), (1.0, 125)])  # 0.5: √50 / (√50 + √200)
def test_balance_may_be_partial(balance, of_small):
    data = SeededSamples(join([open_split(SAMPLE, "training"), open_split(SAMPLE, "test")]), seed=0, balance=balance)
    sources = data.dataset.sources[[key % 250 for key in data.order()]]
    assert (sources == 1).sum() == of_small


def test_a_detector_is_trained_by_the_same_loop(tiny, tmp_path, command):
    """It learns, ends with a file that finds faces, and is exported and used as others are."""
    arguments = ("--model", "detector", "--optimizer", "muon", "--lr", "4e-3", "--epochs", "12", "--precision", "bf16")
    result = train(command, tiny, tmp_path / "whole", *arguments)
    assert result.returncode == 0, result.stderr
    assert "1 - AP" in result.stdout and result.stderr == ""
    with (tmp_path / "whole" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["train_loss"]) < 0.9 * float(rows[1]["train_loss"])
    best = load_checkpoint(tmp_path / "whole" / "best.pt")
    assert 1 - best["metrics"]["val_average_precision"] == pytest.approx(
        min(float(row["val_1_minus_ap"]) for row in rows[1:]), abs=1e-5
    )
    assert FaceDetector(tmp_path / "whole" / "best.onnx").network.metadata["model"] == "detector"
    for name in (LEARNING, UNTRAINED, FACES):
        assert (tmp_path / "whole" / name).stat().st_size > 0
    checkpoint = tmp_path / "whole" / "best.pt"
    assert "places no keypoints, it finds faces" in one_line_error(
        command("predict.py", "--checkpoint", checkpoint, "--detector", "none", "--image", SAMPLE / "test")
    )
    found = command("export.py", "--checkpoint", checkpoint, "--data", SAMPLE, "--output", "own.onnx")
    assert found.returncode == 0, found.stderr
    assert command("predict.py", "--detector", "own.onnx", "--no-pictures").returncode == 0
