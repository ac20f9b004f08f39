"""The shape of a head: its 68 points seen from the front, and the surface that they lie on."""

import cv2
import numpy as np

from datasets.synthetic.curves import curve, even, outline
from datasets.synthetic.face_maps import bump, map_axes, read_map
from datasets.synthetic.people import Frame
from face68.landmarks import CHIN, FLIP, LEFT_EYE, NUM_LANDMARKS, REGIONS

JAW, BROWS, NOSE, EYES, MOUTH = (list(REGIONS[name]) for name in ("jaw", "brows", "nose", "eyes", "mouth"))

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
EYE_X = 0.36  # of the middle of the right half's eye

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


def mirror_half(half: dict[int, tuple[float, float]]) -> np.ndarray:
    """All 68 points (68, 2) from those of the right half."""
    points = np.zeros((NUM_LANDMARKS, 2))
    for i, (x, y) in half.items():
        points[i] = x, y
        points[FLIP[i]] = -x, y
    return points


def neutral_points(shape: dict[str, float]) -> np.ndarray:
    """The 68 points (68, 2) of a person's calm face, seen from the front. Jaw points: ends of the slices."""
    p = mirror_half(RIGHT_HALF)
    lower = np.clip(p[JAW, 1] / 1.3, 0, 1)  # 0 at the ear, 1 at the chin
    p[JAW, 0] *= shape["width"] * (1 + shape["jaw"] * lower * (1 - 0.5 * lower))
    p[JAW, 1] += shape["chin"] * lower**2
    centre = EYE_X * np.sign(p[EYES, 0])
    p[EYES, 0] = centre * shape["eye_spacing"] + (p[EYES, 0] - centre) * shape["eye_size"]
    p[EYES, 1] *= shape["eye_size"] * shape["eye_height"]
    p[EYES, 1] -= shape["eye_slant"] * (np.abs(p[EYES, 0]) - EYE_X)
    p[BROWS, 1] += shape["brow_height"] - shape["brow_angle"] * (np.abs(p[BROWS, 0]) - 0.42)
    p[NOSE] = p[NOSE] * (shape["nose_width"], shape["nose_length"])
    p[MOUTH, 0] *= shape["mouth_width"]
    line = 0.78  # where the lips meet
    p[MOUTH, 1] = line + (p[MOUTH, 1] - line) * shape["lips"] + shape["mouth_height"]
    return p


def with_expression(neutral: np.ndarray, frame: Frame) -> np.ndarray:
    """The 68 points (68, 2) of a calm face with the frame's expression."""
    p = neutral.copy()
    brow_x = np.abs(p[BROWS, 0])
    p[BROWS, 1] -= frame.brow_raise * (0.06 + 0.05 * (0.65 - brow_x))
    upper, under = [37, 38, 43, 44], [40, 41, 46, 47]
    lid = 0.6 * p[[41, 40, 47, 46], 1] + 0.4 * p[upper, 1]  # closed lids meet below the middle
    closed = np.clip(frame.blink + 0.25 * frame.smile * (1 - frame.blink), 0, 1)
    p[upper, 1] += closed * (lid - p[upper, 1])
    p[under, 1] += closed * (lid + 0.006 - p[under, 1])
    corner = np.clip(np.abs(p[MOUTH, 0]) / np.abs(p[54, 0]), 0, 1)
    p[MOUTH, 0] *= 1 + 0.22 * frame.smile - 0.1 * frame.mouth_open
    p[MOUTH, 1] -= frame.smile * (0.075 * corner**2 - 0.01)
    drop = 0.26 * frame.mouth_open
    p[[55, 56, 57, 58, 59], 1] += drop * np.array([0.75, 0.97, 1, 0.97, 0.75])
    p[[65, 66, 67], 1] += drop + 0.07 * frame.smile  # a smile parts the lips
    p[[55, 56, 57, 58, 59], 1] += 0.05 * frame.smile
    p[[49, 50, 51, 52, 53, 61, 62, 63], 1] -= 0.02 * frame.smile
    p[[48, 54, 60, 64], 1] += 0.4 * drop
    p[JAW, 1] += 0.85 * drop * np.clip((p[JAW, 1] - 0.3) / 0.8, 0, 1)
    return p


def height_map(p: np.ndarray, shape: dict[str, float]) -> np.ndarray:
    """The height of the face's features over the smooth head (H, W), by the frontal points (68, 2)."""
    eye_x, eye_y = p[LEFT_EYE].mean(0)
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
    h += bump(0, p[57, 1] + 0.09, 0.15, 0.05, -0.045) + bump(0, p[CHIN, 1] - 0.14, 0.16, 0.12, 0.07)
    h += bump(0, (p[33, 1] + p[51, 1]) / 2, 0.03, 0.06, -0.02)
    return cv2.GaussianBlur((h + nose_map(shape)).astype(np.float32), (0, 0), 1.2)


def nose_map(shape: dict[str, float]) -> np.ndarray:
    """The height of the nose (H, W): a ridge that becomes wider towards the tip; its profile is a smooth curve."""
    mx, my = map_axes()
    tip, base = (RIGHT_HALF[i][1] * shape["nose_length"] for i in (30, 33))
    profile = curve(
        np.array([(-0.2, 0), (0, 0.05), (0.5 * tip, 0.16), (0.85 * tip, 0.26), (tip, 0.3), (0.5 * (tip + base), 0.22),
                  (base, 0.05), (base + 0.05, 0)]),
        np.linspace(0, 7, 71),
    )  # fmt: skip
    ridge = np.interp(my, profile[:, 0], profile[:, 1], left=0, right=0) * shape["nose_depth"]
    width = np.interp(my, (0, 0.6 * tip, tip), (0.075, 0.085, 0.115)) * shape["nose_width"]
    return ridge * np.exp(-(np.abs(mx / width) ** 2.4))


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
        """The surface points (…, 3) at angle a on slices (…, 4) at height y; features fade out to the sides."""
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
        """The 68 points in 3D, (68, 3), of the head before it is turned.

        turn: (3, 3), the rotation without the roll; it decides where the jaw's outline is.
        """
        x, y = self.points.T
        slices = self.slices(y)
        a = np.arcsin(np.clip(x / np.maximum(slices[:, 0], 1e-6), -1, 1))
        p = self.on_slice(slices[:, None], y[:, None], a[:, None])[:, 0]
        # Jaw: of all points on its side's half of the slice, the one seen farthest out.
        quarter = np.radians(np.linspace(0, 90, 361))
        right = self.knots[len(SKULL) : -1]  # ear to chin; the chin's tip is its own outline
        rows = np.vstack([right, right[::-1]])
        side = np.repeat((-1.0, 1.0), 8)
        arc = self.on_slice(rows[:, None, 1:], rows[:, None, 0], side[:, None] * quarter)
        out = (arc @ turn.T)[..., 0] * side[:, None]
        p[np.delete(np.arange(17), 8)] = arc[np.arange(16), out.argmax(1)]
        return p
