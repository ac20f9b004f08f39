"""Train a network to place 68 facial keypoints, or one to find faces; keep the best.

    python train.py --epochs 30                          # on data/ where it is, else on the drawn sample
    python train.py --epochs 30 --model net              # the classic baseline
    python train.py --epochs 30 --data data --data my_faces    # two data sets at once
    python train.py --epochs 100 --model detector --batch-size 32    # what finds faces, in any roll
    python train.py --epochs 30 --resume                 # go on after an interruption
    python train.py --dry-run                            # two steps and a validation, to see that all works

Writes into --output-dir: best.pt (lowest NME on people that training never saw; of a detector 1 - average precision)
and the same as best.onnx, last.pt (all that --resume needs), history.csv, training_curves.png and validation_faces.png.
"""

import launch

import math
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

import image_cache
import runs
import visualize
from checkpoint import build_model, describe_versions, git_commit, load_checkpoint, save_checkpoint
from compute import choose_device, keep_freed_memory, precision_of, to_device
from data_load import DATA_DIR, FOLDS, Seeded, default_data
from exporting import export_network
from face68.command.arguments import add_overwrite, parser, positive_float, positive_int, seed, whole_number
from face68.command.places import check_places, is_ours
from face68.files import InputError
from face68.images import write_image
from losses import LOSSES
from models import MODELS, create_model, finds_faces
from networks import OWN_DETECTOR, SAVED_MODELS
from optimizers import OPTIMIZERS, WeightAverage, create_optimizers, one_cycle
from runs import Settings
from tasks import Task, Validation, task_of

LOOK = 20  # steps after which the loss is looked at, for which a GPU has to be waited for


def parse_arguments() -> Settings:
    p = parser(__doc__)
    p.add_argument("--epochs", type=positive_int, default=30, help="passes over the training faces")
    p.add_argument("--model", choices=MODELS, default="heatmap", help="the network, see models.py")
    p.add_argument("--loss", choices=LOSSES, default="mse", help="what is minimised, of keypoints")
    p.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="how it is minimised")
    p.add_argument(
        "--lr", type=positive_float, default=2e-3, help="the highest learning rate of the one-cycle schedule"
    )
    p.add_argument("--batch-size", type=positive_int, default=16, help="faces a step")
    p.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of most of what the network computes")
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
    p.add_argument("--balance", action="store_true", help="show the faces of each data set equally often")
    p.add_argument(
        "--published-labels",
        action="store_true",
        help="leave the labels' shift in, don't mirror, don't turn: for prepare.py shift to measure",
    )
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
        help="where the results go (default: saved_models, of a detector saved_models/detector)",
    )
    p.add_argument("--resume", action="store_true", help="go on from last.pt in --output-dir")
    p.add_argument("--dry-run", action="store_true", help="two steps, a validation, nothing written")
    add_overwrite(p)
    args = p.parse_args()
    if args.output_dir is None:
        args.output_dir = OWN_DETECTOR.parent if finds_faces(args.model) else SAVED_MODELS
    if args.data is None:
        args.data = [default_data()]
        say_which_data(args.data[0])
    return Settings(**vars(args))


class Training:
    """All that changes while training: what last.pt holds and --resume restores."""

    def __init__(self, model: nn.Module, task: Task, settings: Settings, data: Seeded, device: torch.device):
        self.model, self.average = model, WeightAverage(model)  # the average is what is validated and kept
        self.task, self.settings, self.device = task, settings, device
        self.optimizers = create_optimizers(settings.optimizer, model, settings.lr)
        self.faces = data.digest()
        self.steps_per_epoch = math.ceil(len(data) / settings.batch_size)
        self.total_steps = settings.epochs * self.steps_per_epoch
        self.epoch, self.step = 0, 0  # the step is counted within the epoch
        self.loss_sum = 0.0  # of this epoch's steps, but for those whose losses are still on the device:
        self.losses: list[Tensor] = []
        self.best_error = math.inf

    def step_weights(self, loss: Tensor) -> None:
        """One step of the weights against the loss's gradient, and of their average."""
        factor = one_cycle((self.epoch * self.steps_per_epoch + self.step) / self.total_steps)
        self.model.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.settings.lr * factor
            optimizer.step()
        self.average.update(self.model)
        self.step += 1

    def mean_loss(self) -> float:
        """Of this epoch's steps so far. This waits for the device, so it isn't asked after every step.

        Raises:
            InputError: one of them isn't finite.
        """
        first = self.step - len(self.losses) + 1
        values = torch.stack(self.losses).tolist() if self.losses else []
        self.losses.clear()
        for step, value in enumerate(values, start=first):
            if not math.isfinite(value):
                raise InputError(
                    f"epoch {self.epoch + 1}, step {step}: the loss is {value}; try a lower --lr; best.pt and last.pt "
                    "are those of the epoch before"
                )
            self.loss_sum += value
        return self.loss_sum / self.step

    def finish_epoch(self) -> None:
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0

    def state(self) -> dict:
        return {
            "faces": self.faces,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "best_error": self.best_error,
            "random": torch.get_rng_state(),  # dropout draws from it
        }

    def restore(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.epoch, self.step = state["epoch"], state["step"]
        self.loss_sum, self.best_error = state["loss_sum"], state["best_error"]
        torch.set_rng_state(state["random"])


class Interrupt:
    """Ctrl-C, or SIGTERM, asks for an end after the current step; a second one ends at once."""

    def __init__(self):
        self.requested = False
        self._set(self._handle)

    def _handle(self, *_) -> None:
        self.requested = True
        self._set(signal.default_int_handler)

    def _set(self, handler: Callable) -> None:
        for number in launch.SIGNALS:
            signal.signal(number, handler)


def train_epoch(training: Training, data: Seeded, interrupt: Interrupt) -> float:
    """Train to the epoch's end, or to an interruption, or for two steps of a dry run. Returns the mean loss."""
    settings, data.epoch = training.settings, training.epoch
    done = training.step * settings.batch_size  # faces of this epoch, by the run that was interrupted in it
    order = data.order()
    # A generator of its own, or each loader would take a number from the global one, from which dropout draws: an epoch
    # that is interrupted and resumed has two loaders.
    loader = DataLoader(
        data,
        settings.batch_size,
        sampler=order[done:],
        num_workers=settings.workers,
        generator=torch.Generator(),
    )
    training.model.train()
    title = f"epoch {training.epoch + 1}/{settings.epochs}"
    with tqdm(total=len(order), initial=done, desc=title, unit=" images", leave=False, disable=None) as bar:
        for batch in loader:
            with precision_of(settings.precision, training.device):
                loss, beside = training.task.loss(training.model, to_device(batch, training.device))
            training.losses.append(loss.detach())
            training.step_weights(loss + beside)
            bar.update(len(batch["image"]))
            if training.step % LOOK == 0:
                bar.set_postfix(loss=f"{training.mean_loss():.5f}")
            if interrupt.requested or (settings.dry_run and training.step == 2):
                break
    return training.mean_loss()


def say_which_data(chosen: Path) -> None:
    """Without --data: which set was taken."""
    drawn = "the drawn sample; python prepare.py download gets real faces"
    print(f"data: {chosen} ({'the public set' if chosen == DATA_DIR else drawn})")


def draw_results(training: Training, data: Dataset) -> None:
    """training_curves.png, and validation_faces.png: what the best network predicts of faces that it never saw."""
    folder, task = training.settings.output_dir, training.task
    curves = visualize.plot_training_curves(runs.read_history(folder, [task.column]), task.column, task.measure)
    visualize.save_figure(curves, folder / runs.CURVES)
    path = folder / runs.BEST
    best = build_model(load_checkpoint(path), path).to(training.device)
    write_image(folder / runs.FACES, task.sheet(best, data, training.device))


def describe(training: Training, found: Validation | None) -> dict:
    """A checkpoint of the averaged weights, and all that describes them."""
    weights = training.average.model.state_dict()
    if found is not None and "calibration" in weights:
        weights = weights | {"calibration": torch.tensor(found.calibration)}
    return training.task.describe() | {
        "model": training.model.name,
        "options": training.model.options,
        "arguments": training.settings.plain(),
        "versions": describe_versions(),
        "weights": weights,
        "epoch": training.epoch,
        "metrics": {} if found is None else found.metrics,
    }


def train(training: Training, train_data: Seeded, val_data: Dataset) -> bool:
    """The epochs, each with its validation, checkpoints and line. Returns whether they all were done."""
    settings, task, interrupt = training.settings, training.task, Interrupt()
    folder = settings.output_dir
    if not settings.resume:
        print(f"before training: {task.validate(training.average.model, val_data, training.device)}", flush=True)
    while training.epoch < settings.epochs:
        started = time.perf_counter()
        train_loss = train_epoch(training, train_data, interrupt)
        if interrupt.requested:
            checkpoint = describe(training, None)
            save_checkpoint(folder / runs.LAST, checkpoint | {"training": training.state()})
            print(f"stopped in epoch {training.epoch + 1} after step {training.step}; --resume goes on from there")
            return False
        found = task.validate(training.average.model, val_data, training.device)
        if settings.dry_run:
            print(f"dry run: training and validation work, {found}; nothing written")
            return True
        seconds = time.perf_counter() - started
        training.finish_epoch()
        print(
            f"epoch {training.epoch:3d}/{settings.epochs}  training loss {train_loss:.5f}  "
            f"validation loss {found.loss:.5f}  {found}  {seconds:.1f} s",
            flush=True,
        )
        row = {"epoch": training.epoch, "train_loss": train_loss, "val_loss": found.loss, task.column: found.error}
        runs.append_history(folder, row | {"seconds": seconds})
        checkpoint = describe(training, found)
        if found.error < training.best_error:
            if training.best_error == math.inf:
                runs.keep_previous(folder)
            training.best_error = found.error
            save_checkpoint(folder / runs.BEST, checkpoint)
        save_checkpoint(folder / runs.LAST, checkpoint | {"training": training.state()})
    return True


def export_best(path: Path, exported: Path) -> None:
    """The best checkpoint for prediction without torch, if what that takes is installed."""
    try:
        export_network(path, exported)
    except InputError as error:
        print(f"{exported} is not written: {error}")
    else:
        print(f"{exported}: the same network for predict.py and face68, without PyTorch")


def main() -> int:
    settings = parse_arguments()
    places = [settings.output_dir / name for name in runs.WRITTEN]
    check_places(places, (), settings.overwrite, lambda path: is_ours(path) or runs.is_of_a_run(path))
    keep_freed_memory()
    device = choose_device(settings.device)
    torch.manual_seed(settings.seed)
    task = task_of(settings)
    model = create_model(settings.model).to(device, memory_format=torch.channels_last)
    train_data, val_data = task.load()
    training = Training(model, task, settings, train_data, device)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"network: {model.name}, {parameters:,} parameters, on {device}; git commit {git_commit()}")
    if settings.resume:
        training.restore(runs.load_state(settings.output_dir, settings.plain(), training.faces))
        print(f"resumed {settings.output_dir / runs.LAST}: epoch {training.epoch + 1}, step {training.step}")
    if not train(training, train_data, val_data):
        return 130
    if settings.dry_run:
        return 0
    draw_results(training, val_data)
    export_best(settings.output_dir / runs.BEST, settings.output_dir / runs.EXPORTED)
    print(f"best {task.measure} on unseen people: {training.best_error:.2%}; see {settings.output_dir}/ for best.pt,")
    print("history.csv, training_curves.png and validation_faces.png")
    return 0


if __name__ == "__main__":
    launch.run(main)
