"""Look at the data and at what becomes of it; and the plots and sheets of faces that training and evaluation write.

    python visualize.py samples                  # faces of a data set with their keypoints
    python visualize.py transforms               # one face through each transform of data_load.py; mosaics
    python visualize.py landmarks                # the numbered picture of the 68 points
    python visualize.py overlays                 # the face filters, on a photograph and on drawn heads that turn
    python visualize.py history runs/a runs/b    # the curves of several trainings over each other

Plots are matplotlib figures; sheets are arrays, (H, W, 3) uint8 RGB, of what face68/draw.py draws.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import metrics
from face68 import geometry
from face68.command.arguments import add_overwrite, parser, positive_int, run, whole_number
from face68.command.places import check_places
from face68.draw import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    WHITE,
    YELLOW,
    contact_sheet,
    draw_landmarks,
    draw_squares,
    face_tile,
)
from face68.files import MARK, InputError, atomic_path
from face68.images import read_image, write_image
from face68.landmarks import Face
from face68.overlays import draw_overlays, load_overlay

COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, YELLOW, INK)  # of what stands side by side
MOSAIC_PHOTOS = 40  # of which the mosaics of a sheet are laid

# --- Plots ----------------------------------------------------------------------------------------------------
# Figures of their own, without pyplot: nothing global is touched. Matplotlib is imported where it is needed: those who
# train or look at samples shouldn't wait for it.


def plot_training_curves(history: dict[str, list[float]], column: str, measure: str):
    """Loss (left, logarithmic) and what validation measures (right) by epoch, the best marked. A matplotlib Figure.

    history: lists of one length under epoch (0: before training, if it is there), train_loss, val_loss and `column`,
        fractions of which less is better.
    measure: what people call them.
    """
    figure, (left, right) = _figure(10, 4, columns=2)
    epochs = history["epoch"]
    marker = "o" if len(epochs) < 3 else None  # a line of one point can't be seen
    left.plot(epochs, history["train_loss"], color=_hex(BLUE), marker=marker, label="training")
    left.plot(epochs, history["val_loss"], color=_hex(VERMILION), marker=marker, label="validation")
    left.set(xlabel="epoch", ylabel="loss", yscale="log", title="Loss")
    left.legend(frameon=False)

    percent = 100 * np.asarray(history[column], dtype=np.float64)
    right.plot(epochs, percent, color=_hex(VERMILION), marker=marker)
    if len(epochs) and epochs[0] == 0:
        label = f"before: {percent[0]:.2f}%"
        right.plot(0, percent[0], "o", color=_hex(INK), markerfacecolor="white", markersize=9, label=label)
    best = _best(history, column)
    if best is not None:
        label = f"best: {percent[best]:.2f}% in epoch {epochs[best]:g}"
        right.plot(epochs[best], percent[best], "o", color=_hex(BLUE), markersize=9, label=label)
        right.legend(frameon=False)
    _plain_log_ticks(left.yaxis)
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
    figure, (left, right) = _figure(10, 4.4 + 0.25 * len(histories), columns=2)
    everything = []
    for (name, history), color in zip(histories.items(), map(_hex, COLORS), strict=False):
        epochs, percent = history["epoch"], 100 * np.asarray(history[column], dtype=np.float64)
        left.plot(epochs, history["train_loss"], "--", color=color, linewidth=1)
        left.plot(epochs, history["val_loss"], color=color)
        best, minutes = _best(history, column), sum(history["seconds"]) / 60
        label = f"{name}: {minutes:.1f} min"
        if best is not None:
            label = f"{name}: best {percent[best]:.2f}% in epoch {epochs[best]:g}, {minutes:.1f} min"
            right.plot(epochs[best], percent[best], "o", color=color)
        right.plot(epochs, percent, color=color, label=label)
        everything.append(percent)
    for style, text in (("--", "training"), ("-", "validation")):
        left.plot([], [], style, color=_hex(INK), label=text)
    left.legend(frameon=False)
    left.set(xlabel="epoch", ylabel="loss", yscale="log", title="Loss (comparable for the same --loss only)")
    right.set(xlabel="epoch", ylabel=f"{measure}, %", title="Validation on unseen people, best epoch marked")
    _plain_log_ticks(left.yaxis)
    _log_where_better(right, np.concatenate(everything))
    for axes in (left, right):
        _whole_epochs(axes)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", frameon=False)
    return figure


def _best(history: dict[str, list[float]], column: str) -> int | None:
    """The row of the best epoch, as best.pt holds it: not the untrained network's, whatever that is worth."""
    trained = np.where(np.asarray(history["epoch"]) > 0, history[column], np.nan)
    return int(np.nanargmin(trained)) if np.isfinite(trained).any() else None


def _log_where_better(axes, values: np.ndarray) -> None:
    """A logarithmic y axis where values differ so much that the small ones would lie on each other."""
    values = values[np.isfinite(values)]
    if len(values) and 0 < 4 * values.min() < values.max():
        axes.set_yscale("log")
        _plain_log_ticks(axes.yaxis)


def _whole_epochs(axes) -> None:
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # 1: also where there is one epoch


def plot_ced(errors_by_name: dict[str, np.ndarray], threshold: float = metrics.FAILURE):
    """Cumulative error curves, one a name: the share of faces whose NME stays below each value. A matplotlib Figure.

    errors_by_name: NME of each face (N,), as a fraction of the inter-ocular distance.
    """
    figure, axes = _figure(6.4, 4.6)
    axes.set_prop_cycle(color=[_hex(color) for color in COLORS])
    for name, errors in errors_by_name.items():
        thresholds, shares = metrics.cumulative_errors(errors, threshold)
        area = metrics.auc(errors, threshold)
        label = f"{name}: NME {100 * np.mean(errors):.2f}%, AUC@{100 * threshold:g}% {area:.3f}"
        axes.plot(100 * thresholds, 100 * shares, label=label)
    axes.set(xlim=(0, 100 * threshold), ylim=(0, 101), title="Cumulative error distribution")
    axes.set(xlabel="NME (inter-ocular), %", ylabel="faces at or below, %")
    axes.legend(frameon=False, loc="best")
    return figure


def plot_calibration(table):
    """Measured against expected errors, a dot a bin of points; on the line they agree. A matplotlib Figure.

    table: expected and measured error of each bin (B, 2), as fractions of the inter-ocular distance.
    """
    figure, axes = _figure(5, 4.6)
    expected, measured = 100 * np.asarray(table, dtype=np.float64).T
    ends = np.array([min(expected.min(), measured.min()), max(expected.max(), measured.max())]) * (0.9, 1.1)
    axes.fill_between(ends, 0.85 * ends, 1.15 * ends, color="0.92", label="within 15%")
    axes.plot(ends, ends, color=_hex(INK), linewidth=1)
    axes.plot(expected, measured, "o", color=_hex(BLUE), label="a tenth of all points" if len(expected) == 10 else None)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title="Does the network know its errors?")
    axes.set(xlabel="expected error (inter-ocular), %", ylabel="measured error (inter-ocular), %")
    for axis in (axes.xaxis, axes.yaxis):
        _plain_log_ticks(axis)
    axes.legend(frameon=False, loc="upper left")
    return figure


def plot_speed(rows: Sequence[dict]):
    """Error against time, a dot for each way to find faces, on a line where 80% of its times lie. A matplotlib Figure.

    rows: name; ms, the median for a photo; ms_p10 and ms_p90; nme_all, the mean NME with missed faces, a fraction.
    """
    figure, axes = _figure(6.4, 4.6)
    axes.set_prop_cycle(color=[_hex(color) for color in COLORS])
    axes.set(xscale="log", title="Error against time", xlabel="ms a photo, one core")
    axes.set(ylabel="NME (inter-ocular), missed faces too, %")
    for i, row in enumerate(sorted(rows, key=lambda row: row["nme_all"])):
        percent = 100 * row["nme_all"]
        (dot,) = axes.plot(row["ms"], percent, "o")
        axes.plot([row["ms_p10"], row["ms_p90"]], [percent, percent], color=dot.get_color(), linewidth=1)
        side = {"xytext": (0, 5), "va": "bottom"} if i % 2 else {"xytext": (0, -5), "va": "top"}  # away from the next
        axes.annotate(row["name"], (row["ms"], percent), textcoords="offset points", ha="center", **side)
    axes.margins(x=0.2)
    axes.set_ylim(bottom=0, top=1.15 * axes.get_ylim()[1])
    _plain_log_ticks(axes.xaxis)
    return figure


def plot_parts(rows: Sequence[dict]):
    """What a photo's time divides into, one after the other. A matplotlib Figure.

    rows: name, ms and share of each part, in their order.
    """
    figure, axes = _figure(8, 2.8)
    start = 0.0
    for row, color in zip(rows, itertools.cycle(COLORS), strict=False):
        label = f"{row['name']}: {row['ms']:.2f} ms, {row['share']:.0%}"
        axes.barh(0, row["ms"], left=start, color=_hex(color), edgecolor="white", label=label)
        start += row["ms"]
    axes.set(xlim=(0, start), yticks=[], xlabel="ms", title="Where the time of a photo goes")
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def plot_signals(panels: Sequence[dict]):
    """Signals over time, a panel each, one above the other. A matplotlib Figure.

    panels: title; times (T,) in seconds; lines: by name (T,) in % of the eye distance, in one order in all of them.
    """
    figure, axes = _figure(8, 2.4 * len(panels) + 0.4, rows=len(panels))
    for panel, place in zip(panels, np.atleast_1d(axes), strict=True):
        for (name, values), color in zip(panel["lines"].items(), (INK, SKY, VERMILION, GREEN), strict=True):
            width = 1.0 if color == SKY else 1.6
            place.plot(panel["times"], values, color=_hex(color), linewidth=width, label=name)
        place.set(title=panel["title"], ylabel="% of the eye distance", xlim=(panel["times"][0], panel["times"][-1]))
    np.atleast_1d(axes)[-1].set(xlabel="seconds")
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


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
        figure.savefig(temporary, dpi=150, metadata={"Software": MARK} if png else None)


def picture_of(figure) -> np.ndarray:
    """A figure as a picture, (H, W, 3) uint8 RGB."""
    figure.set_dpi(150)
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]


def _figure(width: float, height: float, columns: int = 1, rows: int = 1):
    """A figure in inches with axes side by side or below each other, and the axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns)
    for one in np.ravel(axes):
        one.grid(color="0.9")
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _plain_log_ticks(axis) -> None:
    """Ticks of a logarithmic axis as plain numbers: 0.2, 0.3, 0.5, 1, 2, …"""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


# --- Sheets of faces ------------------------------------------------------------------------------------------


def sample_sheet(dataset, count: int, seed: int) -> np.ndarray:
    """`count` faces of the data set, drawn at random, with keypoints and file names."""
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    boxes = {i: geometry.box_of(dataset.keypoints[i]) for i in chosen}
    tiles = [face_tile(dataset.image(i), dataset.keypoints[i], box=box) for i, box in boxes.items()]
    return contact_sheet(tiles, captions=[Path(dataset.names[i]).stem for i in chosen])


def transform_sheet(dataset, seed: int) -> np.ndarray:
    """One face through each transform: a row of those that draw nothing at random, then a row of draws for each; and
    two of mosaics, on which a detector is trained.
    """
    import torch

    import data_load as d

    policy = geometry.CropPolicy()
    sample = dataset[int(np.random.default_rng(seed).integers(len(dataset)))]
    height, width = sample["image"].shape[:2]
    side = max(1, round(0.8 * min(height, width)))
    cut = d.CropFace(policy)(sample)
    gray = d.Normalize()(cut)
    gray_image = np.repeat(np.round(gray["image"][..., None] * 255).astype(np.uint8), 3, axis=2)
    gray_points = geometry.denormalize_keypoints(gray["keypoints"], *gray_image.shape[:2])
    shown = [
        ("the image", sample),
        ("Rescale(64)", d.Rescale(64)(sample)),
        ("Resize((96, 160))", d.Resize((96, 160))(sample)),
        ("CropFace", cut),
        ("Normalize: gray", {"image": gray_image, "keypoints": gray_points}),
    ]
    torch.manual_seed(seed)
    for source, transform in (
        (sample, d.RandomCrop(side)),
        (sample, d.RandomCropFace(policy)),
        (cut, d.RandomLight()),
        (cut, d.RandomErase(probability=1)),
    ):
        shown += [(type(transform).__name__, transform(source)) for _ in range(5)]
    captions = [f"{name}, {one['image'].shape[1]}×{one['image'].shape[0]}" for name, one in shown]
    tiles = [face_tile(one["image"], one["keypoints"]) for _, one in shown] + mosaic_tiles(dataset, 10)
    return contact_sheet(tiles, columns=5, captions=captions + ["Mosaics"] * 10)


def mosaic_tiles(dataset, count: int) -> list[np.ndarray]:
    """`count` mosaics of the first photos that chance takes, with the faces that a detector is to find in them."""
    import torch

    from mosaics import lay

    laid = lay(dataset.subset(torch.randperm(len(dataset))[:MOSAIC_PHOTOS].tolist(), None))
    tiles = []
    for i in range(count):
        mosaic = laid[i % len(laid)]
        x, y, sides, rolls = mosaic["faces"].T
        tiles.append(draw_squares(mosaic["image"], np.column_stack([x, y]), sides, rolls, WHITE))
    return tiles


def overlay_sheet(tile: int = 160) -> np.ndarray:
    """The overlays on the photograph that comes with matplotlib, then on invented people who turn by 45° to each side,
    where their exact labels are.
    """
    from curation.drawn import Frame, draw, random_person, random_video  # here: nothing else needs these
    from face68.command.inputs import demonstration_photo
    from face68.landmarker import Landmarker

    photo = read_image(demonstration_photo())
    (face,) = Landmarker()(photo)
    matrix = geometry.crop_matrix(
        geometry.box_of(face.keypoints), geometry.CropPolicy(tile, margin=2.1), shift=(0, 0.1)
    )
    shown = []
    for names in (["glasses"], ["sunglasses"], ["moustache"], ["sunglasses", "moustache"], ["ears", "nose"]):
        shown.append((names, geometry.warp(_wearing(photo, face, names), matrix, tile, tile)))
    rng = np.random.default_rng(3)
    for names in (["glasses", "moustache", "hat"], ["ears", "nose"]):
        person = replace(random_person(rng), glasses=False, beard="none")
        video = replace(random_video(rng), size=(2 * tile, 2 * tile), noise=0.0)
        for yaw in (-45, -22, 0, 22, 45):
            image, labels = draw(person, video, Frame(yaw=yaw, roll=yaw / 4, face_width=0.34, centre=(0.5, 0.66)))
            drawn = _wearing(image, Face(tuple(geometry.box_of(labels)), None, labels), names)
            shown.append((names, geometry.resize(drawn, tile, tile)))
    captions = [", ".join(names) for names, _ in shown]
    return contact_sheet([picture for _, picture in shown], 5, tile, captions)


def _wearing(image: np.ndarray, face: Face, names: Sequence[str]) -> np.ndarray:
    return draw_overlays(image, [face], [load_overlay(name) for name in names])


# --- Commands -------------------------------------------------------------------------------------------------


def show(picture: np.ndarray, title: str) -> None:
    """Open a window with the picture (H, W, 3) uint8 RGB and wait until it is closed.

    Raises:
        InputError: there is no screen, or matplotlib has no toolkit to open a window with.
    """
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() == "agg":  # what matplotlib falls back to without a screen
        raise InputError("--show: no window can be opened here; leave it out and open the file")
    plt.figure(num=title, frameon=False, layout="constrained")
    plt.imshow(picture)
    plt.axis("off")
    plt.show()


def history_picture(folders: Sequence[Path]) -> np.ndarray:
    """Several trainings over each other, (H, W, 3) uint8 RGB.

    Raises:
        InputError: a folder holds no history that can be compared, or they are too many to be told apart.
    """
    from runs import MEASURES, read_histories  # here: those who only draw shouldn't wait for torch

    if len(folders) > len(COLORS):
        raise InputError(f"history: {len(folders)} trainings can't be told apart by colour; name {len(COLORS)} at most")
    histories, column = read_histories(folders)
    return picture_of(plot_histories(histories, column, MEASURES[column]))


def main() -> None:
    import data_load  # here: those who only draw shouldn't wait for torch

    arguments = parser(__doc__.split("\n\nPlots are")[0])
    helps = {
        "samples": "faces of a data set with their keypoints",
        "transforms": "one face through each transform",
        "landmarks": "the numbered picture of the 68 points",
        "overlays": "the face filters",
        "history": "the curves of several trainings over each other",
    }
    commands = arguments.add_subparsers(dest="command", required=True, metavar=f"{{{','.join(helps)}}}")
    for name, text in helps.items():
        command = commands.add_parser(name, help=text, formatter_class=arguments.formatter_class)
        command.add_argument("--output", type=Path, default=Path(f"outputs/{name}.png"), help="the picture to write")
        add_overwrite(command)
        command.add_argument("--show", action="store_true", help="open it in a window too")
        if name == "history":
            command.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder that train.py wrote into")
        if name in ("landmarks", "overlays", "history"):
            continue
        default = data_load.default_data()
        command.add_argument("--data", type=Path, default=default, help="folder of the data set")
        command.add_argument("--split", choices=data_load.SPLITS, default="training", help="part of the data set")
        command.add_argument("--seed", type=whole_number, default=0, help="of all that is random")
        if name == "samples":
            command.add_argument("--count", type=positive_int, default=12, help="number of faces")
    args = arguments.parse_args()
    check_places([args.output], overwrite=args.overwrite)

    if args.command == "landmarks":
        picture = draw_landmarks()
    elif args.command == "overlays":
        picture = overlay_sheet()
    elif args.command == "history":
        picture = history_picture(args.runs)
    else:
        dataset = data_load.open_split(args.data, args.split)
        if args.command == "samples":
            picture = sample_sheet(dataset, args.count, args.seed)
        else:
            picture = transform_sheet(dataset, args.seed)
    write_image(args.output, picture)
    print(args.output)
    if args.show:
        show(picture, args.command)


if __name__ == "__main__":
    run(main)
