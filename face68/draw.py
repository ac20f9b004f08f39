"""Drawings of faces and sheets of pictures: arrays in, arrays out, (H, W, 3) uint8 RGB."""

import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from face68 import geometry
from face68.landmarks import FLIP, NUM_LANDMARKS, SKELETON

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
    image = fit({"image": np.ascontiguousarray(image), "keypoints": np.zeros((0, 2))}, side)["image"]
    height, width = image.shape[:2]
    square = np.full((side, side, 3), 235, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def fit(sample: dict, side: int) -> dict:
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
