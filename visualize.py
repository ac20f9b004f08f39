"""Drawings of faces and plots of runs, for the other commands and for looking at data.

    python visualize.py samples                  # faces of a data set with their keypoints
    python visualize.py transforms               # one face through each transform of data_load.py
    python visualize.py landmarks                # the numbered picture of the 68 points

The drawing functions take arrays and return arrays, (H, W, 3) uint8 RGB; the plots return matplotlib figures.
"""

import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import geometry
import metrics
from cli import InputError, atomic_path, parser, positive_int, run, whole_number
from images import write_image
from landmarks import FLIP, NUM_LANDMARKS, SKELETON

# The palette of Okabe and Ito (2008), whose colours colour-blind readers tell apart.
BLUE, ORANGE, GREEN, YELLOW = (0, 114, 178), (230, 159, 0), (0, 158, 115), (240, 228, 66)
SKY, VERMILION, PURPLE = (86, 180, 233), (213, 94, 0), (204, 121, 167)
COLORS = {"jaw": SKY, "brows": ORANGE, "nose": YELLOW, "eyes": GREEN, "mouth": PURPLE}  # by region
WHITE, BLACK, INK = (255, 255, 255), (0, 0, 0), (50, 50, 50)

SHIFT = 4  # OpenCV draws at 1/16 pixel
_ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_UNIT_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])  # (32, 2)

# Where the number of a point goes, for each line of SKELETON: away from the mean of these points.
# Inner lips are the exception: theirs go towards the middle of the mouth.
_NUMBERS_AWAY_FROM = (
    *[range(27, 36), range(36, 42), range(42, 48), range(36, 40), range(28, 29)],
    *[range(36, 42), range(42, 48), range(48, 60), range(60, 68)],
)
_INNER_LIPS = len(SKELETON) - 1

# The right half and the axis of a schematic face, mouth open so that every number has room: index → (x, y), the
# outer eye corners at ±0.5. Drawn by hand; its left half is the mirror image.
_HALF_FACE = {
    **dict(enumerate([(-0.95, 0.00), (-0.94, 0.25), (-0.90, 0.50), (-0.83, 0.74), (-0.72, 0.97)])),
    **dict(enumerate([(-0.57, 1.17), (-0.39, 1.33), (-0.20, 1.43), (0.00, 1.46)], start=5)),
    **dict(enumerate([(-0.70, -0.24), (-0.58, -0.34), (-0.44, -0.38), (-0.30, -0.36), (-0.17, -0.30)], start=17)),
    **dict(enumerate([(0.00, 0.00), (0.00, 0.15), (0.00, 0.30), (0.00, 0.45)], start=27)),
    **dict(enumerate([(-0.18, 0.53), (-0.095, 0.57), (0.00, 0.59)], start=31)),
    **dict(enumerate([(-0.50, 0.01), (-0.41, -0.06), (-0.29, -0.06), (-0.20, 0.02)], start=36)),
    **dict(enumerate([(-0.29, 0.06), (-0.41, 0.06)], start=40)),
    **dict(enumerate([(-0.39, 0.90), (-0.24, 0.80), (-0.09, 0.755), (0.00, 0.77)], start=48)),
    **dict(enumerate([(0.00, 1.20), (-0.12, 1.185), (-0.27, 1.09)], start=57)),
    **dict(enumerate([(-0.32, 0.905), (-0.11, 0.85), (0.00, 0.855)], start=60)),
    **dict(enumerate([(0.00, 1.09), (-0.12, 1.07)], start=66)),
}


# --- Faces ----------------------------------------------------------------------------------------------------


def draw_keypoints(
    image: np.ndarray,
    keypoints: np.ndarray,
    truth: np.ndarray | None = None,
    radius: float | None = None,
    numbers: bool = False,
) -> np.ndarray:
    """A copy of the image (H, W, 3) uint8 RGB with the keypoints (68, 2) px on it, in the colours of their regions.

    truth: (68, 2) px, drawn beneath as white crosses, each joined to its keypoint by a white line: the error.
    radius: of a point, in pixels; by default it follows the size of the face.
    numbers: write each point's index, 0 … 67, beside it.

    Points may lie outside of the image; those that aren't finite are left out.
    """
    keypoints = np.asarray(keypoints, dtype=np.float64)
    radius = _radius(keypoints, image) if radius is None else radius
    thin = max(1, round(radius * 0.7))
    lines = np.array(image, order="C")  # a copy, whatever the strides of `image`
    for region, points, closed in SKELETON:
        _polyline(lines, keypoints[[*points, points[0]] if closed else list(points)], COLORS[region], thin)
    drawn = cv2.addWeighted(lines, 0.6, np.ascontiguousarray(image), 0.4, 0)  # thin lines don't hide the face

    if truth is not None:
        for found, true in zip(keypoints, np.asarray(truth, dtype=np.float64), strict=True):
            _polyline(drawn, np.stack([true, found]), WHITE, thin)
            for arm in ((2.4 * radius, 0), (0, 2.4 * radius)):
                _polyline(drawn, np.stack([true - arm, true + arm]), WHITE, thin)
    for region, points, _ in SKELETON:
        for point in keypoints[list(points)]:
            _disc(drawn, point, 1.4 * radius, BLACK)  # a dark rim, so that it shows on any skin and hair
            _disc(drawn, point, radius, COLORS[region])
    return _write_numbers(drawn, keypoints, radius) if numbers else drawn


def draw_faces(
    image: np.ndarray,
    faces: Sequence,
    boxes: bool = False,
    numbers: bool = False,
    confidence: bool = False,
) -> np.ndarray:
    """A copy of the image with the keypoints of each face; a face is a `landmarks.Face`.

    boxes: also where each face was looked for.
    numbers: also each point's index.
    confidence: also a ring as wide as the expected error around each point, and the face's scores above it.
    """
    drawn = np.array(image, order="C")
    for face in faces:
        if boxes:
            _box(drawn, np.asarray(face.box, dtype=np.float64))
        radius = _radius(face.keypoints, image)
        reach = 20 * radius  # more than numbers and rings take, so that only this part is copied and not the image
        (x0, y0), (x1, y1) = np.floor(face.keypoints.min(axis=0) - reach), np.ceil(face.keypoints.max(axis=0) + reach)
        columns, rows = (slice(max(0, int(low)), max(0, int(high))) for low, high in ((x0, x1), (y0, y1)))
        part = drawn[rows, columns]
        if not part.size:
            continue  # wholly outside
        points = face.keypoints - np.float32([columns.start, rows.start])
        if confidence and face.errors is not None:
            _rings(part, points, face.errors, radius)
        part[:] = draw_keypoints(part, points, radius=radius, numbers=numbers)
    return _write_scores(drawn, faces) if confidence else drawn


def _box(image: np.ndarray, box: np.ndarray) -> None:
    x0, y0, x1, y1 = box
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    thin = max(1, round(0.6 * _radius(corners, image)))
    _polyline(image, corners, BLACK, 3 * thin)
    _polyline(image, corners, WHITE, thin)


def _rings(image: np.ndarray, points: np.ndarray, errors: np.ndarray, radius: float) -> None:
    """A white circle around each point (68, 2) px with its expected error (68,) px as radius."""
    for point, error in zip(points, errors, strict=True):
        circle = point + max(float(error), radius) * _UNIT_CIRCLE
        _polyline(image, np.vstack([circle, circle[:1]]), WHITE, max(1, round(0.4 * radius)))


def _write_scores(image: np.ndarray, faces: Sequence) -> np.ndarray:
    """The face score, else the detector's, above each face."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    for face in faces:
        score = face.score if face.face_score is None else face.face_score
        if score is None:
            continue
        size = max(10.0, 7 * _radius(face.keypoints, image))
        middle, top = face.keypoints[:, 0].mean(), face.keypoints[:, 1].min() - size
        rim = max(1, round(size / 10))
        place = (float(middle), max(float(top), 0.6 * size))
        draw.text(place, f"{score:.2f}", INK, _font(size), anchor="mm", stroke_width=rim, stroke_fill=WHITE)
    return np.array(canvas)


def draw_landmarks(side: int = 1600) -> np.ndarray:
    """The numbered diagram of the 68 points on white, `side` pixels wide: right and left are the person's own."""
    matrix = geometry.similarity((0, 0.54), ((side - 1) / 2, (side - 1) / 2), scale=0.43 * side)
    points = geometry.transform_points(schematic_face(), matrix)
    return draw_keypoints(np.full((side, side, 3), 255, np.uint8), points, radius=side / 200, numbers=True)


def schematic_face() -> np.ndarray:
    """(68, 2): a symmetric face with an open mouth, outer eye corners at (±0.5, 0.01), y pointing down."""
    face = np.zeros((NUM_LANDMARKS, 2))
    for index, (x, y) in _HALF_FACE.items():
        face[FLIP[index]] = -x, y
        face[index] = x, y
    return face


def contact_sheet(
    images: Sequence[np.ndarray], columns: int = 4, tile: int = 256, captions: Sequence[str] | None = None
) -> np.ndarray:
    """Images (H, W, 3), each fitted whole into a `tile`×`tile` square, in rows on white; captions go below them.

    Raises:
        ValueError: no images, or not one caption an image.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(images)} images but {len(captions)} captions")
    columns = min(columns, len(images))
    gap, strip = max(2, tile // 32), 0 if captions is None else max(14, tile // 10)
    rows = -(-len(images) // columns)
    height, width = gap + rows * (tile + strip + gap), gap + columns * (tile + gap)
    sheet = np.full((height, width, 3), 255, np.uint8)
    places = [(gap + i // columns * (tile + strip + gap), gap + i % columns * (tile + gap)) for i in range(len(images))]
    for (top, left), image in zip(places, images, strict=True):
        sheet[top : top + tile, left : left + tile] = _letterbox(image, tile)
    if captions is None:
        return sheet
    canvas = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(canvas), _font(0.62 * strip)
    for (top, left), caption in zip(places, captions, strict=True):
        text = _shorten(caption, font, tile)
        draw.text((left + tile / 2, top + tile + strip / 2), text, INK, font, anchor="mm")
    return np.array(canvas)


def _radius(points: np.ndarray, image: np.ndarray) -> float:
    """Radius of a drawn point: 1/110 of the face's longer side (at most the image's), never too small to see."""
    finite = points[np.isfinite(points).all(axis=1)]
    side = min(np.ptp(finite, axis=0).max(), max(image.shape)) if len(finite) else 0
    return max(1.2, float(side) / 110)


def _fixed_point(points: np.ndarray) -> np.ndarray:
    """OpenCV's sub-pixel integers. Far-away points are pulled in: its arithmetic ends at 32 bits."""
    return np.round(np.clip(points, -1e5, 1e5) * 2**SHIFT).astype(np.int32)


def _disc(image: np.ndarray, center: np.ndarray, radius: float, color: tuple) -> None:
    """A polygon of our own, since cv2.circle makes diamonds of small ones."""
    if np.isfinite(center).all():
        cv2.fillConvexPoly(image, _fixed_point(center + radius * _UNIT_CIRCLE), color, cv2.LINE_AA, SHIFT)


def _polyline(image: np.ndarray, points: np.ndarray, color: tuple, thickness: int) -> None:
    for start, end in itertools.pairwise(points):
        if np.isfinite([start, end]).all():
            ends = (tuple(_fixed_point(point).tolist()) for point in (start, end))
            cv2.line(image, *ends, color, thickness, cv2.LINE_AA, SHIFT)


def _write_numbers(image: np.ndarray, keypoints: np.ndarray, radius: float) -> np.ndarray:
    canvas = Image.fromarray(image)
    size = max(7.0, 3.2 * radius)
    draw, font = ImageDraw.Draw(canvas), _font(size)
    keypoints = np.where(np.abs(keypoints) < 1e5, keypoints, np.nan)  # far away: no number
    for i, ((_, points, _), others) in enumerate(zip(SKELETON, _NUMBERS_AWAY_FROM, strict=True)):
        middle = keypoints[list(others)].mean(axis=0)
        for index in points:
            away = (keypoints[index] - middle) * (-1 if i == _INNER_LIPS else 1)
            x, y = keypoints[index] + away / max(np.linalg.norm(away), 1e-9) * (1.4 * radius + 0.75 * size)
            if 0 <= x < canvas.width and 0 <= y < canvas.height:  # false for NaN too
                rim = max(1, round(size / 12))
                draw.text((x, y), str(index), INK, font, anchor="mm", stroke_width=rim, stroke_fill=WHITE)
    return np.array(canvas)


def _letterbox(image: np.ndarray, side: int) -> np.ndarray:
    """The whole image, as large as it fits, in the middle of a light square."""
    image = _fit({"image": np.ascontiguousarray(image), "keypoints": np.zeros((0, 2))}, side)["image"]
    height, width = image.shape[:2]
    square = np.full((side, side, 3), 235, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def _fit(sample: dict, side: int) -> dict:
    """The sample enlarged or reduced until its longer side has `side` pixels."""
    height, width = sample["image"].shape[:2]
    factor = side / max(height, width)
    new_height, new_width = max(1, round(height * factor)), max(1, round(width * factor))
    matrix = geometry.resize_matrix(height, width, new_height, new_width)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    image = cv2.resize(sample["image"], (new_width, new_height), interpolation=method)
    return {"image": image, "keypoints": geometry.transform_points(sample["keypoints"], matrix)}


def _font(size: float) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has the letters of most file names; found without importing it."""
    package = Path(importlib.util.find_spec("matplotlib").origin).parent
    return ImageFont.truetype(str(package / "mpl-data/fonts/ttf/DejaVuSans.ttf"), size)


def _shorten(text: str, font, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


# --- Plots ----------------------------------------------------------------------------------------------------
# Figures of their own, without pyplot: nothing global is touched. Matplotlib is imported where it is needed,
# because prediction draws with OpenCV alone and shouldn't wait for it.


def plot_training_curves(history: dict[str, list[float]]):
    """Loss (left, logarithmic) and validation NME (right) by epoch, the best epoch marked. A matplotlib Figure.

    history: lists of one length under epoch, train_loss, val_loss and val_nme (a fraction, inter-ocular).
    """
    figure, (left, right) = _figure(10, 4, columns=2)
    epochs = history["epoch"]
    marker = "o" if len(epochs) < 3 else None  # a line of one point can't be seen
    left.plot(epochs, history["train_loss"], color=_hex(BLUE), marker=marker, label="training")
    left.plot(epochs, history["val_loss"], color=_hex(VERMILION), marker=marker, label="validation")
    left.set(xlabel="epoch", ylabel="loss", yscale="log", title="Loss")
    left.legend(frameon=False)

    percent = 100 * np.asarray(history["val_nme"], dtype=np.float64)
    right.plot(epochs, percent, color=_hex(VERMILION), marker=marker)
    if np.isfinite(percent).any():
        best = int(np.nanargmin(percent))
        label = f"best: {percent[best]:.2f}% in epoch {epochs[best]:g}"
        right.plot(epochs[best], percent[best], "o", color=_hex(BLUE), markersize=9, label=label)
        right.legend(frameon=False)
    right.set(xlabel="epoch", ylabel="NME (inter-ocular), %", title="Validation on unseen people")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def plot_ced(errors_by_name: dict[str, np.ndarray], threshold: float = metrics.FAILURE):
    """Cumulative error curves, one a name: the share of faces whose NME stays below each value. A matplotlib Figure.

    errors_by_name: NME of each face (N,), as a fraction of the inter-ocular distance.
    """
    figure, axes = _figure(6.4, 4.6)
    axes.set_prop_cycle(color=[_hex(c) for c in (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK)])
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
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}")
    axes.legend(frameon=False, loc="upper left")
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
        figure.savefig(temporary, dpi=150)


def _figure(width: float, height: float, columns: int = 1):
    """A figure in inches with a row of axes, and the axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns)
    for one in np.ravel(axes):
        one.grid(color="0.9")
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


# --- Commands -------------------------------------------------------------------------------------------------


def sample_sheet(dataset, count: int, seed: int) -> np.ndarray:
    """`count` faces of the data set, drawn at random, with keypoints and file names."""
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    tiles = [_tile(dataset[i]) for i in chosen]
    return contact_sheet(tiles, captions=[Path(dataset.names[i]).stem for i in chosen])


def transform_sheet(dataset, seed: int) -> np.ndarray:
    """One face through each transform: a row of those that draw nothing at random, then a row of draws for each."""
    import torch

    import data_load as d

    policy = geometry.CropPolicy()
    sample = dataset[int(np.random.default_rng(seed).integers(len(dataset)))]
    height, width = sample["image"].shape[:2]
    side = max(1, round(0.8 * min(height, width)))
    cut = d.CropFace(policy)(sample)
    gray = d.Normalize()(cut)
    gray_image = np.repeat(np.round(gray["image"][..., None] * 255).astype(np.uint8), 3, axis=2)
    gray_points = d.denormalize_keypoints(gray["keypoints"], *gray_image.shape[:2])
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
    return contact_sheet([_tile(one) for _, one in shown], columns=5, captions=captions)


def _tile(sample: dict, side: int = 256) -> np.ndarray:
    """The sample at the size of a tile, drawn on there, so that points are crisp on a small image too."""
    sample = _fit(sample, side)
    return draw_keypoints(sample["image"], sample["keypoints"])


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

    arguments = parser(__doc__.split("\n\nThe drawing")[0])
    commands = arguments.add_subparsers(dest="command", required=True, metavar="{samples,transforms,landmarks}")
    helps = {
        "samples": "faces of a data set with their keypoints",
        "transforms": "one face through each transform",
        "landmarks": "the numbered picture of the 68 points",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text, formatter_class=arguments.formatter_class)
        command.add_argument("--output", type=Path, default=Path(f"outputs/{name}.png"), help="the picture to write")
        command.add_argument("--show", action="store_true", help="open it in a window too")
        if name == "landmarks":
            continue
        default = data_load.default_data()
        command.add_argument("--data", type=Path, default=default, help="folder of the data set")
        command.add_argument("--split", choices=data_load.SPLITS, default="training", help="part of the data set")
        command.add_argument("--seed", type=whole_number, default=0, help="of all that is random")
        if name == "samples":
            command.add_argument("--count", type=positive_int, default=12, help="number of faces")
    args = arguments.parse_args()

    if args.command == "landmarks":
        picture = draw_landmarks()
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
