"""Plots of times and films."""

from collections.abc import Sequence

import numpy as np

from face68.draw import GREEN, INK, SKY, VERMILION
from plots.style import COLORS, new_figure, plain_log_ticks, to_hex


def plot_speed(rows: Sequence[dict]):
    """Error against mean time, a dot a row, and a line to the time that 90% stay below. A matplotlib Figure.

    rows: name; ms, the mean of the photos; ms_p90; nme_all, the mean NME with missed faces, a fraction.
    """
    figure, axes = new_figure(6.4, 4.6)
    axes.set_prop_cycle(color=[to_hex(color) for color in COLORS])
    axes.set(xscale="log", title="Error against time", xlabel="ms a photo, one core")
    axes.set(ylabel="NME (inter-ocular), missed faces too, %")
    for i, row in enumerate(sorted(rows, key=lambda row: row["nme_all"])):
        percent = 100 * row["nme_all"]
        (dot,) = axes.plot(row["ms"], percent, "o")
        axes.plot([row["ms"], row["ms_p90"]], [percent, percent], color=dot.get_color(), linewidth=1)
        side = {"xytext": (0, 5), "va": "bottom"} if i % 2 else {"xytext": (0, -5), "va": "top"}  # away from the next
        axes.annotate(
            row["name"], (row["ms"], percent), color=dot.get_color(), textcoords="offset points", ha="center", **side
        )
    axes.margins(x=0.2)
    axes.set_ylim(bottom=0, top=1.15 * axes.get_ylim()[1])
    plain_log_ticks(axes.xaxis)
    return figure


def plot_signals(panels: Sequence[dict]):
    """Signals over time, a panel each, one above the other. A matplotlib Figure.

    panels: title; times (T,) in seconds; lines: by name (T,) in % of the eye distance, in one order in all of them.
    """
    figure, axes = new_figure(8, 2.4 * len(panels) + 0.4, rows=len(panels))
    axes = np.atleast_1d(axes)
    for panel, ax in zip(panels, axes, strict=True):
        for (name, values), color in zip(panel["lines"].items(), (INK, SKY, VERMILION, GREEN), strict=True):
            width = 1.0 if color == SKY else 1.6
            ax.plot(panel["times"], values, color=to_hex(color), linewidth=width, label=name)
        ax.set(title=panel["title"], ylabel="% of the eye distance", xlim=(panel["times"][0], panel["times"][-1]))
    axes[-1].set(xlabel="seconds")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure
