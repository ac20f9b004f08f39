"""A training's settings and its folder: best.pt, last.pt, history.csv; and how it goes on where it was interrupted."""

import csv
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from checkpoint import check_finite, load_checkpoint
from face68.files import InputError, atomic_path
from face68.network import is_exported

BEST, LAST, PREVIOUS, CURVE = "best.pt", "last.pt", "best.previous.pt", "history.csv"
EXPORTED, CURVES, FACES = "best.onnx", "training_curves.png", "validation_faces.png"
WRITTEN = (BEST, LAST, PREVIOUS, CURVE, EXPORTED, CURVES, FACES)
HISTORY = ("epoch", "train_loss", "val_loss", "seconds")  # columns of history.csv, beside that of what was measured
MAY_DIFFER = ("data", "output_dir", "device", "workers", "cache_dir", "cache_mb", "resume", "dry_run", "overwrite")


@dataclass(frozen=True)
class Settings:
    """The options of a run as the command line gave them, or their defaults. A checkpoint holds them."""

    epochs: int
    model: str
    loss: str
    optimizer: str
    lr: float
    batch_size: int
    precision: str
    data: list[Path]
    cache_dir: Path
    cache_mb: int
    balance: bool
    published_labels: bool
    folds: int
    val_fold: int
    seed: int
    device: str
    workers: int
    output_dir: Path
    resume: bool
    dry_run: bool
    overwrite: bool

    def plain(self) -> dict:
        """Values that a checkpoint can hold: paths as text."""
        values = asdict(self) | {"data": [str(path) for path in self.data]}
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def is_of_a_run(path: Path) -> bool:
    """Whether a file is one that a training wrote into its folder, pictures aside: it is known by its form."""
    try:
        if path.suffix == ".pt":
            load_checkpoint(path)
            return True
        if path.suffix == ".onnx":
            return is_exported(path)
        return path.name == CURVE and len(read_history(path.parent)["epoch"]) > 0
    except (csv.Error, OSError, ValueError, TypeError, KeyError):  # something else by that name
        return False


def keep_previous(folder: Path) -> None:
    """Copy the best.pt of an earlier training, before the first one of another takes its place, and say so."""
    best = folder / BEST
    if best.is_file():
        with atomic_path(folder / PREVIOUS) as temporary:
            shutil.copyfile(best, temporary)
        print(f"{best} of an earlier training is kept as {PREVIOUS}")


def check_resumable(folder: Path) -> None:
    """See that what a training left in its folder can be gone on with. This is said in other words than that a new
    training would replace files which are not its own.

    Raises:
        InputError: last.pt is not there, or it, best.pt or history.csv can't be read.
    """
    load_checkpoint(folder / LAST)
    if (folder / BEST).exists():
        load_checkpoint(folder / BEST)
    if (folder / CURVE).exists():
        try:
            read_history(folder)
        except (OSError, csv.Error, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{folder / CURVE}: isn't the history of a training; take it away") from error


def load_state(folder: Path, arguments: dict, faces: str, steps: int) -> dict:
    """The training state in last.pt, for a run with these settings, a digest of these faces and so many steps an epoch.

    Raises:
        InputError: there is none, it makes no sense, it was begun with other settings, other faces or another version,
            or the best checkpoint that belongs to it is not there.
    """
    path = folder / LAST
    checkpoint = load_checkpoint(path)
    if "training" not in checkpoint:
        raise InputError(f"{path}: holds no training state; --resume needs a last.pt")
    for option, before in checkpoint["arguments"].items():
        if before != arguments.get(option) and option not in MAY_DIFFER:
            was, now_is = (_as_typed(option, value) for value in (before, arguments.get(option)))
            raise InputError(f"{path}: was begun {was}, not {now_is}; resume as it was begun")
    state = checkpoint["training"]
    if wrong := [name for name, sane in STATE.items() if not (isinstance(state, dict) and sane(state.get(name)))]:
        raise senseless(path, f"{', '.join(wrong)} missing or impossible")
    if "steps" not in state["average"]:
        raise InputError(f"{path}: was begun by an earlier version of train.py; begin anew")
    if state["faces"] != faces:
        raise InputError(f"{path}: was begun on other faces or labels; resume with the same --data, or begin anew")
    if not (state["epoch"] <= arguments["epochs"] and state["step"] <= steps):
        raise senseless(path, f"epoch {state['epoch']}, step {state['step']}")
    check_finite(state, path, "begin anew, with a lower --lr if training had diverged")
    if state["best_error"] < math.inf:
        load_checkpoint(folder / BEST)
    return state


def senseless(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: its training state makes no sense ({reason}); begin anew, without --resume")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


# What a training state holds, by name, and whether a value of it can be.
STATE = {
    "faces": lambda value: isinstance(value, str),
    "model": lambda value: isinstance(value, dict),
    "average": lambda value: isinstance(value, dict) and _is_count(value.get("steps", 0)),
    "optimizers": lambda value: isinstance(value, list),
    "epoch": _is_count,
    "step": _is_count,
    "loss_sum": lambda value: isinstance(value, float | int) and math.isfinite(value),
    "best_error": lambda value: isinstance(value, float) and value >= 0,
    "random": lambda value: isinstance(value, torch.Tensor) and value.dtype == torch.uint8,
}


def _as_typed(option: str, value) -> str:
    """An option as it stands on the command line, behind "with" or "without"."""
    flag = "--" + option.replace("_", "-")
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {flag}"
    return f"with {flag} {value}"


def append_history(folder: Path, row: dict[str, float]) -> None:
    """Put an epoch's row, values by column, behind those of the epochs before it in history.csv.

    A row of the same epoch, left by a run that was killed before it wrote last.pt, goes; a new run starts anew.
    """
    path, epoch = folder / CURVE, row["epoch"]
    before = path.read_text().splitlines()[1:epoch] if epoch > 1 and path.is_file() else []
    lines = [",".join(row), *before, ",".join(f"{value:.6g}" for value in row.values())]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def read_history(folder: Path, measured: Sequence[str] = ()) -> dict[str, list[float]]:
    """The columns of history.csv: those that all have, and what was measured."""
    with (folder / CURVE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in (*HISTORY, *measured)}
