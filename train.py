"""Train a network that places facial keypoints, or other points, or one that finds faces; keep the best.

    python train.py --epochs 30                          # on data/ where it is, else on the drawn sample
    python train.py --epochs 30 --model net              # the classic baseline
    python train.py --epochs 20 --recipe best            # Muon and the Wing loss: better in less time
    python train.py --epochs 20 --recipe best --init saved_models/pretrained.pt --data my_faces    # a few faces suffice
    python train.py --epochs 30 --data data --data my_faces    # two data sets at once
    python train.py --epochs 30 --data my_points         # any other points than the 68, see docs/schemes.md
    python train.py --epochs 100 --model detector --batch-size 32    # a detector of faces in any roll
    python train.py --epochs 30 --resume                 # go on after an interruption
    torchrun --nproc-per-node=2 train.py --epochs 30     # train on two GPUs, or in two processes
    python train.py --dry-run                            # two steps and a validation, to see that all works

Writes into --output-dir: best.pt, the network with the lowest error on people that training never saw (NME; of a
detector 1 - average precision), the same network as best.onnx, last.pt for --resume, history.csv, and four pictures:
training_curves.png, validation_faces.png (predicted keypoints beside the true ones), untrained_faces.png (the same
faces before training) and learning.png (five of them after epochs 1, 2, 5, 10, …).
"""

import cli.launch as launch

import contextlib
import time
from collections.abc import Callable, Sequence
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
from face68.landmarks import IBUG68
from face68.network import FAMILY
from face68.program import parser, positive_int, whole_number
from face68.schemes import Scheme
from models import MODELS, create_model, finds_faces, read_option
from training import devices
from training.checkpoint import git_commit, load_checkpoint, start_from
from training.detector import DetectionTask
from training.devices import PRECISIONS, on_main
from training.keypoints import HEATMAP_WEIGHT, KeypointTask
from training.losses import LOSSES
from training.optimizers import OPTIMIZERS
from training.run import (
    check_resumable,
    draw_results,
    export_best,
    is_of_a_run,
    keep_start,
    open_tensorboard,
    record_epoch,
    save_state,
)
from training.settings import BEST, WRITTEN, Settings
from training.state import Training, resume
from training.task import Task

# Loss, optimizer and learning rate: the textbook's, and those that the shipped networks were trained with. Fine-tuning
# takes the same rates: 12 epochs of "best" on 200 faces of AFW and InfAnFace brought the shipped network to 7.66, 7.06,
# 6.63, 6.44% NME on other faces of them with lr 1, 2, 4, 8e-3; on 50 faces to 8.61, 8.40, 8.37% with 1, 4, 8e-3.
RECIPES = {
    "classic": {"loss": "mse", "optimizer": "adam", "lr": 2e-3},
    "best": {"loss": "wing", "optimizer": "muon", "lr": 4e-3},
}
TENSORBOARD = Path("tensorboard")  # the folder of its events in --output-dir, unless another is named
LOG_INTERVAL = 20  # steps between two looks at the loss, each of which waits for the GPU


def parse_arguments(line: Sequence[str] | None = None) -> Settings:
    """The settings by a command line, or by this process's if none is given."""
    p = parser(__doc__)
    add_learning(p.add_argument)
    add_data_and_run(p.add_argument)
    add_overwrite(p)
    # The recipe's values are the defaults of its options.
    p.set_defaults(**RECIPES[p.get_default("recipe")])  # for --help
    p.set_defaults(**RECIPES[p.parse_args(line).recipe])
    args = p.parse_args(line)
    del args.recipe
    # Defaults that depend on other options, or on what is here
    if args.data is None:
        args.data = [default_data()]
        drawn = " (the drawn sample; python prepare.py download gets real faces)"
        print(f"data: {args.data[0]}{drawn if args.data[0] == SAMPLE_DIR else ''}")
    if args.output_dir is None:
        args.output_dir = default_folder(args.data, args.model)
    if args.tensorboard is TENSORBOARD:
        args.tensorboard = args.output_dir / TENSORBOARD
    args.model_option = dict(read_option(args.model, text) for text in args.model_option)
    return args


def add_learning(add: Callable) -> None:
    """The options that say what learns, and how; `add` is a parser's `add_argument`."""
    best = " ".join(f"--{name} {value}" for name, value in RECIPES["best"].items())
    add("--epochs", type=positive_int, default=30, help="passes over the training faces")
    add("--model", choices=MODELS, default="base", help="the network, see models.py")
    option_help = "an option of the network's class in models.py: widths=16,32,88,112,160"
    add("--model-option", action="append", default=[], metavar="NAME=VALUE", help=option_help)
    add("--recipe", choices=RECIPES, default="classic", help=f"loss, optimizer and lr; best: {best}")
    add("--loss", choices=LOSSES, help="loss on the keypoints")
    add("--optimizer", choices=OPTIMIZERS, help="optimizer of the weights")
    add("--lr", type=positive_float, help="the highest learning rate of the one-cycle schedule")
    add("--weight-decay", type=float_from_zero, help="decay of the weights (default: adamw 0.01, others 0)")
    weight_help = "weight of the loss on heat maps; that on keypoints has 1"
    add("--heatmap-weight", type=float_from_zero, default=HEATMAP_WEIGHT, help=weight_help)
    networks = "|".join((*FAMILY, "FILE.pt"))
    add("--init", type=Path, metavar=networks, help="fine-tune: begin with the weights of this network")
    add("--batch-size", type=positive_int, default=16, help="faces a step")
    precision_help = "number format of the training; auto: 16 bits where the processor has instructions for them"
    add("--precision", choices=("auto", *PRECISIONS), default="auto", help=precision_help)


def add_data_and_run(add: Callable) -> None:
    """The options that say which faces are learned, where it runs and what it writes."""
    data_help = "data set to train on, several times for several (default: data/ if it is there, else data/sample)"
    add("--data", type=Path, action="append", help=data_help)
    add("--cache-dir", type=Path, default=image_cache.default_folder(), help="folder for decoded images")
    add("--cache-mb", type=whole_number, default=image_cache.BUDGET, help="MB of decoded images for each data set")
    balance_help = "show faces of small data sets more often than of large ones; 1 or no number: each set equally often"
    add("--balance", type=probability, nargs="?", const=1.0, default=0.0, metavar="HOW_MUCH", help=balance_help)
    annotator_help = "treat all data sets as labelled alike; by default the network learns how annotators differ"
    add("--one-annotator", action="store_true", help=annotator_help)
    published_help = "don't correct the labels' shift, don't mirror or turn: for prepare.py shift, which measures it"
    add("--published-labels", action="store_true", help=published_help)
    add("--train-faces", type=positive_int, help="how many of the training faces to take (default: all)")
    add("--folds", type=positive_int, default=FOLDS, help="number of folds that people are divided into")
    add("--val-fold", type=whole_number, default=0, help="fold of people kept for validation")
    add("--seed", type=seed, default=0, help="seed of all random numbers")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="device to train on")
    workers_help = "processes that prepare samples; 0: the main one, often best"
    add("--workers", type=whole_number, default=0, help=workers_help)
    output_help = (
        "folder of the results (default: saved_models, for drawn faces runs/sample; for detectors detector/ in it)"
    )
    add("--output-dir", type=Path, help=output_help)
    events_help = "write history and validation faces for TensorBoard, too (without DIR: tensorboard/ in --output-dir)"
    add("--tensorboard", type=Path, nargs="?", const=TENSORBOARD, metavar="DIR", help=events_help)
    add("--resume", action="store_true", help="go on from last.pt in --output-dir")
    add("--dry-run", action="store_true", help="two steps, a validation, nothing written")


def default_folder(data: Sequence[Path], model: str) -> Path:
    """The folder of the results: saved_models/, where predict.py looks for a network, unless faces are drawn."""
    is_drawn = all(path.resolve() == SAMPLE_DIR.resolve() for path in data)
    if is_drawn:
        print(f"results: {SAMPLE_RUN} (drawn faces: rough on photos; predict.py takes it by --checkpoint alone)")
    folder = SAMPLE_RUN if is_drawn else SAVED_MODELS
    return folder / "detector" if finds_faces(model) else folder


class Interrupt:
    """A signal requests the end after the current step; a second one ends the process at once."""

    def __init__(self):
        self.requested = False
        launch.on_signals(self._request)

    def _request(self, _) -> None:
        self.requested = True
        launch.on_signals(launch.end_at_once, launch.AGAIN)


def train_epoch(training: Training, data: SeededSamples, interrupt: Interrupt) -> dict[str, float]:
    """Train to the end of the epoch, an interruption, or the second step of a dry run.

    Returns the mean losses and the images a second, by the columns of history.csv.
    """
    started = time.perf_counter()
    settings, data.epoch = training.settings, training.epoch
    # The epoch's samples in their random order, without those that an interrupted run has done
    order, done = data.order(), training.step * settings.batch_size
    steps = [order[i : i + settings.batch_size] for i in range(done, len(order), settings.batch_size)]
    # A loader without a generator would draw from the global one, as dropout does; a resumed epoch has two loaders.
    shards = list(map(devices.shard_of_step, steps))
    batches = devices.loaded(data, settings.workers, batch_sampler=shards, generator=torch.Generator())
    # A step for each batch
    training.model.train()
    title = f"epoch {training.epoch + 1}/{settings.epochs}"
    hidden = None if devices.is_first() else True  # None: where stderr is no terminal
    with tqdm(total=len(order), initial=done, desc=title, unit=" images", leave=False, disable=hidden) as bar:
        for step, batch in zip(steps, batches, strict=True):
            with torch.autocast(training.device.type, training.precision, training.precision != torch.float32):
                loss = training.task.loss(training.parallel, devices.to_device(batch, training.device))
            losses = {"train_loss": loss.total} | {f"{name}_loss": part for name, part in loss.parts.items()}
            training.losses.append({name: value.detach().float() for name, value in losses.items()})
            training.step_weights(loss.total + loss.auxiliary)
            bar.update(len(step))
            if training.step % LOG_INTERVAL == 0:
                bar.set_postfix(loss=f"{training.mean_losses()['train_loss']:.5f}")
            if devices.any_of(interrupt.requested) or (settings.dry_run and training.step == 2):
                break
    losses = training.mean_losses()
    images = min(training.step * settings.batch_size, len(order)) - done
    return losses | {"images_per_second": images / (time.perf_counter() - started)}


def task_of(settings: Settings) -> Task:
    return DetectionTask(settings) if finds_faces(settings.model) else KeypointTask(settings)


def create_untrained(
    settings: Settings, device: torch.device, annotators: Sequence[str] = (), scheme: Scheme = IBUG68, **options
) -> nn.Module:
    """The network before its first step: weights by --seed, and by --init for the layers that fit.

    annotators, scheme, options: see `models.create_model`; those of --model-option are added.
    """
    torch.manual_seed(settings.seed)
    model = create_model(settings.model, annotators, scheme, **options | settings.model_option)
    if settings.init is not None:
        anew = start_from(model, load_checkpoint(file_of(settings.init, ".pt")), settings.init)
        print(f"weights: {settings.init}, {f'but these layers start anew: {anew}' if anew else 'all layers'}")
    return model.to(device, memory_format=torch.channels_last)


def train(training: Training, train_data: SeededSamples, val_data: Dataset) -> bool:
    """Train epoch by epoch; each is validated, printed and recorded. Returns False after an interruption."""
    settings, interrupt = training.settings, Interrupt()
    if not settings.resume:
        started = time.perf_counter()
        validation = training.validate(val_data)
        print(f"before training: {validation}", flush=True)
        on_main(record_epoch, training, {}, validation, time.perf_counter() - started, val_data)
    while training.epoch < settings.epochs:
        started = time.perf_counter()
        try:
            losses = train_epoch(training, train_data, interrupt)
        except devices.WorkerLost as error:
            if settings.dry_run or devices.count() > 1:  # the losses of several processes are added up together
                raise
            training.mean_losses()
            save_state(training)
            raise InputError(f"{error}; --resume goes on {_progress(training)}") from error
        if devices.any_of(interrupt.requested):
            on_main(save_state, training)
            print(f"stopped {_progress(training)}; --resume goes on from there")
            return False
        validation = training.validate(val_data)
        if settings.dry_run:
            print(f"dry run: training and validation work, {validation}; nothing written")
            return True
        seconds = time.perf_counter() - started
        training.finish_epoch()
        print(
            f"epoch {training.epoch:3d}/{settings.epochs}  training loss {losses['train_loss']:.5f}  "
            f"validation loss {validation.loss:.5f}  {validation}  {seconds:.1f} s",
            flush=True,
        )
        on_main(record_epoch, training, losses, validation, seconds, val_data)
    return True


def _progress(training: Training) -> str:
    return f"in epoch {training.epoch + 1} after step {training.step}"


def check_folder(settings: Settings) -> None:
    """See that the results can be written, and that the files of a training to be resumed can be read.

    Raises:
        InputError: they can't.
    """
    if settings.resume:
        check_resumable(settings.output_dir)
    paths = [settings.output_dir / name for name in WRITTEN]
    reads = () if settings.init is None else (file_of(settings.init, ".pt"),)
    check_outputs(paths, reads, settings.overwrite, lambda path: is_ours(path) or is_of_a_run(path))


@devices.process_group()
def main() -> int:
    settings = parse_arguments()
    on_main(check_folder, settings)
    # Data, network, and what changes while it trains
    devices.keep_freed_memory()
    device, task = devices.choose_device(settings.device), task_of(settings)
    train_data, val_data = task.load()
    model = create_untrained(settings, device, task.annotators, task.scheme, **task.options)
    training = Training(model, task, settings, train_data, device)
    parameters, precision = sum(p.numel() for p in model.parameters()), str(training.precision).removeprefix("torch.")
    print(f"network: {model.name}, {parameters:,} parameters, in {precision} on {device}; git commit {git_commit()}")
    if devices.count() > 1:
        backend = "nccl" if device.type == "cuda" else "gloo"
        print(f"processes: {devices.count()}, joined by {backend}; a step takes {settings.batch_size} faces in all")
    writes, folder = devices.is_first() and not settings.dry_run, settings.output_dir
    with only_writer(folder) if writes else contextlib.nullcontext():
        # Train
        if settings.resume:
            resume(training)
        if settings.tensorboard is not None and writes:
            training.log = open_tensorboard(settings.tensorboard, training.epoch + settings.resume)
        if not train(training, train_data, val_data):
            return 130
        if not writes:
            return 0
        # Calibrate, draw and export the best network
        if settings.init is not None:
            on_main(keep_start, training, val_data)
        on_main(task.finish, folder / BEST, val_data, default_detector(scheme=task.scheme))
        on_main(draw_results, training, val_data)
        export_best(folder)
    print(f"best {task.measure} on unseen people: {training.best_error:.2%}; see {folder}/ for best.pt,")
    print("history.csv, and what to look at: learning.png, training_curves.png, and before and after training")
    print("untrained_faces.png and validation_faces.png")
    return 0


if __name__ == "__main__":
    launch.run(main)
