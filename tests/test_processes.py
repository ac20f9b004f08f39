"""Several processes do together what one does: the same gradients, losses and errors; and only the first one writes."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from conftest import REPOSITORY, SAMPLE, SHIPPED, digests

from training import devices
from training.checkpoint import load_checkpoint
from training.run import read_history

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


@pytest.fixture
def together(tmp_path):
    """Run a script in N processes, in an empty folder, one thread each."""

    def run(count: int, script, *arguments) -> subprocess.CompletedProcess:
        line = [*TORCHRUN, f"--nproc-per-node={count}", str(script), *map(str, arguments)]
        threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=os.environ | threads)

    return run


# Steps of training in float64, where rounding shows only in the 15th digit. Of 5 faces, one of them background, three
# processes have 2, 2 and 1; of 2 faces each has both.
STEP = """
    import torch
    import processes
    from losses import LOSSES, error_loss, face_loss, heatmap_loss, keypoint_loss
    from models import create_model

    def step(size):
        torch.manual_seed(0)
        model = create_model("heatmap", widths=(8, 8, 8, 8, 8)).double().train()
        images, target = torch.rand(size, 1, 48, 48).double(), torch.rand(size, 68, 2).double() - 0.5
        is_face = torch.tensor([1, 0, 1, 1, 1]).double()[:size]
        parallel, mine = processes.parallel(model), processes.share_of_step(list(range(size)))
        outputs, target, is_face = parallel(images[mine]), target[mine], is_face[mine]
        loss = keypoint_loss(LOSSES["wing"], outputs.keypoints, target, is_face)
        loss = loss + heatmap_loss(outputs.heatmaps, target, is_face)
        loss = loss + error_loss(outputs, target, is_face) + face_loss(outputs, is_face)
        loss.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        return gradients | {"loss": processes.mean_of(loss.detach())}, dict(model.named_buffers())

    with processes.together():
        for size, rounding in ((5, 1e-12), (2, 1e-2)):
            together = step(size)
            with processes.alone():
                alone = step(size)
            for several, one, limit in zip(together, alone, (1e-12, rounding), strict=True):
                assert several.keys() == one.keys() and sum(bool(value.any()) for value in one.values()) > 50
                for name in one:
                    torch.testing.assert_close(several[name], one[name], rtol=limit, atol=limit)
        print(f"{processes.count()} processes agree with one")
"""


def test_a_step_of_several_is_that_of_one(together, tmp_path):
    script = tmp_path / "step.py"
    script.write_text(textwrap.dedent(STEP))
    result = together(3, script)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "3 processes agree with one\n"


def test_two_train_as_one_does(together, command, tiny, tmp_path):
    line = ["--data", tiny, "--optimizer", "sgd", "--lr", "0.01", "--batch-size", "5", "--device", "cpu"]
    line += ["--precision", "fp32", "--folds", "3", "--epochs", "2"]
    alone = command("train.py", *line, "--output-dir", "one")
    assert alone.returncode == 0, alone.stderr
    result = together(2, REPOSITORY / "train.py", *line, "--output-dir", "two")
    assert result.returncode == 0, result.stderr
    assert "processes: 2, joined by gloo; a step takes 5 faces in all\n" in result.stdout
    assert result.stdout.count("epoch   2/2") == 1  # one of them tells
    assert {path.name for path in digests(tmp_path / "two")} == {path.name for path in digests(tmp_path / "one")}
    one, two = (read_history(tmp_path / name) for name in ("one", "two"))
    for column in ("train_loss", "val_loss", "val_nme"):
        torch.testing.assert_close(torch.tensor(two[column])[1:], torch.tensor(one[column])[1:], rtol=1e-4, atol=0)
    assert two["val_nme"][0] == one["val_nme"][0]  # before training no rounding has grown


def test_an_interruption_ends_all_at_one_step_and_another_number_goes_on(command, tiny, tmp_path):
    line = ["train.py", "--data", tiny, "--model", "net", "--batch-size", "2", "--folds", "3", "--epochs", "9"]
    line = [*map(str, line), "--device", "cpu", "--output-dir", "out"]
    torchrun = [*TORCHRUN, "--nproc-per-node=2", str(REPOSITORY / line[0]), *line[1:]]
    with subprocess.Popen(
        torchrun, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    ) as process:
        told = ""
        for text in process.stdout:
            told += text
            if text.startswith("epoch   1/9"):
                process.send_signal(signal.SIGTERM)
    assert "stopped in epoch" in told, told
    state = load_checkpoint(tmp_path / "out" / "last.pt")["training"]
    assert f"stopped in epoch {state['epoch'] + 1} after step {state['step']}; --resume" in told
    resumed = command(*line, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert f"resumed out/last.pt: epoch {state['epoch'] + 1}, step {state['step']}\n" in resumed.stdout
    assert load_checkpoint(tmp_path / "out" / "last.pt")["training"]["epoch"] == 9


def test_what_is_wrong_for_all_is_said_once(together):
    result = together(2, REPOSITORY / "train.py", "--data", "nowhere", "--output-dir", "out")
    assert result.returncode != 0
    assert [line for line in result.stderr.splitlines() if line.startswith("error: ")] == [
        "error: nowhere: holds neither training_frames_keypoints.csv nor .pts files for training; give a folder with "
        "that file and training/, or images with .pts files, or get the public set: python prepare.py download"
    ]


def test_evaluation_counts_each_face_once(together, command, tmp_path):
    line = ["--checkpoint", SHIPPED, "--data", SAMPLE, "--split", "test", "--boxes", "detector"]
    said = {}
    for count in (1, 2, 3):
        out = ["--output-dir", f"pictures{count}", "--json", f"{count}.json"]
        if count == 1:
            result = command("evaluate.py", *line, *out)
        else:
            result = together(count, REPOSITORY / "evaluate.py", *line, *out)
        assert result.returncode == 0, result.stderr
        said[count] = json.loads((tmp_path / f"{count}.json").read_text())
    assert said[1] == said[2] == said[3] and len(said[1]["nme_by_face"]) == said[1]["faces"]


@pytest.mark.parametrize("size", [0, 1, 5, 12])
def test_shares_are_a_partition(monkeypatch, size):
    for count in (1, 2, 3, 8):
        monkeypatch.setattr(devices, "count", lambda count=count: count)
        parts = []
        for number in range(count):
            monkeypatch.setattr(devices, "number", lambda number=number: number)
            parts.append(devices.shard(size))
        assert [i for part in parts for i in part] == list(range(size))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
