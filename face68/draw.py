"""Drawings of faces and sheets of pictures: arrays in, arrays out, (H, W, 3) uint8 RGB."""

import importlib.util
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from face68 import geometry
from face68.files import printable
from face68.geometry import CropPolicy
from face68.landmarks import (
    BRIDGE,
    FLIP,
    IBUG68,
    INNER_LIPS,
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    MOUTH_CORNERS,
    NOSE_ROOT,
    NOSTRILS,
    NUM_LANDMARKS,
    OUTER_LIPS,
    PROBABLY,
    REGIONS,
    RIGHT_BROW,
    RIGHT_EYE,
    Face,
)
from face68.measures import as_ibug68, pose_axes
from face68.schemes import Scheme

# The palette of Okabe and Ito (2008), whose colours colour-blind readers tell apart.
BLUE, ORANGE, GREEN, YELLOW = (0, 114, 178), (230, 159, 0), (0, 158, 115), (240, 228, 66)
SKY, VERMILION, PURPLE = (86, 180, 233), (213, 94, 0), (204, 121, 167)
COLORS = {"jaw": SKY, "brows": ORANGE, "nose": YELLOW, "eyes": GREEN, "mouth": PURPLE}  # by region
FURTHER_COLORS = (SKY, ORANGE, GREEN, PURPLE, YELLOW, VERMILION, BLUE)  # of regions with other names, in turn
AXES = {"to the person's left": VERMILION, "down": GREEN, "forward": BLUE}  # of a head; x, y, z: red, green, blue
WHITE, BLACK, INK = (255, 255, 255), (0, 0, 0), (50, 50, 50)

SHIFT = 4  # OpenCV draws at 1/16 pixel
_ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_UNIT_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])  # (32, 2)

# The number of a point goes away from the mean of others, if there is room: (these points, those others).
_NUMBERS_AWAY_FROM = (
    (JAW, REGIONS["nose"]),  # outwards
    (RIGHT_BROW, RIGHT_EYE),  # up
    (LEFT_BROW, LEFT_EYE),
    (BRIDGE, RIGHT_EYE[:4]),  # to one side
    (NOSTRILS, NOSE_ROOT[1:]),  # down
    (RIGHT_EYE, RIGHT_EYE),  # outwards
    (LEFT_EYE, LEFT_EYE),
    (OUTER_LIPS, OUTER_LIPS),
    (INNER_LIPS[:1], MOUTH_CORNERS[:1]),  # the corners of the inner lips: inwards
    (INNER_LIPS[4:5], MOUTH_CORNERS[1:]),
    (INNER_LIPS[1:4], OUTER_LIPS[7:]),  # inner lips: into the lip, since a closed mouth has no room between them
    (INNER_LIPS[5:], OUTER_LIPS[1:6]),
)
# Its offsets from the point, best first: the distance, 1 is close beside it, and the turn from that way, degrees.
_NUMBER_OFFSETS = sorted(
    itertools.product((1, 1.5, 2, 2.5, 3, 4), (0, 20, -20, 40, -40, 60, -60, 90, -90, 130, -130, 180)),
    key=lambda offset: offset[0] + abs(offset[1]) / 60,
)

LINES_ALONE_BELOW = 150  # px of a face's longer side: the points of a smaller one would run into each other
NUMBERED_SIDE = 960  # px of a face's longer side at which its numbers have room
NUMBERED_PIXELS = 16_000_000  # of a picture that is enlarged for the sake of numbers

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


def region_colors(scheme: Scheme) -> dict[str, tuple[int, int, int]]:
    """The colour of each region of a scheme."""
    further = itertools.cycle(FURTHER_COLORS)
    return {region: COLORS.get(region) or next(further) for region in scheme.regions}


# --- Faces ----------------------------------------------------------------------------------------------------


def draw_keypoints(
    image: np.ndarray,
    keypoints: np.ndarray,
    truth: np.ndarray | None = None,
    radius: float | None = None,
    numbers: bool = False,
    visible: np.ndarray | None = None,
    scheme: Scheme = IBUG68,
) -> np.ndarray:
    """A copy of the image (H, W, 3) uint8 RGB with the keypoints (68, 2) px on it, in the colours of their regions.

    truth: (68, 2) px, drawn beneath as white crosses, each joined to its keypoint by a white line: the error.
    radius: of a point, in pixels; 0: lines alone. By default it follows the size of the face, and faces of less than
        150 px get lines alone: their points would run into each other.
    numbers: write each point's index, 0 … 67, beside it, as far as there are points and room.
    visible: (68,), the probability that each point can be seen; hidden and covered ones are hollow.
    scheme: of the points, which may be others than 68.

    Points may lie outside of the image; those that aren't finite are left out.
    """
    keypoints, colors = np.asarray(keypoints, dtype=np.float64), region_colors(scheme)
    radius = _radius(keypoints, image) if radius is None else radius
    thin = max(1, round(radius * 0.7))
    # The lines, half transparent.
    lines = np.array(image, order="C")  # a copy, whatever the strides of `image`
    for region, points, closed in scheme.lines:
        _polyline(lines, keypoints[[*points, points[0]] if closed else list(points)], colors[region], thin)
    weight = 0.6 if radius > 0 else 0.9  # lines between points don't hide the face; alone they must be seen
    drawn = cv2.addWeighted(lines, weight, np.ascontiguousarray(image), 1 - weight, 0)

    if truth is not None:  # crosses, and the way to each point
        arm = max(2.0, 2.4 * radius)
        strokes = []
        for point, true in zip(keypoints, np.asarray(truth, dtype=np.float64), strict=True):
            strokes += [np.stack([true, point]), *(np.stack([true - a, true + a]) for a in ((arm, 0), (0, arm)))]
        _on_anything(drawn, strokes, WHITE, thin)
    if radius > 0:
        _dots(drawn, keypoints, radius, np.ones(len(scheme), bool) if visible is None else visible >= PROBABLY, scheme)
    return _write_numbers(drawn, keypoints, radius, scheme) if numbers and radius > 0 else drawn


def _dots(image: np.ndarray, keypoints: np.ndarray, radius: float, is_seen: np.ndarray, scheme: Scheme) -> None:
    """Draw the points (N, 2) px in the colours of their regions; those that can't be seen are hollow."""
    thin = max(1, round(radius * 0.7))
    for region, color in region_colors(scheme).items():
        for i in scheme.regions[region]:
            if is_seen[i]:
                _disc(image, keypoints[i], 1.4 * radius, BLACK)  # a dark rim, so that it shows on any skin and hair
                _disc(image, keypoints[i], radius, color)
            else:
                circle = keypoints[i] + 1.2 * radius * np.vstack([_UNIT_CIRCLE, _UNIT_CIRCLE[:1]])
                _polyline(image, circle, BLACK, thin + 2)
                _polyline(image, circle, color, thin)


def draw_faces(
    image: np.ndarray,
    faces: Sequence[Face],
    boxes: bool = False,
    numbers: bool = False,
    confidence: bool = False,
    identities: bool = False,
    axes: bool = False,
) -> np.ndarray:
    """A copy of the image with the keypoints of each face.

    boxes: also each face's box.
    numbers: also each point's index. Where its smallest face needs it, the picture is larger than the image then, until
        that face has 960 px or the picture 16 megapixels. A number without room is left out.
    confidence: also a ring as wide as the expected error around each point, and the score above the face.
    identities: also the number of each face above it.
    axes: also those of the head, see `draw_axes`, and a legend of their colours, where the picture has room for it.
    """
    if numbers:
        image, faces = _enlarge(image, faces)
    drawn = np.array(image, order="C")
    for face in faces:
        if boxes:
            _box(drawn, np.asarray(face.box, dtype=np.float64))
        radius = _radius(face.keypoints, image)
        # The part of the image around the face, rings and numbers: only that is copied and drawn on.
        reach = 30 * max(radius, 1)
        (x0, y0), (x1, y1) = np.floor(face.keypoints.min(axis=0) - reach), np.ceil(face.keypoints.max(axis=0) + reach)
        columns, rows = (slice(max(0, int(low)), max(0, int(high))) for low, high in ((x0, x1), (y0, y1)))
        part = drawn[rows, columns]
        if not part.size:
            continue  # wholly outside
        points = face.keypoints - np.float32([columns.start, rows.start])
        if confidence and face.errors is not None and radius > 0:
            _rings(part, points, face.errors, radius)
        part[:] = draw_keypoints(part, points, radius=radius, numbers=numbers, visible=face.visible, scheme=face.scheme)
        if axes:
            part[:] = draw_axes(part, pose_axes(as_ibug68(replace(face, keypoints=points)).keypoints))
    if axes and faces:
        _write_legend(drawn)
    return _write_above(drawn, faces, identities, confidence) if identities or confidence else drawn


def _enlarge(image: np.ndarray, faces: Sequence[Face]) -> tuple[np.ndarray, Sequence[Face]]:
    """Image and faces as large as the numbers of the smallest face need, or as a picture may become."""
    height, width = image.shape[:2]
    smallest = min((_longer_side(face.keypoints, image) for face in faces), default=NUMBERED_SIDE)
    factor = min(NUMBERED_SIDE / max(smallest, 1), math.sqrt(NUMBERED_PIXELS / (height * width)))
    if factor <= 1:
        return image, faces
    return fit(image, round(factor * max(height, width))), [face.scaled(factor) for face in faces]


def _box(image: np.ndarray, box: np.ndarray) -> None:
    x0, y0, x1, y1 = box
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    thin = max(1, round(0.6 * _radius(corners, image)))
    _polyline(image, corners, BLACK, 3 * thin)
    _polyline(image, corners, WHITE, thin)


def draw_axes(image: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """A copy of an image with a head's axes from its nose: vermilion to the person's left, green down, blue forward.

    axes: (4, 2) px, the tip of the nose and the three ends, as `measures.pose_axes` has them; ends that aren't finite
        are left out.
    """
    image = np.array(image, order="C")
    nose, *ends = np.asarray(axes, dtype=np.float64)
    thick = max(2, round(_longer_side(np.asarray(axes), image) / 14))
    for end, color in zip(ends, AXES.values(), strict=True):
        _polyline(image, np.stack([nose, end]), BLACK, thick + 2)
        _polyline(image, np.stack([nose, end]), color, thick)
    return image


def _write_legend(image: np.ndarray) -> None:
    """The legend of the axes' colours, in a line at the lower edge, if it fits."""
    font = _font(max(11, min(image.shape[:2]) / 40))
    line, gap = round(1.5 * font.size), 0.7 * font.size
    x, y, rim = gap, line / 2, max(1, round(font.size / 8))
    if image.shape[0] < 12 * line or image.shape[1] < sum(font.getlength(text) + 3 * gap for text in AXES) + gap:
        return
    canvas = Image.fromarray(image[-line:])
    draw = ImageDraw.Draw(canvas)
    for text, color in AXES.items():
        draw.rectangle((x, y - gap / 2, x + gap, y + gap / 2), color, BLACK)
        draw.text((x + 1.5 * gap, y), text, WHITE, font, anchor="lm", stroke_width=rim, stroke_fill=BLACK)
        x += font.getlength(text) + 3 * gap
    image[-line:] = np.array(canvas)


def draw_squares(image: np.ndarray, centers, sides, rolls, color: tuple) -> np.ndarray:
    """A copy of an image with squares around N faces, turned clockwise by `rolls` degrees; thick at the forehead.

    centers: (N, 2) px; sides: (N,) px.
    """
    image = image.copy()
    for center, side, roll in zip(centers, sides, rolls, strict=True):
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) * side / 2
        corners = geometry.transform_points(corners, geometry.similarity((0, 0), center, degrees=float(roll)))
        _on_anything(image, [corners], color, 1)
        _polyline(image, corners[:2], color, 3)
    return image


def _rings(image: np.ndarray, points: np.ndarray, errors: np.ndarray, radius: float) -> None:
    """A white circle around each point (68, 2) px with its expected error (68,) px as radius."""
    circles = [point + max(float(error), radius) * _UNIT_CIRCLE for point, error in zip(points, errors, strict=True)]
    _on_anything(image, [np.vstack([one, one[:1]]) for one in circles], WHITE, max(1, round(0.4 * radius)))


def _write_above(image: np.ndarray, faces: Sequence[Face], identities: bool, scores: bool) -> np.ndarray:
    """The identity and the face score, else the detector's, above each face."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    for face in faces:
        score = face.score if face.face_score is None else face.face_score
        words = [f"#{face.identity}"] if identities and face.identity is not None else []
        words += [f"{score:.2f}"] if scores and score is not None else []
        if not words:
            continue
        size = max(10.0, 7 * _radius(face.keypoints, image))
        middle, top = face.keypoints[:, 0].mean(), face.keypoints[:, 1].min() - size
        rim = max(1, round(size / 10))
        position = (float(middle), max(float(top), 0.6 * size))
        draw.text(position, " ".join(words), INK, _font(size), anchor="mm", stroke_width=rim, stroke_fill=WHITE)
    return np.array(canvas)


def draw_landmarks(side: int = 1600) -> np.ndarray:
    """The numbered diagram of the 68 points on white, `side` pixels wide: right and left are the person's own."""
    matrix = geometry.similarity((0, 0.54), ((side - 1) / 2, (side - 1) / 2), scale=0.43 * side)
    points = geometry.transform_points(schematic_face(), matrix)
    return draw_keypoints(np.full((side, side, 3), 255, np.uint8), points, radius=side / 220, numbers=True)


def schematic_face() -> np.ndarray:
    """(68, 2): a symmetric face with an open mouth, outer eye corners at (±0.5, 0.01), y pointing down."""
    face = np.zeros((NUM_LANDMARKS, 2))
    for index, (x, y) in _HALF_FACE.items():
        face[FLIP[index]] = -x, y
        face[index] = x, y
    return face


# --- Numbers --------------------------------------------------------------------------------------------------


def _write_numbers(image: np.ndarray, keypoints: np.ndarray, radius: float, scheme: Scheme) -> np.ndarray:
    """Each number that has room, joined to its point by a line."""
    canvas = Image.fromarray(image)
    size = max(9.0, 3 * radius)
    draw, font, rim = ImageDraw.Draw(canvas), _font(size), max(1, round(size / 12))
    # Of other points than iBUG's 68 each number goes outwards.
    away_from = _NUMBERS_AWAY_FROM if scheme == IBUG68 else ((range(len(scheme)), range(len(scheme))),)
    middles = _number_middles(keypoints, radius, font, rim, canvas.size, away_from)
    for index, middle in middles.items():
        way = middle - keypoints[index]
        edge = keypoints[index] + (1.4 * radius + 2) * way / np.hypot(*way)
        draw.line([*edge, *middle], WHITE, max(1, round(0.3 * radius)))
    for index, middle in middles.items():
        draw.text(tuple(middle), str(index), INK, font, anchor="mm", stroke_width=rim, stroke_fill=WHITE)
    return np.array(canvas)


def _number_middles(
    keypoints: np.ndarray, radius: float, font, rim: int, size: tuple, away_from
) -> dict[int, np.ndarray]:
    """The middle (2,) px of each point's number in a picture of `size` (width, height).

    It has the first of _NUMBER_OFFSETS where it hides no point and no other number; without any it is left out.
    """
    keypoints = np.where(np.abs(keypoints) < 1e5, keypoints, np.nan)  # far away: no number
    near = 1.4 * radius + 0.85 * font.size
    distances, turns = np.transpose(_NUMBER_OFFSETS)
    taken = np.hstack([keypoints - 1.4 * radius, keypoints + 1.4 * radius])  # (N, 4) boxes
    middles = {}
    for points, others in away_from:
        middle = keypoints[list(others)].mean(axis=0)
        for index in points:
            x, y = keypoints[index] - middle
            angles = math.atan2(y, x) + np.radians(turns)
            offsets = near * distances * [np.cos(angles), np.sin(angles)]  # (2, K)
            choices = keypoints[index] + offsets.T
            boxes = np.hstack([choices, choices]) + font.getbbox(str(index), anchor="mm", stroke_width=rim)
            inside = (boxes[:, :2] >= 0).all(axis=1) & (boxes[:, 2:] <= size).all(axis=1)  # false for NaN
            overlaps = (boxes[:, None, :2] < taken[:, 2:]) & (boxes[:, None, 2:] > taken[:, :2])  # (K, N, 2)
            free = inside & ~overlaps.all(axis=2).any(axis=1)
            if free.any():
                best = int(free.argmax())
                middles[index], taken = choices[best], np.vstack([taken, boxes[best]])
    return middles


# --- Sheets ---------------------------------------------------------------------------------------------------


def face_tile(
    image: np.ndarray,
    keypoints: np.ndarray,
    truth: np.ndarray | None = None,
    box: np.ndarray | None = None,
    margin: float = 1.6,
    side: int = 256,
    scheme: Scheme = IBUG68,
) -> np.ndarray:
    """A picture of one face for a sheet. Its points are drawn at the size of the tile, so they are crisp on any image.

    keypoints, truth: (68, 2) px of the image, as in `draw_keypoints`.
    box: (x0, y0, x1, y1) px: the tile shows the square around it, `margin` times as wide. By default the whole image.
    scheme: of the points.

    Returns:
        (side, side, 3) uint8 RGB, or the whole image with its longer side `side` pixels.
    """
    if box is None:
        tile = fit(image, side)
        matrix = geometry.resize_matrix(*image.shape[:2], *tile.shape[:2])
    else:
        matrix = geometry.crop_matrix(box, CropPolicy(side, margin))
        tile = geometry.warp(image, matrix, side, side)
    keypoints = geometry.transform_points(keypoints, matrix)
    if truth is None:
        return draw_keypoints(tile, keypoints, scheme=scheme)
    truth = geometry.transform_points(truth, matrix)
    radius = _radius(truth, tile)  # wrong points may all lie in one place
    return draw_keypoints(tile, keypoints, truth, radius, scheme=scheme)


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int = 4,
    tile: int = 256,
    captions: Sequence[str] | None = None,
    title: str | None = None,
    labels: Sequence[str] | None = None,
) -> np.ndarray:
    """Images (H, W, 3), each fitted whole into a `tile`×`tile` square, in rows on white.

    captions: a line below each, shortened where it is wider than the tile.
    title: above all, in as many lines as it needs.
    labels: left of each row, in lines of their own; all letters are larger then.

    Raises:
        ValueError: no images, or not one caption an image, or not one label a row.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    for texts, name, count, of in ((captions, "captions", len(images), "images"), (labels, "labels", rows, "rows")):
        if texts is not None and len(texts) != count:
            raise ValueError(f"{count} {of} but {len(texts)} {name}")

    # Sizes in px: `line` of a line of text, `row` of a row, `margin` left of the tiles, `head` above them.
    gap, line = max(2, tile // 32), max(14, tile // (10 if labels is None else 7))
    row, font = tile + gap + (0 if captions is None else line), _font(0.62 * line)
    beside = [label.split("\n") for label in labels or ()]
    margin = gap + round(max((font.getlength(text) + 2 * gap for text in itertools.chain(*beside)), default=0))
    width = margin + columns * (tile + gap)
    titles = [] if title is None else _wrap(title, font, width - 2 * gap)
    head = gap + len(titles) * line

    sheet = Image.new("RGB", (width, head + rows * row), WHITE)
    write = partial(ImageDraw.Draw(sheet).text, fill=INK, font=font)
    _write_lines(write, titles, gap, gap / 2 + 0.5 * line, line)
    for i, image in enumerate(images):
        left, top = margin + i % columns * (tile + gap), head + i // columns * row
        sheet.paste(Image.fromarray(_letterbox(image, tile)), (left, top))
        if captions is not None:
            write((left + tile / 2, top + tile + line / 2), _shorten(captions[i], font, tile), anchor="mm")
    for i, texts in enumerate(beside):
        _write_lines(write, texts, 2 * gap, head + i * row + tile / 2 - (len(texts) - 1) / 2 * line, line)
    return np.array(sheet)


def _write_lines(write: Callable, lines: Sequence[str], x: float, y: float, height: float) -> None:
    """Lines of text below each other, each beginning at x; y: the middle of the first."""
    for i, text in enumerate(lines):
        write((x, y + i * height), text, anchor="lm")


def stack_sheets(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """Sheets (H, W, 3) one below the other, each at the left, on white."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in sheets]
    return np.vstack(padded)


def label(image: np.ndarray, text: str, band: int) -> np.ndarray:
    """A copy of the image with a line of text on a dark band, `band` px high, along its lower edge."""
    height, width = image.shape[:2]
    image = image.copy()
    image[height - band :] = image[height - band :] // 4
    canvas = Image.fromarray(image)
    font = _font(0.62 * band)
    position = (0.4 * band, height - band / 2)
    ImageDraw.Draw(canvas).text(position, _shorten(text, font, width - 0.8 * band), WHITE, font, anchor="lm")
    return np.array(canvas)


def _letterbox(image: np.ndarray, side: int) -> np.ndarray:
    """The whole image, as large as it fits, in the middle of a light square."""
    image = fit(image, side)
    height, width = image.shape[:2]
    square = np.full((side, side, 3), 235, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def fit(image: np.ndarray, side: int) -> np.ndarray:
    """The image enlarged or reduced until its longer side has `side` pixels."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    return geometry.resize(np.ascontiguousarray(image), height, width, enlarging=cv2.INTER_CUBIC)


def _wrap(text: str, font, width: float) -> list[str]:
    """The text in lines of at most `width` pixels; a longer word has a line of its own."""
    lines = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _shorten(text: str, font, width: float) -> str:
    """A line of at most `width` pixels; a file name may hold anything, and Pillow fails at letters without a form."""
    text = printable(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


# --- Strokes and letters --------------------------------------------------------------------------------------


def _radius(points: np.ndarray, image: np.ndarray) -> float:
    """Radius of a drawn point: 1/150 of the face's longer side, so that eyes are seen; 0 where lines stand alone."""
    side = _longer_side(points, image)
    few = min(1.0, math.sqrt(len(points) / NUM_LANDMARKS))  # which need less room
    return max(0.9, side / 150) if side >= LINES_ALONE_BELOW * few else 0.0


def _longer_side(points: np.ndarray, image: np.ndarray) -> float:
    """Of the face, in pixels; at most the image's, since points may lie far outside. Of a single point the image's."""
    if len(points) == 1:
        return float(max(image.shape))
    finite = points[np.isfinite(points).all(axis=1)]
    return float(min(np.ptp(finite, axis=0).max(), max(image.shape))) if len(finite) else 0.0


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


def _on_anything(image: np.ndarray, lines: Sequence[np.ndarray], color: tuple, thickness: int) -> None:
    """Lines with a shadow around them, so that white ones show on white."""
    shadow = image.copy()
    for line in lines:
        _polyline(shadow, line, BLACK, thickness + 2)
    cv2.addWeighted(shadow, 0.5, image, 0.5, 0, dst=image)
    for line in lines:
        _polyline(image, line, color, thickness)


def _font(size: float) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has the letters of most file names; found without importing it.

    Without matplotlib Pillow's own, which has those of ASCII and an ellipsis.
    """
    package = importlib.util.find_spec("matplotlib")
    if package is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(Path(package.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"), size)
