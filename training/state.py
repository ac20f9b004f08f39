"""All that changes while training: what last.pt holds and --resume restores."""

import copy
import math
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor, nn

from data_load import SeededSamples
from face68.files import InputError
from models import (
    option_text,
)
from training import devices
from training import settings as training_settings
from training.checkpoint import (
    check_finite,
    load_checkpoint,
)
from training.devices import (
    choose_precision,
)
from training.optimizers import WeightAverage, create_optimizers, one_cycle, restore_optimizer
from training.settings import BEST, LAST, MAY_DIFFER, Settings
from training.task import Task


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


class Training:
    """All that changes while training: what last.pt holds and --resume restores."""

    def __init__(self, model: nn.Module, task: Task, settings: Settings, data: SeededSamples, device: torch.device):
        self.model, self.average = model, WeightAverage(model)  # the average is what is validated and kept
        self.before = copy.deepcopy(model)  # its first step
        self.task, self.settings, self.device = task, settings, device
        self.precision = choose_precision(settings.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == torch.float16)
        self.parallel = devices.parallel(model)
        self.optimizers = create_optimizers(settings.optimizer, model, settings.lr, settings.weight_decay)
        self.faces = data.digest()
        self.steps_per_epoch = math.ceil(len(data) / settings.batch_size)
        self.total_steps = settings.epochs * self.steps_per_epoch
        self.epoch, self.step = 0, 0  # the step is counted within the epoch
        self.sums = defaultdict(float)  # of this epoch's losses, but for those that are still on the device:
        self.losses: list[dict[str, Tensor]] = []
        self.best_error = math.inf
        self.log = None  # TensorBoard's writer, if asked for
        # Of each epoch in learning.png its row of history.csv, and what the network said of the samples shown there.
        self.watched: list[dict] = []

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.settings.lr * one_cycle((self.epoch * self.steps_per_epoch + self.step) / self.total_steps)

    def step_weights(self, loss: Tensor) -> None:
        """One step of the weights against the loss's gradient, and of their average."""
        lr = self.lr
        self.model.zero_grad()
        self.scaler.scale(loss).backward()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            self.scaler.step(optimizer)
        self.scaler.update()
        self.average.update(self.model)
        self.step += 1

    def mean_losses(self) -> dict[str, float]:
        """Of this epoch's steps so far, by the columns of history.csv.

        This waits for the device, so it isn't asked after every step.

        Raises:
            InputError: the loss of one of them isn't finite.
        """
        first = self.step - len(self.losses) + 1
        values = (
            torch.stack([torch.stack(list(one.values())) for one in self.losses]) if self.losses else torch.empty(0)
        )
        values = devices.mean_of(values).tolist()
        for step, of_step in enumerate(values, start=first):
            for name, value in zip(self.losses[0], of_step, strict=True):
                self.sums[name] += value
            if not math.isfinite(of_step[0]):
                raise InputError(f"epoch {self.epoch + 1}, step {step}: the loss is {of_step[0]}; try a lower --lr")
        self.losses.clear()
        return {name: value / self.step for name, value in self.sums.items()}

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
            "watched": self.watched,
            "random": torch.get_rng_state(),  # dropout draws from it
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict) -> None:
        """Raises one of torch's many errors where the state is that of another network or optimizer."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            restore_optimizer(optimizer, saved["state"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.best_error = state["best_error"]
        if "sums" in state:
            self.sums = defaultdict(float, state["sums"])
        elif self.step > 0:  # an earlier version, which added up no parts
            self.sums = defaultdict(lambda: math.nan, train_loss=state["loss_sum"])
        self.watched = state.get("watched", [])  # none, if an earlier version began
        torch.set_rng_state(state["random"])
        self.scaler.load_state_dict(state.get("scaler", {}))  # none, if an earlier version began


def resume(training: Training) -> None:
    """Go on where the training in the output folder was interrupted.

    Raises:
        InputError: there is none that can be gone on with.
    """
    settings, path = training.settings, training.settings.output_dir / training_settings.LAST
    state = load_state(settings.output_dir, settings.plain(), training.faces, training.steps_per_epoch)
    try:
        training.restore(state)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise senseless(path, str(error).partition("\n")[0][:200]) from error
    print(f"resumed {path}: epoch {training.epoch + 1}, step {training.step}")
