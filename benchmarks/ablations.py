"""What each part of the better recipe brings: trainings that differ in one thing, by train.py's own options."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from face68.files import InputError
from runs import read_history

TRAIN = Path(__file__).resolve().parent.parent / "train.py"
BASE = ("--recipe", "best")
# By what is different, the options of train.py that make it so.
ABLATIONS: dict[str, tuple[str, ...]] = {
    "the better recipe: Muon, Wing, heat maps": (),
    "in float32": ("--precision", "fp32"),
    "in bfloat16": ("--precision", "bf16"),
    "Adam": ("--optimizer", "adam", "--lr", "2e-3"),
    "AdamW, decay 0.05": ("--optimizer", "adamw", "--lr", "2e-3", "--weight-decay", "0.05"),
    "half the rate": ("--lr", "2e-3"),
    "twice the rate": ("--lr", "8e-3"),
    "mean squared error": ("--loss", "mse"),
    "absolute error": ("--loss", "l1"),
    "no loss on heat maps": ("--heatmap-weight", "0"),
    "a quarter of that loss": ("--heatmap-weight", "0.05"),
    "four times that loss": ("--heatmap-weight", "0.8"),
    "half the channels": ("--model-option", "widths=8,16,36,52,72"),
    "the fast network": ("--model", "fast"),
    "the large network": ("--model", "large"),
    "the former network, of 112 px": ("--model", "heatmap"),
    "half the faces": ("--train-faces", "1400"),
    "a quarter of the faces": ("--train-faces", "700"),
    "several sets, as if labelled alike": ("--one-convention",),
    "small sets more often": ("--balance", "0.25"),
    "classic: Adam and mean squared error": ("--recipe", "classic"),
}


def train_each(
    names: Sequence[str], common: Sequence[str], seeds: Sequence[int], tell: Callable[[str], None]
) -> list[dict]:
    """Train each variant by each seed, in turn, so that what slows the machine slows all of them.

    names: of ABLATIONS; common: options of all; tell: is called with a line after each training.

    Returns:
        A row each: NME (inter-ocular) of the validation people after the last epoch, its mean over seeds and half of
        its range, and the seconds of an epoch, validation included, in the median.

    Raises:
        InputError: a training failed; the line says why.
    """
    ends: dict[str, list[float]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            history = train_once([*BASE, *common, *ABLATIONS[name], "--seed", str(seed)])
            ends[name].append(history["val_nme"][-1])
            seconds[name] += history["seconds"][1:]
            tell(f"{name}, seed {seed}: NME {ends[name][-1]:.2%}, {np.median(seconds[name]):.1f} s an epoch")
    return [
        {
            "name": name,
            "options": " ".join(ABLATIONS[name]) or " ".join(BASE),
            "nme": np.mean(ends[name]),
            "nme_spread": (max(ends[name]) - min(ends[name])) / 2,
            "s_epoch": np.median(seconds[name]),
        }
        for name in names
    ]


def train_once(options: Sequence[str]) -> dict[str, list[float]]:
    """The history of a training in a process of its own, see `runs.read_history`.

    Raises:
        InputError: it failed, in the words of train.py.
    """
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, str(TRAIN), *options, "--output-dir", folder]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            raise InputError(f"{' '.join(line[1:])}: {done.stderr.strip().removeprefix('error: ')}")
        return read_history(Path(folder))
