"""Look at the data and at what becomes of it. Some examples:

python visualize.py samples --checkpoint C   # faces of a data set with their keypoints, predictions beside them
python visualize.py history runs/a runs/b    # the curves of two trainings over each other
python visualize.py photo --image me.jpg     # how a photo becomes points, step by step
python visualize.py heatmaps --points 8,30   # where a network believes that these points are
"""

import cli.launch as launch

import argparse
import inspect
import math
from pathlib import Path

import cv2
import numpy as np

from cli.arguments import add_overwrite, seed
from cli.outputs import check_outputs
from cli.weights import default_checkpoint, default_detector, file_of, open_network
from face68 import geometry
from face68.draw import WHITE, contact_sheet, draw_landmarks, draw_squares, face_tile, stack_sheets
from face68.files import InputError
from face68.images import read_image, write_image
from face68.inputs import demonstration_photo
from face68.landmarker import Landmarker
from face68.landmarks import IBUG68
from face68.network import FAMILY
from face68.program import parser, positive_int
from face68.schemes import Scheme
from plots import networks
from plots.curves import plot_histories
from plots.data import audit_picture
from plots.errors import error_sheet
from plots.style import COLORS, as_picture, show

MOSAIC_PHOTOS = 40  # of which the mosaics of a sheet are laid

# --- Sheets of faces ------------------------------------------------------------------------------------------


def sample_sheet(dataset, count: int, seed: int, network: Path | None = None) -> np.ndarray:
    """`count` faces of the data set, drawn at random, with keypoints and file names.

    network: an .onnx or .pt, whose predictions in crops around the keypoints are shown beside them.
    """
    data = dataset.subset(np.random.default_rng(seed).permutation(len(dataset))[:count], None)
    if network is not None:
        from evaluation.predictions import predict_all  # here: those who only draw shouldn't wait for torch

        predicted = predict_all(Landmarker(open_network(network)), data, "truth").keypoints
        return error_sheet(data, range(len(data)), predicted, data.keypoints, f"{network.name} on {len(data)} faces")
    boxes = [geometry.box_of(points) if data.scheme.has_extent else None for points in data.keypoints]
    shown = zip(map(data.image, range(len(data))), data.keypoints, boxes, strict=True)
    tiles = [face_tile(image, points, box=box, scheme=data.scheme) for image, points, box in shown]
    regions = ", ".join(data.scheme.regions)
    title = f"{len(data)} of {len(dataset)} faces with their labels: {regions} in a colour each"
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
    crop that evaluation sees; the random ones, and how far ours may go; and mosaics, on which a detector is trained.

    face: its row; None: a random one.
    """
    import torch

    import data_load

    sample = dataset[int(np.random.default_rng(seed).integers(len(dataset))) if face is None else face]
    torch.manual_seed(seed)
    policy = geometry.CropPolicy()
    crop, random_face = data_load.CropFace(policy), data_load.RandomCropFace(policy)
    cut, light, erase = crop(sample), data_load.RandomLight(), data_load.RandomErase(probability=1)
    lit = sorted((light(cut) for _ in range(25)), key=lambda one: cv2.norm(one["image"], cut["image"], cv2.NORM_L1))
    resizes = data_load.Rescale(64), data_load.Resize((96, 160)), data_load.Resize(128)
    cropped = [("CropFace", cut), ("→ Normalize()", as_shown(data_load.Normalize()(cut)))]
    sections = {  # titles, and the captions and samples below them
        "The classic chain, each on what the one before it made": _chain(sample),
        f"{described(crop)}: what evaluation sees of a face. And other sizes of the whole picture": [
            *cropped,
            *((described(resize), resize(sample)) for resize in resizes),
        ],
        "RandomCropFace as far as it may go; and what it shows as no upright face": extremes(random_face, sample),
        f"{described(random_face)}: one warp, mostly mild": [("", random_face(sample)) for _ in range(5)],
        f"{described(light)}: of 25 draws, from little to much": [("", one) for one in lit[::6]],
        f"{described(erase)}": [("", erase(cut)) for _ in range(5)],
    }
    sheets = []
    for title, shown in sections.items():
        tiles = [face_tile(one["image"], one["keypoints"], scheme=dataset.scheme) for _, one in shown]
        captions = [name for name, _ in shown]
        sheets.append(contact_sheet(tiles, len(tiles), 192, captions if any(captions) else None, title))
    title = "Mosaics, of which a detector learns: in white the faces that it is to find, thick at the forehead"
    sheets.append(contact_sheet(mosaic_tiles(dataset, 5), 5, 192, title=title))
    rows = sheets[:2], sheets[2:3], sheets[3:5], sheets[5:]  # of five pictures two side by side, as wide as ten
    turned = [stack_sheets([sheet.swapaxes(0, 1) for sheet in row]) for row in rows]
    return stack_sheets([row.swapaxes(0, 1) for row in turned])


def described(transform) -> str:
    """A transform as its call is written: its class and the values of its parameters."""
    values = {name: getattr(transform, name) for name in inspect.signature(type(transform)).parameters}
    if len(values) > 1:
        return f"{type(transform).__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"
    (value,) = values.values()
    square = isinstance(value, tuple) and len(set(value)) == 1
    return f"{type(transform).__name__}({value[0] if square else value!r})"


def _chain(sample: dict) -> list[tuple[str, dict]]:
    """The transforms that the course of this data set composes, and the sample behind each."""
    import data_load

    steps = [("image, {1}×{0}".format(*sample["image"].shape), sample)]
    for transform in (data_load.Rescale(250), data_load.RandomCrop(224)):
        sample = transform(sample)
        steps.append(("→ {0}: {2}×{1}".format(described(transform), *sample["image"].shape), sample))
    normal = data_load.Normalize()(sample)
    shape, gray = tuple(data_load.ToTensor()(normal)["image"].shape), as_shown(normal)
    return [*steps, ("→ Normalize(): gray, 0 … 1", gray), (f"→ ToTensor(): {shape}", gray)]


def as_shown(sample: dict) -> dict:
    """A normalised sample as a picture with keypoints in pixels."""
    image = np.repeat(np.round(sample["image"][..., None] * 255).astype(np.uint8), 3, axis=2)
    return {"image": image, "keypoints": geometry.denormalize_keypoints(sample["keypoints"], *image.shape[:2])}


def extremes(transform, sample: dict) -> list[tuple[str, dict]]:
    """A sample at each end of a `RandomCropFace`'s ranges, and as no upright face; by the change's name."""
    import data_load

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
    scheme = sample.get("scheme", IBUG68)
    if scheme.mirror is None:
        ends = {name: change for name, change in ends.items() if not change.get("mirror")}
    shown = [(name, data_load.crop_face(sample, transform.policy, **change)) for name, change in ends.items()]
    if not scheme.has_extent:
        return shown
    box = data_load.random_background(geometry.box_of(sample["keypoints"]), *sample["image"].shape[:2])
    background = data_load.cut_out(sample, geometry.crop_matrix(box, transform.policy), transform.policy)
    return [*shown, ("background", background)]


def mosaic_tiles(dataset, count: int) -> list[np.ndarray]:
    """`count` mosaics of random photos, with the faces that a detector is to find in them."""
    import torch

    from training.mosaics import lay

    laid = lay(dataset.subset(torch.randperm(len(dataset))[:MOSAIC_PHOTOS].tolist(), None))
    tiles = []
    for i in range(count):
        mosaic = laid[i % len(laid)]
        x, y, sides, rolls = mosaic["faces"].T
        tiles.append(draw_squares(mosaic["image"], np.column_stack([x, y]), sides, rolls, WHITE))
    return tiles


def points_of(text: str, scheme: Scheme = IBUG68) -> list[int]:
    """The points that --points names: their numbers, ranges and regions with commas between them.

    Raises:
        InputError: the scheme has no such point.
    """
    points, count = [], len(scheme)
    for part in text.split(","):
        first, dash, last = part.partition("-")
        numbers = (first, last if dash else first)
        if part in scheme.regions:
            points += scheme.regions[part]
        elif {*numbers} <= {*map(str, range(count))} and int(numbers[0]) <= int(numbers[1]):
            points += range(int(numbers[0]), int(numbers[1]) + 1)
        else:
            known = f"0 to {count - 1}, as 8,30-35, or of {', '.join(scheme.regions)}"
            raise InputError(f"--points {text}: is not {known}")
    return list(dict.fromkeys(points))


# --- The commands: each gives its picture by its arguments ----------------------------------------------------
# Torch and pandas are imported in those that need them: who draws the landmarks shouldn't wait for them.


def samples(args) -> np.ndarray:
    import data_load

    dataset = data_load.open_split(args.data, args.split)
    return sample_sheet(dataset, args.count, args.seed, args.checkpoint and file_of(args.checkpoint))


def transforms(args) -> np.ndarray:
    import data_load

    dataset = data_load.open_split(args.data, args.split)
    return transform_sheet(dataset, args.seed, None if args.face is None else find_face(dataset, args.face))


def history(args) -> np.ndarray:
    from training.run import read_histories
    from training.settings import MEASURES

    if len(args.runs) > len(COLORS):
        most = len(COLORS)
        raise InputError(f"history: {len(args.runs)} trainings can't be told apart by colour; name {most} at most")
    histories, column = read_histories(args.runs)
    return as_picture(plot_histories(histories, column, MEASURES[column]))


def look(args) -> np.ndarray:
    """The work of a network on a photo, as the command shows it."""
    from training import inspection

    network = inspection.open_network(args.checkpoint, keypoints=args.command not in ("filters", "features"))
    _, plot = SEEING[args.command]
    return networks.rendered(plot(network, args, f"{network.checkpoint['model']} ({args.checkpoint.name})"))


def input_of(network, args) -> np.ndarray:
    """The network's input for the photo, see `inspection.shown_to`."""
    from training import inspection

    return inspection.shown_to(network, read_image(args.image), args.image, default_detector())


def photo(network, args, name: str):
    from training import inspection

    return networks.plot_trace(inspection.follow(network, read_image(args.image), args.image, default_detector()), name)


def filters(network, args, name: str):
    from training import inspection

    return networks.plot_filters(inspection.first_filters(network, input_of(network, args)), name)


def features(network, args, name: str):
    from training import inspection

    picture = input_of(network, args)
    maps = inspection.layer_maps(network, picture)
    layer = inspection.choose_layer(maps, picture, args.layer)
    return networks.plot_features(layer, maps[layer], picture, name)


def heatmaps(network, args, name: str):
    from training import inspection

    crop = input_of(network, args)
    heat = inspection.needed_heat_maps(network, crop)
    points = points_of(args.points or default_points(network.scheme), network.scheme)
    return networks.plot_heat_maps(crop, heat, network(crop[None]), points, name, network.scheme)


def occlusion(network, args, name: str):
    from training import inspection

    crop = input_of(network, args)
    points = points_of(args.points or list(network.scheme.regions)[-1], network.scheme)
    return networks.plot_occlusion(crop, inspection.occlude(network, crop), points, name)


def annotators(network, args, name: str):
    from training import inspection

    crop = input_of(network, args)
    points, (own, *_), others = inspection.other_annotators(network, crop)
    return networks.plot_annotators(crop, points, others, own, name, network.scheme)


SEEING = {  # a network's work on a photo: what the command shows, and what makes a matplotlib Figure of it
    "photo": ("how a photo becomes points, step by step", photo),
    "filters": ("the filters that a network begins with, and what they find", filters),
    "features": ("the maps of a layer", features),
    "heatmaps": ("where a network believes that points are", heatmaps),
    "occlusion": ("which parts of a face move its points when they are hidden", occlusion),
    "annotators": ("how the annotators of its data sets differ, as a network learned it", annotators),
}
COMMANDS = {
    "samples": ("faces of a data set with their keypoints", samples),
    "audit": ("what a data set holds", lambda args: audit_picture(args.data)),
    "transforms": ("one face through each transform", transforms),
    "landmarks": ("the numbered picture of the 68 points", lambda args: draw_landmarks()),
    "history": ("the curves of several trainings over each other", history),
    **{name: (help_, look) for name, (help_, _) in SEEING.items()},
}
POINTS = {"heatmaps": "some of all", "occlusion": "the last region, of faces the mouth"}  # the default of --points


def default_points(scheme: Scheme) -> str:
    """Some points of all regions whose heat maps are worth a look."""
    if scheme == IBUG68:
        return "3,8,21,30,36,48,57"
    return ",".join(map(str, np.unique(np.linspace(0, len(scheme) - 1, 7).astype(int))))


# --- The command line -----------------------------------------------------------------------------------------


def add_options(command: argparse.ArgumentParser, name: str) -> None:
    """The options of a command."""
    from datasets import layout

    command.add_argument("--output", type=Path, default=Path(f"outputs/{name}.png"), help="the picture to write")
    add_overwrite(command)
    command.add_argument("--show", action="store_true", help="open it in a window too")
    if name == "history":
        command.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder that train.py wrote into")
    if name in ("samples", "audit", "transforms"):
        command.add_argument("--data", type=Path, default=layout.default_data(), help="folder of the data set")
    if name in ("samples", "transforms"):
        command.add_argument("--split", choices=layout.SPLITS, default="training", help="part of the data set")
        command.add_argument("--seed", type=seed, default=0, help="of all that is random")
    if name == "samples":
        command.add_argument("--count", type=positive_int, default=12, help="number of faces")
        help_ = "also what this network predicts"
        command.add_argument("--checkpoint", type=Path, metavar="|".join((*FAMILY, "FILE")), help=help_)
    if name == "transforms":
        command.add_argument("--face", metavar="NUMBER|NAME", help="of the data set (default: chance takes one)")
    if name in SEEING:
        command.add_argument("--image", type=Path, help="a photo with a face (default: one that matplotlib ships)")
        help_ = "the network (default: saved_models/best.pt, else base)"
        command.add_argument("--checkpoint", type=Path, metavar="|".join((*FAMILY, "FILE.pt")), help=help_)
    if name == "features":
        help_ = "its name; any other lists them (default: the last that still has a quarter of the picture's width)"
        command.add_argument("--layer", help=help_)
    if name in POINTS:
        help_ = f"numbers, ranges, and regions, as 8,30-35,eyes (default: {POINTS[name]})"
        command.add_argument("--points", help=help_)


def main() -> None:
    arguments = parser(__doc__)
    commands = arguments.add_subparsers(dest="command", required=True, metavar=f"{{{','.join(COMMANDS)}}}")
    for name, (help_, _) in COMMANDS.items():
        add_options(commands.add_parser(name, help=help_, formatter_class=arguments.formatter_class), name)
    args = arguments.parse_args()
    reads = []
    if args.command in SEEING:
        args.checkpoint = file_of(args.checkpoint, ".pt") if args.checkpoint else default_checkpoint()
        args.image = args.image or demonstration_photo()
        reads = [args.image, args.checkpoint]
    check_outputs([args.output], reads, args.overwrite)
    _, draw = COMMANDS[args.command]
    picture = draw(args)
    write_image(args.output, picture)
    print(args.output)
    if args.show:
        show(picture, args.command)


if __name__ == "__main__":
    launch.run(main)
