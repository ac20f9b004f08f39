"""Several processes: gradients, losses and validation are those of all faces, and only the first process writes."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from conftest import REPOSITORY, SAMPLE, SHIPPED

import evaluate
from train import create_untrained, task_of
from training import devices
from training.checkpoint import build_model, load_checkpoint
from training.run import read_history
from training.settings import WRITTEN

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


@pytest.fixture
def together(tmp_path):
    """Run a script in N processes, in an empty folder, one thread each, without the seconds of an export."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "onnxscript.py").write_text("raise ImportError")

    def run(count: int, script, *arguments) -> subprocess.CompletedProcess:
        line = [*TORCHRUN, f"--nproc-per-node={count}", str(script), *map(str, arguments)]
        threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(tmp_path / "without")])}
        return subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=os.environ | threads)

    return run


# A step in float64, where rounding shows only in the 15th digit, without batch statistics, which each process has of
# its own faces. Of 5 faces, one of them background, three processes have 2, 2 and 1; of 2 faces each has both.
STEP = """
    import evaluate
    import torch
    from models import create_model
    from training import devices
    from training.losses import LOSSES, error_loss, face_loss, heatmap_loss, keypoint_loss

    def create():
        torch.manual_seed(0)
        return create_model("heatmap", widths=(8, 8, 8, 8, 8)).double()

    def step(size):
        model = create()
        [layer.eval() for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        images, target = torch.rand(size, 1, 48, 48).double(), torch.rand(size, 68, 2).double() - 0.5
        is_face = torch.tensor([1, 0, 1, 1, 1]).double()[:size]
        parallel, mine = devices.parallel(model), devices.shard_of_step(list(range(size)))
        outputs, target, is_face = parallel(images[mine]), target[mine], is_face[mine]
        loss = keypoint_loss(LOSSES["wing"], outputs.keypoints, target, is_face)
        loss = loss + heatmap_loss(outputs.heatmaps, target, is_face)
        loss = loss + error_loss(outputs, target, is_face) + face_loss(outputs, is_face)
        loss.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        return gradients | {"loss": devices.mean_of(loss.detach())}

    with devices.process_group():
        for size in (5, 2):
            of_group = step(size)
            with devices.local():
                of_one = step(size)
            assert of_group.keys() == of_one.keys() and sum(bool(value.any()) for value in of_one.values()) > 50
            for name in of_one:
                torch.testing.assert_close(of_group[name], of_one[name], rtol=1e-12, atol=1e-12)

        model = create().train()
        devices.parallel(model)(torch.rand(2, 1, 48, 48).double() + devices.number())
        statistics = [buffers["stem.0.1.running_mean"] for buffers in devices.gather(dict(model.named_buffers()))]
        assert not torch.equal(statistics[0], statistics[1]), "each has those of its own faces"
        devices.share_buffers(model)
        torch.testing.assert_close(model.stem[0][1].running_mean, statistics[0], rtol=0, atol=0)
        print(f"{devices.count()} processes agree with one")
        evaluate.evaluate(evaluate.parse_arguments())
"""


def test_a_step_of_several_is_that_of_one_and_each_face_is_evaluated_once(together, in_process, tmp_path):
    (tmp_path / "step.py").write_text(textwrap.dedent(STEP))
    line = ["--checkpoint", SHIPPED, "--data", SAMPLE, "--split", "test", "--boxes", "truth", "--json"]
    result = together(3, tmp_path / "step.py", *line, "3.json", "--output-dir", "of_3")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("3 processes agree with one\n")
    assert in_process(evaluate.main, *line, "1.json", "--output-dir", "of_1").returncode == 0
    of_one, of_three = (json.loads((tmp_path / name).read_text()) for name in ("1.json", "3.json"))
    assert of_one == of_three and len(of_one["nme_by_face"]) == of_one["faces"]


def test_two_validate_each_face_once_and_the_first_writes(together, settings, tmp_path):
    line = ["--batch-size", 5, "--device", "cpu", "--precision", "fp32", "--folds", 3, "--epochs", 2]
    line = ["--data", tmp_path / "tiny", *line, "--output-dir", "two", "--model-option", "widths=4,4,8,8,8"]
    one = settings(*line[2:])
    result = together(2, REPOSITORY / "train.py", *line)
    assert result.returncode == 0, result.stderr
    assert "processes: 2, joined by gloo; a step takes 5 faces in all\n" in result.stdout
    assert result.stdout.count("epoch   2/2") == 1
    assert {path.name for path in (tmp_path / "two").iterdir()} == set(WRITTEN) - {"best.previous.pt", "best.onnx"}
    # One process measures the same of the untrained and of the best network.
    task, history, best = task_of(one), read_history(tmp_path / "two"), load_checkpoint(tmp_path / "two" / "best.pt")
    data, cpu = task.load()[1], torch.device("cpu")
    before = task.validate(create_untrained(one, cpu, task.annotators), data, cpu)
    after = task.validate(build_model(best, "best.pt"), data, cpu)
    assert history["val_nme"][0] == pytest.approx(before.error, rel=1e-5)
    assert (history["val_nme"][best["epoch"]], best["metrics"]["val_loss"]) == pytest.approx(
        (after.error, after.loss), rel=1e-5
    )


def test_an_interruption_ends_all_at_one_step_and_another_number_goes_on(train_here, tiny, tmp_path, monkeypatch):
    line = ["--data", str(tiny), "--batch-size", "2", "--folds", "3", "--epochs", "9", "--device", "cpu"]
    line += ["--model-option", "widths=4,4,8,8,8", "--output-dir", "out"]
    torchrun = [*TORCHRUN, "--nproc-per-node=2", str(REPOSITORY / "train.py"), *line]
    with subprocess.Popen(
        torchrun, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    ) as process:
        output = ""
        for text in process.stdout:
            output += text
            if text.startswith("epoch   1/9"):
                process.send_signal(signal.SIGTERM)
    assert "stopped in epoch" in output, output
    state = load_checkpoint(tmp_path / "out" / "last.pt")["training"]
    assert f"stopped in epoch {state['epoch'] + 1} after step {state['step']}; --resume" in output
    monkeypatch.chdir(tmp_path)
    resumed = train_here(*line, "--resume")
    assert f"resumed out/last.pt: epoch {state['epoch'] + 1}, step {state['step']}\n" in resumed.stdout
    assert load_checkpoint(tmp_path / "out" / "last.pt")["training"]["epoch"] == 9


def test_what_is_wrong_for_all_is_said_once(together):
    result = together(2, REPOSITORY / "train.py", "--data", "nowhere", "--output-dir", "out")
    assert result.returncode != 0
    assert [line for line in result.stderr.splitlines() if line.startswith("error: ")] == [
        "error: nowhere: holds neither training_frames_keypoints.csv nor .pts files for training; give a folder with "
        "that file and training/, or images with .pts files, or get the public set: python prepare.py download"
    ]


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
