"""A training's folder: its checkpoints best.pt and last.pt, its history.csv, its pictures."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from face68.files import InputError, atomic_path
from face68.images import write_image
from face68.network import is_exported
from plots import curves
from plots.style import save_figure
from training.checkpoint import build_model, describe_versions, load_checkpoint, save_checkpoint
from training.onnx_export import export_network
from training.settings import (
    BEST,
    COLUMNS,
    EXPORTED,
    HISTORY,
    LAST,
    LEARNING,
    MEASURES,
    PREVIOUS,
    TRAINING_CURVES,
    UNTRAINED_FACES,
    VALIDATION_FACES,
    as_plain,
)
from training.state import Training
from training.task import Validation

SNAPSHOTS = {
    0,
    *(digit * 10**power for power in range(6) for digit in (1, 2, 5)),
}  # epochs in learning.png


# --- What lies in the folder --------------------------------------------------------------------------------------


def is_of_a_run(path: Path) -> bool:
    """Whether a file is a checkpoint, an exported network or a history as trainings write them."""
    try:
        if path.suffix == ".pt":
            load_checkpoint(path)
            return True
        if path.suffix == ".onnx":
            return is_exported(path)
        return path.name == HISTORY and len(read_history(path.parent)["epoch"]) > 0
    except (OSError, ValueError, TypeError, KeyError):  # something else of that name
        return False


def check_resumable(folder: Path) -> None:
    """See that the files from which a training goes on can be read. (A new training would replace them.)

    Raises:
        InputError: last.pt is missing, or it, best.pt or history.csv can't be read.
    """
    load_checkpoint(folder / LAST)
    if (folder / BEST).exists():
        load_checkpoint(folder / BEST)
    if (folder / HISTORY).exists():
        try:
            read_history(folder)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{folder / HISTORY}: isn't the history of a training; take it away") from error


def append_history(folder: Path, row: dict[str, float]) -> None:
    """Put an epoch's row, values by column, behind those of earlier epochs in history.csv. Epoch 0, the untrained
    network, begins a new file.

    A row of the same epoch goes: it is of a run that was killed before it wrote last.pt. Missing values are nan.
    """
    path, rows = folder / HISTORY, pd.DataFrame([row])
    if row["epoch"] > 0 and path.is_file():
        before = pd.read_csv(path)
        rows = pd.concat([rows, before[before["epoch"] < row["epoch"]]]).sort_values("epoch")
    with atomic_path(path) as temporary:
        rows.to_csv(temporary, index=False, na_rep="nan", float_format="%.6g", lineterminator="\n")


def read_history(folder: Path) -> dict[str, list[float]]:
    """The columns of history.csv that every training has, and that of its error. The training loss of epoch 0 is nan.

    Raises:
        OSError, KeyError, TypeError, ValueError: it is no such file.
    """
    rows = pd.read_csv(folder / HISTORY)
    rows = rows[[*COLUMNS, *(name for name in MEASURES if name in rows)]].astype(float)
    if rows.drop(columns="train_loss").isna().any(axis=None):
        raise ValueError("values are missing")
    return rows.to_dict("list")


def read_histories(folders: Sequence[Path]) -> tuple[dict[str, dict[str, list[float]]], str]:
    """The histories of several trainings, and the column of `MEASURES` that all of them have.

    They go by the names of their folders, or by the whole paths where two folders have one name.

    Raises:
        InputError: a folder holds no history, or that of another kind of training than the first one's.
    """
    if missing := [folder for folder in folders if not (folder / HISTORY).is_file()]:
        commands = " and ".join(f"python train.py --output-dir {folder}" for folder in missing)
        raise InputError(f"{', '.join(map(str, missing))}: no training there; make it by {commands}")
    histories, kind = {}, None
    for folder, name in zip(folders, distinct_names(folders), strict=True):
        path = folder / HISTORY
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


# --- What an epoch adds -------------------------------------------------------------------------------------------


def record_epoch(
    training: Training, losses: dict[str, float], validation: Validation, seconds: float, data: Dataset
) -> None:
    """Write an epoch's row of history.csv, its checkpoints and, after some epochs, learning.png. The untrained
    network's row is written with the first epoch's: until then the files of an earlier training stay.

    losses: by column of history.csv. data: the validation samples.
    """
    task, settings, epoch = training.task, training.settings, training.epoch
    row = {"epoch": epoch, "train_loss": math.nan, "val_loss": validation.loss, task.column: validation.error}
    row |= {"seconds": seconds, "lr": training.lr} | losses
    row |= {f"{task.column} {name}": error for name, error in validation.of_sets.items()}
    is_snapshot = epoch in SNAPSHOTS or epoch == settings.epochs
    if is_snapshot:
        outputs = task.answers(training.average, data, training.device)
        training.snapshots.append({"row": row, "outputs": outputs})
    if training.log is not None:
        log_epoch(training, row, data if is_snapshot else None)
    if epoch == 0:
        return
    if epoch == 1:
        append_history(settings.output_dir, training.snapshots[0]["row"])
    append_history(settings.output_dir, row)
    if is_snapshot:
        draw_learning(training, data)
    keep_epoch(training, validation)


def keep_epoch(training: Training, validation: Validation) -> None:
    """Write last.pt and, if no epoch before was as good, best.pt."""
    folder, checkpoint = training.settings.output_dir, describe(training, training.average, validation)
    if validation.error < training.best_error:
        if training.best_error == math.inf:
            keep_previous(folder)
        training.best_error = validation.error
        save_checkpoint(folder / BEST, checkpoint)
    save_state(training, checkpoint)


def save_state(training: Training, checkpoint: dict | None = None) -> None:
    """Write last.pt; checkpoint: of an epoch that was validated, None within an epoch."""
    checkpoint = checkpoint or describe(training, training.average)
    save_checkpoint(training.settings.output_dir / LAST, checkpoint | {"training": training.state()})


def describe(training: Training, model: nn.Module, validation: Validation | None = None) -> dict:
    """The checkpoint of the averaged network, or of that before training, with its validation if there was one."""
    weights = model.state_dict()
    if validation is not None and "calibration" in weights:
        weights = weights | {"calibration": torch.tensor(validation.calibration)}
    return training.task.describe() | {
        "model": training.model.name,
        "options": training.model.options,
        "arguments": as_plain(training.settings),
        "versions": describe_versions(),
        "weights": weights,
        "epoch": 0 if model is training.before else training.epoch,
        "metrics": {} if validation is None else validation.metrics,
    }


def keep_previous(folder: Path) -> None:
    """Copy the best.pt of an earlier training before this one replaces it, and say so."""
    best = folder / BEST
    if best.is_file():
        with atomic_path(folder / PREVIOUS) as temporary:
            shutil.copyfile(best, temporary)
        print(f"{best} of an earlier training is kept as {PREVIOUS}")


def draw_learning(training: Training, data: Dataset) -> None:
    """learning.png: the same validation samples, a row for each epoch of which there is a snapshot."""
    task, rows = training.task, [snapshot["row"] for snapshot in training.snapshots]
    tiles = task.tiles(data, [snapshot["outputs"] for snapshot in training.snapshots])
    epochs, errors = [row["epoch"] for row in rows], [row[task.column] for row in rows]
    picture = curves.learning_strip(epochs, errors, tiles, task.measure, task.legend)
    write_image(training.settings.output_dir / LEARNING, picture)


def open_tensorboard(folder: Path, first_epoch: int):
    """TensorBoard's writer for a folder; events of earlier runs there are hidden from `first_epoch` on.

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


def log_epoch(training: Training, row: dict[str, float], data: Dataset | None) -> None:
    """Log an epoch's row to TensorBoard, and a sheet of the validation samples if they are given."""
    epoch = row["epoch"]
    for name, value in row.items():
        if name != "epoch" and math.isfinite(value):
            tag = f"loss/{name.removesuffix('_loss')}" if name.endswith("_loss") else name.replace(" ", "/", 1)
            training.log.add_scalar(tag, value, epoch)
    if data is not None:
        with torch.random.fork_rng(devices=[]):  # loaders draw from the global generator, as dropout does
            _, sheet = training.task.sheets(training.before, training.average, data, training.device)
        training.log.add_image("validation", sheet, epoch, dataformats="HWC")
    training.log.flush()


# --- At the end ---------------------------------------------------------------------------------------------------


def keep_start(training: Training, data: Dataset) -> None:
    """Put the weights that fine-tuning began with into best.pt if no epoch was better, and say so."""
    validation = training.task.validate(training.before, data, training.device)
    if validation.error <= training.best_error:
        init, best = training.settings.init, training.settings.output_dir / BEST
        print(f"no epoch was better than {init}: {best} is that again; try a lower --lr, or more faces")
        training.best_error = validation.error
        save_checkpoint(best, describe(training, training.before, validation))


def draw_results(training: Training, data: Dataset) -> None:
    """training_curves.png, and the same validation faces with the untrained and with the best network's keypoints:
    untrained_faces.png, validation_faces.png.
    """
    task, folder = training.task, training.settings.output_dir
    figure = curves.plot_training_curves(read_history(folder), task.column, task.measure)
    save_figure(figure, folder / TRAINING_CURVES)
    best = build_model(load_checkpoint(folder / BEST), folder / BEST).to(training.device)
    sheets = task.sheets(training.before, best, data, training.device)
    for name, sheet in zip((UNTRAINED_FACES, VALIDATION_FACES), sheets, strict=True):
        write_image(folder / name, sheet)


def export_best(folder: Path) -> None:
    """Write best.onnx for prediction without PyTorch, if the packages that this takes are installed."""
    exported = folder / EXPORTED
    try:
        export_network(folder / BEST, exported)
    except InputError as error:
        print(f"{exported} is not written: {error}")
    else:
        print(f"{exported}: the same network for predict.py and face68, without PyTorch")
