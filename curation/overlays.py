"""The overlays that come with the library, drawn as shapes: `python prepare.py overlays` writes them.

Each is drawn around the point by which its place holds it (`face68.overlays.PLACES`), in distances of the outer eye
corners, y pointing down, and averaged down from a picture that is SUPERSAMPLE times as large. Colours are RGB, or two:
above and below, with all between.
"""

import cv2
import numpy as np

from datasets.synthetic.curves import curve, ellipse, outline
from face68.draw import BLUE, ORANGE, VERMILION, WHITE, YELLOW
from face68.images import write_cutout
from face68.overlays import PICTURES, PLACES

SCALE = 280  # px of the eyes' distance in the pictures
SUPERSAMPLE = 4
SHIFT = 4  # OpenCV draws at 1/16 pixel

HORN, HORN_LIGHT = ((96, 60, 38), (46, 28, 22)), (190, 138, 98)
FRAME, FRAME_LIGHT = ((52, 52, 58), (16, 16, 20)), (150, 152, 160)
HAIR, HAIR_LIGHT = ((70, 44, 28), (34, 20, 14)), (142, 98, 66)
FUR, PINK, WHISKER = ((108, 100, 100), (66, 60, 62)), ((250, 186, 190), (224, 138, 150)), (250, 250, 250)
SHADE = (30, 20, 20)


class Canvas:
    """A transparent picture as wide as a place of this name, in its coordinates, on which shapes are laid.

    top, bottom: y of its edges.
    """

    def __init__(self, name: str, top: float, bottom: float):
        width = PLACES[name].width
        self.corner = np.array([-width / 2, top])
        self.size = round(SCALE * width), round(SCALE * (bottom - top))  # px
        columns, rows = (SUPERSAMPLE * side for side in self.size)
        self.layers = np.zeros((rows, columns, 4), np.float32)  # premultiplied, 0 … 1

    def fill(self, shape: np.ndarray, colour: tuple, opacity: float = 1.0, soft: float = 0.0) -> None:
        """Lay a polygon (N, 2) on top. soft: how far its edge is blurred."""
        mask = np.zeros(self.layers.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._fixed_point(shape)], 255, cv2.LINE_AA, SHIFT)
        self._lay(mask, shape, 3 * soft, colour, opacity, soft)

    def stroke(self, line: np.ndarray, width: float, colour: tuple, opacity: float = 1.0) -> None:
        """Lay a line (N, 2) with round ends on top."""
        mask = np.zeros(self.layers.shape[:2], np.uint8)
        thick = round(width * SCALE * SUPERSAMPLE)
        cv2.polylines(mask, [self._fixed_point(line)], False, 255, thick, cv2.LINE_AA, SHIFT)
        self._lay(mask, line, width, colour, opacity)

    def picture(self) -> np.ndarray:
        """What is drawn, (H, W, 4) uint8 RGBA."""
        small = cv2.resize(self.layers, self.size, interpolation=cv2.INTER_AREA)
        small[..., :3] /= np.maximum(small[..., 3:], 1e-6)
        return np.rint(255 * np.clip(small, 0, 1)).astype(np.uint8)

    def _px(self, points: np.ndarray) -> np.ndarray:
        return (points - self.corner) * SCALE * SUPERSAMPLE - 0.5

    def _fixed_point(self, points: np.ndarray) -> np.ndarray:
        return np.rint(self._px(points) * 2**SHIFT).astype(np.int32)

    def _lay(
        self, mask: np.ndarray, shape: np.ndarray, reach: float, colour: tuple, opacity: float, soft: float = 0.0
    ) -> None:
        """Lay a colour where a mask says, that is nowhere farther than `reach` from the shape."""
        low, high = self._px(shape.min(axis=0)), self._px(shape.max(axis=0))
        margin = reach * SCALE * SUPERSAMPLE + 2
        (x0, y0), (x1, y1) = (np.maximum(v, 0).astype(int) for v in (low - margin, high + margin))
        part, mask = self.layers[y0:y1, x0:x1], mask[y0:y1, x0:x1]
        if soft:
            mask = cv2.GaussianBlur(mask, (0, 0), soft * SCALE * SUPERSAMPLE)
        above, below = np.broadcast_to(np.array(colour, np.float32) / 255, (2, 3))
        down = np.clip((np.arange(y0, y0 + len(mask)) - low[1]) / (high[1] - low[1]), 0, 1)[:, None, None]
        alpha = opacity / 255 * mask[..., None].astype(np.float32)
        part *= 1 - alpha
        part[..., 3:] += alpha
        part[..., :3] += alpha * (above + (below - above) * down)


def closed(*points: tuple[float, float]) -> np.ndarray:
    """The smooth closed line (N, 2) through points; the first one is the last one too."""
    ring = np.array([points[-1], *points, *points[:2]])
    return outline(ring, 16)[16:-16]


def smooth(*points: tuple[float, float]) -> np.ndarray:
    """The smooth line (N, 2) through points."""
    return outline(np.array(points), 16)


# --- Glasses --------------------------------------------------------------------------------------------------


def draw_glasses() -> np.ndarray:
    """Round horn rims and clear lenses."""
    canvas = Canvas("glasses", -0.36, 0.4)
    lens = closed((0.09, 0.0), (0.16, -0.18), (0.36, -0.24), (0.56, -0.19), (0.64, -0.01), (0.57, 0.2), (0.36, 0.28),
                  (0.16, 0.19))  # fmt: skip
    add_frame(canvas, lens, 0.055, HORN)
    for side in (-1, 1):
        rim = lens * (side, 1)
        canvas.fill(rim, WHITE, 0.08)
        add_glint(canvas, side, 0.22)
        canvas.stroke(rim, 0.055, HORN)
        canvas.stroke(smooth((0.18, -0.185), (0.36, -0.243), (0.54, -0.2)) * (side, 1), 0.012, HORN_LIGHT, 0.8)
    return canvas.picture()


def draw_sunglasses() -> np.ndarray:
    """A broad black frame and dark lenses, lighter below."""
    canvas = Canvas("sunglasses", -0.36, 0.42)
    lens = closed((0.08, -0.05), (0.14, -0.2), (0.38, -0.235), (0.62, -0.235), (0.68, -0.12), (0.62, 0.16),
                  (0.43, 0.285), (0.22, 0.24), (0.11, 0.1))  # fmt: skip
    add_frame(canvas, lens, 0.07, FRAME)
    for side in (-1, 1):
        rim = lens * (side, 1)
        canvas.fill(rim, ((14, 16, 24), (62, 50, 66)), 0.93)
        add_glint(canvas, side, 0.2)
        canvas.stroke(rim, 0.07, FRAME)
        canvas.stroke(smooth((0.17, -0.215), (0.38, -0.245), (0.6, -0.24)) * (side, 1), 0.014, FRAME_LIGHT, 0.7)
    return canvas.picture()


def add_frame(canvas: Canvas, lens: np.ndarray, width: float, colour: tuple) -> None:
    """What lies behind the rims: the bridge, the hinges, and a soft shadow on the face."""
    bridge = smooth((-0.09, -0.06), (-0.05, -0.1), (0.0, -0.115), (0.05, -0.1), (0.09, -0.06))
    for side in (-1, 1):
        canvas.fill(lens * (side, 1) + (0, 0.035), SHADE, 0.2, soft=0.02)
        canvas.stroke(smooth((0.62, -0.12), (0.7, -0.13), (0.765, -0.115)) * (side, 1), width, colour)
    canvas.stroke(bridge, width, colour)


def add_glint(canvas: Canvas, side: int, opacity: float) -> None:
    """Two bands of light across a lens, from the same lamp on both."""
    for left, right in ((0.0, 0.1), (0.13, 0.16)):
        band = np.array([(left, 0.15), (left + 0.14, -0.17), (right + 0.14, -0.17), (right, 0.15)])
        canvas.fill(band + (side * 0.36 - 0.15, 0.0), WHITE, opacity, soft=0.004)


# --- Hair and hats --------------------------------------------------------------------------------------------


def draw_moustache() -> np.ndarray:
    """A handlebar, its ends curled up."""
    canvas = Canvas("moustache", -0.28, 0.28)
    half = [(0.0, -0.07), (0.09, -0.105), (0.2, -0.075), (0.31, 0.0), (0.42, 0.015), (0.49, -0.05), (0.5, -0.13),
            (0.455, -0.16), (0.52, -0.175), (0.565, -0.1), (0.55, 0.01), (0.46, 0.095), (0.33, 0.13), (0.17, 0.125),
            (0.05, 0.085)]  # fmt: skip
    whole = closed((0.0, -0.06), *half[1:], (0.0, 0.045), *[(-x, y) for x, y in half[:0:-1]])
    canvas.fill(whole + (0, 0.02), SHADE, 0.25, soft=0.015)
    canvas.fill(whole, HAIR)
    rng = np.random.default_rng(0)
    upper = np.array([(0.03, -0.04), (0.12, -0.07), (0.24, -0.03), (0.38, 0.04), (0.49, 0.015), (0.53, -0.08)])
    lower = np.array([(0.03, 0.04), (0.1, 0.09), (0.24, 0.1), (0.4, 0.085), (0.5, 0.035), (0.54, -0.08)])
    for share in rng.uniform(0, 1, 46):
        start, end = np.sort(rng.uniform(0, 5, 2))
        strand = curve(upper + (lower - upper) * share, np.linspace(start, max(end, start + 1), 24).clip(0, 5))
        colour, side = (HAIR_LIGHT, SHADE)[int(rng.integers(2))], int(rng.choice([-1, 1]))
        canvas.stroke(strand * (side, 1), 0.006, colour, 0.55)
    return canvas.picture()


def draw_hat() -> np.ndarray:
    """A party hat: stripes around a cone, and a ball of paper strips on its tip."""
    canvas = Canvas("hat", -1.32, 0.12)
    canvas.fill(cone_band(0, 1) + (0, 0.03), SHADE, 0.3, soft=0.02)
    canvas.fill(cone_band(0, 1), VERMILION)
    for i, low in enumerate(np.arange(-0.06, 1.0, 0.2)):
        canvas.fill(cone_band(low, low + 0.1, slope=0.08), (YELLOW, WHITE)[i % 2])
    for start, end, colour, opacity in ((-85, -20, WHITE, 0.22), (25, 70, SHADE, 0.16), (50, 88, SHADE, 0.22)):
        canvas.fill(cone_band(0.02, 0.98, start=start, end=end), colour, opacity, soft=0.025)
    rim = on_cone(np.linspace(-90, 90, 40), np.zeros(40))
    canvas.stroke(rim, 0.045, BLUE)
    canvas.stroke(rim[4:18] - (0, 0.01), 0.01, WHITE, 0.5)
    rng = np.random.default_rng(0)
    for colour in (ORANGE, YELLOW, (250, 240, 150)):
        for angle, length in zip(rng.uniform(0, 2 * np.pi, 60), rng.uniform(0.06, 0.13, 60), strict=True):
            tip = length * np.array([np.cos(angle), np.sin(angle)])
            canvas.stroke(np.array([(0.0, -1.14), (tip[0], tip[1] - 1.14)]), 0.014, colour)
    return canvas.picture()


def on_cone(degrees: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Points (N, 2) of the hat's cone by how far around they are, 0 in front, and how high, 0 … 1."""
    around, left = np.radians(degrees), 1 - np.clip(height, 0, 1)
    return np.column_stack([0.46 * left * np.sin(around), 0.12 * left * np.cos(around) - 1.15 * (1 - left) - 0.04])


def cone_band(low: float, high: float, slope: float = 0.0, start: float = -90, end: float = 90) -> np.ndarray:
    """The outline of a band around the cone from height `low` to `high`, rising to the right by `slope`."""
    degrees = np.linspace(start, end, 40)
    rise = slope * degrees / 90
    return np.vstack([on_cone(degrees, low + rise), on_cone(degrees[::-1], high + rise[::-1])])


# --- A cat ----------------------------------------------------------------------------------------------------


def draw_ears() -> np.ndarray:
    """Two ears of gray fur, pink inside."""
    canvas = Canvas("ears", -1.0, 0.06)
    outer = np.vstack([
        smooth((0.22, -0.42), (0.34, -0.62), (0.52, -0.8), (0.7, -0.92)),
        smooth((0.75, -0.91), (0.83, -0.66), (0.86, -0.38), (0.82, -0.06)),
        smooth((0.82, -0.06), (0.66, -0.13), (0.44, -0.29), (0.22, -0.42)),
    ])  # fmt: skip
    inner = np.vstack([
        smooth((0.38, -0.42), (0.47, -0.58), (0.57, -0.69), (0.69, -0.79)),
        smooth((0.69, -0.79), (0.755, -0.6), (0.775, -0.4), (0.755, -0.17)),
        smooth((0.755, -0.17), (0.64, -0.2), (0.5, -0.3), (0.38, -0.42)),
    ])  # fmt: skip
    rng = np.random.default_rng(0)
    roots = outline(np.array([(0.4, -0.36), (0.5, -0.27), (0.62, -0.19), (0.74, -0.14)]), 12)
    edge = outline(np.array([(0.24, -0.41), (0.44, -0.28), (0.66, -0.12), (0.8, -0.05)]), 30)
    for side in (-1, 1):
        canvas.fill((outer + (0, 0.03)) * (side, 1), SHADE, 0.25, soft=0.02)
        canvas.fill(outer * (side, 1), FUR)
        canvas.fill(inner * (side, 1), PINK, soft=0.008)
        canvas.fill((inner * 0.86 + (0.1, -0.04)) * (side, 1), (170, 84, 100), 0.35, soft=0.03)
        for root in roots:
            tip = root + (rng.uniform(-0.02, 0.07), -rng.uniform(0.14, 0.3))
            canvas.fill(blade(root, tip, 0.016) * (side, 1), (214, 206, 204), 0.85)
        for root in edge:  # the fur of the head runs into them
            tip = root + (rng.uniform(-0.05, 0.01), rng.uniform(0.01, 0.06))
            canvas.fill(blade(root + (0.0, -0.05), tip, 0.014) * (side, 1), FUR[1])
    return canvas.picture()


def draw_nose() -> np.ndarray:
    """A cat's nose and whiskers."""
    canvas = Canvas("nose", -0.3, 0.5)
    nose = closed((0.0, -0.13), (0.12, -0.145), (0.2, -0.1), (0.185, -0.01), (0.085, 0.09), (0.0, 0.12), (-0.085, 0.09),
                  (-0.185, -0.01), (-0.2, -0.1), (-0.12, -0.145))  # fmt: skip
    for side in (-1, 1):
        for x, y, end_x, end_y in ((0.3, 0.08, 0.84, -0.12), (0.32, 0.15, 0.88, 0.1), (0.3, 0.22, 0.82, 0.31)):
            canvas.fill(whisker((x, y), (end_x, end_y), 0.03) * (side, 1), SHADE, 0.75)
            canvas.fill(whisker((x, y), (end_x, end_y), 0.015) * (side, 1), WHISKER)
        for x, y in ((0.22, 0.1), (0.25, 0.165), (0.21, 0.215)):
            canvas.fill(ellipse(side * x, y, 0.014, 0.014), FUR[1], 0.9)
    canvas.fill(nose + (0, 0.025), SHADE, 0.3, soft=0.02)
    canvas.fill(nose, PINK)
    for side in (-1, 1):
        canvas.fill(ellipse(side * 0.09, 0.025, 0.042, 0.02), (140, 62, 78), 0.75, soft=0.006)
    canvas.fill(ellipse(-0.06, -0.095, 0.07, 0.021), WHITE, 0.6, soft=0.01)
    return canvas.picture()


def blade(root: np.ndarray, tip: np.ndarray, width: float) -> np.ndarray:
    """A tuft of hair: a triangle (3, 2)."""
    return np.array([root - (width, 0), root + (width, 0), tip])


def whisker(start: tuple[float, float], end: tuple[float, float], width: float) -> np.ndarray:
    """A hair (N, 2) that sags a little and runs to a point."""
    t = np.linspace(0, 1, 24)[:, None]
    line = np.array(start) + (np.array(end) - start) * t + (0, -0.16) * t * (1 - t)
    half = width / 2 * (1 - t) * (0, 1)
    return np.vstack([line + half, (line - half)[::-1]])


DRAWN = {
    "glasses": draw_glasses,
    "sunglasses": draw_sunglasses,
    "moustache": draw_moustache,
    "hat": draw_hat,
    "ears": draw_ears,
    "nose": draw_nose,
}


def write_overlays() -> None:
    """Draw all into the library's folder."""
    for name, draw in DRAWN.items():
        write_cutout(PICTURES / f"{name}.png", draw())
        print(PICTURES / f"{name}.png")
