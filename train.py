"""Train a network to place 68 facial keypoints, or one to find faces; keep the best.

    python train.py --epochs 30                          # on data/ where it is, else on the drawn sample
    python train.py --epochs 30 --model net              # the classic baseline
    python train.py --epochs 20 --recipe best            # Muon and the Wing loss: better in less time
    python train.py --epochs 20 --recipe best --init saved_models/pretrained.pt --data my_faces    # a few faces suffice
    python train.py --epochs 30 --data data --data my_faces    # two data sets at once
    python train.py --epochs 100 --model detector --batch-size 32    # what finds faces, in any roll
    python train.py --epochs 30 --resume                 # go on after an interruption
    torchrun --nproc-per-node=2 train.py --epochs 30     # the same training on two GPUs, or in two processes
    python train.py --dry-run                            # two steps and a validation, to see that all works

Writes into --output-dir: best.pt (lowest NME on people that training never saw; of a detector 1 - average precision)
and the same as best.onnx, last.pt (all that --resume needs), history.csv, and pictures: training_curves.png,
validation_faces.png, the same faces before training in untrained_faces.png, and as training goes on learning.png, what
the network makes of five of them after epochs 1, 2, 5, 10, …
"""

import cli.launch as launch

import argparse
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from cli.arguments import add_overwrite, float_from_zero, positive_float, probability, seed
from cli.outputs import check_outputs, is_ours, only_writer
from cli.weights import SAMPLE_RUN, SAVED_MODELS, default_detector, file_of
from data_load import SeededSamples
from datasets import image_cache
from datasets.layout import FOLDS, SAMPLE_DIR, default_data
from face68.files import InputError
from face68.network import FAMILY
from face68.program import parser, positive_int, whole_number
from models import (
    MODELS,
    create_model,
    finds_faces,
    read_option,
)
from training import devices
from training import run as training_run
from training import settings as training_settings
from training.checkpoint import git_commit, load_checkpoint, save_checkpoint, start_from
from training.detector import DetectionTask
from training.devices import (
    PRECISIONS,
    choose_device,
    keep_freed_memory,
    to_device,
)
from training.keypoints import HEATMAP_WEIGHT, KeypointTask
from training.losses import LOSSES
from training.optimizers import OPTIMIZERS
from training.run import describe, draw_results, export_best, keep_epoch, note_epoch, save_state
from training.settings import Settings
from training.state import Training, resume
from training.task import Task

# What minimises which loss, and how fast: the textbook's, and the one that the shipped networks were trained by.
# Fine-tuning takes the same rates: on 200 faces of AFW and InfAnFace, 12 epochs of "best" took the shipped network to
# 7.66, 7.06, 6.63, 6.44% NME on others of them with 1, 2, 4, 8e-3, 50 faces to 8.61, 8.40, 8.37% with 1, 4, 8e-3.
RECIPES = {
    "classic": {"loss": "mse", "optimizer": "adam", "lr": 2e-3},
    "best": {"loss": "wing", "optimizer": "muon", "lr": 4e-3},
}
TENSORBOARD = Path("tensorboard")  # where its events go, unless another folder is named
LOOK = 20  # steps after which the loss is looked at, for which a GPU has to be waited for


def parse_arguments(line: Sequence[str] | None = None) -> Settings:
    """The settings of a command line, of this process if none is given."""
    p = parser(__doc__)
    p.add_argument("--epochs", type=positive_int, default=30, help="passes over the training faces")
    p.add_argument("--model", choices=MODELS, default="base", help="the network, see models.py")
    p.add_argument(
        "--model-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the network's class in models.py: widths=16,32,88,112,160",
    )
    p.add_argument(
        "--recipe", choices=RECIPES, default="classic", help=f"loss, optimizer and lr; best: {_flags('best')}"
    )
    p.add_argument("--loss", choices=LOSSES, help="what is minimised, of keypoints")
    p.add_argument("--optimizer", choices=OPTIMIZERS, help="how it is minimised")
    p.add_argument("--lr", type=positive_float, help="the highest learning rate of the one-cycle schedule")
    p.add_argument("--weight-decay", type=float_from_zero, help="of weights towards 0 (default: adamw 0.01, others 0)")
    p.add_argument(
        "--heatmap-weight", type=float_from_zero, default=HEATMAP_WEIGHT, help="of the loss on heat maps; points have 1"
    )
    p.add_argument(
        "--init",
        type=Path,
        metavar="|".join((*FAMILY, "FILE.pt")),
        help="begin with the weights of this one: fine-tuning",
    )
    p.add_argument("--batch-size", type=positive_int, default=16, help="faces a step")
    p.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        default="auto",
        help="of most of what the network computes; auto: 16 bits where the processor has instructions for them",
    )
    p.add_argument(
        "--data",
        type=Path,
        action="append",
        help="data set to train on, several times for several (default: data/ if it is there, else data/sample)",
    )
    p.add_argument("--cache-dir", type=Path, default=image_cache.default_folder(), help="where decoded images are kept")
    p.add_argument(
        "--cache-mb", type=whole_number, default=image_cache.BUDGET, help="MB of them to keep for each data set"
    )
    p.add_argument(
        "--balance",
        type=probability,
        nargs="?",
        const=1.0,
        default=0.0,
        metavar="HOW_MUCH",
        help="show faces of small data sets more often than of large ones; 1 or no number: each set equally often",
    )
    p.add_argument(
        "--one-annotator",
        action="store_true",
        help="take all data sets for labelled alike, not learn how annotators differ",
    )
    p.add_argument(
        "--published-labels",
        action="store_true",
        help="leave the labels' shift in, don't mirror, don't turn: for prepare.py shift to measure",
    )
    p.add_argument("--train-faces", type=positive_int, help="train on so many of the training faces, not on all")
    p.add_argument("--folds", type=positive_int, default=FOLDS, help="into how many folds people are divided")
    p.add_argument("--val-fold", type=whole_number, default=0, help="fold of people kept for validation")
    p.add_argument("--seed", type=seed, default=0, help="the one source of randomness")
    p.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute")
    p.add_argument(
        "--workers", type=whole_number, default=0, help="processes that prepare samples; 0: the main one, often best"
    )
    p.add_argument(
        "--output-dir",
        type=Path,
        help="where the results go (default: saved_models, of drawn faces runs/sample; of detectors detector/ there)",
    )
    p.add_argument(
        "--tensorboard",
        type=Path,
        nargs="?",
        const=TENSORBOARD,
        metavar="DIR",
        help="history.csv and validation faces for TensorBoard, too (without DIR: tensorboard/ in --output-dir)",
    )
    p.add_argument("--resume", action="store_true", help="go on from last.pt in --output-dir")
    p.add_argument("--dry-run", action="store_true", help="two steps, a validation, nothing written")
    add_overwrite(p)
    args = _follow_recipe(p, line)
    if args.data is None:
        args.data = [default_data()]
        say_which_data(args.data[0])
    if args.output_dir is None:
        args.output_dir = default_folder(args.data, args.model)
    if args.tensorboard is TENSORBOARD:
        args.tensorboard = args.output_dir / TENSORBOARD
    args.model_option = dict(read_option(args.model, text) for text in args.model_option)
    del args.recipe  # its flags stand for it
    return Settings(**vars(args))


def _flags(recipe: str) -> str:
    """A recipe as it would be typed."""
    return " ".join(f"--{name} {value}" for name, value in RECIPES[recipe].items())


def _follow_recipe(p: argparse.ArgumentParser, line: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; what isn't given is the recipe's."""
    p.set_defaults(**RECIPES[p.get_default("recipe")])  # which --help shows
    args = p.parse_args(line)
    p.set_defaults(**RECIPES[args.recipe])
    return p.parse_args(line)


class Interrupt:
    """A signal asks for an end after the current step; a second one ends at once."""

    def __init__(self):
        self.requested = False
        launch.on_signals(self._request)

    def _request(self, _) -> None:
        self.requested = True
        launch.on_signals(launch.end_at_once, launch.AGAIN)


def train_epoch(training: Training, data: SeededSamples, interrupt: Interrupt) -> dict[str, float]:
    """Train to the epoch's end, or to an interruption, or for two steps of a dry run.

    Returns the mean losses, and how many images a second, by the columns of history.csv.
    """
    started = time.perf_counter()
    settings, data.epoch = training.settings, training.epoch
    done = training.step * settings.batch_size  # faces of this epoch, by the run that was interrupted in it
    order = data.order()
    steps = [order[i : i + settings.batch_size] for i in range(done, len(order), settings.batch_size)]
    # A generator of its own, or each loader would take a number from the global one, from which dropout draws: an epoch
    # that is interrupted and resumed has two loaders.
    batches = devices.loaded(
        data,
        settings.workers,
        batch_sampler=list(map(devices.shard_of_step, steps)),
        generator=torch.Generator(),
    )
    training.model.train()
    title = f"epoch {training.epoch + 1}/{settings.epochs}"
    hidden = None if devices.is_first() else True  # None: where stderr is no terminal
    with tqdm(total=len(order), initial=done, desc=title, unit=" images", leave=False, disable=hidden) as bar:
        for step, batch in zip(steps, batches, strict=True):
            with torch.autocast(training.device.type, training.precision, training.precision != torch.float32):
                loss = training.task.loss(training.parallel, to_device(batch, training.device))
            losses = {"train_loss": loss.watched} | {f"{name}_loss": part for name, part in loss.parts.items()}
            training.losses.append({name: value.detach().float() for name, value in losses.items()})
            training.step_weights(loss.watched + loss.beside)
            bar.update(len(step))
            if training.step % LOOK == 0:
                bar.set_postfix(loss=f"{training.mean_losses()['train_loss']:.5f}")
            if devices.any_of(interrupt.requested) or (settings.dry_run and training.step == 2):
                break
    losses = training.mean_losses()
    images = min(training.step * settings.batch_size, len(order)) - done
    return losses | {"images_per_second": images / (time.perf_counter() - started)}


def say_which_data(chosen: Path) -> None:
    """Without --data: which set was taken."""
    drawn = " (the drawn sample; python prepare.py download gets real faces)"
    print(f"data: {chosen}{drawn if chosen == SAMPLE_DIR else ''}")


def default_folder(data: Sequence[Path], model: str) -> Path:
    """Where results go: saved_models/, of which predict.py takes the network, unless it is of no use on photos."""
    is_drawn = all(path.resolve() == SAMPLE_DIR.resolve() for path in data)
    if is_drawn:
        print(f"results: {SAMPLE_RUN} (drawn faces: of no use on photos; predict.py takes it by --checkpoint alone)")
    folder = SAMPLE_RUN if is_drawn else SAVED_MODELS
    return folder / "detector" if finds_faces(model) else folder


def task_of(settings: Settings) -> Task:
    return DetectionTask(settings) if finds_faces(settings.model) else KeypointTask(settings)


def create_untrained(settings: Settings, device: torch.device, annotators: Sequence[str] = ()) -> nn.Module:
    """The network before its first step, always the same: weights by --seed, those of layers that fit by --init.

    annotators: of the labels, see `models.create_model`.
    """
    torch.manual_seed(settings.seed)
    model = create_model(settings.model, annotators, **settings.model_option)
    if settings.init is not None:
        anew = start_from(model, load_checkpoint(file_of(settings.init, ".pt")), settings.init)
        print(f"weights: {settings.init}, {f'but these layers start anew: {anew}' if anew else 'all layers'}")
    return model.to(device, memory_format=torch.channels_last)


def train(training: Training, train_data: SeededSamples, val_data: Dataset) -> bool:
    """The epochs, each with its validation, checkpoints and line. Returns whether they all were done."""
    settings, task, interrupt = training.settings, training.task, Interrupt()
    if not settings.resume:
        started = time.perf_counter()
        found = task.validate(training.average.model, val_data, training.device)
        print(f"before training: {found}", flush=True)
        seconds = time.perf_counter() - started
        devices.on_main(note_epoch, training, {}, found, seconds, val_data)
    while training.epoch < settings.epochs:
        started = time.perf_counter()
        try:
            losses = train_epoch(training, train_data, interrupt)
        except devices.WorkerLost as error:
            if settings.dry_run or devices.count() > 1:  # several know their losses only together
                raise
            training.mean_losses()
            save_state(training, describe(training, None))
            where = f"in epoch {training.epoch + 1} after step {training.step}"
            raise InputError(f"{error}; --resume goes on {where}") from error
        if devices.any_of(interrupt.requested):
            devices.on_main(save_state, training, describe(training, None))
            print(f"stopped in epoch {training.epoch + 1} after step {training.step}; --resume goes on from there")
            return False
        found = task.validate(training.average.model, val_data, training.device)
        if settings.dry_run:
            print(f"dry run: training and validation work, {found}; nothing written")
            return True
        seconds = time.perf_counter() - started
        training.finish_epoch()
        print(
            f"epoch {training.epoch:3d}/{settings.epochs}  training loss {losses['train_loss']:.5f}  "
            f"validation loss {found.loss:.5f}  {found}  {seconds:.1f} s",
            flush=True,
        )
        devices.on_main(note_epoch, training, losses, found, seconds, val_data)
        devices.on_main(keep_epoch, training, found)
    return True


def keep_start(training: Training, val_data: Dataset) -> None:
    """Put the weights that fine-tuning began with into best.pt where no epoch was better, and say so."""
    found = training.task.validate(training.before, val_data, training.device)
    if found.error <= training.best_error:
        init, best = training.settings.init, training.settings.output_dir / training_settings.BEST
        print(f"no epoch was better than {init}: {best} is that again; try a lower --lr, or more faces")
        training.best_error = found.error
        save_checkpoint(best, describe(training, found, training.before))


def check_folder(settings: Settings) -> None:
    """See that the results can be written, and of a training that is resumed what is there.

    Raises:
        InputError: they can't, or it can't be gone on with.
    """
    if settings.resume:
        training_run.check_resumable(settings.output_dir)
    places = [settings.output_dir / name for name in training_settings.WRITTEN]
    reads = () if settings.init is None else (file_of(settings.init, ".pt"),)
    check_outputs(places, reads, settings.overwrite, lambda path: is_ours(path) or training_run.is_of_a_run(path))


def main() -> int:
    with devices.process_group():
        return run(parse_arguments())


def run(settings: Settings) -> int:
    """The whole command by its arguments; returns the exit status."""
    devices.on_main(check_folder, settings)
    keep_freed_memory()
    device = choose_device(settings.device)
    task = task_of(settings)
    train_data, val_data = task.load()
    model = create_untrained(settings, device, task.annotators)
    parameters = sum(p.numel() for p in model.parameters())
    training = Training(model, task, settings, train_data, device)
    precision = str(training.precision).removeprefix("torch.")
    print(f"network: {model.name}, {parameters:,} parameters, in {precision} on {device}; git commit {git_commit()}")
    if devices.count() > 1:
        backend = "nccl" if device.type == "cuda" else "gloo"
        print(f"processes: {devices.count()}, joined by {backend}; a step takes {settings.batch_size} faces in all")
    writes = devices.is_first() and not settings.dry_run
    with only_writer(settings.output_dir) if writes else contextlib.nullcontext():
        if settings.resume:
            resume(training)
        if settings.tensorboard is not None and writes:
            training.log = training_run.open_tensorboard(settings.tensorboard, training.epoch + settings.resume)
        if not train(training, train_data, val_data):
            return 130
        if not writes:
            return 0
        if settings.init is not None:
            devices.on_main(keep_start, training, val_data)
        devices.on_main(task.finish, settings.output_dir / training_settings.BEST, val_data, default_detector())
        devices.on_main(draw_results, training, val_data)
        export_best(settings.output_dir / training_settings.BEST, settings.output_dir / training_settings.EXPORTED)
    print(f"best {task.measure} on unseen people: {training.best_error:.2%}; see {settings.output_dir}/ for best.pt,")
    print("history.csv, and what to look at: learning.png, training_curves.png, and before and after training")
    print("untrained_faces.png and validation_faces.png")
    return 0


if __name__ == "__main__":
    launch.run(main)
