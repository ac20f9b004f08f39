"""Look at the data and at what becomes of it; and the plots and sheets of faces that training and evaluation write.

    python visualize.py samples                  # faces of a data set with their keypoints
    python visualize.py samples --checkpoint C   # predictions beside them
    python visualize.py audit                    # what a data set holds: sizes, light, pose, people, faults
    python visualize.py transforms               # one face through each transform of data_load.py; mosaics
    python visualize.py landmarks                # the numbered picture of the 68 points
    python visualize.py overlays                 # the face filters, on a photograph and on drawn heads that turn

Plots are matplotlib figures; sheets are arrays, (H, W, 3) uint8 RGB, of what face68/draw.py draws.
"""

import inspect
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from face68 import geometry
from face68.command.arguments import add_overwrite, parser, positive_int, run, whole_number
from face68.command.places import check_places
from face68.draw import (
    BLUE,
    GREEN,
    INK,
    SKY,
    VERMILION,
    WHITE,
    contact_sheet,
    draw_landmarks,
    draw_squares,
    face_tile,
    stack_sheets,
)
from face68.files import InputError
from face68.images import read_image, write_image
from face68.landmarker import Landmarker
from face68.landmarks import Face
from face68.overlays import draw_overlays, load_overlay
from networks import open_network
from plots import (
    COLORS,
    as_picture,
    plot_audit,
    save_figure,  # noqa: F401
)
from plots import new_figure as _figure
from plots import plain_log_ticks as _plain_log_ticks
from plots import to_hex as _hex
from report import error_sheet

MOSAIC_PHOTOS = 40  # of which the mosaics of a sheet are laid

# --- Plots ----------------------------------------------------------------------------------------------------
# Figures of their own, without pyplot: nothing global is touched. Matplotlib is imported where it is needed: those who
# train or look at samples shouldn't wait for it.


def plot_training_curves(history: dict[str, list[float]], column: str, measure: str):
    """Loss (left, logarithmic) and what validation measures (right) by epoch, the best marked. A matplotlib Figure.

    history: lists of one length under epoch, train_loss, val_loss and `column`, fractions of which less is better.
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
    if np.isfinite(percent).any():
        best = int(np.nanargmin(percent))
        label = f"best: {percent[best]:.2f}% in epoch {epochs[best]:g}"
        right.plot(epochs[best], percent[best], "o", color=_hex(BLUE), markersize=9, label=label)
        right.legend(frameon=False)
    _plain_log_ticks(left.yaxis)
    right.set(xlabel="epoch", ylabel=f"{measure}, %", title="Validation on unseen people")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # 1: also where there is one epoch
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


# --- Sheets of faces ------------------------------------------------------------------------------------------


def sample_sheet(dataset, count: int, seed: int, network: Path | None = None) -> np.ndarray:
    """`count` faces of the data set, drawn at random, with keypoints and file names.

    network: an .onnx or .pt, whose predictions in crops around the keypoints are shown beside them.
    """
    data = dataset.subset(np.random.default_rng(seed).permutation(len(dataset))[:count], None)
    boxes = [geometry.box_of(points) for points in data.keypoints]
    if network is not None:
        images = [data.image(i) for i in range(len(data))]
        predicted = Landmarker(open_network(network)).predict(images, boxes).keypoints
        return error_sheet(data, range(len(data)), predicted, data.keypoints, f"{network.name} on {len(data)} faces")
    tiles = [face_tile(data.image(i), data.keypoints[i], box=box) for i, box in enumerate(boxes)]
    title = f"{len(data)} of {len(dataset)} faces with their labels: jaw, brows, nose, eyes, mouth in a colour each"
    return contact_sheet(tiles, captions=[Path(name).stem for name in data.names], title=title)


def find_face(dataset, face: str) -> int:
    """The row of a face: its number, 0 …, or its image's name, with or without the suffix.

    Raises:
        InputError: there is none.
    """
    if face.isdecimal() and int(face) < len(dataset):
        return int(face)
    for i, name in enumerate(dataset.names):
        if face in (name, Path(name).name, Path(name).stem):
            return i
    known = f"a number from 0 to {len(dataset) - 1}, or an image's name as {dataset.names[0]}"
    raise InputError(f"--face {face}: no such face; give {known}")


def transform_sheet(dataset, seed: int, face: int | None = None) -> np.ndarray:
    """One face through each transform, which the titles name with its parameters: the classic chain, step by step; the
    crop that evaluation sees; those that draw at random, and how far ours may go; and mosaics, on which a detector is
    trained.

    face: its row; None: chance takes one.
    """
    import torch

    import data_load as d

    sample = dataset[int(np.random.default_rng(seed).integers(len(dataset))) if face is None else face]
    torch.manual_seed(seed)
    policy = geometry.CropPolicy()
    cut, random_face = d.CropFace(policy)(sample), d.RandomCropFace(policy)
    light, erase = d.RandomLight(), d.RandomErase(probability=1)
    lit = sorted((light(cut) for _ in range(25)), key=lambda one: cv2.norm(one["image"], cut["image"], cv2.NORM_L1))
    resized = [(described(one), one(sample)) for one in (d.Rescale(64), d.Resize((96, 160)), d.Resize(128))]
    crop, cropped = described(d.CropFace(policy)), [("CropFace", cut), ("→ Normalize()", as_shown(d.Normalize()(cut)))]
    sections = {
        "The classic chain, each on what the one before it made": _chain(sample),
        f"{crop}: what evaluation sees of a face. And other sizes of the whole picture": cropped + resized,
        f"{described(random_face)}: one warp, mostly mild": [("", random_face(sample)) for _ in range(5)],
        "RandomCropFace as far as it may go; and what it shows as no upright face": extremes(random_face, sample),
        f"{described(light)}: of 25 draws, from little to much": [("", one) for one in lit[::6]],
        f"{described(erase)}": [("", erase(cut)) for _ in range(5)],
    }
    sheets = []
    for title, shown in sections.items():
        tiles, captions = [face_tile(one["image"], one["keypoints"]) for _, one in shown], [name for name, _ in shown]
        sheets.append(contact_sheet(tiles, 5, captions=captions if any(captions) else None, title=title))
    title = "Mosaics, of which a detector learns: in white the faces that it is to find, thick at the forehead"
    return stack_sheets([*sheets, contact_sheet(mosaic_tiles(dataset, 10), columns=5, title=title)])


def described(transform) -> str:
    """A transform as its call is written: its class and the values of its parameters."""
    values = {name: getattr(transform, name) for name in inspect.signature(type(transform)).parameters}
    if len(values) > 1:
        return f"{type(transform).__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"
    (value,) = values.values()
    square = isinstance(value, tuple) and len(set(value)) == 1
    return f"{type(transform).__name__}({value[0] if square else value!r})"


def _chain(sample: dict) -> list[tuple[str, dict]]:
    """The transforms that the course of this data set composes, and what each of them makes of a sample."""
    import data_load as d

    steps = [(f"image, {_size(sample)}", sample)]
    for transform in (d.Rescale(250), d.RandomCrop(224)):
        sample = transform(sample)
        steps.append((f"→ {described(transform)}: {_size(sample)}", sample))
    normal = d.Normalize()(sample)
    shape, gray = tuple(d.ToTensor()(normal)["image"].shape), as_shown(normal)
    return [*steps, ("→ Normalize(): gray, 0 … 1", gray), (f"→ ToTensor(): {shape}", gray)]


def _size(sample: dict) -> str:
    height, width = sample["image"].shape[:2]
    return f"{width}×{height}"


def as_shown(sample: dict) -> dict:
    """What `Normalize()` made of a sample as a picture with keypoints in pixels."""
    image = np.repeat(np.round(sample["image"][..., None] * 255).astype(np.uint8), 3, axis=2)
    return {"image": image, "keypoints": geometry.denormalize_keypoints(sample["keypoints"], *image.shape[:2])}


def extremes(transform, sample: dict) -> list[tuple[str, dict]]:
    """A sample at each end of what a `RandomCropFace` may draw, by the name of what was done to it."""
    import data_load as d

    turn, zoom, shift = 2 * transform.degrees, math.exp(2 * transform.scale), transform.shift
    ends = {
        f"turned −{turn:g}°": {"degrees": -turn},
        f"turned {turn:g}°": {"degrees": turn},
        f"× {1 / zoom:.2f}": {"scale": 1 / zoom},
        f"× {zoom:.2f}": {"scale": zoom},
        "mirrored": {"mirror": True},
        f"shifted by −{shift:.0%}, −{shift:.0%}": {"shift": (-shift, -shift)},
        "all at once": {"degrees": turn, "scale": zoom, "shift": (shift, shift), "mirror": True},
        "no upright face: on its side": {"degrees": 90},
        "upside down": {"degrees": 180},
    }
    shown = [(name, d.crop_face(sample, transform.policy, **change)) for name, change in ends.items()]
    box = d.random_background(geometry.box_of(sample["keypoints"]), *sample["image"].shape[:2])
    background = d.cut_out(sample, geometry.crop_matrix(box, transform.policy), transform.policy)
    return [*shown, ("background", background)]


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


def audit_picture(directory: Path) -> np.ndarray:
    """What a data set holds, see `plots.plot_audit`.

    Raises:
        InputError: it can't be used.
    """
    from curation.audit import audit
    from data_load import find_split, label_shift_of

    splits = []
    for split in audit(directory).splits:
        if split.problem:
            raise InputError(split.problem)
        found, labelled = find_split(directory, split.name), len(split.rows) > 0
        shifts = label_shift_of(directory, found[0]).of(split.keypoints) if found else np.zeros_like(split.keypoints)
        splits.append(
            {
                "name": split.name,
                "eyes": split.eye_distances,
                "poses": split.poses,
                "outside": split.outside.mean(axis=0) if labelled else None,
                "shift": shifts.mean(axis=0) / split.eye_distances.mean() if labelled else None,
                "sides": split.sizes.max(axis=1, initial=0),
                "brightness": np.array([one.brightness for one in split.images.values() if one.size]),
                "people": split.people,
            }
        )
    faces = " and ".join(f"{len(one['eyes'])} {one['name']}" for one in splits)
    return as_picture(plot_audit(splits, f"What {directory} holds: {faces} faces with labels"))


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


def main() -> None:
    import data_load  # here: those who only draw shouldn't wait for torch

    arguments = parser(__doc__.split("\n\nPlots are")[0])
    helps = {
        "samples": "faces of a data set with their keypoints",
        "audit": "what a data set holds",
        "transforms": "one face through each transform",
        "landmarks": "the numbered picture of the 68 points",
        "overlays": "the face filters",
    }
    commands = arguments.add_subparsers(dest="command", required=True, metavar=f"{{{','.join(helps)}}}")
    for name, text in helps.items():
        command = commands.add_parser(name, help=text, formatter_class=arguments.formatter_class)
        command.add_argument("--output", type=Path, default=Path(f"outputs/{name}.png"), help="the picture to write")
        add_overwrite(command)
        command.add_argument("--show", action="store_true", help="open it in a window too")
        if name in ("landmarks", "overlays"):
            continue
        default = data_load.default_data()
        command.add_argument("--data", type=Path, default=default, help="folder of the data set")
        if name == "audit":
            continue
        command.add_argument("--split", choices=data_load.SPLITS, default="training", help="part of the data set")
        command.add_argument("--seed", type=whole_number, default=0, help="of all that is random")
        if name == "samples":
            command.add_argument("--count", type=positive_int, default=12, help="number of faces")
            command.add_argument("--checkpoint", type=Path, help="also what this network predicts, .pt or .onnx")
        else:
            command.add_argument("--face", metavar="NUMBER|NAME", help="of the data set (default: chance takes one)")
    args = arguments.parse_args()
    check_places([args.output], overwrite=args.overwrite)

    if args.command == "landmarks":
        picture = draw_landmarks()
    elif args.command == "overlays":
        picture = overlay_sheet()
    elif args.command == "audit":
        picture = audit_picture(args.data)
    else:
        dataset = data_load.open_split(args.data, args.split)
        if args.command == "samples":
            picture = sample_sheet(dataset, args.count, args.seed, args.checkpoint)
        else:
            face = None if args.face is None else find_face(dataset, args.face)
            picture = transform_sheet(dataset, args.seed, face)
    write_image(args.output, picture)
    print(args.output)
    if args.show:
        show(picture, args.command)


if __name__ == "__main__":
    run(main)
