"""Attack the commands for minutes: kills, damaged and hostile files, full disks. Counts what came of it.

    python -m benchmarks.stress                                          # every attack for a minute
    python -m benchmarks.stress kills checkpoints --seconds 300 --seed 1
    python -m benchmarks.stress labels --seed 1 --first 17 --cases 1     # one case again, which is kept in --folder
    python -m benchmarks.stress photos giants films downloads commands interruptions     # of stress_inputs.py

What may come of a case: the work is done and right ("done …"), or refused ("named": exit status 2 and one line that
names the file). Everything else is a fault: a traceback, a hang, more than 2 GB of memory, a line that names something
else, files lost or left behind, results that a damaged file made wrong. The exit status is 1 where there was one.

To add an attack: a function that takes a case's random generator (numpy) and an empty folder and yields a line for
each thing that came of it, those of faults beginning with FAULT; and a line for it in ATTACKS. Commands run by
`harness.run`, in forked children of this process, which has imported what takes long. POSIX systems only.
"""

import cli.launch as launch

import argparse
import functools
import importlib
import io
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.harness import (
    FAULT,
    REPOSITORY,
    SAMPLE,
    Outcome,
    choose,
    damaged,
    kill,
    photo,
    run,
    small_set,
    start,
    wait,
)
from benchmarks.stress_inputs import ATTACKS as INPUTS

PRETRAINED, SHIPPED = (REPOSITORY / "saved_models" / name for name in ("pretrained.pt", "pretrained.onnx"))
DETECTOR = REPOSITORY / "saved_models" / "detector.onnx"
QUICK = ("--batch-size", "4", "--workers", "0", "--device", "cpu")


# --- Trainings that are killed ------------------------------------------------------------------------------------

RECIPES = {  # Net has dropout, whose random numbers must go on too
    "net": ("--model", "net", "--epochs", "3"),
    "heatmap": ("--model", "heatmap", "--epochs", "3", "--optimizer", "muon", "--lr", "4e-3"),
    "detector": ("--model", "detector", "--epochs", "2", "--optimizer", "sgd"),
}


@functools.cache
def unbroken(recipe: str) -> tuple[Path, float]:
    """The folder of a training that nobody disturbed, with its data, and the seconds it took."""
    folder = Path(tempfile.mkdtemp(dir=_scratch))
    small_set(folder / "set")
    outcome = wait(trained(folder, *line_of(recipe)), folder)
    assert outcome.status == 0, outcome.stderr
    return folder, outcome.seconds


def line_of(recipe: str) -> tuple[str, ...]:
    """The options of a training of "set" into "run"."""
    return (*RECIPES[recipe], *QUICK, "--data", "set", "--output-dir", "run")


def same_weights(one: Path, other: Path) -> bool:
    import torch

    from training.checkpoint import load_checkpoint

    a, b = (load_checkpoint(path) for path in (one, other))
    pairs = [(a["weights"], b["weights"]), (a["training"]["model"], b["training"]["model"])]
    return all(x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x) for x, y in pairs)


def trained(folder: Path, *arguments, exports: bool = False, **options) -> int:
    """Begin a training; its pid. exports: it ends with best.onnx, which takes longer than its few epochs."""
    return start(folder, "train", *arguments, **options, without=None if exports else "onnxscript")


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if path.is_file()]


def resumed(folder: Path, line: tuple, whole: Path, clean: Path) -> str | None:
    """Let a training that was stopped come to its end; what is wrong with that, if anything.

    whole: where an unbroken one ended. clean: a folder in which nothing is to be left behind.
    """
    resume = ("--resume",) if (folder / "run" / "last.pt").exists() else ()
    outcome = wait(trained(folder, *line, *resume), folder)
    if outcome.status != 0:
        return f"{FAULT}: doesn't go on, {outcome.judged('run')}"
    if not same_weights(whole / "run" / "last.pt", folder / "run" / "last.pt"):
        return f"{FAULT}: ends with other weights"
    if left := leftovers(clean):
        return f"{FAULT}: left behind {', '.join(left)[:80]}"
    return None


def kills(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """A training is killed at any time, often several times, and resumed: it ends with the weights of an unbroken
    one.
    """
    from training.checkpoint import load_checkpoint

    recipe = list(RECIPES)[random.choice(3, p=[0.45, 0.45, 0.1])]
    whole, seconds = unbroken(recipe)
    shutil.copytree(whole / "set", folder / "set")
    line = line_of(recipe)
    for _ in range(int(random.integers(1, 5))):
        resume = ("--resume",) if (folder / "run" / "last.pt").exists() else ()
        workers, exports = (("--workers", "2") if random.random() < 0.3 else ()), bool(random.random() < 0.1)
        pid = trained(folder, *line, *resume, *workers, exports=exports)
        time.sleep(random.uniform(0, seconds * (3 if exports else 1)))
        number = signal.SIGKILL if random.random() < 0.7 else signal.SIGINT
        kill(pid, number)
        outcome = wait(pid, folder)
        if outcome.status not in (-number, 0, 130) or "Traceback" in outcome.stderr:
            yield f"{FAULT}: {outcome.judged('run')} after signal {number}"
        try:
            for name in ("best.pt", "last.pt"):
                if (folder / "run" / name).exists():
                    load_checkpoint(folder / "run" / name)
        except Exception as error:
            yield f"{FAULT}: after signal {number} {error}"
        yield f"killed by {signal.Signals(number).name}"
    yield resumed(folder, line, whole, folder) or "done, with the weights of an unbroken run"


def together(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """Two trainings into one folder: one of them is told to go elsewhere, the other ends as if alone."""
    recipe = ("net", "heatmap")[random.integers(2)]
    whole, seconds = unbroken(recipe)
    for name in ("a", "b"):
        shutil.copytree(whole / "set", folder / name / "set")
    line = (*line_of(recipe), "--output-dir", folder / "run")
    first = trained(folder / "a", *line)
    time.sleep(random.choice([0, random.uniform(0, 0.6 * seconds)]))
    second = trained(folder / "b", *line)
    outcomes = [wait(first, folder / "a"), wait(second, folder / "b")]
    refused = [outcome for outcome in outcomes if outcome.status == 2]
    if len(refused) != 1 or sorted(outcome.status for outcome in outcomes) != [0, 2]:
        yield f"{FAULT}: both train, statuses {[outcome.status for outcome in outcomes]}"
    elif not same_weights(whole / "run" / "last.pt", folder / "run" / "last.pt"):
        yield f"{FAULT}: ends with other weights"
    elif leftovers(folder / "run"):
        yield f"{FAULT}: left behind {', '.join(leftovers(folder))[:80]}"
    else:
        yield refused[0].judged("run")


def full_disk(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """A training on a disk that becomes full (a tmpfs where that is permitted, else a limit on files' sizes): what was
    there before is whole, and with more room it goes on to the weights of an unbroken one.
    """
    recipe = ("net", "heatmap")[random.integers(2)]
    whole, _ = unbroken(recipe)
    shutil.copytree(whole / "set", folder / "set")
    line = (*line_of(recipe), "--cache-dir", "images")
    size = int(2 ** random.uniform(12, 26.5))
    (folder / "run").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder / "run"]
    mounted = random.random() < 0.7 and not subprocess.run(mount, capture_output=True).returncode
    try:
        limit = None if mounted else (resource.RLIMIT_FSIZE, size)
        outcome = wait(trained(folder, *line, limit=limit, exports=bool(random.random() < 0.2)), folder)
        yield "tmpfs: " * mounted + outcome.judged("run/", done=True)
        if mounted:
            shutil.copytree(folder / "run", folder / "kept")
    finally:
        if mounted:
            subprocess.run(["umount", folder / "run"], check=True)
    if mounted:
        (folder / "run").rmdir()
        (folder / "kept").rename(folder / "run")
    yield resumed(folder, line, whole, folder / "run") or "goes on with more room"


# --- Checkpoints --------------------------------------------------------------------------------------------------


def saved(path: Path, checkpoint: object) -> None:
    import torch

    torch.save(checkpoint, path)


def repacked(path: Path, compression: int = zipfile.ZIP_STORED, **contents: bytes) -> None:
    """The zip file anew, with other contents of the entries of these names."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, contents.get(name.rpartition("/")[2].replace(".", "_"), content))


def bomb(path: Path, checkpoint: dict, size: int = 3 << 30) -> None:
    """So many bytes of zeros in a file a thousandth as large."""
    import torch

    saved(path, checkpoint | {"more": torch.zeros(64)})
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in entries.items():
            if content == bytes(256):
                with archive.open(name, "w", force_zip64=True) as file:
                    for _ in range(0, size, 1 << 26):
                        file.write(bytes(1 << 26))
            else:
                archive.writestr(name, content)


class _Runs:
    """Unpickling it makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def _pickled(path: Path, checkpoint: dict) -> None:
    saved(path, checkpoint)
    repacked(path, data_pkl=pickle.dumps(checkpoint | {"weights": {}, "more": _Runs()}, protocol=2))


def _laughs(checkpoint: dict) -> list:
    value = ["ha"] * 10
    for _ in range(30):
        value = [value] * 10
    return value


def _one(weights: dict, change: Callable) -> dict:
    """The weights with another one in the place of the first."""
    name = next(iter(weights))
    return weights | {name: change(weights[name])}


HOSTILE: dict[str, Callable[[Path, dict], None]] = {
    "zip bomb": bomb,
    "code": _pickled,
    "a pickle alone": lambda path, c: path.write_bytes(pickle.dumps({"model": "heatmap"})),
    "no dict": lambda path, c: saved(path, [c]),
    "legacy format": lambda path, c: __import__("torch").save(c, path, _use_new_zipfile_serialization=False),
    "deflated": lambda path, c: (saved(path, c), repacked(path, zipfile.ZIP_DEFLATED)),
}


def hostile(name: str, **change: Callable[[dict], object]) -> None:
    """One more of HOSTILE: a checkpoint with other values of some keys."""
    HOSTILE[name] = lambda path, c: saved(path, c | {key: value(c) for key, value in change.items()})


def _tensor(*arguments, **options):
    import torch

    return torch.full(*arguments, **options)


for _widths in ([3000] * 5, [10**6] * 5, [10**12] * 5, [-1] * 5, [0] * 5, [16], [16] * 3000, "wide", [1.5] * 5, None):
    hostile(f"widths {str(_widths)[:20]}", options=lambda c, widths=_widths: {"widths": widths})
for _size in (0, -1, 1, 9, 7.5, 20_000, 10**9, "112", None, float("nan"), [112], True):
    hostile(f"a crop of {_size}", policy=lambda c, size=_size: c["policy"] | {"size": size})
for _margin in (0, -1, float("nan"), float("inf"), 1e300, 10**400, "1.2", None):
    hostile(f"a margin of {str(_margin)[:9]}", policy=lambda c, margin=_margin: c["policy"] | {"margin": margin})
for _number in (float("nan"), float("inf"), 1e38):
    hostile(f"weights {_number}", weights=lambda c, n=_number: {k: v * 0 + n for k, v in c["weights"].items()})
    hostile(f"a weight {_number}", weights=lambda c, n=_number: _one(c["weights"], lambda w: w * 0 + n))
    hostile(f"calibration {_number}", weights=lambda c, n=_number: c["weights"] | {"calibration": _tensor((2,), n)})
for _names in ("ibug", None, 3, [3, 4], [["a"], ["b"]], ["a"] * 3, ["a"] * 10**5):
    hostile(f"annotators {str(_names)[:20]}", annotators=lambda c, names=_names: names)
for _key in ("model", "options", "weights", "policy", "arguments", "versions", "metrics", "epoch"):
    for _value in (None, 7, "x", [], {"a": {}}, {1: 2}):
        hostile(f"{_key} {_value}", **{_key: lambda c, value=_value: value})
    HOSTILE[f"no {_key}"] = lambda path, c, key=_key: saved(path, {k: v for k, v in c.items() if k != key})
for _model in ("net", "detector", "Heatmap", "__class__", b"heatmap", ("heatmap",)):
    hostile(f"model {_model}", model=lambda c, model=_model: model)
hostile("arguments that laugh", arguments=_laughs)
hostile("options that laugh", options=lambda c: {"widths": _laughs(c)})
hostile("weights that laugh", weights=_laughs)
hostile("numbered weights", weights=lambda c: dict(enumerate(c["weights"].values())))
hostile("one weight more", weights=lambda c: c["weights"] | {"more": _tensor((3,), 1.0)})
hostile("weights in float64", weights=lambda c: {k: v.double() for k, v in c["weights"].items()})
hostile("weights as numbers", weights=lambda c: _one(c["weights"], lambda w: 1.0))
hostile("a complex weight", weights=lambda c: _one(c["weights"], lambda w: w * 1j))
hostile("a sparse weight", weights=lambda c: _one(c["weights"], lambda w: w.to_sparse()))
hostile("a weight of another shape", weights=lambda c: _one(c["weights"], lambda w: w[None]))
hostile("a stretched weight", weights=lambda c: _one(c["weights"], lambda w: w.flatten()[:1].expand(10**9)))
hostile("fold 10^9", arguments=lambda c: c["arguments"] | {"folds": 10**9, "val_fold": -1})
hostile("fold x", arguments=lambda c: c["arguments"] | {"folds": "x"})


def _beyond(path: Path, checkpoint: dict) -> None:
    """A weight of 4 GB on a storage of some bytes."""
    import torch

    class Storage:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (torch.zeros(4).untyped_storage(), 0, (10**9,), (1,), False, {})

    buffer = io.BytesIO()
    torch.save(checkpoint | {"more": torch.zeros(3, 5, 7)}, buffer)
    content = buffer.getvalue()
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        data = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    # K\x03K\x05K\x07 are the sizes; J takes four bytes.
    repacked(path, data_pkl=data.replace(b"K\x03K\x05K\x07", b"J\x03\x00\x00\x00J\x00\x00\x00\x10K\x07"))


HOSTILE["a weight beyond its storage"] = _beyond


def looked_at(folder: Path, path: Path, script: str = "predict") -> Outcome:
    if script == "export":
        return run(folder, "export", "--checkpoint", path, "--data", small_set(folder / "set"), "--output", "out.onnx")
    options = () if script == "predict" else ("--data", SAMPLE, "--output-dir", "out", "--json", "out.json")
    if script == "predict":
        options = ("--image", photo(), "--detector", "none", "--no-pictures", "--json", "out.json")
    return run(folder, script, "--checkpoint", path, *options)


@functools.cache
def answer_of(path: Path) -> str:
    """What the undamaged network says of the photo."""
    folder = Path(tempfile.mkdtemp(dir=_scratch))
    outcome = looked_at(folder, path)
    assert outcome.status == 0, outcome.stderr
    return (folder / "out.json").read_text()


def right_or_named(folder: Path, outcome: Outcome, original: Path, *names: str) -> str:
    """A damaged file is named, or, where the damage is in nothing that counts, says what the undamaged one says."""
    judged = outcome.judged(*names, done=True)
    if judged == "done" and (folder / "out.json").read_text() != answer_of(original):
        return f"{FAULT}: other points"
    return judged


def checkpoints(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """Damaged checkpoints, and hostile ones."""
    from training.checkpoint import load_checkpoint

    path = folder / "x.pt"
    if random.random() < 0.4:
        answer_of(PRETRAINED)
        path.write_bytes(damaged(random, PRETRAINED.read_bytes()))
        yield "damaged: " + right_or_named(folder, looked_at(folder, path), PRETRAINED, "x.pt")
        return
    name, build = choose(random, HOSTILE)
    build(path, load_checkpoint(PRETRAINED))
    script = ("predict", "predict", "evaluate", "export")[random.integers(4)]
    judged = looked_at(folder, path, script).judged("x.pt", done=name in HARMLESS[script])
    if (folder / "ran").exists():
        judged = f"{FAULT}: ran code"
    yield f"hostile: {judged}" + f" ({script}, {name})" * judged.startswith(FAULT)


# What is never looked at does no harm.
_UNREAD = {
    "weights in float64",
    "epoch 7",
    "metrics {'a': {}}",
    "metrics {1: 2}",
    "versions {'a': {}}",
    "versions {1: 2}",
}
_UNREAD |= {"arguments {'a': {}}", "arguments {1: 2}", "a crop of 9"}
HARMLESS = {
    "predict": _UNREAD | {"fold 10^9", "fold x"},
    "evaluate": _UNREAD | {"fold 10^9", "fold x"},
    "export": _UNREAD,
}


# --- Training states --------------------------------------------------------------------------------------------


def _state(**change: Callable[[dict], object]) -> Callable[[Path], None]:
    """last.pt with other values in its training state."""

    def write(run_folder: Path) -> None:
        from training.checkpoint import load_checkpoint

        checkpoint = load_checkpoint(run_folder / "last.pt")
        state = checkpoint["training"]
        saved(run_folder / "last.pt", checkpoint | {"training": state | {k: v(state) for k, v in change.items()}})

    return write


def _history(content: bytes) -> Callable[[Path], None]:
    def write(run_folder: Path) -> None:
        (run_folder / "history.csv").write_bytes(content)

    return write


def _optimizers(change: Callable[[str, object], object]) -> Callable[[Path], None]:
    """The state of each parameter in the optimizers, changed."""

    def changed(state: dict) -> list:
        return [
            one | {"state": {i: {k: change(k, v) for k, v in p.items()} for i, p in one["state"].items()}}
            for one in state["optimizers"]
        ]

    return _state(optimizers=changed)


STATES: dict[str, Callable[[Path], None]] = {}
for _key in ("faces", "model", "average", "optimizers", "epoch", "step", "sums", "best_error", "random"):
    for _value in (None, -5, 10**9, 0.5, float("nan"), "x", [], {}):
        if (_key, _value) != ("best_error", 0.5):
            STATES[f"{_key} {_value}"] = _state(**{_key: lambda s, value=_value: value})
STATES |= {
    "random bytes too few": _state(random=lambda s: s["random"][:7]),
    "random as floats": _state(random=lambda s: s["random"].float()),
    "weights of another": _state(model=lambda s: {k: v.flatten() for k, v in s["model"].items()}),
    "no weights": _state(model=lambda s: {}),
    "weights nan": _state(model=lambda s: {k: v * float("nan") for k, v in s["model"].items()}),
    "average nan": _state(
        average=lambda s: s["average"] | {"model": {k: v * float("nan") for k, v in s["average"]["model"].items()}}
    ),
    "average's steps": _state(average=lambda s: s["average"] | {"steps": -3}),
    "an optimizer too few": _state(optimizers=lambda s: s["optimizers"][1:]),
    "optimizers nan": _optimizers(lambda k, v: v * float("nan")),
    "optimizers flat": _optimizers(lambda k, v: v.flatten()[:1].clone()),
    "optimizers without words": _optimizers(lambda k, v: None),
    "groups absurd": _state(
        optimizers=lambda s: [
            o | {"param_groups": [g | {"lr": "x", "betas": 7} for g in o["param_groups"]]} for o in s["optimizers"]
        ]
    ),
    "garbage history": _history(b"\xff\xfe\x00garbage\n\n,,,"),
    "history of another": _history(b"epoch,loss\n1,2\n"),
    "history with words": _history(b"epoch,train_loss,val_loss,val_nme,seconds\n1,x,y,z,w\n"),
    "history too short": _history(b"epoch,train_loss,val_loss,val_nme,seconds\n1\n"),
    "no best": lambda folder: (folder / "best.pt").unlink(),
    "bad best": lambda folder: (folder / "best.pt").write_bytes((folder / "best.pt").read_bytes()[:-999]),
    "best is a folder": lambda folder: ((folder / "best.pt").unlink(), (folder / "best.pt").mkdir()),
}
_GROUPS = {"groups absurd"}  # they come from the settings and aren't read


def states(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """Damaged and senseless states of trainings, at --resume."""
    recipe = ("net", "heatmap")[random.integers(2)]
    whole, _ = unbroken(recipe)
    shutil.copytree(whole / "set", folder / "set")
    line = line_of(recipe)
    begun = _begun(recipe)
    shutil.copytree(begun, folder / "run")
    if random.random() < 0.2:
        name, last = "damaged", folder / "run" / "last.pt"
        last.write_bytes(damaged(random, last.read_bytes()))
    else:
        name, change = choose(random, STATES)
        change(folder / "run")
    overwrite = ("--overwrite",) if random.random() < 0.5 else ()
    outcome = wait(trained(folder, *line, "--resume", *overwrite), folder)
    judged = outcome.judged("run/last.pt", "run/history.csv", "run/best.pt", done=True)
    if judged == "done" and not same_weights(whole / "run" / "last.pt", folder / "run" / "last.pt"):
        judged = f"{FAULT}: goes on to other weights"
    if judged == "done" and name not in {"damaged"} | _GROUPS:
        judged = f"{FAULT}: was taken for good"
    if judged == "named" and "not this program's" in outcome.stderr and "history" not in outcome.stderr:
        judged = f"{FAULT}: misleads, {outcome.stderr.strip()[:150]}"
    yield judged + f" ({recipe}, {name}{' '.join(overwrite)})" * judged.startswith(FAULT)


@functools.cache
def _begun(recipe: str) -> Path:
    """The folder of a training that was interrupted in its third epoch."""
    whole, _ = unbroken(recipe)
    folder = Path(tempfile.mkdtemp(dir=_scratch))
    shutil.copytree(whole / "set", folder / "set")
    pid = trained(folder, *line_of(recipe))
    while "epoch   2" not in (folder / "stdout.txt").read_text():
        time.sleep(0.002)
    kill(pid, signal.SIGINT)
    assert wait(pid, folder).status == 130
    return folder / "run"


# --- Exported networks --------------------------------------------------------------------------------------------


def rewritten(**metadata: str | None) -> Callable[[Path], None]:
    """The shipped network with other metadata; None: without that entry."""

    def write(path: Path) -> None:
        import onnx

        model = onnx.load(SHIPPED)
        entries = {entry.key: entry.value for entry in model.metadata_props} | {"crc32": None} | metadata
        onnx.helper.set_model_props(model, {key: value for key, value in entries.items() if value is not None})
        onnx.save(model, path)

    return write


def other_tensors(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """The shipped network with other weights in float."""

    def write(path: Path) -> None:
        import onnx

        model = onnx.load(SHIPPED)
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                values = change(onnx.numpy_helper.to_array(tensor).copy())
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        onnx.save(model, path)

    return write


def external(location: str, head: bytes = b"\n\x08") -> Callable[[Path], None]:
    """The weights in another file: one beside it, that is there, or any on this machine.

    head: the bytes before the word "location": a field's number and the word's length, 8, both of which may be written
        in more bytes than they take.
    """

    def write(path: Path) -> None:
        import onnx

        from face68.network import sealed

        onnx.save(onnx.load(SHIPPED), path, save_as_external_data=True, location="weights.bin", size_threshold=1024)
        model = onnx.load(path, load_external_data=False)
        place = "." * (len(head) - 2) + location.format(folder=path.parent)  # as many bytes as it loses below
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = place
        content = model.SerializeToString()
        longer, shorter = (bytes([len(text)]) + text.encode() for text in (place, place[len(head) - 2 :]))
        content = content.replace(b"\n\x08location\x12" + longer, head + b"location\x12" + shorter)
        path.write_bytes(sealed(content))

    return write


def tiny(path: Path, takes="crops", kind=2, shape=(1, 112, 112), gives="keypoints", points=68, **more) -> None:
    """An .onnx file that puts the points of each crop on one line, or all on `value`; the rest of `more` is metadata.

    kind: of what goes in, as onnx.TensorProto numbers them: 1 float, 2 uint8.
    """
    import onnx
    from onnx import helper, numpy_helper

    value = more.pop("value", None)
    line = np.tile(np.arange(points, dtype=np.float32)[:, None], (1, 1, 2))
    constants = {
        "line": line if value is None else np.full_like(line, value),
        "first": np.array([0]),
        "last": np.array([1]),
        "rest": np.array([points, 2]),
    }
    nodes = [
        helper.make_node("Shape", [takes], ["shape"]),
        helper.make_node("Slice", ["shape", "first", "last"], ["count"]),
        helper.make_node("Concat", ["count", "rest"], ["wanted"], axis=0),
        helper.make_node("Expand", ["line", "wanted"], [gives]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(takes, kind, ["b", *shape])],
        [helper.make_tensor_value_info(gives, 1, ["b", points, 2])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, more)
    onnx.save(model, path)


def other(**options) -> Callable[[Path], None]:
    return lambda path: tiny(path, face68="1", policy='{"size": 112, "margin": 1.2}', **options)


NETWORKS: dict[str, Callable[[Path], None]] = {
    "format 2": rewritten(face68="2"),
    "no format": rewritten(face68=None),
    "no policy": rewritten(policy=None),
    "nested policy": rewritten(policy="[" * 100_000),
    "policy a list": rewritten(policy="[112, 1.2]"),
    "policy a string": rewritten(policy='"x"'),
    "policy more": rewritten(policy='{"size": 112, "margin": 1.2, "more": 1}'),
    "no weights": lambda path: path.write_bytes(b""),
    "weights nan": other_tensors(lambda values: values * np.nan),
    "weights 1e30": other_tensors(lambda values: values * 1e30 if values.ndim else values),
    "external beside": external("weights.bin"),
    "external absolute": external("{folder}/weights.bin"),
    "external elsewhere": external("../../../../../../../etc/passwd"),
    "external device": external("/dev/zero"),
    "external by a long key": external("weights.bin", b"\x8a\x80\x80\x80\x10\x08"),
    "external by a long length": external("weights.bin", b"\n\x88\x80\0"),
    "a detector": lambda path: shutil.copy(DETECTOR, path),
    "a line": other(),
    "one point": other(value=7.0),
    "nan": other(value=np.nan),
    "infinite": other(value=np.inf),
    "other input": other(takes="images"),
    "floats": other(kind=1),
    "colour": other(shape=(3, 112, 112)),
    "any size": other(shape=(1, "h", "w")),
    "other output": other(gives="boxes"),
    "67 points": other(points=67),
}
for _policy in ('"128"', "20000", "-1", "null", "1e400", "NaN", "128.0", "[]", "224", "true"):
    NETWORKS[f"size {_policy}"] = rewritten(policy=f'{{"size": {_policy}, "margin": 1.2}}')
    if _policy != "128.0":
        NETWORKS[f"margin {_policy}"] = rewritten(policy=f'{{"size": 128, "margin": {_policy}}}')
HARMLESS_NETWORKS = {"margin true", "a line"}


def networks(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """Damaged .onnx files, and hostile ones, as the network and as the detector."""
    path, kind = folder / "x.onnx", random.random()
    if kind < 0.4:
        answer_of(SHIPPED)
        path.write_bytes(damaged(random, SHIPPED.read_bytes()))
        yield "damaged: " + right_or_named(folder, looked_at(folder, path), SHIPPED, "x.onnx")
        return
    if kind < 0.6:
        path.write_bytes(damaged(random, DETECTOR.read_bytes()))
        line = ("predict", "--image", photo(), "--no-pictures")
        outcome = run(folder, *line, "--detector", path, "--json", "out.json")
        right = run(folder, *line, "--detector", DETECTOR, "--json", "good.json")
        assert right.status == 0, right.stderr
        judged = outcome.judged("x.onnx", done=True)
        if judged == "done" and (folder / "out.json").read_text() != (folder / "good.json").read_text():
            judged = f"{FAULT}: other faces"
        yield f"damaged detector: {judged}"
        return
    name, build = choose(random, NETWORKS)
    build(path)
    judged = looked_at(folder, path).judged("x.onnx", done=name in HARMLESS_NETWORKS)
    yield f"hostile: {judged}" + f" ({name})" * judged.startswith(FAULT)


# --- Labels -------------------------------------------------------------------------------------------------------

CELLS = (
    *("", " ", "x", "nan", "NaN", "inf", "-inf", "1e30", "-1e30", "1e39", "1e400", "True", "1_000", "0x10", "١٢"),
    *("1e5 ", "--3", "None", "null", "1;2", '"3', "\x00", "\ud800", "9" * 400, "1e-400", "- 3", "1e", "3px"),
    *("∞", "1,5"),
)
GOOD_CELLS = {"1e5 ", "1e-400"}
NAMES = (
    *("", " ", "../a.jpg", "/etc/passwd", "a/../../b.jpg", "x" * 300 + ".jpg", "x/" * 3000, "missing.jpg", ".", ".."),
    *("\x00.jpg", "a\nb.jpg", "training", "C:\\a.jpg", "~/a.jpg", "\x1b[31m.jpg", "-", "./{name}"),
    *("../training/{name}", "{folder}/training/{name}"),
)
SHIFTS = (
    *("{", "", "[]", "7", "null", '"x"', '{"x": true}', '{"x": "0.1"}', '{"x": null}', '{"x": [0]}', '{"z": 1}'),
    *('{"x": 1}', '{"x": -1e3}', '{"slant": 9}', '{"x": NaN}', '{"x": 1e400}', '{"x_pixels": 1e30}', "\udcff"),
    *('{"x_pixels": -1e9}', '{"y_pixels": Infinity}', '{"y_pixels": 1e300}', '{"x": ' + "9" * 5000 + "}"),
    *('{"x": 0.1, }', '{"x_pixels": true}', '{"x_pixels": "2"}', '{"y": {"y": 1}}', '{"x_pixels": 100000}'),
    "[" * 100_000,
)


def _same_place(points: np.ndarray, random: np.random.Generator) -> None:
    points[:] = points[0]


def _line(points: np.ndarray, random: np.random.Generator) -> None:
    points[:, 0] = points[36, 0]
    points[45] = points[36]


def _no_eyes(points: np.ndarray, random: np.random.Generator) -> None:
    points[42:48] = points[36:42]


def _far(points: np.ndarray, random: np.random.Generator) -> None:
    points[random.integers(68)] *= 10.0 ** random.integers(6, 40)


def _minute(points: np.ndarray, random: np.random.Generator) -> None:
    points *= 1e-9


FACES = {"same place": _same_place, "a line": _line, "no eyes": _no_eyes, "far": _far, "minute": _minute}


def labels(random: np.random.Generator, folder: Path) -> Iterator[str]:
    """CSV files, .pts files and label_shift.json, damaged and senseless: named, or trained on to a finite error."""
    pts = bool(random.random() < 0.4)
    root = small_set(folder / "set", pts=pts)
    images = sorted((root / "training").glob("*.jpg"))
    victim = images[random.integers(len(images))].with_suffix(".pts") if pts else root / "training_frames_keypoints.csv"
    kind = ("damaged", "cell", "face", "shift", *(() if pts else ("name", "column", "shape")))
    kind = kind[random.integers(len(kind))]
    may_do, what = False, ""
    if kind == "damaged":
        may_do = True
        content = victim.read_bytes()
        victim.write_bytes(damaged(random, content))
    elif kind == "shift":
        what = SHIFTS[random.integers(len(SHIFTS))]
        (root / "label_shift.json").write_text(what, errors="surrogateescape")
    else:
        text = victim.read_text()
        lines = text.splitlines()
        row = int(random.integers(3, 71) if pts else random.integers(1, len(lines)))
        cells = lines[row].split(" " if pts else ",")
        if kind == "cell":
            what = CELLS[random.integers(len(CELLS))]
            may_do = what in GOOD_CELLS
            cells[random.integers(not pts, len(cells))] = what
        elif kind == "name":
            what = NAMES[random.integers(len(NAMES))]
            may_do = what == "./{name}"
            cells[0] = what.format(name=cells[0], folder=root)
            if "\n" in cells[0]:
                cells[0] = f'"{cells[0]}"'
        elif kind == "face":
            what, change = choose(random, FACES)
            values = [line.split() for line in lines[3:71]] if pts else np.reshape(cells[1:], (68, 2))
            points = np.array(values, dtype=np.float64)
            change(points, random)
            if pts:
                lines[3:71] = [f"{x!r} {y!r}" for x, y in points.tolist()]
                cells = lines[row].split(" ")
            else:
                cells[1:] = map(repr, points.ravel().tolist())
        elif kind == "column":
            what = CELLS[random.integers(len(CELLS))]
            column = int(random.integers(1, 137))
            may_do = what in GOOD_CELLS
            for i, line in enumerate(lines[1:], start=1):
                lines[i] = ",".join([*line.split(",")[:column], what, *line.split(",")[column + 1 :]])
            cells = lines[row].split(",")
        elif kind == "shape":
            what = ("short row", "long row", "no rows", "twice")[random.integers(4)]
            lines, cells = {
                "short row": (lines, cells[:-3]),
                "long row": (lines, [*cells, "1"]),
                "no rows": (lines[:1] * (row + 1), lines[0].split(",")),
                "twice": ([*lines, lines[1] if row != 1 else lines[2]], cells),
            }[what]
        lines[row] = (" " if pts else ",").join(cells)
        victim.write_text("\n".join(lines) + "\n", errors="surrogatepass")
    model = ("net", "heatmap", "detector")[random.choice(3, p=[0.5, 0.4, 0.1])]
    outcome = run(folder, "train", "--data", "set", "--model", model, "--dry-run", *QUICK)
    judged = outcome.judged(victim.name, "set/", done=may_do)
    if judged == "done" and re.search(r"\b(nan|inf)\b", outcome.stdout):
        judged = f"{FAULT}: an error that isn't finite"
    yield f"{'pts' if pts else 'csv'} {kind}: {judged}" + f" ({what[:30]!r})" * judged.startswith(FAULT)


# --- The command ----------------------------------------------------------------------------------------------

ATTACKS: dict[str, Callable[[np.random.Generator, Path], Iterator[str]]] = {
    "kills": kills,
    "together": together,
    "full-disk": full_disk,
    "checkpoints": checkpoints,
    "states": states,
    "networks": networks,
    "labels": labels,
    **INPUTS,
}
_scratch: Path


def attack(name: str, args: argparse.Namespace) -> Counter:
    """The cases of an attack one after the other, until its time is up."""
    counts, began, number = Counter(), time.monotonic(), args.first
    while time.monotonic() - began < args.seconds and (args.cases is None or number < args.first + args.cases):
        folder = _scratch / name / str(number)
        folder.mkdir(parents=True)
        faults = 0
        for line in ATTACKS[name](np.random.default_rng([args.seed, number]), folder):
            counts[line] += 1
            if FAULT in line:
                faults += 1
                print(f"{name} {number}: {line}", flush=True)
        if not (faults or args.cases):
            shutil.rmtree(folder)
        number += 1
    print(f"{name}: {number - args.first} cases in {time.monotonic() - began:.0f} s")
    for line, count in sorted(counts.items(), key=lambda one: (FAULT in one[0], -one[1])):
        print(f"    {count:5d}  {line}", flush=True)
    return counts


def main() -> int:
    global _scratch
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"of {', '.join(ATTACKS)} (default: all)")
    p.add_argument("--seconds", type=float, default=60, help="for each attack")
    p.add_argument("--seed", type=int, default=0, help="of all that is random")
    p.add_argument("--first", type=int, default=0, help="the number of the first case")
    p.add_argument("--cases", type=int, help="how many of each attack at most")
    p.add_argument("--folder", type=Path, help="where they happen; what there were faults with stays")
    args = p.parse_args()
    if unknown := set(args.attacks) - set(ATTACKS):
        p.error(f"there is no attack {', '.join(sorted(unknown))}; choose of {', '.join(ATTACKS)}")
    _scratch = Path(tempfile.mkdtemp(prefix="stress-", dir=args.folder))
    for module in ("train", "predict", "evaluate", "export", "onnx"):  # once, for all children
        importlib.import_module(module)
    import torch

    torch.set_num_threads(1)
    counts = sum((attack(name, args) for name in args.attacks or ATTACKS), Counter())
    faults = sum(count for line, count in counts.items() if FAULT in line)
    print(f"{sum(counts.values())} outcomes, {faults} faults" + f", in {_scratch}" * bool(faults))
    if not faults:
        shutil.rmtree(_scratch)
    return int(faults > 0)


if __name__ == "__main__":
    launch.run(main)
