"""A training's settings and its folder: best.pt, last.pt, history.csv; and how it goes on where it was interrupted."""

import csv
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from face68.files import InputError, atomic_path
from face68.images import write_image
from face68.network import is_exported
from plots import curves as plots_curves
from plots import style
from training import settings as training_settings
from training.checkpoint import (
    build_model,
    describe_versions,
    load_checkpoint,
    save_checkpoint,
)
from training.onnx_export import export_network
from training.settings import BEST, CURVE, HISTORY, LAST, MEASURES, PREVIOUS
from training.state import Training
from training.task import Validation


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


WATCHED = {0, *(digit * 10**power for power in range(6) for digit in (1, 2, 5))}  # epochs that learning.png shows


def note_epoch(training: Training, losses: dict[str, float], found: Validation, seconds: float, data: Dataset) -> None:
    """Put the epoch's row into history.csv, and if learning.png shows it, what the network says of a few samples there.

    What the untrained network is worth waits for the first epoch's end: until then an earlier training's files stay.
    """
    task, settings, epoch = training.task, training.settings, training.epoch
    row = {"epoch": epoch, "train_loss": math.nan, "val_loss": found.loss, task.column: found.error}
    row |= {"seconds": seconds, "lr": training.lr} | losses
    row |= {f"{task.column} {name}": error for name, error in found.of_sets.items()}
    watched = epoch in WATCHED or epoch == settings.epochs
    if watched:
        answers = task.answers(training.average.model, data, training.device)
        training.watched.append({"row": row, "answers": answers})
    if training.log is not None:
        log_epoch(training, row, data, sheet=watched)
    if epoch == 0:
        return
    if epoch == 1:
        append_history(settings.output_dir, training.watched[0]["row"])
    append_history(settings.output_dir, row)
    if watched:
        write_image(settings.output_dir / training_settings.LEARNING, draw_learning(training, data))


def log_epoch(training: Training, row: dict[str, float], data: Dataset, sheet: bool) -> None:
    """Give an epoch's row to TensorBoard, and the sheet of validation samples if it is to be drawn."""
    epoch = row["epoch"]
    for name, value in row.items():
        if name != "epoch" and math.isfinite(value):
            tag = f"loss/{name.removesuffix('_loss')}" if name.endswith("_loss") else name.replace(" ", "/", 1)
            training.log.add_scalar(tag, value, epoch)
    if sheet:
        with torch.random.fork_rng(devices=[]):  # loaders draw from the global generator, as dropout does
            _, picture = training.task.sheets(training.before, training.average.model, data, training.device)
        training.log.add_image("validation", picture, epoch, dataformats="HWC")
    training.log.flush()


def draw_learning(training: Training, data: Dataset) -> np.ndarray:
    """The same samples after each of the watched epochs, (H, W, 3) uint8 RGB."""
    task, rows = training.task, [one["row"] for one in training.watched]
    epochs, errors = [row["epoch"] for row in rows], [row[task.column] for row in rows]
    tiles = task.tiles(data, [one["answers"] for one in training.watched])
    return plots_curves.learning_strip(epochs, errors, tiles, task.measure, task.legend)


def draw_results(training: Training, data: Dataset) -> None:
    """training_curves.png, and what the best and the untrained network predict of faces that they never saw."""
    settings, task = training.settings, training.task
    folder = settings.output_dir
    curves = plots_curves.plot_training_curves(read_history(folder), task.column, task.measure)
    style.save_figure(curves, folder / training_settings.CURVES)
    path = folder / training_settings.BEST
    best = build_model(load_checkpoint(path), path).to(training.device)
    sheets = task.sheets(training.before, best, data, training.device)
    for name, sheet in zip((training_settings.UNTRAINED, training_settings.FACES), sheets, strict=True):
        write_image(folder / name, sheet)


def describe(training: Training, found: Validation | None, start: nn.Module | None = None) -> dict:
    """A checkpoint of the averaged weights, or of those that training began with, and all that describes them."""
    weights = (start or training.average.model).state_dict()
    if found is not None and "calibration" in weights:
        weights = weights | {"calibration": torch.tensor(found.calibration)}
    return training.task.describe() | {
        "model": training.model.name,
        "options": training.model.options,
        "arguments": training.settings.plain(),
        "versions": describe_versions(),
        "weights": weights,
        "epoch": training.epoch if start is None else 0,
        "metrics": {} if found is None else found.metrics,
    }


def keep_epoch(training: Training, found: Validation) -> None:
    """Write last.pt and, if no epoch before was as good, best.pt."""
    folder, checkpoint = training.settings.output_dir, describe(training, found)
    if found.error < training.best_error:
        if training.best_error == math.inf:
            keep_previous(folder)
        training.best_error = found.error
        save_checkpoint(folder / training_settings.BEST, checkpoint)
    save_state(training, checkpoint)


def save_state(training: Training, checkpoint: dict) -> None:
    save_checkpoint(training.settings.output_dir / training_settings.LAST, checkpoint | {"training": training.state()})


def export_best(path: Path, exported: Path) -> None:
    """The best checkpoint for prediction without torch, if what that takes is installed."""
    try:
        export_network(path, exported)
    except InputError as error:
        print(f"{exported} is not written: {error}")
    else:
        print(f"{exported}: the same network for predict.py and face68, without PyTorch")
