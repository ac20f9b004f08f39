"""Train a network to place 68 facial keypoints; keep the best.

    python train.py --epochs 30                          # on data/ where it is, else on the drawn sample
    python train.py --epochs 30 --model net              # the classic baseline
    python train.py --epochs 30 --data data --data my_faces    # two data sets at once
    python train.py --epochs 30 --resume                 # go on after an interruption
    python train.py --dry-run                            # two steps and a validation, to see that all works

Writes into --output-dir: best.pt (lowest NME on people that training never saw), last.pt (all that --resume needs),
history.csv, training_curves.png and validation_faces.png.
"""

import csv
import math
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

import metrics
import visualize
from checkpoint import build_model, describe_versions, git_commit, load_checkpoint, save_checkpoint
from compute import choose_device, keep_freed_memory
from data_load import (
    DATA_DIR,
    FOLDS,
    CropFace,
    FacialKeypointsDataset,
    Resize,
    Seeded,
    default_data,
    evaluation_transform,
    join,
    open_split,
    split_by_person,
    training_transform,
    upright_transform,
)
from face68.command.arguments import parser, positive_float, positive_int, run, whole_number
from face68.draw import contact_sheet, draw_keypoints
from face68.files import InputError, atomic_path
from face68.geometry import CropPolicy, denormalize_keypoints
from face68.images import write_image
from losses import LOSSES, confidence_loss, heatmap_loss, keypoint_loss
from models import MODELS, as_outputs, create_model, input_size, join_outputs, predicts_errors
from networks import SAVED_MODELS
from optimizers import OPTIMIZERS, create_optimizers

HEATMAP_WEIGHT = 0.2  # of the loss on heat maps beside the loss on keypoints
BACKGROUND = 0.1  # the share of training crops that show no upright face, for a network that judges what it sees
HISTORY = ("epoch", "train_loss", "val_loss", "val_nme", "seconds")  # the columns of history.csv


def parse_arguments():
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
    return p.parse_args()


def moving_average(average: Tensor, value: Tensor, count: Tensor) -> Tensor:
    """Exponential moving average over the last 100 steps or so; over fewer while there are fewer."""
    return torch.lerp(average, value, max(0.01, 1 / (1 + count.item() / 2))) if value.is_floating_point() else value


class Training:
    """All that changes while training: what last.pt holds and --resume restores."""

    def __init__(self, model: nn.Module, args, data: Seeded):
        self.model = model
        self.faces = data.digest()
        # The running average of the weights is what is validated and kept: it is better than any single step's
        # (Polyak & Juditsky, 1992), and costs no second training.
        self.average = torch.optim.swa_utils.AveragedModel(model, avg_fn=moving_average, use_buffers=True)
        self.optimizers = create_optimizers(args.optimizer, model, args.lr)
        self.steps_per_epoch = math.ceil(len(data) / args.batch_size)
        self.total_steps = args.epochs * self.steps_per_epoch
        self.peak = args.lr
        self.epoch, self.step = 0, 0  # the step is counted within the epoch
        self.loss_sum = 0.0  # of this epoch's steps
        self.best_nme = math.inf

    def set_learning_rate(self) -> None:
        """One cycle (Smith, 2018, arXiv:1803.09820): a linear warm-up over 10% of the steps, then a cosine to 0."""
        done = (self.epoch * self.steps_per_epoch + self.step) / self.total_steps
        factor = min(done / 0.1 + 0.01, 1) if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.peak * factor

    def step_weights(self, loss: Tensor) -> None:
        """One step of the weights against the loss's gradient, and of their average."""
        self.model.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        self.average.update_parameters(self.model)

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


def train_epoch(training: Training, data: Seeded, criterion, args, device, interrupt: Interrupt) -> float:
    """Train to the epoch's end, or to an interruption, or for two steps of a dry run. Returns the mean loss."""
    data.epoch = training.epoch
    order = data.order()
    remaining = order[training.step * args.batch_size :]
    # A generator of its own, or each loader would take a number from the global one, from which dropout draws: an epoch
    # that is interrupted and resumed has two loaders.
    loader = DataLoader(data, args.batch_size, sampler=remaining, num_workers=args.workers, generator=torch.Generator())
    training.model.train()
    with tqdm(
        total=len(order),
        initial=training.step * args.batch_size,
        desc=f"epoch {training.epoch + 1}/{args.epochs}",
        unit=" images",
        leave=False,
        disable=None,
    ) as bar:
        for batch in loader:
            images, target = to_device(batch, device)
            training.set_learning_rate()
            is_face = batch["is_face"].to(device)
            outputs = as_outputs(training.model(images))
            loss = keypoint_loss(criterion, outputs.keypoints, target, is_face)
            if outputs.heatmaps is not None:
                loss = loss + HEATMAP_WEIGHT * heatmap_loss(outputs.heatmaps, target, is_face)
            if not torch.isfinite(loss):
                raise InputError(
                    f"epoch {training.epoch + 1}, step {training.step + 1}: the loss is {loss.item()}; "
                    "try a lower --lr; best.pt and last.pt are those of the epoch before"
                )
            training.step_weights(loss + confidence_loss(outputs, target, is_face))
            training.step += 1
            training.loss_sum += loss.item()
            bar.update(len(images))
            bar.set_postfix(loss=f"{training.loss_sum / training.step:.5f}")
            if interrupt.requested or (args.dry_run and training.step == 2):
                break
    return training.loss_sum / training.step


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
def validate(model: nn.Module, data: FacialKeypointsDataset, criterion, args, device) -> Validation:
    model.eval()
    parts, truth = [], []
    for batch in DataLoader(data, 64, num_workers=args.workers):
        images, target = to_device(batch, device)
        parts.append(as_outputs(model(images)))
        truth.append(target.cpu())
    outputs, truth = join_outputs(parts), torch.cat(truth)
    log_errors = None if outputs.log_errors is None else outputs.log_errors.numpy()
    return Validation(criterion(outputs.keypoints, truth).item(), outputs.keypoints.numpy(), truth.numpy(), log_errors)


def load_data(args, policy: CropPolicy, background: float) -> tuple[Seeded, FacialKeypointsDataset]:
    """The training faces and the validation faces: other people, and nothing random."""
    if args.data is None:
        args.data = [default_data()]
        real = args.data[0] == DATA_DIR
        origin = "the public set" if real else "the drawn sample; python prepare.py download gets real faces"
        print(f"data: {args.data[0]} ({origin})")
    dataset = join([open_split(directory, "training") for directory in args.data]).preload()
    if args.published_labels:
        dataset = dataset.as_published()
    training_rows, validation_rows = split_by_person(dataset.people, args.val_fold, args.folds)
    if not training_rows or not validation_rows:
        raise InputError(
            f"{args.data[0]}: too few people to keep fold {args.val_fold} of {args.folds} for validation; add faces of "
            "others, or choose other --folds"
        )
    transform = upright_transform(policy) if args.published_labels else training_transform(policy, background)
    training_data = dataset.subset(training_rows, transform)
    validation_data = dataset.subset(validation_rows, evaluation_transform(policy))
    print(
        f"training: {len(training_data)} faces of {len(set(training_data.people))} people; "
        f"validation: {len(validation_data)} faces of {len(set(validation_data.people))} other people"
    )
    return Seeded(training_data, args.seed, args.balance), validation_data


def resume(training: Training, args) -> None:
    """Restore the state of last.pt.

    Raises:
        InputError: there is none, or it was begun with other settings or other faces than the ones given now.
    """
    path = args.output_dir / "last.pt"
    checkpoint = load_checkpoint(path)
    if "training" not in checkpoint:
        raise InputError(f"{path}: holds no training state; --resume needs a last.pt")
    now = plain(args)
    for option, before in checkpoint["arguments"].items():
        if before != now.get(option) and option not in ("data", "output_dir", "device", "workers", "resume", "dry_run"):
            was, now_is = (as_typed(option, value) for value in (before, now.get(option)))
            raise InputError(f"{path}: was begun {was}, not {now_is}; resume as it was begun")
    if checkpoint["training"]["faces"] != training.faces:
        raise InputError(f"{path}: was begun on other faces or labels; resume with the same --data, or begin anew")
    training.restore(checkpoint["training"])
    print(f"resumed {path}: epoch {training.epoch + 1}, step {training.step}")


def as_typed(option: str, value) -> str:
    """An option as it stands on the command line, behind "with" or "without"."""
    flag = "--" + option.replace("_", "-")
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {flag}"
    return f"with {flag} {value}"


def plain(args) -> dict:
    """The arguments as values that a checkpoint can hold: paths as text."""
    values = {name: getattr(args, name) for name in vars(args)} | {"data": [str(path) for path in args.data]}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def append_history(path: Path, row: tuple) -> None:
    """Put an epoch's row behind those of the epochs before it in history.csv.

    A row of the same epoch, left by a run that was killed before it wrote last.pt, goes; a new run starts anew.
    """
    before = path.read_text().splitlines()[1 : int(row[0])] if row[0] > 1 and path.is_file() else []
    lines = [",".join(HISTORY), *before, ",".join(f"{value:.6g}" for value in row)]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def describe(errors: np.ndarray, sources: np.ndarray) -> str:
    """The mean NME, and in parentheses that of each data set where there are several."""
    each = [f"{errors[sources == source].mean():.2%}" for source in np.unique(sources)]
    return f"{errors.mean():.2%}" + (f" ({', '.join(each)})" if len(each) > 1 else "")


def draw_results(args, model: nn.Module, data: FacialKeypointsDataset, policy: CropPolicy, device) -> None:
    """training_curves.png, and validation_faces.png: predictions (and the truth) on faces from best to worst."""
    with (args.output_dir / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    history = {name: [float(row[name]) for row in rows] for name in HISTORY}
    visualize.save_figure(visualize.plot_training_curves(history), args.output_dir / "training_curves.png")
    found = validate(model, data, LOSSES[args.loss], args, device)
    errors = found.nme
    chosen = np.argsort(errors)[np.linspace(0, len(errors) - 1, min(12, len(errors))).astype(int)]
    crop = CropFace(policy)
    faces = []
    for i in chosen:
        sample = crop({"image": data.image(i), "keypoints": data.keypoints[i]})
        doubled = Resize(2 * policy.size)  # so that the points don't cover the face
        predicted = denormalize_keypoints(found.predicted[i], policy.size, policy.size)
        image, points = doubled({**sample, "keypoints": predicted}), doubled(sample)["keypoints"]
        faces.append(draw_keypoints(image["image"], image["keypoints"], truth=points))
    captions = [f"NME {errors[i]:.1%}" for i in chosen]
    write_image(args.output_dir / "validation_faces.png", contact_sheet(faces, captions=captions))


def save(name: str, training: Training, policy: CropPolicy, args, found: Validation | None = None) -> None:
    """Write the averaged weights and all that describes them into --output-dir; into last.pt also what resumes."""
    weights = training.average.module.state_dict()
    metrics = {}
    if found is not None:
        metrics = {"val_nme_inter_ocular": float(found.nme.mean()), "val_loss": found.loss}
        if found.log_errors is not None:
            weights = weights | {"calibration": torch.tensor(found.calibration)}
    checkpoint = {
        "model": args.model,
        "options": training.model.options,
        "policy": asdict(policy),
        "arguments": plain(args),
        "versions": describe_versions(),
        "weights": weights,
        "epoch": training.epoch,
        "metrics": metrics,
    }
    if name == "last.pt":
        checkpoint["training"] = training.state()
    save_checkpoint(args.output_dir / name, checkpoint)


def train(
    training: Training, train_data: Seeded, val_data: FacialKeypointsDataset, policy: CropPolicy, args, device
) -> bool:
    """The epochs, each with its validation, checkpoints and line. Returns whether they all were done."""
    criterion, interrupt = LOSSES[args.loss], Interrupt()
    if not args.resume:
        found = validate(training.average, val_data, criterion, args, device)
        print(f"before training: NME (inter-ocular) {found.nme.mean():.2%}", flush=True)
    while training.epoch < args.epochs:
        started = time.perf_counter()
        train_loss = train_epoch(training, train_data, criterion, args, device, interrupt)
        if interrupt.requested:
            save("last.pt", training, policy, args)
            print(f"stopped in epoch {training.epoch + 1} after step {training.step}; --resume goes on from there")
            return False
        found = validate(training.average, val_data, criterion, args, device)
        val_nme = float(found.nme.mean())
        if args.dry_run:
            print(f"dry run: training and validation work, NME (inter-ocular) {val_nme:.2%}; nothing written")
            return True
        seconds = time.perf_counter() - started
        training.finish_epoch()
        print(
            f"epoch {training.epoch:3d}/{args.epochs}  training loss {train_loss:.5f}  "
            f"validation loss {found.loss:.5f}  NME (inter-ocular) {describe(found.nme, val_data.sources)}  "
            f"{seconds:.1f} s",
            flush=True,
        )
        append_history(args.output_dir / "history.csv", (training.epoch, train_loss, found.loss, val_nme, seconds))
        if val_nme < training.best_nme:
            training.best_nme = val_nme
            save("best.pt", training, policy, args, found)
        save("last.pt", training, policy, args, found)
    return True


def main() -> int:
    args = parse_arguments()
    keep_freed_memory()
    device = choose_device(args.device)
    torch.manual_seed(args.seed)
    policy = CropPolicy(size=input_size(args.model))
    model = create_model(args.model).to(device, memory_format=torch.channels_last)
    train_data, val_data = load_data(args, policy, BACKGROUND if predicts_errors(args.model) else 0.0)
    training = Training(model, args, train_data)
    print(
        f"network: {args.model}, {sum(p.numel() for p in model.parameters()):,} parameters, on {device}; "
        f"git commit {git_commit()}"
    )
    if args.resume:
        resume(training, args)
    if not train(training, train_data, val_data, policy, args, device):
        return 130
    if not args.dry_run:
        path = args.output_dir / "best.pt"
        best, _ = build_model(load_checkpoint(path), path)
        draw_results(args, best.to(device), val_data, policy, device)
        print(f"best NME (inter-ocular) on unseen people: {training.best_nme:.2%}; see {args.output_dir}/ for best.pt,")
        print("history.csv, training_curves.png and validation_faces.png")
    return 0


if __name__ == "__main__":
    run(main)
