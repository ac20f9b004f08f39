"""A training's settings and its folder: best.pt, last.pt, history.csv; and how it goes on where it was interrupted."""

import csv
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from face68.files import InputError, atomic_path
from face68.network import is_exported
from models import option_text
from training.checkpoint import check_finite, load_checkpoint

BEST, LAST, PREVIOUS, CURVE = "best.pt", "last.pt", "best.previous.pt", "history.csv"
EXPORTED, CURVES, FACES = "best.onnx", "training_curves.png", "validation_faces.png"
UNTRAINED, LEARNING = "untrained_faces.png", "learning.png"
WRITTEN = (BEST, LAST, PREVIOUS, CURVE, EXPORTED, CURVES, FACES, UNTRAINED, LEARNING)
HISTORY = ("epoch", "train_loss", "val_loss", "seconds")  # columns of history.csv, beside that of what was measured:
MEASURES = {"val_nme": "NME (inter-ocular)", "val_1_minus_ap": "1 - AP"}  # one of these, and as people call it
MAY_DIFFER = (
    "data",
    "output_dir",
    "device",
    "workers",
    "cache_dir",
    "cache_mb",
    "resume",
    "dry_run",
    "overwrite",
    "tensorboard",
)


@dataclass(frozen=True)
class Settings:
    """The options of a run as the command line gave them, or their defaults. A checkpoint holds them."""

    epochs: int
    model: str
    model_option: dict
    loss: str
    optimizer: str
    lr: float
    weight_decay: float | None
    heatmap_weight: float
    init: Path | None
    batch_size: int
    precision: str
    data: list[Path]
    cache_dir: Path
    cache_mb: int
    balance: float
    published_labels: bool
    one_convention: bool
    folds: int
    val_fold: int
    train_faces: int | None
    seed: int
    device: str
    workers: int
    output_dir: Path
    resume: bool
    dry_run: bool
    overwrite: bool
    tensorboard: Path | None

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
        if before == arguments.get(option) or option in MAY_DIFFER:
            continue
        if option == "epochs":
            raise InputError(
                f"{path}: was begun with --epochs {before}, at whose end its learning rate is 0; resume with those, "
                f"then train on with --init {folder / BEST} --output-dir ANOTHER"
            )
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
    if state["step"] > 0 and state.get("sums") == {}:
        raise senseless(path, "no losses of the steps before")
    check_finite(state, path, "begin anew, with a lower --lr if training had diverged")
    if state["best_error"] < math.inf:
        load_checkpoint(folder / BEST)
    return state


def senseless(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: its training state makes no sense ({reason}); begin anew, without --resume")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _are_sums(value: object) -> bool:
    """None where an earlier version added up the losses alone, as "loss_sum"; its steps' parts are nan ever after."""
    if value is None:
        return True
    return isinstance(value, dict) and all(isinstance(number, float | int) for number in value.values())


# What a training state holds, by name, and whether a value of it can be.
STATE = {
    "faces": lambda value: isinstance(value, str),
    "model": lambda value: isinstance(value, dict),
    "average": lambda value: isinstance(value, dict) and _is_count(value.get("steps", 0)),
    "optimizers": lambda value: isinstance(value, list),
    "epoch": _is_count,
    "step": _is_count,
    "sums": _are_sums,
    "best_error": lambda value: isinstance(value, float) and value >= 0,
    "random": lambda value: isinstance(value, torch.Tensor) and value.dtype == torch.uint8,
}


def _as_typed(option: str, value) -> str:
    """An option as it stands on the command line, behind "with" or "without"."""
    flag = "--" + option.replace("_", "-")
    if isinstance(value, dict):
        value = f" {flag} ".join(f"{name}={option_text(one)}" for name, one in value.items()) or None
    if value is None or isinstance(value, bool):
        return f"{'with' if value else 'without'} {flag}"
    return f"with {flag} {value}"


def append_history(folder: Path, row: dict[str, float]) -> None:
    """Put an epoch's row, values by column, behind those of the epochs before it in history.csv; 0 is the untrained
    network's.

    A row of the same epoch, left by a run that was killed before it wrote last.pt, goes; a new run starts anew. What
    rows of an earlier version don't tell is nan.
    """
    path, epoch = folder / CURVE, row["epoch"]
    rows = [before for before in _rows(path) if float(before["epoch"]) < epoch] if epoch > 0 and path.is_file() else []
    rows.append({name: f"{value:.6g}" for name, value in row.items()})
    columns = list(dict.fromkeys(name for one in reversed(rows) for name in one))  # those of today first
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="nan", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_history(folder: Path) -> dict[str, list[float]]:
    """The columns of history.csv: those that all have, and what was measured. The untrained network has no training
    loss (nan); trainings of earlier versions begin with epoch 1.
    """
    rows = _rows(folder / CURVE)
    measured = [name for name in MEASURES if rows and name in rows[0]]
    return {name: [float(row[name]) for row in rows] for name in (*HISTORY, *measured)}


def read_histories(folders: Sequence[Path]) -> tuple[dict[str, dict[str, list[float]]], str]:
    """The histories of several trainings, and the column of `MEASURES` that all of them have.

    They go by the names of their folders, or by the whole paths where two folders have one name.

    Raises:
        InputError: a folder holds no history, or that of another kind of training than the first one's.
    """
    if missing := [folder for folder in folders if not (folder / CURVE).is_file()]:
        commands = " and ".join(f"python train.py --output-dir {folder}" for folder in missing)
        raise InputError(f"{', '.join(map(str, missing))}: no training there; make it by {commands}")
    histories, kind = {}, None
    for folder, name in zip(folders, distinct_names(folders), strict=True):
        path = folder / CURVE
        try:
            history = read_history(folder)
            column = next(measure for measure in MEASURES if measure in history)
        except (OSError, ValueError, TypeError, KeyError, StopIteration):
            raise InputError(f"{path}: not the history of a training; name a folder that train.py wrote into") from None
        kind = kind or column
        if column != kind:
            raise InputError(f"{path}: measures {MEASURES[column]}, others {MEASURES[kind]}; compare those of one kind")
        histories[name] = history
    return histories, kind


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """The names of folders, or their whole paths where two have one name."""
    names = [folder.resolve().name for folder in folders]
    return [name if names.count(name) == 1 else str(folder) for folder, name in zip(folders, names, strict=True)]


def open_tensorboard(folder: Path, first_epoch: int):
    """What writes TensorBoard's events into a folder; those of earlier runs there are hidden from `first_epoch` on.

    Raises:
        InputError: tensorboard isn't installed, or the folder can't be written to.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # here, because it is optional
    except ImportError as error:
        raise InputError("--tensorboard: it is not installed; pip install tensorboard") from error
    try:
        return SummaryWriter(str(folder), purge_step=first_epoch)
    except OSError as error:
        raise InputError(f"{folder}: can't be written to ({error.strerror}); name another folder") from error
