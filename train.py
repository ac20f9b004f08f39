"""Train a network to place 68 facial keypoints; keep the best.

    python train.py --epochs 30                          # on data/ where it is, else on the drawn sample
    python train.py --epochs 30 --model net              # the classic baseline
    python train.py --epochs 30 --data data --data my_faces    # two data sets at once
    python train.py --epochs 30 --resume                 # go on after an interruption
    python train.py --dry-run                            # two steps and a validation, to see that all works

Writes into --output-dir: best.pt (lowest NME on people that training never saw) and the same as best.onnx, last.pt (all
that --resume needs), history.csv, training_curves.png and validation_faces.png.
"""

import math
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

import image_cache
import metrics
import runs
import visualize
from checkpoint import build_model, describe_versions, git_commit, load_checkpoint, save_checkpoint
from compute import choose_device, keep_freed_memory
from data_load import (
    DATA_DIR,
    FOLDS,
    FacialKeypointsDataset,
    Seeded,
    default_data,
    evaluation_transform,
    join,
    open_split,
    split_by_person,
    training_transform,
    upright_transform,
)
from exporting import export_network
from face68 import geometry
from face68.command.arguments import add_overwrite, parser, positive_float, positive_int, run, whole_number
from face68.command.places import check_places, is_ours
from face68.files import InputError
from face68.geometry import CropPolicy, denormalize_keypoints, invert, transform_points
from face68.images import write_image
from losses import LOSSES, confidence_loss, heatmap_loss, keypoint_loss
from models import MODELS, as_outputs, create_model, input_size, join_outputs, predicts_errors
from networks import SAVED_MODELS
from optimizers import OPTIMIZERS, WeightAverage, create_optimizers, one_cycle

HEATMAP_WEIGHT = 0.2  # of the loss on heat maps beside the loss on keypoints
BACKGROUND = 0.1  # the share of training crops that show no upright face, for a network that judges what it sees
LARGEST_LOG = 80.0  # of an expected error or of its inverse: more can't be told from infinity
LOOK = 20  # steps after which the loss is looked at, for which a GPU has to be waited for


@dataclass(frozen=True)
class Settings:
    """The options of a run as the command line gave them, or their defaults. A checkpoint holds them."""

    epochs: int
    model: str
    loss: str
    optimizer: str
    lr: float
    batch_size: int
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


def parse_arguments() -> Settings:
    p = parser(__doc__)
    p.add_argument("--epochs", type=positive_int, default=30, help="passes over the training faces")
    p.add_argument("--model", choices=MODELS, default="heatmap", help="the network, see models.py")
    p.add_argument("--loss", choices=LOSSES, default="mse", help="what is minimised")
    p.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="how it is minimised")
    p.add_argument(
        "--lr", type=positive_float, default=2e-3, help="the highest learning rate of the one-cycle schedule"
    )
    p.add_argument("--batch-size", type=positive_int, default=16, help="faces a step")
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
    p.add_argument("--seed", type=whole_number, default=0, help="the one source of randomness")
    p.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute")
    p.add_argument(
        "--workers", type=whole_number, default=0, help="processes that prepare samples; 0: the main one, often best"
    )
    p.add_argument("--output-dir", type=Path, default=SAVED_MODELS, help="where the results go")
    p.add_argument("--resume", action="store_true", help="go on from last.pt in --output-dir")
    p.add_argument("--dry-run", action="store_true", help="two steps, a validation, nothing written")
    add_overwrite(p)
    args = p.parse_args()
    if args.data is None:
        args.data = [default_data()]
        say_which_data(args.data[0])
    return Settings(**vars(args))


class Training:
    """All that changes while training: what last.pt holds and --resume restores."""

    def __init__(self, model: nn.Module, policy: CropPolicy, settings: Settings, data: Seeded, device: torch.device):
        self.model, self.average = model, WeightAverage(model)  # the average is what is validated and kept
        self.policy, self.settings, self.device = policy, settings, device
        self.optimizers = create_optimizers(settings.optimizer, model, settings.lr)
        self.faces = data.digest()
        self.steps_per_epoch = math.ceil(len(data) / settings.batch_size)
        self.total_steps = settings.epochs * self.steps_per_epoch
        self.epoch, self.step = 0, 0  # the step is counted within the epoch
        self.loss_sum = 0.0  # of this epoch's steps, but for those whose losses are still on the device:
        self.losses: list[Tensor] = []
        self.best_nme = math.inf

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
            "best_nme": self.best_nme,
            "random": torch.get_rng_state(),  # dropout draws from it
        }

    def restore(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.epoch, self.step = state["epoch"], state["step"]
        self.loss_sum, self.best_nme = state["loss_sum"], state["best_nme"]
        torch.set_rng_state(state["random"])


class Interrupt:
    """Ctrl-C asks for an end after the current step; a second one ends at once."""

    def __init__(self):
        self.requested = False
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, *_) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


def to_device(batch: dict, device: torch.device) -> tuple[Tensor, Tensor]:
    images = batch["image"].to(device, memory_format=torch.channels_last)  # (B, 1, S, S)
    return images, batch["keypoints"].to(device)  # (B, 68, 2) normalised


def training_loss(training: Training, batch: dict) -> tuple[Tensor, Tensor]:
    """The loss of a batch on keypoints and heat maps, which is watched, and that on the network's own judgement."""
    images, target = to_device(batch, training.device)
    is_upright_face = batch["is_upright_face"].to(training.device)
    outputs = as_outputs(training.model(images))
    loss = keypoint_loss(LOSSES[training.settings.loss], outputs.keypoints, target, is_upright_face)
    if outputs.heatmaps is not None:
        loss = loss + HEATMAP_WEIGHT * heatmap_loss(outputs.heatmaps, target, is_upright_face)
    return loss, confidence_loss(outputs, target, is_upright_face)


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
            loss, judgement = training_loss(training, batch)
            training.losses.append(loss.detach())
            training.step_weights(loss + judgement)
            bar.update(len(batch["image"]))
            if training.step % LOOK == 0:
                bar.set_postfix(loss=f"{training.mean_loss():.5f}")
            if interrupt.requested or (settings.dry_run and training.step == 2):
                break
    return training.mean_loss()


class Validation(NamedTuple):
    """The loss on N validation faces, and what was found there, normalised as the network's outputs are.

    predicted, truth: keypoints (N, 68, 2).
    log_errors: (N, 68), the logarithm of each point's expected distance from the truth, or None.
    """

    loss: float
    predicted: np.ndarray
    truth: np.ndarray
    log_errors: np.ndarray | None

    @property
    def nme(self) -> np.ndarray:
        """NME (inter-ocular) of each face, (N,): a ratio, the same in pixels."""
        return metrics.nme(self.predicted, self.truth)

    @property
    def calibration(self) -> tuple[float, float]:
        """Offset and slope that make the log errors true on these faces, which training didn't see."""
        return metrics.fit_calibration(self.log_errors, np.linalg.norm(self.predicted - self.truth, axis=-1))


@torch.inference_mode()
def validate(model: nn.Module, data: FacialKeypointsDataset, settings: Settings, device) -> Validation:
    """What the network finds on the validation faces.

    Raises:
        InputError: something that isn't finite.
    """
    model.eval()
    parts, truth = [], []
    for batch in DataLoader(data, 64, num_workers=settings.workers):
        images, target = to_device(batch, device)
        parts.append(as_outputs(model(images)))
        truth.append(target.cpu())
    outputs, truth = join_outputs(parts), torch.cat(truth)
    loss = LOSSES[settings.loss](outputs.keypoints, truth).item()
    log_errors = None if outputs.log_errors is None else outputs.log_errors.numpy()
    keypoints, truth = outputs.keypoints.numpy(), truth.numpy()
    if not np.isfinite(keypoints).all() or (log_errors is not None and not (np.abs(log_errors) < LARGEST_LOG).all()):
        raise InputError(
            "what the network says of the validation faces is not finite: training has diverged; try a lower --lr; "
            "best.pt and last.pt are those of the epoch before"
        )
    return Validation(loss, keypoints, truth, log_errors)


def load_data(settings: Settings, policy: CropPolicy) -> tuple[Seeded, FacialKeypointsDataset]:
    """The training faces and the validation faces: other people, and nothing random."""
    started = time.perf_counter()
    cache = settings.cache_dir, settings.cache_mb
    dataset = join([open_split(directory, "training").preload(*cache) for directory in settings.data])
    if settings.published_labels:
        dataset, transform = dataset.as_published(), upright_transform(policy)
    else:
        transform = training_transform(policy, BACKGROUND if predicts_errors(settings.model) else 0.0)
    training_rows, validation_rows = split_by_person(dataset.people, settings.val_fold, settings.folds)
    if not training_rows or not validation_rows:
        raise InputError(
            f"{settings.data[0]}: too few people to keep fold {settings.val_fold} of {settings.folds} for validation; "
            "add faces of others, or choose other --folds"
        )
    training_data = dataset.subset(training_rows, transform)
    validation_data = dataset.subset(validation_rows, evaluation_transform(policy))
    print(
        f"training: {len(training_data)} faces of {len(set(training_data.people))} people; "
        f"validation: {len(validation_data)} faces of {len(set(validation_data.people))} other people; "
        f"opened in {time.perf_counter() - started:.1f} s"
    )
    return Seeded(training_data, settings.seed, settings.balance), validation_data


def say_which_data(chosen: Path) -> None:
    """Without --data: which set was taken."""
    drawn = "the drawn sample; python prepare.py download gets real faces"
    print(f"data: {chosen} ({'the public set' if chosen == DATA_DIR else drawn})")


def each_set(errors: np.ndarray, sources: np.ndarray) -> str:
    """The mean NME, and in parentheses that of each data set where there are several."""
    each = [f"{errors[sources == source].mean():.2%}" for source in np.unique(sources)]
    return f"{errors.mean():.2%}" + (f" ({', '.join(each)})" if len(each) > 1 else "")


def draw_results(settings: Settings, model: nn.Module, data: FacialKeypointsDataset, policy, device) -> None:
    """training_curves.png, and validation_faces.png: predictions (and the truth) on faces from best to worst."""
    curves = visualize.plot_training_curves(runs.read_history(settings.output_dir))
    visualize.save_figure(curves, settings.output_dir / runs.CURVES)
    found = validate(model, data, settings, device)
    matrices = [geometry.crop_matrix(geometry.box_of(points), policy) for points in data.keypoints]
    crops = denormalize_keypoints(found.predicted, policy.size, policy.size)
    predicted = np.stack([transform_points(one, invert(m)) for one, m in zip(crops, matrices, strict=True)])
    count = min(12, len(data))
    chosen = np.argsort(found.nme)[np.linspace(0, len(data) - 1, count).astype(int)]
    title = "Validation faces from best to worst"
    sheet = visualize.error_sheet(data, chosen, predicted, data.keypoints, title)
    write_image(settings.output_dir / runs.FACES, sheet)


def describe(training: Training, found: Validation | None) -> dict:
    """A checkpoint of the averaged weights, and all that describes them."""
    weights, measured = training.average.model.state_dict(), {}
    if found is not None:
        measured = {"val_nme_inter_ocular": float(found.nme.mean()), "val_loss": found.loss}
        if "calibration" in weights:
            weights = weights | {"calibration": torch.tensor(found.calibration)}
    return {
        "model": training.model.name,
        "options": training.model.options,
        "policy": asdict(training.policy),
        "arguments": training.settings.plain(),
        "versions": describe_versions(),
        "weights": weights,
        "epoch": training.epoch,
        "metrics": measured,
    }


def train(training: Training, train_data: Seeded, val_data: FacialKeypointsDataset) -> bool:
    """The epochs, each with its validation, checkpoints and line. Returns whether they all were done."""
    settings, device, interrupt = training.settings, training.device, Interrupt()
    folder = settings.output_dir
    if not settings.resume:
        found = validate(training.average.model, val_data, settings, device)
        print(f"before training: NME (inter-ocular) {found.nme.mean():.2%}", flush=True)
    while training.epoch < settings.epochs:
        started = time.perf_counter()
        train_loss = train_epoch(training, train_data, interrupt)
        if interrupt.requested:
            checkpoint = describe(training, None)
            save_checkpoint(folder / runs.LAST, checkpoint | {"training": training.state()})
            print(f"stopped in epoch {training.epoch + 1} after step {training.step}; --resume goes on from there")
            return False
        found = validate(training.average.model, val_data, settings, device)
        val_nme = float(found.nme.mean())
        if settings.dry_run:
            print(f"dry run: training and validation work, NME (inter-ocular) {val_nme:.2%}; nothing written")
            return True
        seconds = time.perf_counter() - started
        training.finish_epoch()
        print(
            f"epoch {training.epoch:3d}/{settings.epochs}  training loss {train_loss:.5f}  "
            f"validation loss {found.loss:.5f}  NME (inter-ocular) {each_set(found.nme, val_data.sources)}  "
            f"{seconds:.1f} s",
            flush=True,
        )
        runs.append_history(folder, (training.epoch, train_loss, found.loss, val_nme, seconds))
        checkpoint = describe(training, found)
        if val_nme < training.best_nme:
            if training.best_nme == math.inf:
                runs.keep_previous(folder)
            training.best_nme = val_nme
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
    policy = CropPolicy(size=input_size(settings.model))
    model = create_model(settings.model).to(device, memory_format=torch.channels_last)
    train_data, val_data = load_data(settings, policy)
    training = Training(model, policy, settings, train_data, device)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"network: {model.name}, {parameters:,} parameters, on {device}; git commit {git_commit()}")
    if settings.resume:
        training.restore(runs.load_state(settings.output_dir, settings.plain(), training.faces))
        print(f"resumed {settings.output_dir / runs.LAST}: epoch {training.epoch + 1}, step {training.step}")
    if not train(training, train_data, val_data):
        return 130
    if settings.dry_run:
        return 0
    path = settings.output_dir / runs.BEST
    best, _ = build_model(load_checkpoint(path), path)
    draw_results(settings, best.to(device), val_data, policy, device)
    export_best(path, settings.output_dir / runs.EXPORTED)
    print(f"best NME (inter-ocular) on unseen people: {training.best_nme:.2%}; see {settings.output_dir}/ for best.pt,")
    print("history.csv, training_curves.png and validation_faces.png")
    return 0


if __name__ == "__main__":
    run(main)
