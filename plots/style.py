"""Plots of trainings, errors, times and data sets; and the style of every plot. Figures of matplotlib.

They are figures of their own, without pyplot: nothing global is touched. Matplotlib is imported where it is needed:
those who train or look at samples shouldn't wait for it.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation import metrics
from face68.draw import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, YELLOW, schematic_face
from face68.files import MARK, InputError, atomic_path, printable
from face68.landmarks import REGIONS, SKELETON

COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, YELLOW, INK)  # of what stands side by side
DPI = 150
GRAY, GRID = "#bfbfbf", "#e5e5e5"  # of what only frames the data


# --- Trainings ------------------------------------------------------------------------------------------------


# What the curves of the losses are of, by what is measured: why the one of training may lie above that of validation.
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


# --- Errors ---------------------------------------------------------------------------------------------------


def plot_ced(
    errors_by_name: dict[str, np.ndarray], threshold: float = metrics.FAILURE, norm: str = metrics.INTER_OCULAR
):
    """Cumulative error curves, one a name: the share of faces whose NME stays below each value. A matplotlib Figure.

    The first one's AUC is shaded; at the right edge a bar closes the gap to 100%, the FR.

    errors_by_name: NME of each face (N,), as a fraction of the normaliser `norm`.
    """
    figure, axes = new_figure(5.4, 4.4 + 0.2 * len(errors_by_name))  # the legend has a line each
    end = 100 * threshold
    for i, (name, errors) in enumerate(errors_by_name.items()):
        color = to_hex(COLORS[i % len(COLORS)])
        thresholds, shares = metrics.cumulative_errors(errors, threshold)
        figures = f"NME {100 * np.mean(errors):.2f}%, AUC@{end:g}% {metrics.auc(errors, threshold):.3f}"
        figures += f", FR@{end:g}% {100 * metrics.failure_rate(errors, threshold):.1f}%"
        space = " " if len(name) + len(figures) < 66 else "\n"  # what the figure is wide enough for
        style = {"color": color, "linestyle": "-" if i < len(COLORS) else "--"}
        axes.plot(100 * thresholds, 100 * shares, label=f"{_plain(shortened(name, 62))}:{space}{figures}", **style)
        if i == 0:
            axes.fill_between(100 * thresholds, 100 * shares, color=color, alpha=0.1, linewidth=0)
        step = min(0.012, 0.055 / len(errors_by_name))  # bars of many take no more room
        beside, bar = end * (1.012 + step * i), {"linewidth": 250 * step, "solid_capstyle": "butt", "clip_on": False}
        axes.plot([beside, beside], [100 * shares[-1], 100], color=color, **bar)
    axes.set(xlim=(0, end), ylim=(0, 101), title="Cumulative error distribution")
    axes.set(xlabel=f"NME ({norm}), %", ylabel="faces at or below, %")
    key = f"shaded: {'AUC' if len(errors_by_name) == 1 else 'the AUC of the first one'}; bar at the right: FR"
    figure.legend(loc="outside lower left", frameon=False, title=key, alignment="left", fontsize=9, title_fontsize=9)
    return figure


def shortened(name: str, length: int) -> str:
    """A name without its beginning, where it has more letters than `length`: paths differ at their ends."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def plot_points(errors: np.ndarray, norm: str = metrics.INTER_OCULAR):
    """The mean error of each point on a schematic face, as colour and size; the worst of each region is named.

    errors: (68,), fractions of the normaliser `norm`. A matplotlib Figure.
    """
    figure, axes = new_figure(5.4, 4.6)
    percent = 100 * np.asarray(errors, dtype=np.float64)
    dots = _draw_schematic(axes, percent, 12 + 110 * percent / max(percent.max(), 1e-9))
    label = f"mean error ({norm}), %; the worst point of each region is named"
    bar = figure.colorbar(dots, ax=axes, location="bottom", shrink=0.9, aspect=40, pad=0.02)
    bar.set_label(label, fontsize=9)
    bar.outline.set_visible(False)
    worst = [max(points, key=lambda i: percent[i]) for points in REGIONS.values()]
    face = schematic_face()
    for side in (-1, 1):  # in the margin that is nearer, one below the other
        lowest = -np.inf
        for i in sorted((i for i in worst if side * (face[i, 0] or 1) > 0), key=lambda i: face[i, 1]):
            lowest = max(face[i, 1], lowest + 0.16)
            axes.annotate(
                f"{i}: {percent[i]:.1f}%",
                face[i],
                xytext=(1.12 * side, lowest),
                ha="left" if side > 0 else "right",
                va="center",
                arrowprops={"arrowstyle": "-", "color": GRAY, "linewidth": 0.8},
            )
    axes.set(title="Where on the face it errs")
    return figure


def plot_groups(
    panels: Sequence[dict], mean: float, highest: float, columns: int = 2, norm: str = metrics.INTER_OCULAR
):
    """The error of groups of faces or points, a panel for each way to group them. A matplotlib Figure.

    panels: title, xlabel, and groups: label, nme, interval (its ends, or None) of each one, fractions.
    mean: the NME of all, drawn as a line. highest: the largest error that fits, of panels that are to be compared.
    """
    from matplotlib.ticker import MaxNLocator

    rows = -(-len(panels) // columns)
    figure, axes = new_figure(4.6 * columns, 3.4 * rows, columns, rows, sharey=True)
    places = np.ravel(axes)
    for place, panel in zip(places, panels, strict=False):
        groups = panel["groups"]
        place.axhline(100 * mean, color=to_hex(VERMILION), linewidth=1, label="all faces")
        for i, group in enumerate(groups):
            if group["interval"] is not None:
                ends = [100 * end for end in group["interval"]]
                place.plot([i, i], ends, color=to_hex(BLUE), linewidth=1.5)
        values = [100 * group["nme"] for group in groups]
        place.plot(range(len(groups)), values, "o", color=to_hex(BLUE), markersize=4.5, label="mean and 95% interval")
        place.set_xticks(range(len(groups)), [group["label"] for group in groups])
        place.set(title=panel["title"], xlabel=panel["xlabel"], ylim=(0, 105 * highest), xlim=(-0.5, len(groups) - 0.5))
        place.grid(visible=False, axis="x")
    for place in places[::columns]:
        place.set(ylabel=f"NME ({norm}), %")
        place.yaxis.set_major_locator(MaxNLocator(6))  # the same in figures of other heights
    for place in places[len(panels) :]:
        place.set_axis_off()
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def plot_calibration(table, norm: str = metrics.INTER_OCULAR):
    """Measured against expected errors, a dot a bin of points; on the line they agree. A matplotlib Figure.

    table: expected and measured error of each bin (B, 2), as fractions of the normaliser `norm`.
    """
    figure, axes = new_figure(5, 4.6)
    expected, measured = 100 * np.asarray(table, dtype=np.float64).T
    ends = np.array([min(expected.min(), measured.min()), max(expected.max(), measured.max())]) * (0.9, 1.1)
    axes.fill_between(ends, 0.85 * ends, 1.15 * ends, color=GRAY, alpha=0.4, linewidth=0, label="within 15%")
    axes.plot(ends, ends, color=to_hex(INK), linewidth=1)
    label = "a tenth of all points" if len(expected) == 10 else None
    axes.plot(expected, measured, "o", color=to_hex(BLUE), label=label)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title="Does the network know its errors?")
    axes.set(xlabel=f"expected error ({norm}), %", ylabel=f"measured error ({norm}), %")
    for axis in (axes.xaxis, axes.yaxis):
        plain_log_ticks(axis)
    axes.legend(frameon=False, loc="upper left")
    return figure


# --- Data -----------------------------------------------------------------------------------------------------


def plot_audit(splits: Sequence[dict], title: str):
    """What a data set holds, a colour a split: sizes, light, pose, people, points outside, label shift. A figure.

    splits: of each one
        name;
        eyes (N,), the inter-ocular distance in px; poses (N, 3), yaw, pitch and roll in degrees; of N labelled faces;
        outside (68,), the share of faces whose point is outside of the image, and shift (68, 2), the mean label shift
        of each point as a fraction of the mean inter-ocular distance; None where there are no faces;
        sides (M,), the longer side in px, and brightness (M,), the mean gray level, 0 … 255, of M images;
        people, a set of names.
    """
    figure, axes = new_figure(10.5, 9.6, 3, 3)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    people, outside, shift = axes[2]
    histograms = [
        ("Size of the faces", "inter-ocular distance, px", [one["eyes"] for one in splits]),
        ("Size of the images", "longer side, px", [one["sides"] for one in splits]),
        ("Brightness", "mean gray level, 0 to 255", [one["brightness"] for one in splits]),
        ("Yaw: turned sideways", "degrees", [one["poses"][:, 0] for one in splits]),
        ("Pitch: turned up or down", "degrees", [one["poses"][:, 1] for one in splits]),
        ("Roll: tilted", "degrees", [one["poses"][:, 2] for one in splits]),
    ]
    for place, (heading, xlabel, columns) in zip(axes[:2].flat, histograms, strict=True):
        _histograms(place, [one["name"] for one in splits], columns, heading, xlabel)
    _people(people, splits)
    faces = [one for one in splits if one["outside"] is not None]
    _points_outside(figure, outside, faces)
    _label_shift(shift, faces)
    figure.suptitle(_plain(title))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _histograms(axes, names: Sequence[str], columns: Sequence[np.ndarray], title: str, xlabel: str) -> None:
    """Shares of values (N,) by split, in bins that are the same for all; what is far out is in the outermost ones.

    Values that aren't finite are left out. A dotted line is at each median.
    """
    from matplotlib.ticker import MaxNLocator

    columns = [values[np.isfinite(values)] for values in columns]
    every = np.concatenate(columns)
    low, high = np.quantile(every, [0.001, 0.999]) if len(every) else (0, 1)
    bins, medians = np.linspace(low, high if high > low else low + 1, 31), []
    for name, values, color in zip(names, columns, map(to_hex, COLORS), strict=False):
        if not len(values):
            continue
        shown, weights = np.clip(values, low, high), np.full(len(values), 100 / len(values))
        axes.hist(shown, bins, weights=weights, histtype="stepfilled", alpha=0.2, color=color)
        axes.hist(shown, bins, weights=weights, histtype="step", color=color, linewidth=1.5, label=name)
        medians.append(float(np.median(values)))
        axes.axvline(medians[-1], linestyle=":", color=color, linewidth=1.5)
    axes.set(title=title, ylabel="share, %")
    axes.set_xlabel(f"{xlabel}\nmedians (dotted): {', '.join(f'{median:.0f}' for median in medians)}")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _people(axes, splits: Sequence[dict]) -> None:
    """How many people each split has, and how many all of them share."""
    counts = [len(split["people"]) for split in splits]
    names, colors = [split["name"] for split in splits], [to_hex(color) for color in COLORS[: len(splits)]]
    if len(splits) > 1:
        names, colors = [*names, "in both"], [*colors, GRAY]
        counts.append(len(set.intersection(*(split["people"] for split in splits))))
    axes.bar_label(axes.bar(names, counts, color=colors, width=0.6))
    axes.set(title="People", ylabel="people")
    axes.margins(y=0.15)
    axes.grid(visible=False, axis="x")


def _points_outside(figure, axes, splits: Sequence[dict]) -> None:
    """The share of all faces on which each point lies outside of the image."""
    shares, weights = np.zeros(68), [len(split["eyes"]) for split in splits]
    if splits:
        shares = 100 * np.average([split["outside"] for split in splits], axis=0, weights=weights)
    highest = shares.max()
    dots = _draw_schematic(axes, shares, 20 if highest > 0 else 0)
    axes.set(title="Points outside of the image" if highest > 0 else "No point lies outside")
    if highest > 0:
        bar = figure.colorbar(dots, ax=axes, location="bottom", shrink=0.9, aspect=30, pad=0.02, label="% of the faces")
        bar.outline.set_visible(False)


def _label_shift(axes, splits: Sequence[dict]) -> None:
    """The shift that is taken off the labels, as arrows from where the labels lie, enlarged."""
    shift = splits[0]["shift"] if splits else np.zeros((68, 2))
    face = schematic_face()
    _draw_schematic(axes, np.zeros(68), 0)
    longest = np.linalg.norm(shift, axis=1).max()
    if longest > 0:
        enlarged = 5
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.006, "color": to_hex(VERMILION)}
        axes.quiver(*face.T, *(-enlarged * shift.T), **arrows)
        x, y = 100 * shift.mean(axis=0)
        text = f"labels lie {x:+.1f}% to the right, {y:+.1f}% down\n(% of the inter-ocular distance);\n"
        text += f"arrows: from there to the face, {enlarged} × enlarged"
        axes.text(0, 1.65, text, ha="center", va="top", fontsize=9)
    axes.set(title="Label shift" if longest > 0 else "No label shift is known")


# --- Times and signals ----------------------------------------------------------------------------------------


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
        place = row["ms"], percent
        axes.annotate(row["name"], place, color=dot.get_color(), textcoords="offset points", ha="center", **side)
    axes.margins(x=0.2)
    axes.set_ylim(bottom=0, top=1.15 * axes.get_ylim()[1])
    plain_log_ticks(axes.xaxis)
    return figure


def plot_parts(rows: Sequence[dict]):
    """The parts of a photo's time, one after the other. A matplotlib Figure.

    rows: name, ms and share of each part, in their order.
    """
    figure, axes = new_figure(8, 2.8)
    start = 0.0
    for row, color in zip(rows, itertools.cycle(COLORS), strict=False):
        label = f"{row['name']}: {row['ms']:.2f} ms, {row['share']:.0%}"
        axes.barh(0, row["ms"], left=start, color=to_hex(color), edgecolor="white", label=label)
        start += row["ms"]
    axes.set(xlim=(0, start), yticks=[], xlabel="ms", title="Where the time of a photo goes")
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def plot_signals(panels: Sequence[dict]):
    """Signals over time, a panel each, one above the other. A matplotlib Figure.

    panels: title; times (T,) in seconds; lines: by name (T,) in % of the eye distance, in one order in all of them.
    """
    figure, axes = new_figure(8, 2.4 * len(panels) + 0.4, rows=len(panels))
    for panel, place in zip(panels, np.atleast_1d(axes), strict=True):
        for (name, values), color in zip(panel["lines"].items(), (INK, SKY, VERMILION, GREEN), strict=True):
            width = 1.0 if color == SKY else 1.6
            place.plot(panel["times"], values, color=to_hex(color), linewidth=width, label=name)
        place.set(title=panel["title"], ylabel="% of the eye distance", xlim=(panel["times"][0], panel["times"][-1]))
    np.atleast_1d(axes)[-1].set(xlabel="seconds")
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


# --- The style ------------------------------------------------------------------------------------------------


def _draw_schematic(axes, values: np.ndarray, sizes):
    """The schematic face with a dot a point, coloured by values (68,); returns the dots."""
    face = schematic_face()
    for _, points, closed in SKELETON:
        line = face[[*points, points[0]] if closed else list(points)]
        axes.plot(*line.T, color=GRAY, linewidth=1)
    dots = axes.scatter(*face.T, s=sizes, c=values, cmap="viridis", edgecolors=to_hex(INK), linewidths=0.6, zorder=3)
    axes.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(1.55, -0.5))
    axes.set_axis_off()
    return dots


def save_figure(figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the suffix chooses the format.

    Raises:
        InputError: the suffix is no format of matplotlib's, or the place can't be written to.
    """
    formats = figure.canvas.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in formats:
        raise InputError(f"{path}: not a picture's suffix; use one of .{' .'.join(sorted(formats))}")
    with atomic_path(path) as temporary:
        png = Path(path).suffix.lower() == ".png"
        figure.savefig(temporary, dpi=DPI, metadata={"Software": MARK} if png else None)


def as_picture(figure, dpi: int = DPI) -> np.ndarray:
    """A figure as `save_figure` draws it: (H, W, 3) uint8 RGB."""
    figure.set_dpi(dpi)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1, sharey: bool = False):
    """A figure in inches with axes side by side or below each other, and the axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, sharey=sharey)
    for one in np.ravel(axes):
        one.grid(color=GRID)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plain_log_ticks(axis) -> None:
    """Ticks of a logarithmic axis as plain numbers: 0.2, 0.3, 0.5, 1, 2, …; its label, set before, says what it is."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")
    axis.set_label_text(f"{axis.get_label_text()} (log)")


def _plain(name: str) -> str:
    """A file's name as matplotlib shows it: no formula, and not left out of the legend for its first letter."""
    name = printable(name).replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


def to_hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
