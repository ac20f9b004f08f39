"""Draw the embedded sample: small pictures of invented people with exact 68-point labels.

    python data/make_sample.py                      # rewrites data/sample/ (about a minute on one core)
    python data/make_sample.py --output-dir other --seed 1

Nothing here is a photograph. A face is a small 3D model, described once and drawn 250 times:

1. `frontal_points` places the 68 points on the face as seen from the front, from a person's shape (width of the
   jaw, size of the eyes, …) and an expression (smile, open mouth, closed eyes, raised brows).
2. `HeadShape` turns them into a surface. Seen from above, each horizontal slice of the head is an ellipse; the jaw
   points are the ellipses' ends. On the front of it lies a height map: nose, brow ridge, eye sockets, lips.
3. `paint_face` draws the colours (brows, eyes, lips, wrinkles, beard) on a map with the same x and y as the height map.
4. Ears, neck, shoulders, hair and glasses are further surfaces. Each is a grid of 3D points: turned by the pose,
   shaded by one lamp, and splatted into the picture, nearest last, so that near parts cover far ones.
5. The labels are the 3D positions of the same 68 points through the same pose and camera. Only the jaw needs
   thought: on the side that turns away, annotators mark the visible outline, so a jaw point slides along its slice
   to where the slice reaches farthest out (`HeadShape.landmarks`).

Units of the model: 1 is the distance of the outer eye corners; x to the right of the picture, y down, z towards the
camera; the origin lies between the eyes. Labels are in pixels, 0-based, pixel centres at integers, two decimals.
"""

# ruff: noqa: RUF005 (the tuples here are added to arrays, not joined to lists)

import argparse
import csv
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

SPLITS = {"training": (50, 2, 2), "test": (25, 1, 2)}  # people, videos a person, frames a video
SUPERSAMPLE = 2  # the picture is drawn this much larger, then averaged down
MAP_SCALE = 128  # pixels of the face maps per model unit
MAP_X, MAP_Y = 1.0, (-1.5, 1.8)  # the maps reach from -MAP_X to MAP_X and from MAP_Y[0] to MAP_Y[1]
CAMERA_DISTANCE = 11.0  # in model units: a mild perspective
NECK = np.array([0.0, 0.8, -0.35])  # the head turns about this point

# The right half of the average face (points on the middle line included), by iBUG number, 0-based.
RIGHT_HALF = {
    8: (0, 1.31), 9: (0.27, 1.25), 10: (0.44, 1.15), 11: (0.575, 1.02), 12: (0.68, 0.85),
    13: (0.745, 0.64), 14: (0.785, 0.44), 15: (0.81, 0.24), 16: (0.825, 0.02),
    22: (0.19, -0.2), 23: (0.31, -0.25), 24: (0.43, -0.265), 25: (0.55, -0.235), 26: (0.65, -0.165),
    27: (0, 0.02), 28: (0, 0.155), 29: (0, 0.29), 30: (0, 0.42), 33: (0, 0.55), 34: (0.075, 0.535), 35: (0.145, 0.51),
    42: (0.215, 0.015), 43: (0.305, -0.045), 44: (0.41, -0.045), 45: (0.5, 0), 46: (0.41, 0.048), 47: (0.31, 0.052),
    51: (0, 0.70), 52: (0.07, 0.685), 53: (0.18, 0.722), 54: (0.28, 0.78), 55: (0.19, 0.86), 56: (0.095, 0.9),
    57: (0, 0.91), 62: (0, 0.775), 63: (0.085, 0.77), 64: (0.245, 0.78), 65: (0.085, 0.785), 66: (0, 0.79),
}  # fmt: skip
# MIRROR[i] is the number that point i gets in a mirror.
MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), *range(45, 41, -1), 47, 46]
    + [*range(39, 35, -1), 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]
)
# Slices of the skull above the jaw, crown to ear: y, half width, z of the front, of the side and of the back.
SKULL = [
    (-1.22, 0, -0.15, -0.15, -0.15), (-1.17, 0.32, 0.22, -0.15, -0.5), (-1.06, 0.53, 0.50, -0.14, -0.8),
    (-0.85, 0.72, 0.78, -0.12, -1.02), (-0.58, 0.82, 0.93, -0.07, -1.15), (-0.28, 0.84, 0.99, 0, -1.18),
]  # fmt: skip
# z of the front, side and back of the slices at the jaw points, ear to chin.
JAW_DEPTH = [
    (0.97, 0, -1.12), (0.96, 0, -1.02), (0.965, 0.02, -0.86), (0.975, 0.06, -0.6), (0.98, 0.15, -0.35),
    (0.985, 0.32, -0.05), (0.975, 0.48, 0.2), (0.91, 0.66, 0.52), (0.77, 0.77, 0.77),
]  # fmt: skip

SKIN = [
    (244, 208, 188),
    (232, 186, 160),
    (214, 164, 130),
    (186, 132, 98),
    (146, 98, 70),
    (104, 68, 50),
    (74, 48, 38),
]
HAIR = [
    (28, 24, 24),
    (50, 36, 28),
    (84, 56, 36),
    (128, 88, 50),
    (196, 160, 100),
    (138, 66, 34),
    (150, 148, 146),
]
IRIS = [(70, 44, 26), (92, 62, 34), (60, 36, 24), (84, 104, 122), (104, 130, 150), (90, 104, 70)]
CLOTH = [(36, 40, 52), (28, 28, 30), (70, 74, 84), (120, 40, 44), (40, 70, 110), (200, 196, 186), (60, 90, 70),
         (150, 110, 80), (110, 70, 120), (220, 220, 226)]  # fmt: skip
WALL = [(92, 100, 116), (150, 140, 122), (60, 70, 64), (122, 60, 54), (40, 46, 70), (176, 182, 186), (104, 84, 66),
        (60, 96, 130), (30, 28, 32), (130, 146, 120)]  # fmt: skip
FIRST = [
    "Ada", "Bela", "Cora", "Dario", "Emil", "Fay", "Goran", "Hana", "Ivo", "Jana", "Kofi", "Lena", "Milo",
    "Nia", "Omar", "Pia", "Quin", "Rosa", "Sami", "Tova",
]  # fmt: skip
LAST = [
    "Almond", "Birch", "Cedar", "Dahlia", "Elm", "Fern", "Ginkgo", "Hazel", "Iris", "Juniper", "Kale",
    "Laurel", "Maple", "Nettle", "Olive",
]  # fmt: skip


@dataclass
class Person:
    """What stays the same in all pictures of a person. Factors are 1 on average, lengths in model units."""

    skin: np.ndarray
    hair_colour: np.ndarray
    iris: np.ndarray
    shape: dict[str, float]  # factors and offsets, see `frontal_points`
    age: float  # 0 young, 1 old
    hair: str  # a key of HAIR_STYLES
    beard: str  # none, stubble, moustache, goatee or full
    glasses: bool
    makeup: float  # 0 to 1
    seed: int  # for the details: strands, freckles


@dataclass
class Video:
    """What stays the same in all frames of a video."""

    size: tuple[int, int]  # (width, height) px
    lamp: np.ndarray  # unit vector towards the lamp
    ambient: float  # share of the light that comes from everywhere
    tint: np.ndarray  # colour of the lamp, RGB factors
    cloth: np.ndarray  # (3, 3): jacket, shirt, tie
    outfit: str  # suit, crew or neckline
    wall: str
    wall_colours: np.ndarray  # (3, 3)
    blur: float  # px
    noise: float  # grey levels
    quality: int  # of the JPEG file
    seed: int


@dataclass
class Frame:
    """What changes from frame to frame: pose, expression and place."""

    yaw: float = 0.0  # degrees, positive turns the nose to the right of the picture
    pitch: float = 0.0  # positive looks down
    roll: float = 0.0  # positive tilts the head clockwise in the picture
    smile: float = 0.0
    mouth_open: float = 0.0
    blink: float = 0.0
    brow_raise: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)  # shift of the irises, model units
    face_width: float = 0.43  # of the landmarks, as a share of the picture's width
    centre: tuple[float, float] = field(default=(0.5, 0.52))  # of the landmarks' box, as a share of width and height


# --- the shape of a face ------------------------------------------------------------------------------------


def mirror_half(half: dict[int, tuple[float, float]]) -> np.ndarray:
    """All 68 points (68, 2) from those of the right half."""
    points = np.zeros((68, 2))
    for i, (x, y) in half.items():
        points[i] = x, y
        points[MIRROR[i]] = -x, y
    return points


def frontal_points(shape: dict[str, float], frame: Frame) -> np.ndarray:
    """The 68 points (68, 2) of a person with an expression, seen from the front. Jaw points: ends of the slices."""
    p = mirror_half(RIGHT_HALF)
    side = np.sign(p[:, 0])
    jaw, brows, nose, eyes, mouth = (slice(*r) for r in ((0, 17), (17, 27), (27, 36), (36, 48), (48, 68)))

    # identity
    lower = np.clip(p[jaw, 1] / 1.3, 0, 1)  # 0 at the ear, 1 at the chin
    p[jaw, 0] *= shape["width"] * (1 + shape["jaw"] * lower * (1 - 0.5 * lower))
    p[jaw, 1] += shape["chin"] * lower**2
    centre = 0.36 * side[eyes]
    p[eyes, 0] = centre * shape["eye_spacing"] + (p[eyes, 0] - centre) * shape["eye_size"]
    p[eyes, 1] *= shape["eye_size"] * shape["eye_height"]
    p[eyes, 1] -= shape["eye_slant"] * (np.abs(p[eyes, 0]) - 0.36)
    p[brows, 1] += shape["brow_height"] - shape["brow_angle"] * (np.abs(p[brows, 0]) - 0.42)
    p[nose] = p[nose] * (shape["nose_width"], shape["nose_length"])
    p[mouth, 0] *= shape["mouth_width"]
    line = 0.78
    p[mouth, 1] = line + (p[mouth, 1] - line) * shape["lips"] + shape["mouth_height"]

    # expression
    brow_x = np.abs(p[brows, 0])
    p[brows, 1] -= frame.brow_raise * (0.06 + 0.05 * (0.65 - brow_x))
    upper, under = [37, 38, 43, 44], [40, 41, 46, 47]
    lid = 0.6 * p[[41, 40, 47, 46], 1] + 0.4 * p[upper, 1]  # closed lids meet below the middle
    closed = np.clip(frame.blink + 0.25 * frame.smile * (1 - frame.blink), 0, 1)
    p[upper, 1] += closed * (lid - p[upper, 1])
    p[under, 1] += closed * (lid + 0.006 - p[under, 1])
    corner = np.clip(np.abs(p[mouth, 0]) / np.abs(p[54, 0]), 0, 1)
    p[mouth, 0] *= 1 + 0.22 * frame.smile - 0.1 * frame.mouth_open
    p[mouth, 1] -= frame.smile * (0.075 * corner**2 - 0.01)
    drop = 0.26 * frame.mouth_open
    p[[55, 56, 57, 58, 59], 1] += drop * np.array([0.75, 0.97, 1, 0.97, 0.75])
    p[[65, 66, 67], 1] += drop + 0.07 * frame.smile  # a smile parts the lips
    p[[55, 56, 57, 58, 59], 1] += 0.05 * frame.smile
    p[[49, 50, 51, 52, 53, 61, 62, 63], 1] -= 0.02 * frame.smile
    p[[48, 54, 60, 64], 1] += 0.4 * drop
    p[jaw, 1] += 0.85 * drop * np.clip((p[jaw, 1] - 0.3) / 0.8, 0, 1)
    return p


def curve(knots: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The smooth curve (Catmull-Rom) that passes through knot k (K, C) at parameter t = k."""
    knots = np.asarray(knots, float)
    tangents = np.gradient(knots, axis=0)
    k = np.clip(np.floor(t).astype(int), 0, len(knots) - 2)
    f = (np.asarray(t) - k)[..., None]
    return (
        knots[k] * (1 + 2 * f) * (1 - f) ** 2
        + tangents[k] * f * (1 - f) ** 2
        + knots[k + 1] * f**2 * (3 - 2 * f)
        - tangents[k + 1] * f**2 * (1 - f)
    )


def outline(points: np.ndarray, n: int = 10) -> np.ndarray:
    """A smooth line through points (K, 2), n pieces between two of them."""
    return curve(points, np.linspace(0, len(points) - 1, n * (len(points) - 1) + 1))


def even(line: np.ndarray, n: int) -> np.ndarray:
    """n points (n, C) evenly spaced along a line (N, C)."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0, along[-1], n)
    return np.stack([np.interp(at, along, column) for column in line.T], -1)


def length(line: np.ndarray) -> float:
    return np.linalg.norm(np.diff(line, axis=0), axis=1).sum()


def map_pixels(xy: np.ndarray) -> np.ndarray:
    """Where model positions (..., 2) lie on the face maps, in pixels of the maps."""
    return (np.asarray(xy) + (MAP_X, -MAP_Y[0])) * MAP_SCALE


def read_map(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The face map's values at model positions x, y (H, W)."""
    at = map_pixels(np.stack([x, y], -1)).astype(np.float32)
    return cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def map_axes() -> tuple[np.ndarray, np.ndarray]:
    """The model's x (1, W) and y (H, 1) of the face maps' pixels."""
    x = np.arange(round(2 * MAP_X * MAP_SCALE) + 1) / MAP_SCALE - MAP_X
    y = np.arange(round((MAP_Y[1] - MAP_Y[0]) * MAP_SCALE) + 1) / MAP_SCALE + MAP_Y[0]
    return x[None], y[:, None]


def bump(x: float, y: float, width: float, height: float, size: float) -> np.ndarray:
    """A Gaussian hill of the height map at ±x, y."""
    mx, my = map_axes()
    across = np.exp(-(((mx - x) / width) ** 2))
    if x:
        across = across + np.exp(-(((mx + x) / width) ** 2))
    return size * np.exp(-(((my - y) / height) ** 2)) * across


def height_map(p: np.ndarray, shape: dict[str, float]) -> np.ndarray:
    """How far the face's features stand out of the smooth head, from the frontal points (68, 2)."""
    eye_x, eye_y = p[42:48].mean(0)
    brow_x, brow_y = p[22:27].mean(0)
    wing_x, wing_y = p[35]
    upper_y, lower_y = (p[51, 1] + p[62, 1]) / 2, (p[57, 1] + p[66, 1]) / 2
    h = bump(eye_x, eye_y - 0.02, 0.17, 0.13, -0.11) + bump(eye_x, eye_y, 0.13, 0.09, 0.06)
    h += bump(0.15, eye_y, 0.05, 0.09, -0.03) + bump(eye_x, eye_y + 0.13, 0.1, 0.04, -0.012)
    h += bump(brow_x, brow_y + 0.01, 0.24, 0.085, shape["brow_ridge"]) + bump(0, brow_y, 0.1, 0.1, 0.03)
    h += bump(0.44, 0.36, 0.2, 0.17, 0.06) + bump(0, 0.78, 0.32, 0.22, 0.07)
    h += bump(wing_x * 0.85, wing_y - 0.05, 0.055, 0.065, 0.1)
    h += bump(0, upper_y, p[54, 0] * 0.75, 0.05, 0.05) + bump(0, lower_y, p[54, 0] * 0.6, 0.055, 0.065)
    h += bump(0, (p[62, 1] + p[66, 1]) / 2, p[54, 0] * 0.9, 0.02, -0.025)
    h += bump(0, p[57, 1] + 0.09, 0.15, 0.05, -0.045) + bump(0, p[8, 1] - 0.14, 0.16, 0.12, 0.07)
    h += bump(0, (p[33, 1] + p[51, 1]) / 2, 0.03, 0.06, -0.02)
    # the nose: a ridge, its profile given at a few heights, wider towards the tip
    mx, my = map_axes()
    length = shape["nose_length"]
    tip, base = 0.42 * length, 0.55 * length
    profile = curve(
        np.array([(-0.2, 0), (0, 0.05), (0.5 * tip, 0.16), (0.85 * tip, 0.26), (tip, 0.3), (0.5 * (tip + base), 0.22),
                  (base, 0.05), (base + 0.05, 0)]),
        np.linspace(0, 7, 71),
    )  # fmt: skip
    ridge = np.interp(my, profile[:, 0], profile[:, 1], left=0, right=0) * shape["nose_depth"]
    width = np.interp(my, (0, 0.6 * tip, tip), (0.075, 0.085, 0.115)) * shape["nose_width"]
    return cv2.GaussianBlur((h + ridge * np.exp(-(np.abs(mx / width) ** 2.4))).astype(np.float32), (0, 0), 1.2)


class HeadShape:
    """The head's surface: a stack of slices from crown to chin; on a slice, angle 0 is the front, ±90° the sides."""

    def __init__(self, points: np.ndarray, shape: dict[str, float]):
        self.points = points
        widen = shape["width"]
        skull = [(y, w * widen, *depth) for y, w, *depth in SKULL]
        jaw = [(p[1], p[0], *depth) for p, depth in zip(points[16:7:-1], JAW_DEPTH, strict=True)]
        self.knots = np.array(skull + jaw)  # (15, 5): y, half width, z of front, side and back
        self.table = even(outline(self.knots, 200), 1500)  # many slices, evenly spaced on the surface
        self.table[:, 0] = np.maximum.accumulate(self.table[:, 0])
        self.heights = height_map(points, shape)

    def slices(self, y: np.ndarray) -> np.ndarray:
        """(…, 4): half width and z of front, side and back of the slices at height y."""
        return np.stack([np.interp(y, self.table[:, 0], self.table[:, c]) for c in range(1, 5)], -1)

    def on_slice(self, slices: np.ndarray, y: np.ndarray, a: np.ndarray) -> np.ndarray:
        """The surface (…, 3) at angle a of given slices (…, 4) at height y; features fade out towards the side."""
        width, front, side, back = np.moveaxis(slices, -1, 0)
        x = width * np.sin(a)
        cos = np.cos(a)
        z = side + np.where(cos > 0, front - side, side - back) * cos
        z = z + read_map(self.heights, *np.broadcast_arrays(x, y)) * np.clip(2.5 * cos, 0, 1)
        return np.stack(np.broadcast_arrays(x, y, z), -1)

    def surface(self, n: int, a: np.ndarray) -> np.ndarray:
        """The grid (n, A, 3) of the head: n slices at the angles a in radians."""
        rows = even(self.table, n)[:, None]
        return self.on_slice(rows[..., 1:], rows[..., 0], a[None])

    def landmarks(self, turn: np.ndarray) -> np.ndarray:
        """The 68 points in 3D (68, 3), before the pose. `turn` (3, 3): the head's rotation without its roll."""
        x, y = self.points.T
        slices = self.slices(y)
        a = np.arcsin(np.clip(x / np.maximum(slices[:, 0], 1e-6), -1, 1))
        p = self.on_slice(slices[:, None], y[:, None], a[:, None])[:, 0]
        # Jaw: of all points on its side's half of the slice, the one seen farthest out.
        quarter = np.radians(np.linspace(0, 90, 361))
        rows = self.knots[[*range(6, 14), *range(13, 5, -1)]]  # ear to chin to ear; the chin's tip is its own outline
        side = np.repeat((-1.0, 1.0), 8)
        arc = self.on_slice(rows[:, None, 1:], rows[:, None, 0], side[:, None] * quarter)
        out = (arc @ turn.T)[..., 0] * side[:, None]
        p[np.delete(np.arange(17), 8)] = arc[np.arange(16), out.argmax(1)]
        return p


# --- pose and camera ----------------------------------------------------------------------------------------


def rotation(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """The rotation matrix (3, 3) of a head pose in degrees; see `Frame` for the signs."""
    y, p, r = np.radians((yaw, pitch, roll))
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rx = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    rz = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return rz @ ry @ rx


def turn_head(points: np.ndarray, frame: Frame) -> np.ndarray:
    """Model points (…, 3) turned about the neck by the frame's pose."""
    return (points - NECK) @ rotation(frame.yaw, frame.pitch, frame.roll).T + NECK


def perspective(points: np.ndarray) -> np.ndarray:
    """Model points (…, 3) on the camera's plane (…, 2), still in model units."""
    return points[..., :2] * (CAMERA_DISTANCE / (CAMERA_DISTANCE - points[..., 2:]))


@dataclass
class Camera:
    """Picture px = scale * plane + offset; fitted so that the landmarks take their share of the picture."""

    scale: float
    offset: np.ndarray

    @classmethod
    def fit(cls, points: np.ndarray, frame: Frame, size: tuple[int, int]) -> "Camera":
        plane = perspective(points)
        low, high = plane.min(0), plane.max(0)
        scale = frame.face_width * size[0] / (high - low)[0]
        return cls(scale, np.array(frame.centre) * size - scale * (low + high) / 2)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.scale * perspective(points) + self.offset


def face_labels(person: Person, video: Video, frame: Frame) -> tuple[HeadShape, Camera, np.ndarray]:
    """The head's shape, the camera, and the 68 labels (68, 2) px of one picture."""
    head = HeadShape(frontal_points(person.shape, frame), person.shape)
    points = turn_head(head.landmarks(rotation(frame.yaw, frame.pitch)), frame)
    camera = Camera.fit(points, frame, video.size)
    return head, camera, camera(points)


# --- colours of the face ------------------------------------------------------------------------------------


def mask(polygon: np.ndarray, soft: float = 0.006) -> np.ndarray:
    """A filled polygon (N, 2) in model units as a map (H, W) in [0, 1], its edge blurred by `soft` model units."""
    image = np.zeros((map_axes()[1].size, map_axes()[0].size), np.uint8)
    cv2.fillPoly(image, [np.rint(map_pixels(polygon) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), soft * MAP_SCALE)


def stroke(line: np.ndarray, width: float, soft: float = 0.008) -> np.ndarray:
    """A line (N, 2) of a width in model units, tapered towards its ends, as a map in [0, 1]."""
    direction = np.gradient(line, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], -1) / np.linalg.norm(direction, axis=1, keepdims=True)
    half = normal * (width / 2 * (0.25 + 0.75 * np.sin(np.linspace(0.15, np.pi - 0.15, len(line)))))[:, None]
    return mask(np.vstack([line + half, (line - half)[::-1]]), soft)


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """An ellipse's outline (40, 2)."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], -1)


def blend(image: np.ndarray, alpha: np.ndarray, colour) -> None:
    """Lay a colour over an image (H, W, 3) where alpha (H, W) says, in place."""
    rows, columns = (np.flatnonzero(alpha.max(axis) > 1e-3) for axis in (1, 0))
    if rows.size:
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        image[part] += alpha[part][..., None] * (np.asarray(colour, np.float32) - image[part])


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Noise of about unit variance that varies over `cells` (rows, columns) patches of an image."""
    grid = rng.standard_normal(cells).astype(np.float32)
    return cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)


def paint_face(person: Person, p: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """The colour map (H, W, 3) and the gloss map (H, W) of a face, from its frontal points (68, 2)."""
    rng = np.random.default_rng(person.seed)
    mx, my = map_axes()
    skin = person.skin.astype(np.float32)
    image = np.ones((my.size, mx.size, 3), np.float32) * skin
    image *= 1 + (0.01 + 0.01 * person.age) * smooth_noise(rng, image.shape[:2], (110, 70))[..., None]
    blush = bump(0.46, 0.4, 0.2, 0.16, 0.2 + 0.15 * person.makeup) + bump(0, 0.42, 0.12, 0.12, 0.2)
    blend(image, blush.astype(np.float32), skin * (1.0, 0.74, 0.7))
    gloss = (0.28 + bump(0, 0.36, 0.05, 0.16, 0.25) + bump(0, -0.5, 0.4, 0.25, 0.12)).astype(np.float32)
    paint_creases(image, person, p, frame, skin)
    paint_beard(image, person, p, rng)
    paint_mouth(image, gloss, person, p, skin)
    for side in (-1, 1):
        paint_eye(image, gloss, person, p, frame, side, skin)
        paint_brow(image, person, p, side, rng)
    return image, gloss


def paint_creases(image: np.ndarray, person: Person, p: np.ndarray, frame: Frame, skin: np.ndarray) -> None:
    """Nostrils and the lines of nose, cheeks and forehead; older faces and smiles have deeper ones."""
    dark = skin * (0.52, 0.42, 0.4)
    fold = 0.06 + 0.25 * person.age + 0.2 * frame.smile
    for side in (-1, 1):
        wing, corner = p[35 if side > 0 else 31], p[54 if side > 0 else 48]
        ring = outline(wing + np.array([(-0.02, 0.02), (0.03, -0.03), (0.015, -0.1)]) * (side, 1))
        blend(image, 0.55 * stroke(ring, 0.025, 0.014), dark)
        lines = outline(np.array([wing + (0.06 * side, -0.06), (wing + corner) / 2 + (0.09 * side, 0), corner
                                  + (0.07 * side, 0.02)]))  # fmt: skip
        blend(image, fold * stroke(lines, 0.035, 0.016), dark)
        eye = p[42:48].mean(0) * (side, 1)
        bag = outline(eye + np.array([(-0.13, 0.07), (0, 0.125), (0.13, 0.075)]))
        blend(image, (0.12 + 0.3 * person.age) * stroke(bag, 0.03, 0.016), dark)
        nostril = ellipse(0.07 * side * p[35, 0] / 0.145, p[33, 1] - 0.022, 0.036, 0.017)
        blend(image, 0.85 * mask(nostril, 0.01), skin * (0.25, 0.16, 0.15))
    blend(image, 0.3 * mask(ellipse(0, p[33, 1] + 0.01, 0.14, 0.025), 0.03), dark)  # the nose's own shadow
    blend(image, 0.3 * mask(ellipse(0, p[57, 1] + 0.05, 0.13, 0.02), 0.02), dark)
    depth = 0.5 * max(person.age - 0.3, 0) + 0.25 * frame.brow_raise
    for y in (-0.45, -0.55, -0.65):
        wrinkle = outline(np.array([(-0.4, y + 0.02), (-0.15, y), (0.15, y), (0.4, y + 0.02)]))
        blend(image, depth * stroke(wrinkle, 0.016, 0.01), dark)


def paint_beard(image: np.ndarray, person: Person, p: np.ndarray, rng: np.random.Generator) -> None:
    """Stubble, moustache, goatee or full beard: hair colour through a soft mask with short strands."""
    if person.beard == "none":
        return
    lip, low = p[48:55], p[[54, 55, 56, 57, 58, 59, 48]]
    upper = np.vstack([outline(lip) + (0, -0.015), [(0.32, p[54, 1] + 0.05), (0.15, p[33, 1] + 0.05)],
                       [(-0.15, p[33, 1] + 0.05), (-0.32, p[48, 1] + 0.05)]])  # fmt: skip
    chin = np.vstack(
        [outline(low) + (0, 0.03), [(-0.3, p[8, 1] - 0.2), (-0.25, 1.9), (0.25, 1.9), (0.3, p[8, 1] - 0.2)]]
    )
    cheeks = np.vstack([[(-0.95, 0.25), (-0.66, 0.5), (-0.4, 0.72)], [(-0.2, p[33, 1] + 0.06), (0.2, p[33, 1] + 0.06)],
                        [(0.4, 0.72), (0.66, 0.5), (0.95, 0.25), (0.95, 1.9), (-0.95, 1.9)]])  # fmt: skip
    alpha = {
        "moustache": lambda: mask(upper, 0.02),
        "goatee": lambda: np.maximum(mask(upper, 0.02), mask(chin, 0.03)),
        "full": lambda: mask(cheeks, 0.04),
        "stubble": lambda: 0.4 * mask(cheeks, 0.07),
    }[person.beard]()
    strands = np.clip(0.85 + 0.25 * smooth_noise(rng, alpha.shape, (130, 190)), 0, 1)
    blend(image, alpha * strands * 0.9, person.hair_colour * 0.85)


def paint_mouth(image: np.ndarray, gloss: np.ndarray, person: Person, p: np.ndarray, skin: np.ndarray) -> None:
    """Lips between the outer (48-59) and inner (60-67) line, and what shows when they part."""
    lips = np.vstack([outline(p[48:55]), outline(p[[54, 55, 56, 57, 58, 59, 48]])])
    inside = np.vstack([outline(p[60:65]), outline(p[[64, 65, 66, 67, 60]])])
    natural = skin * (0.86, 0.62, 0.6)
    rouge = np.array((168, 40, 52), np.float32)
    area = mask(lips)
    blend(image, 0.9 * area, natural * (1 - person.makeup) + rouge * person.makeup)
    blend(image, 0.25 * area * mask(ellipse(0, p[51, 1] + 0.02, 0.4, 0.055), 0.02), natural * 0.55)  # upper lip: shade
    gloss += area * (0.15 + 0.4 * person.makeup)
    blend(image, 0.8 * stroke(outline(p[60:65]), 0.022, 0.006), skin * (0.3, 0.16, 0.15))
    opening = mask(inside)
    gloss *= 1 - 0.8 * opening
    blend(image, opening, (52, 16, 18))
    gap = p[66, 1] - p[62, 1]
    if gap > 0.04:
        across = np.linspace(-1, 1, 15)  # the teeth's lower edge is flatter than the lip above, which hides its ends
        edge = np.stack([0.85 * p[64, 0] * across, p[62, 1] + min(0.09, 0.6 * gap) - 0.02 * across**2], -1)
        teeth = np.vstack([edge, [(p[64, 0], p[62, 1] - 0.1), (p[60, 0], p[62, 1] - 0.1)]])
        blend(image, opening * mask(teeth, 0.01), (226, 218, 202))
        tongue = mask(ellipse(0, p[66, 1] + 0.01, 0.14, 0.07), 0.02)
        blend(image, opening * tongue * np.clip(gap / 0.2, 0, 1), (150, 66, 66))


def paint_eye(image, gloss, person: Person, p: np.ndarray, frame: Frame, side: int, skin: np.ndarray) -> None:
    """One eye: white, iris, pupil, highlight, lids and lashes. Its lids run through its six points."""
    right = p[42:48] * (side, 1)  # the face is symmetric: inner corner, two upper, outer corner, two lower
    upper, under = outline(right[:4]), outline(right[[3, 4, 5, 0]])
    opening = mask(np.vstack([upper, under]), 0.004)
    centre = right.mean(0)
    size = right[3, 0] * side - right[0, 0] * side
    blend(image, 0.35 * mask(ellipse(*centre - (0, 0.07), 0.17, 0.05), 0.03), skin * (0.66, 0.52, 0.5))
    if person.makeup > 0.4:
        blend(image, 0.5 * mask(ellipse(*centre - (0, 0.06), 0.16, 0.05), 0.02), skin * (0.6, 0.45, 0.5))
    blend(image, opening, (246, 243, 238))
    blend(image, opening * mask(ellipse(right[0, 0], right[0, 1], 0.03, 0.03)), (196, 130, 120))
    iris = np.array([0.36 * side * abs(centre[0]) / 0.36, 0.0]) + (0, right[[0, 3], 1].mean() - 0.005) + frame.gaze
    radius = 0.25 * size
    blend(image, opening * mask(ellipse(*iris, radius, radius)), person.iris * 0.55)
    blend(image, opening * mask(ellipse(*iris, radius * 0.82, radius * 0.82)), person.iris * 1.15)
    blend(image, opening * mask(ellipse(*iris, radius * 0.42, radius * 0.42), 0.004), (12, 10, 10))
    shadow = mask(np.vstack([upper, upper[::-1] + (0, 0.03)]), 0.012)
    blend(image, 0.5 * opening * shadow, (60, 40, 36))
    blend(image, opening * mask(ellipse(iris[0] + 0.02, iris[1] - 0.022, 0.012, 0.012), 0.003), (255, 255, 255))
    blend(image, 0.85 * stroke(upper, 0.022 + 0.012 * person.makeup, 0.005), skin * 0.12 + (14, 8, 6))
    blend(image, 0.4 * stroke(under, 0.016, 0.006), skin * (0.4, 0.3, 0.28))
    crease = outline(right[:4] + np.array([(0.01 * side, -0.03), (0, -0.045), (0, -0.045), (0.01 * side, -0.02)]))
    blend(image, 0.45 * stroke(crease, 0.018, 0.008), skin * (0.45, 0.33, 0.3))
    gloss *= 1 - 0.8 * opening


def paint_brow(image: np.ndarray, person: Person, p: np.ndarray, side: int, rng: np.random.Generator) -> None:
    """One brow along its five points, with hairs that lean outwards."""
    line = outline(p[22:27] * (side, 1))
    width = 0.075 * person.shape["brow_width"]
    colour = person.hair_colour * 0.62
    blend(image, 0.62 * stroke(line, width, 0.012), colour)
    for _ in range(26):
        root = line[rng.integers(len(line))] + (0, rng.uniform(-0.3, 0.45) * width)
        tip = root + np.array([side * 0.055, -0.022]) * rng.uniform(0.6, 1.2)
        blend(image, 0.5 * stroke(np.linspace(root, tip, 4), 0.012, 0.004), colour)


# --- surfaces, light and drawing ----------------------------------------------------------------------------


@dataclass
class Lamp:
    """The light of a picture: one lamp, light from everywhere, and a highlight on glossy skin."""

    direction: np.ndarray
    ambient: float
    tint: np.ndarray

    def shade(self, normals: np.ndarray, colour: np.ndarray, gloss) -> np.ndarray:
        """Colours (N, 3) as lit on a surface with normals (N, 3); both colours are sRGB, light adds linearly."""
        lit = np.clip((normals @ self.direction + 0.15) / 1.15, 0, None)[:, None]
        rim = 0.75 + 0.25 * np.clip(normals[:, 2:], 0, 1)  # surfaces seen edge-on get less light from around
        half = self.direction + (0, 0, 1)
        shine = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 22 * gloss
        linear = (np.clip(colour, 0, 255) / 255) ** 2.2
        linear = linear * (self.ambient * rim + (1.15 - self.ambient) * lit * self.tint) + 0.22 * shine[:, None]
        return 255 * np.clip(linear, 0, 1) ** (1 / 2.2)


class Picture:
    """Collects lit surface samples and draws them over a background, near ones over far ones."""

    def __init__(self, background: np.ndarray, camera: Camera, lamp: Lamp):
        self.image, self.camera, self.lamp = background, camera, lamp
        self.at, self.z, self.colour = [], [], []

    def step(self, span: float) -> int:
        """How many samples a surface of this span (model units) needs to leave few holes."""
        return int(np.ceil(span * self.camera.scale * SUPERSAMPLE * 1.15)) + 2

    def add(self, grid: np.ndarray, colour: np.ndarray, gloss=0.1, keep=None, inside=False) -> None:
        """Add a surface: posed points (R, C, 3) with rows downwards and columns to the right as seen from outside,
        colours (R, C, 3), a gloss that broadcasts to (R, C), optionally which samples to keep (R, C), and whether the
        surface is seen from inside too."""
        grid = grid.astype(np.float32)
        normals = np.cross(np.gradient(grid, axis=1), np.gradient(grid, axis=0))
        if inside:
            normals *= np.where(normals[..., 2:] < 0, -1, 1)
        facing = normals[..., 2] > 0
        if keep is not None:
            facing &= keep
        at = np.rint(SUPERSAMPLE * self.camera(grid) + (SUPERSAMPLE - 1) / 2).astype(int)
        height, width = self.image.shape[:2]
        facing &= (at >= 0).all(-1) & (at < (width, height)).all(-1)
        n = normals[facing]
        n /= np.linalg.norm(n, axis=1, keepdims=True)
        gloss = np.broadcast_to(gloss, facing.shape)[facing]
        colour = np.broadcast_to(colour, (*facing.shape, 3))[facing]
        self.at.append(at[facing])
        self.z.append(grid[facing][:, 2])
        self.colour.append(self.lamp.shade(n, colour, gloss))

    def draw(self) -> np.ndarray:
        """The picture (H, W, 3) float in 0…255, at the drawing size."""
        at, z, colour = (np.concatenate(part) for part in (self.at, self.z, self.colour))
        order = np.argsort((z * 4000).astype(np.int16), kind="stable")  # 16 bits sort fastest
        columns, rows = at[order].T
        depth = np.full(self.image.shape[:2], -9, np.float32)
        self.image[rows, columns] = colour[order]  # the last one written, the nearest, stays
        depth[rows, columns] = z[order]
        # pixels between the samples, where something farther shines through
        holes = depth < cv2.medianBlur(depth, 5) - 0.025
        self.image[holes] = cv2.medianBlur(self.image, 5)[holes]
        return self.image


def smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def add_head(picture: Picture, head: HeadShape, person: Person, frame: Frame) -> None:
    """The head, its face and ears."""
    # columns are denser in front, where the nose stretches them
    s = np.linspace(-0.95, 0.95, picture.step(5.2))
    a = np.pi * (0.6 * s + 0.4 * s**3)
    grid = head.surface(picture.step(0.9 * length(head.table)), a)
    colours, gloss = paint_face(person, head.points, frame)
    x, y = grid[..., 0], grid[..., 1]
    colour = read_map(colours, x, y)
    behind = smoothstep((np.abs(a) - 1.35) / 0.3)[None, :, None]  # no features on the back of the head
    under = 1 - 0.3 * smoothstep((np.abs(a) - 1.6) / 0.4)[None, :, None] * smoothstep((y - 0.3) / 0.3)[..., None]
    colour = (colour + behind * (person.skin - colour)) * under
    picture.add(turn_head(grid, frame), colour, read_map(gloss, x, y))
    for side in (-1, 1):
        ear, rim = ear_grid(picture, head, side)
        picture.add(turn_head(ear, frame), person.skin * np.array((1.0, 0.93, 0.92)) * rim[..., None], 0.15)


def ear_grid(picture: Picture, head: HeadShape, side: int) -> tuple[np.ndarray, np.ndarray]:
    """An ear: a flat ellipsoid that stands off the head; and its brightness (darker inside the rim)."""
    u, v = np.meshgrid(np.linspace(-np.pi, np.pi, picture.step(1.2)), np.linspace(0, np.pi, picture.step(0.8)))
    local = np.stack([0.05 * np.sin(v) * np.sin(u), -0.27 * np.cos(v), 0.17 * np.sin(v) * np.cos(u)], -1)
    local[..., 2] *= 1 - 0.25 * np.clip(local[..., 1:2] / 0.27, 0, 1)[..., 0]  # narrow lobe
    grid = local @ rotation(-32 * side, -8).T
    grid = grid + (side * (head.slices(np.array(0.1))[0] + 0.05), 0.13, -0.17)
    radius = np.hypot((local[..., 1] + 0.03) / 0.27, local[..., 2] / 0.16)
    outside = np.sign(local[..., 0]) == side
    inner = np.exp(-(((radius - 0.45) / 0.22) ** 2)) * outside
    return grid, 1 - 0.45 * inner


def add_body(picture: Picture, person: Person, video: Video, frame: Frame) -> None:
    """Neck and shoulders. The neck's top follows the head, its foot stays with the body."""
    thick = 0.46 * person.shape["neck"] * person.shape["width"]
    y = np.linspace(0.55, 2.1, picture.step(1.8))[:, None]
    a = np.linspace(-2.2, 2.2, picture.step(2.6))[None]
    flare = thick * (1 + 0.5 * smoothstep((y - 1.25) / 0.6))
    shift = -0.3 - 0.12 * (y - 1)
    grid = np.stack(np.broadcast_arrays(flare * np.sin(a), y, shift + 0.95 * flare * np.cos(a)), -1)
    follow = 1 - smoothstep((y - 0.6) / 1.2)[..., None]
    grid = follow * turn_head(grid, frame) + (1 - follow) * grid
    shade = 0.55 + 0.4 * smoothstep((y - 1.2) / 0.5)[..., None]
    picture.add(grid, person.skin * (1, 0.97, 0.96) * shade, 0.1)

    knots = np.array([(thick * 1.1, 1.46), (thick * 1.65, 1.58), (1.1, 1.72), (1.55, 1.92), (1.85, 2.35), (1.97, 3.2),
                      (2, 4.4)])  # fmt: skip
    rows = even(outline(knots), picture.step(5.2))[:, None]
    a = np.linspace(-np.pi / 2 - 0.3, np.pi / 2 + 0.3, picture.step(7))[None]
    radius, y = rows[..., 0], rows[..., 1]
    depth = np.minimum(radius, 0.45 + 0.3 * (radius - 0.5))
    grid = np.stack(np.broadcast_arrays(radius * np.sin(a), y + 0.12 * np.cos(a), depth * np.cos(a) - 0.38), -1)
    picture.add(grid, cloth_colours(grid, person, video), 0.05)


def cloth_colours(grid: np.ndarray, person: Person, video: Video) -> np.ndarray:
    """The colours of the shoulders: a suit with shirt and tie, a crew-neck top, or one with a neckline."""
    x, y = np.abs(grid[..., 0]), grid[..., 1]
    front = grid[..., 2] > -0.4
    rng = np.random.default_rng(video.seed)
    colour = np.ones_like(grid) * video.cloth[0]
    colour *= 1 + 0.05 * smooth_noise(rng, y.shape, (9, 14))[..., None]
    if video.outfit == "suit":
        colour[(np.abs(x - 0.62 + 0.35 * (y - 1.6)) < 0.02) & front] *= 0.6  # lapels
        colour[(x < 0.62 - 0.42 * (y - 1.55)) & front] = video.cloth[1]
        colour[(x < 0.08 + 0.03 * (y - 1.7)) & front & (y > 1.7)] = video.cloth[2]
    elif video.outfit == "neckline":
        colour[(x**2 + (y - 1.5) ** 2 / 0.6 < 0.42) & front] = person.skin * 0.93
    else:
        colour[y < 1.57] *= 0.82  # the collar's rib
    return colour


# Per style: hairline y, temple angle°, thickness, length (lowest y), angle° below the ear, roughness of the edge
HAIR_STYLES = {
    "short": (-0.80, 60, 0.10, 0.55, 108, 0.06),
    "full": (-0.72, 58, 0.19, 0.60, 104, 0.08),
    "fringe": (-0.42, 66, 0.13, 0.60, 104, 0.10),
    "receding": (-1.02, 74, 0.06, 0.50, 106, 0.06),
    "buzz": (-0.82, 60, 0.01, 0.50, 112, 0.03),
    "afro": (-0.76, 62, 0.36, 0.7, 106, 0.05),
    "bob": (-0.66, 62, 0.17, 1.25, 84, 0.08),
    "long": (-0.74, 58, 0.15, 2.3, 88, 0.08),
    "parted": (-0.86, 56, 0.13, 1.9, 94, 0.06),
    "tied": (-0.78, 60, 0.06, 0.6, 106, 0.04),
}


def add_hair(picture: Picture, head: HeadShape, person: Person, frame: Frame) -> None:
    """A shell over the head, from the hairline outwards; below the ears it hangs straight down."""
    if person.hair == "bald":
        return
    line, temple, thick, lowest, below, rough = HAIR_STYLES[person.hair]
    rng = np.random.default_rng(person.seed + 1)
    crown = head.table[head.table[:, 0] < 0.1]
    ends = crown[-1] + np.linspace(0, lowest - 0.1, 20)[:, None] * (1, 0, 0, 0, 0)
    meridian = np.vstack([crown, ends])
    rows = even(meridian, picture.step(1.7 * length(meridian)))[:, None]  # the shell's swelling stretches it
    y0 = rows[..., 0]
    a = np.linspace(-np.pi, np.pi, picture.step(6.2))[None]
    shape = (len(rows), a.size)
    tilt = {"parted": 0.0, "buzz": 0.0, "afro": 0.0}.get(person.hair, 0.09 * rng.choice((-1, 1)))
    edge = smooth_noise(rng, shape, (3, 60)) * rough
    y = y0 + tilt * np.sin(a) + edge
    limit = np.radians(
        np.interp(y, (line, line + 0.12, line + 0.35, -0.1, 0.12, 0.3), (0, temple * 0.7, temple, 78, 92, below))
    )
    if person.hair == "parted":  # two curtains that fall from the middle
        limit = np.minimum(limit, np.radians(np.interp(y, (line, -0.35, 0.3, 1.0), (0, 52, 72, 78))))
    inside = np.maximum((np.abs(a) + edge - limit) / 0.5, (line - y) / 0.22)
    lumps = 1 + 0.12 * smooth_noise(rng, shape, (12, 30) if person.hair == "afro" else (4, 9))
    extra = 0.035 + thick * smoothstep(inside * 0.8) * lumps
    extra = extra * (1 + 0.5 * smoothstep((y0 - 0.2) / 1.2))  # hanging hair spreads
    width, front, side, back = (rows[..., c] for c in range(1, 5))
    closing = np.sqrt(np.clip(width / 0.5, 0, 1))  # at the crown the shell closes too
    x = (width + extra * closing) * np.sin(a)
    reach = np.where(np.cos(a) > 0, front - side, side - back) + extra * closing
    lift = extra * (1 - smoothstep((y0 + 1.22) / 0.8))
    grid = np.stack(np.broadcast_arrays(x, y0 - lift, side + reach * np.cos(a)), -1)
    strands = 1 + 0.14 * smooth_noise(rng, shape, (5, 170)) + 0.1 * smooth_noise(rng, shape, (9, 60))
    if person.hair in ("afro", "buzz"):
        strands = 1 + 0.16 * smooth_noise(rng, shape, (150, 250))
    colour = person.hair_colour * np.clip(strands, 0.4, 1.6)[..., None]
    colour = colour * (0.65 + 0.35 * smoothstep(inside * 2))[..., None]  # darker at the roots
    posed = turn_head(grid, frame)
    loose = smoothstep((y0 - 0.8) / 1.2)[..., None]  # long ends rest on the shoulders
    posed = posed + loose * 0.6 * (grid - posed)
    picture.add(posed, colour, 0.15, keep=inside > 0, inside=True)
    if person.hair == "tied":
        u, v = np.meshgrid(np.linspace(-np.pi, np.pi, picture.step(2)), np.linspace(0, np.pi, picture.step(1.2)))
        bun = np.stack([0.3 * np.sin(v) * np.sin(u), -0.27 * np.cos(v), 0.3 * np.sin(v) * np.cos(u)], -1)
        bun_strands = 1 + 0.15 * smooth_noise(rng, u.shape, (4, 40))
        picture.add(turn_head(bun + (0, -1.12, -0.75), frame), person.hair_colour * bun_strands[..., None], 0.25)


def add_glasses(picture: Picture, head: HeadShape, person: Person, frame: Frame) -> None:
    """Wire or horn rims around the eyes, a bridge, and arms to the ears."""
    if not person.glasses:
        return
    eye = head.points[42:48].mean(0)
    rng = np.random.default_rng(person.seed + 2)
    thick, squareness = rng.uniform(0.014, 0.032), rng.uniform(0.6, 1.0)
    colour = np.array([(24, 20, 20), (80, 50, 30), (130, 126, 120)][rng.integers(3)])
    angle = np.linspace(0, 2 * np.pi, picture.step(1.6))
    c, s = np.cos(angle), np.sin(angle)
    for side in (-1, 1):
        x = side * (eye[0] + 0.01) + 0.235 * np.sign(c) * np.abs(c) ** squareness
        y = eye[1] + 0.02 + 0.185 * np.sign(s) * np.abs(s) ** squareness
        rim = np.stack([x, y, 1.13 - 0.35 * x**2], -1)
        arm_x = np.linspace(eye[0] + 0.24, head.slices(np.array(-0.05))[0] + 0.04, picture.step(1.6))
        arm = np.stack([side * arm_x, np.full_like(arm_x, eye[1] - 0.03), np.linspace(1.02, -0.1, arm_x.size)], -1)
        for line in (rim, arm):
            picture.add(turn_head(tube(line, thick), frame), colour, 0.5)
    x = np.linspace(-eye[0] + 0.22, eye[0] - 0.22, picture.step(0.4))
    bridge = np.stack([x, eye[1] - 0.05 + x**2, np.full_like(x, 1.14)], -1)
    picture.add(turn_head(tube(bridge, thick), frame), colour, 0.5)


def tube(line: np.ndarray, radius: float) -> np.ndarray:
    """A tube (N, 12, 3) around a line (N, 3); its columns turn so that its outside is seen."""
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    first = np.cross(along, (0.31, 0.2, 0.93))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(along, first)
    angle = np.linspace(0, 2 * np.pi, 14)[:, None]
    return line[:, None] + radius * (np.cos(angle) * first[:, None] - np.sin(angle) * second[:, None])


def background(video: Video) -> np.ndarray:
    """A wall, shelves, a curtain, a window or lights, out of focus; at the drawing size."""
    rng = np.random.default_rng(video.seed)
    width, height = (SUPERSAMPLE * n for n in video.size)
    first, second, third = video.wall_colours.astype(np.float32)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = first * (1 - 0.5 * ramp) * np.ones((height, width, 1), np.float32)
    if video.wall == "shelves":
        y = 0
        while y < height:
            step, x = int(height * rng.uniform(0.14, 0.25)), 0
            while x < width:
                book = int(width * rng.uniform(0.02, 0.07))
                tone = (first, second, third)[rng.integers(3)] * rng.uniform(0.5, 1.1)
                cv2.rectangle(
                    image,
                    (x, y + int(step * rng.uniform(0.05, 0.3))),
                    (x + book, y + step),
                    tone.tolist(),
                    -1,
                )
                x += book + 2
            cv2.rectangle(image, (0, y + step), (width, y + step + height // 60), (first * 0.35).tolist(), -1)
            y += step + height // 60
    elif video.wall == "curtain":
        folds = smooth_noise(rng, (1, width), (1, 14)).reshape(1, width, 1)
        image *= 1 + 0.22 * np.clip(folds, -2, 2)
    elif video.wall == "window":
        for _ in range(3):
            x, y, w, h = (
                rng.uniform(-0.1, 0.8) * width,
                rng.uniform(-0.2, 0.6) * height,
                *rng.uniform(0.15, 0.5, 2),
            )
            corner, far = (int(x), int(y)), (int(x + w * width), int(y + h * height))
            cv2.rectangle(image, corner, far, ((second, third)[rng.integers(2)]).tolist(), -1)
            cv2.rectangle(image, corner, far, (first * 0.4).tolist(), max(2, width // 70))
    elif video.wall == "lights":
        for _ in range(26):
            at = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            tone = (first, second, third)[rng.integers(3)] * rng.uniform(0.6, 1.7)
            cv2.circle(image, at, int(width * rng.uniform(0.02, 0.09)), tone.tolist(), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), width * rng.uniform(0.006, 0.014))


def draw(person: Person, video: Video, frame: Frame, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One picture (H, W, 3) uint8 RGB and its 68 labels (68, 2) px. `index` varies the sensor noise."""
    head, camera, labels = face_labels(person, video, frame)
    picture = Picture(background(video), camera, Lamp(video.lamp, video.ambient, video.tint))
    add_body(picture, person, video, frame)
    add_head(picture, head, person, frame)
    add_hair(picture, head, person, frame)
    add_glasses(picture, head, person, frame)
    image = cv2.resize(picture.draw(), video.size, interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (0, 0), video.blur)
    rng = np.random.default_rng([video.seed, index])
    image += video.noise * cv2.GaussianBlur(rng.standard_normal(image.shape).astype(np.float32), (0, 0), 0.6)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels


# --- invented people ----------------------------------------------------------------------------------------


def random_person(rng: np.random.Generator) -> Person:
    """A person with looks drawn at random."""
    woman, age = rng.random() < 0.5, rng.random()
    tone = rng.uniform(0, len(SKIN) - 1)
    skin = curve(np.array(SKIN), np.array(tone))
    dark = tone > 3.2
    grey = age > 0.7 and rng.random() < 0.7
    hair = HAIR[-1] if grey else HAIR[rng.integers(2 if dark else len(HAIR) - 1)]
    styles = ["short", "full", "fringe", "bob", "long", "long", "parted", "parted", "tied"]
    if not woman:
        styles = ["short", "short", "full", "fringe", "receding", "buzz", "bald"]
    styles = [*styles, "afro"] if dark else styles
    normal = rng.normal
    shape = {
        "width": 1 + 0.04 * normal(), "jaw": 0.06 * normal() - 0.06 * woman, "chin": 0.05 * normal(),
        "eye_size": 1 + 0.05 * normal() + 0.03 * woman, "eye_spacing": 1 + 0.03 * normal(),
        "eye_height": float(np.clip(1 + 0.15 * normal() + 0.1 * woman, 0.7, 1.35)), "eye_slant": 0.06 * normal(),
        "brow_height": 0.02 * normal() - 0.015 * woman, "brow_angle": 0.07 * normal() + 0.03,
        "brow_width": float(np.clip(1 + 0.25 * normal() - 0.3 * woman, 0.45, 1.6)), "brow_ridge": 0.05 - 0.03 * woman,
        "nose_width": 1 + 0.1 * normal() + 0.12 * dark, "nose_length": 1 + 0.05 * normal(),
        "nose_depth": 1 + 0.12 * normal() - 0.1 * dark, "mouth_width": 1 + 0.08 * normal(),
        "lips": float(np.clip(1 + 0.15 * normal() + 0.12 * woman + 0.15 * dark, 0.65, 1.6)),
        "mouth_height": 0.02 * normal(), "neck": 1.02 - 0.16 * woman,
    }  # fmt: skip
    return Person(
        skin=skin,
        hair_colour=np.array(hair) * rng.uniform(0.85, 1.15) + (40 if grey and rng.random() < 0.4 else 0),
        iris=np.array(IRIS[rng.integers(3 if dark else len(IRIS))]),
        shape=shape,
        age=age,
        hair=styles[rng.integers(len(styles))],
        beard="none" if woman else rng.choice(["none", "none", "stubble", "moustache", "goatee", "full"]),
        glasses=rng.random() < 0.2,
        makeup=rng.uniform(0, 0.7) * woman,
        seed=int(rng.integers(2**31)),
    )


def random_video(rng: np.random.Generator) -> Video:
    """A camera, a place, a lamp and clothes drawn at random."""
    width = int(rng.integers(110, 190))
    lamp = np.array([rng.normal(0, 0.6), rng.uniform(-0.9, 0.0), rng.uniform(0.6, 1.2)])
    suit = rng.random() < 0.45
    cloth = np.array([CLOTH[i] for i in rng.integers(len(CLOTH), size=3)])
    if suit:
        cloth[:2] = CLOTH[rng.integers(3)], (220, 220, 226)
    return Video(
        size=(width, int(np.clip(width * rng.uniform(0.9, 1.25), 110, 200))),
        lamp=lamp / np.linalg.norm(lamp),
        ambient=rng.uniform(0.35, 0.65),
        tint=1 + np.array([1, 0.2, -1]) * rng.normal(0, 0.06),
        cloth=cloth,
        outfit="suit" if suit else rng.choice(["crew", "neckline"]),
        wall=rng.choice(["plain", "shelves", "curtain", "window", "lights"]),
        wall_colours=np.array([WALL[i] for i in rng.integers(len(WALL), size=3)]),
        blur=rng.uniform(0.3, 0.9),
        noise=rng.uniform(1, 5),
        quality=int(rng.integers(78, 90)),
        seed=int(rng.integers(2**31)),
    )


def random_frame(rng: np.random.Generator) -> Frame:
    """A pose and an expression drawn at random; most faces look roughly at the camera."""
    return Frame(
        yaw=float(np.clip(rng.normal(0, 20), -45, 45)),
        pitch=float(np.clip(rng.normal(0, 8), -20, 20)),
        roll=float(np.clip(rng.normal(0, 8), -25, 25)),
        smile=max(0.0, rng.uniform(-0.8, 1)),
        mouth_open=max(0.0, rng.uniform(-1, 0.9)),
        blink=1.0 if rng.random() < 0.06 else max(0.0, rng.uniform(-0.6, 0.5)),
        brow_raise=rng.uniform(-0.3, 1) ** 3,
        gaze=(rng.uniform(-0.045, 0.045), rng.uniform(-0.012, 0.012)),
        face_width=float(np.clip(rng.normal(0.43, 0.05), 0.33, 0.55)),
        centre=(0.5 + rng.uniform(-0.06, 0.06), 0.53 + rng.uniform(-0.04, 0.06)),
    )


def people_names(split: str) -> list[str]:
    """The names of a split's people: all different, none in two splits."""
    names = [f"{first}_{LAST[(i + k) % len(LAST)]}" for k in range(4) for i, first in enumerate(FIRST)]
    start = sum(SPLITS[s][0] for s in list(SPLITS)[: list(SPLITS).index(split)])
    return names[start : start + SPLITS[split][0]]


def pictures(split: str, seed: int):
    """Yield the (file name, picture, labels, JPEG quality) of a split. Each person depends on seed and name only."""
    _, videos, frames = SPLITS[split]
    for name in people_names(split):
        rng = np.random.default_rng([seed, *name.encode()])
        person = random_person(rng)
        for v in range(videos):
            video = random_video(rng)
            for f in range(frames):
                image, labels = draw(person, video, random_frame(rng), f)
                yield f"{name}_{v}{f}.jpg", image, labels, video.quality


def write_split(folder: Path, split: str, seed: int) -> None:
    """Write a split's pictures and its CSV file, in the layout of the public set."""
    shutil.rmtree(folder / split, ignore_errors=True)
    (folder / split).mkdir(parents=True)
    with (folder / f"{split}_frames_keypoints.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["", *range(136)])
        for name, image, labels, quality in pictures(split, seed):
            options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
            ok, data = cv2.imencode(".jpg", image[..., ::-1], options)
            assert ok, name
            (folder / split / name).write_bytes(data.tobytes())
            table.writerow([name, *(f"{value:.2f}" for value in labels.ravel())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", type=Path, default=Path(__file__).parent / "sample", help="where to write")
    parser.add_argument("--seed", type=int, default=0, help="other people (default: 0)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for split in SPLITS:
        write_split(args.output_dir, split, args.seed)


if __name__ == "__main__":
    main()
