"""Plots of trainings."""

import itertools
from collections.abc import Sequence

import numpy as np

from face68.draw import BLUE, INK, VERMILION, contact_sheet
from plots.style import COLORS, new_figure, plain_log_ticks, to_hex

# The curves of the losses by what is measured: why that of training may lie above that of validation.
LOSSES_OF = {"val_nme": ("training: changed faces, all parts", "validation: faces as they are, points alone")}


def plot_training_curves(history: dict[str, list[float]], column: str, measure: str):
    """Loss (left, logarithmic) and what validation measures (right) by epoch, the best marked. A matplotlib Figure.

    history: lists of one length under epoch (0: before training, if it is there), train_loss, val_loss and `column`,
        fractions of which less is better.
    measure: what people call them.
    """
    figure, (left, right) = new_figure(10, 4, columns=2)
    epochs = history["epoch"]
    marker = "o" if len(epochs) < 3 else None  # a line of one point can't be seen
    training, validation = LOSSES_OF.get(column, ("training", "validation"))
    left.plot(epochs, history["train_loss"], color=to_hex(BLUE), marker=marker, label=training)
    left.plot(epochs, history["val_loss"], color=to_hex(VERMILION), marker=marker, label=validation)
    left.set(xlabel="epoch", ylabel="loss", yscale="log", title="Loss")
    left.legend(frameon=False)

    percent = 100 * np.asarray(history[column], dtype=np.float64)
    right.plot(epochs, percent, color=to_hex(VERMILION), marker=marker)
    if len(epochs) and epochs[0] == 0:
        label = f"before: {percent[0]:.2f}%"
        right.plot(0, percent[0], "o", color=to_hex(INK), markerfacecolor="white", markersize=9, label=label)
    best = _best(history, column)
    if best is not None:
        label = f"best: {percent[best]:.2f}% in epoch {epochs[best]:g}"
        right.plot(epochs[best], percent[best], "o", color=to_hex(BLUE), markersize=9, label=label)
        right.legend(frameon=False)
    plain_log_ticks(left.yaxis)
    right.set(xlabel="epoch", ylabel=f"{measure}, %", title="Validation on unseen people")
    _log_where_better(right, percent)
    for axes in (left, right):
        _whole_epochs(axes)
    return figure


def plot_histories(histories: dict[str, dict[str, list[float]]], column: str, measure: str):
    """Trainings over each other, a colour each: losses (left, logarithmic) and what validation measures (right) by
    epoch, the best of each marked. A matplotlib Figure.

    histories, column, measure: by name what `plot_training_curves` takes, and seconds an epoch.
    """
    figure, (left, right) = new_figure(10, 4.4 + 0.25 * len(histories), columns=2)
    everything = []
    for (name, history), color in zip(histories.items(), map(to_hex, COLORS), strict=False):
        epochs, percent = history["epoch"], 100 * np.asarray(history[column], dtype=np.float64)
        left.plot(epochs, history["train_loss"], "--", color=color, linewidth=1)
        left.plot(epochs, history["val_loss"], color=color)
        best, seconds = _best(history, column), sum(history["seconds"])
        duration = f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"
        label = f"{name}: {duration}"
        if best is not None:
            label = f"{name}: best {percent[best]:.2f}% in epoch {epochs[best]:g}, {duration}"
            right.plot(epochs[best], percent[best], "o", color=color)
        right.plot(epochs, percent, color=color, label=label)
        everything.append(percent)
    for style, text in zip(("--", "-"), LOSSES_OF.get(column, ("training", "validation")), strict=True):
        left.plot([], [], style, color=to_hex(INK), label=text)
    left.legend(frameon=False)
    left.set(xlabel="epoch", ylabel="loss", yscale="log", title="Loss (comparable for the same --loss only)")
    right.set(xlabel="epoch", ylabel=f"{measure}, %", title="Validation on unseen people, best epoch marked")
    plain_log_ticks(left.yaxis)
    _log_where_better(right, np.concatenate(everything))
    for axes in (left, right):
        _whole_epochs(axes)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", frameon=False)
    return figure


def _best(history: dict[str, list[float]], column: str) -> int | None:
    """The row of the best epoch: not of the network before it, whatever that is worth."""
    trained = np.where(np.asarray(history["epoch"]) > 0, history[column], np.nan)
    return int(np.nanargmin(trained)) if np.isfinite(trained).any() else None


def _log_where_better(axes, values: np.ndarray) -> None:
    """A logarithmic y axis where values differ so much that the small ones would lie on each other."""
    values = values[np.isfinite(values)]
    if len(values) and 0 < 4 * values.min() < values.max():
        axes.set_yscale("log")
        plain_log_ticks(axes.yaxis)


def _whole_epochs(axes) -> None:
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # 1: also where there is one epoch


def learning_strip(
    epochs: Sequence[int], errors: Sequence[float], tiles: Sequence[Sequence[np.ndarray]], measure: str, legend: str
) -> np.ndarray:
    """The same samples as the network saw them after each of some epochs, a row an epoch.

    epochs: 0 is before training; errors: of all validation samples then, as fractions; measure: what people call them.
    tiles: as many pictures (H, W, 3) uint8 RGB for each.
    """
    short = measure.partition(" (")[0]
    labels = [
        f"{f'epoch {epoch}' if epoch else 'before'}\n{short} {error:.1%}"
        for epoch, error in zip(epochs, errors, strict=True)
    ]
    title = f"Watch it learn: the same pictures epoch after epoch, with {measure} of all validation samples; {legend}"
    return contact_sheet(list(itertools.chain(*tiles)), len(tiles[0]), 240, title=title, labels=labels)
