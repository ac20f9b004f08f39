"""All that changes while a network trains: what last.pt holds and --resume restores."""

import copy
import math
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from data_load import SeededSamples
from face68.files import InputError
from models import option_text
from training import devices
from training.checkpoint import check_finite, load_checkpoint
from training.optimizers import average_weights, create_optimizers, one_cycle, restore_optimizer
from training.settings import BEST, LAST, Settings, as_plain
from training.task import Task, Validation

# Options that may change at --resume. Folders may have moved: the faces themselves are compared by their digest.
MAY_DIFFER = {
    *("data", "cache_dir", "cache_mb", "output_dir", "tensorboard"),
    *("device", "workers", "resume", "dry_run", "overwrite"),
}


class Training:
    """A network in training.

    model: the network that is trained; parallel: the same, as all processes train it.
    average: the moving average of its weights, which is validated and kept; before: the network before its first step.
    epoch, step: how many epochs are done, and how many steps of the present one.
    losses: of the last steps, still on the device; sums: of the steps of this epoch before those.
    log: TensorBoard's writer, or None.
    snapshots: of each epoch in learning.png its row of history.csv and the outputs for the samples shown there.
    """

    def __init__(self, model: nn.Module, task: Task, settings: Settings, data: SeededSamples, device: torch.device):
        self.model, self.average, self.before = model, copy.deepcopy(model).requires_grad_(False), copy.deepcopy(model)
        self.task, self.settings, self.device = task, settings, device
        self.precision = devices.choose_precision(settings.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == torch.float16)
        self.parallel = devices.parallel(model)
        self.optimizers = create_optimizers(settings.optimizer, model, settings.lr, settings.weight_decay)
        self.faces = data.digest()
        self.steps_per_epoch = math.ceil(len(data) / settings.batch_size)
        self.epoch, self.step = 0, 0
        self.losses: list[dict[str, Tensor]] = []
        self.sums = defaultdict(float)
        self.best_error = math.inf
        self.log = None
        self.snapshots: list[dict] = []

    @property
    def steps_done(self) -> int:
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.settings.lr * one_cycle(self.steps_done / (self.settings.epochs * self.steps_per_epoch))

    def step_weights(self, loss: Tensor) -> None:
        """Change the weights by a step down the loss's gradient, and update their average."""
        lr = self.lr
        self.model.zero_grad()
        self.scaler.scale(loss).backward()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            self.scaler.step(optimizer)
        self.scaler.update()
        average_weights(self.average, self.model, self.steps_done)
        self.step += 1

    def mean_losses(self) -> dict[str, float]:
        """The mean losses of this epoch's steps so far, by the columns of history.csv. It waits for the device.

        Raises:
            InputError: the loss of a step isn't finite.
        """
        steps = [torch.stack(list(losses.values())) for losses in self.losses]
        means = devices.mean_of(torch.stack(steps) if steps else torch.empty(0)).tolist()
        for step, values in enumerate(means, start=self.step - len(steps) + 1):
            for name, value in zip(self.losses[0], values, strict=True):
                self.sums[name] += value
            if not math.isfinite(values[0]):
                raise InputError(f"epoch {self.epoch + 1}, step {step}: the loss is {values[0]}; try a lower --lr")
        self.losses.clear()
        return {name: value / self.step for name, value in self.sums.items()}

    def validate(self, data: Dataset) -> Validation:
        """Validate the averaged network."""
        devices.share_buffers(self.average)
        return self.task.validate(self.average, data, self.device)

    def finish_epoch(self) -> None:
        self.epoch, self.step, self.sums = self.epoch + 1, 0, defaultdict(float)

    def state(self) -> dict:
        return {
            "faces": self.faces,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "epoch": self.epoch,
            "step": self.step,
            "sums": dict(self.sums),
            "best_error": self.best_error,
            "snapshots": self.snapshots,
            "random": torch.get_rng_state(),  # dropout draws from it
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict) -> None:
        """Raises one of torch's many errors where the state is that of another network or optimizer."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            restore_optimizer(optimizer, saved["state"])
        self.epoch, self.step, self.best_error = state["epoch"], state["step"], state["best_error"]
        self.sums, self.snapshots = defaultdict(float, state["sums"]), state["snapshots"]
        torch.set_rng_state(state["random"])
        self.scaler.load_state_dict(state["scaler"])


def resume(training: Training) -> None:
    """Go on where the training in the output folder was interrupted.

    Raises:
        InputError: there is none that can be resumed.
    """
    settings, path = training.settings, training.settings.output_dir / LAST
    state = load_state(settings.output_dir, as_plain(settings), training.faces, training.steps_per_epoch)
    try:
        training.restore(state)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise senseless(path, str(error).partition("\n")[0][:200]) from error
    print(f"resumed {path}: epoch {training.epoch + 1}, step {training.step}")


def load_state(folder: Path, arguments: dict, faces: str, steps_per_epoch: int) -> dict:
    """The training state in a folder's last.pt, if it was begun with these arguments and on the faces of this digest.

    Raises:
        InputError: there is no state, it makes no sense, it was begun with other arguments or faces, or the best
            checkpoint that belongs to it is missing.
    """
    path = folder / LAST
    checkpoint = load_checkpoint(path)
    if "training" not in checkpoint:
        raise InputError(f"{path}: holds no training state; --resume needs a last.pt")
    _check_arguments(path, checkpoint["arguments"], arguments)
    state = checkpoint["training"]
    if wrong := [name for name, is_sane in STATE.items() if not (isinstance(state, dict) and is_sane(state.get(name)))]:
        raise senseless(path, f"{', '.join(wrong)} missing or impossible")
    if state["faces"] != faces:
        raise InputError(f"{path}: was begun on other faces or labels; resume with the same --data, or begin anew")
    if not (state["epoch"] <= arguments["epochs"] and state["step"] <= steps_per_epoch):
        raise senseless(path, f"epoch {state['epoch']}, step {state['step']}")
    if state["step"] > 0 and not state["sums"]:
        raise senseless(path, "no losses of the steps before")
    check_finite(state, path, "begin anew, with a lower --lr if training had diverged")
    if state["best_error"] < math.inf:
        load_checkpoint(folder / BEST)
    return state


def senseless(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: its training state makes no sense ({reason}); begin anew, without --resume")


def _check_arguments(path: Path, before: dict, now: dict) -> None:
    for option in before:
        if option in MAY_DIFFER or before[option] == now.get(option):
            continue
        if option == "epochs":
            raise InputError(
                f"{path}: was begun with --epochs {before[option]}, at whose end its learning rate is 0; resume with "
                f"those, then train on with --init {path.with_name(BEST)} --output-dir ANOTHER"
            )
        was, now_is = (_as_typed(option, arguments.get(option)) for arguments in (before, now))
        raise InputError(f"{path}: was begun {was}, not {now_is}; resume as it was begun")


def _as_typed(option: str, value) -> str:
    """An option as it stands on the command line, behind "with" or "without"."""
    flag = "--" + option.replace("_", "-")
    if isinstance(value, dict):
        value = f" {flag} ".join(f"{name}={option_text(one)}" for name, one in value.items()) or None
    if value is None or isinstance(value, bool):
        return f"{'with' if value else 'without'} {flag}"
    return f"with {flag} {value}"


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


# The entries of a training state, and whether a value is possible there.
STATE = {
    "faces": lambda value: isinstance(value, str),
    "model": lambda value: isinstance(value, dict),
    "average": lambda value: isinstance(value, dict),
    "optimizers": lambda value: isinstance(value, list),
    "epoch": _is_count,
    "step": _is_count,
    "sums": lambda value: isinstance(value, dict) and all(isinstance(one, float | int) for one in value.values()),
    "best_error": lambda value: isinstance(value, float) and value >= 0,
    "snapshots": lambda value: isinstance(value, list),
    "random": lambda value: isinstance(value, Tensor) and value.dtype == torch.uint8,
}
