"""Hair: a shell around the head whose edge is the hairline."""

from typing import NamedTuple

import numpy as np

from datasets.synthetic.curves import even, length, smooth_noise, smoothstep
from datasets.synthetic.head import SKULL, HeadShape
from datasets.synthetic.people import Frame, Person
from datasets.synthetic.pose import turn_head
from datasets.synthetic.surfaces import Picture


class HairStyle(NamedTuple):
    line: float  # y of the hairline above the forehead
    temple: float  # degrees: angle of the edge on its slice at the temples
    thick: float
    lowest: float  # y of the ends
    below: float  # degrees: angle of the edge below the ear
    rough: float  # how far the edge strays


HAIR_STYLES = {
    "short": HairStyle(-0.80, 60, 0.10, 0.55, 108, 0.06),
    "full": HairStyle(-0.72, 58, 0.19, 0.60, 104, 0.08),
    "fringe": HairStyle(-0.42, 66, 0.13, 0.60, 104, 0.10),
    "receding": HairStyle(-1.02, 74, 0.06, 0.50, 106, 0.06),
    "buzz": HairStyle(-0.82, 60, 0.01, 0.50, 112, 0.03),
    "afro": HairStyle(-0.76, 62, 0.36, 0.7, 106, 0.05),
    "bob": HairStyle(-0.66, 62, 0.17, 1.25, 84, 0.08),
    "long": HairStyle(-0.74, 58, 0.15, 2.3, 88, 0.08),
    "parted": HairStyle(-0.86, 56, 0.13, 1.9, 94, 0.06),
    "tied": HairStyle(-0.78, 60, 0.06, 0.6, 106, 0.04),
}
EVEN_STYLES = {"parted", "buzz", "afro"}  # the hairline of all others slopes to one side


def add_hair(picture: Picture, head: HeadShape, person: Person, frame: Frame) -> None:
    """A shell over the head, from the hairline outwards; below the ears it hangs straight down."""
    if person.hair == "bald":
        return
    rng = np.random.default_rng(person.seed + 1)
    style = HAIR_STYLES[person.hair]
    rows = shell_rows(picture, head, style)
    a = np.linspace(-np.pi, np.pi, picture.step(6.2))[None]
    inside = inside_hairline(rows[..., 0], a, person, rng)
    curly = person.hair == "afro"
    lumps = 1 + 0.12 * smooth_noise(rng, inside.shape, (12, 30) if curly else (4, 9))
    grid = shell_grid(rows, a, 0.035 + style.thick * smoothstep(inside * 0.8) * lumps)
    posed = turn_head(grid, frame)
    loose = smoothstep((rows[..., :1] - 0.8) / 1.2)  # long ends rest on the shoulders
    posed = posed + loose * 0.6 * (grid - posed)
    picture.add(posed, strand_colours(inside, person, rng), 0.15, keep=inside > 0, inside=True)
    if person.hair == "tied":
        add_bun(picture, person, frame, rng)


def shell_rows(picture: Picture, head: HeadShape, style: HairStyle) -> np.ndarray:
    """The slices (R, 1, 5) that hair covers: the head's down to the ears; the last of these again down to the ends."""
    crown = head.table[head.table[:, 0] < 0.1]
    ends = crown[-1] + np.linspace(0, style.lowest - 0.1, 20)[:, None] * (1, 0, 0, 0, 0)
    meridian = np.vstack([crown, ends])
    return even(meridian, picture.step(1.7 * length(meridian)))[:, None]  # the shell's swelling stretches it


def inside_hairline(y: np.ndarray, a: np.ndarray, person: Person, rng: np.random.Generator) -> np.ndarray:
    """How far inside the hairline a place at height y (R, 1) and angle a (1, C) lies: (R, C), negative outside."""
    style = HAIR_STYLES[person.hair]
    slope = 0.09 * rng.choice((-1, 1)) * (person.hair not in EVEN_STYLES)
    edge = smooth_noise(rng, (y.size, a.size), (3, 60)) * style.rough
    y = y + slope * np.sin(a) + edge
    heights = (style.line, style.line + 0.12, style.line + 0.35, -0.1, 0.12, 0.3)
    limit = np.radians(np.interp(y, heights, (0, style.temple * 0.7, style.temple, 78, 92, style.below)))
    if person.hair == "parted":  # two curtains that fall from the middle
        limit = np.minimum(limit, np.radians(np.interp(y, (style.line, -0.35, 0.3, 1.0), (0, 52, 72, 78))))
    return np.maximum((np.abs(a) + edge - limit) / 0.5, (style.line - y) / 0.22)


def shell_grid(rows: np.ndarray, a: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """The outer surface (R, C, 3) of the hair: a shell (R, C) thick around slices (R, 1, 5), at the angles a (1, C)."""
    y, width, front, side, back = np.moveaxis(rows, -1, 0)
    thickness = thickness * (1 + 0.5 * smoothstep((y - 0.2) / 1.2))  # hanging hair spreads
    closing = np.sqrt(np.clip(width / 0.5, 0, 1))  # at the crown the shell closes too
    x = (width + thickness * closing) * np.sin(a)
    reach = np.where(np.cos(a) > 0, front - side, side - back) + thickness * closing
    lift = thickness * (1 - smoothstep((y - SKULL[0][0]) / 0.8))
    return np.stack(np.broadcast_arrays(x, y - lift, side + reach * np.cos(a)), -1)


def strand_colours(inside: np.ndarray, person: Person, rng: np.random.Generator) -> np.ndarray:
    """The shell's colours (R, C, 3): strands that run downwards, or curls; darker at the roots."""
    strands = 1 + 0.14 * smooth_noise(rng, inside.shape, (5, 170)) + 0.1 * smooth_noise(rng, inside.shape, (9, 60))
    if person.hair in ("afro", "buzz"):
        strands = 1 + 0.16 * smooth_noise(rng, inside.shape, (150, 250))
    colour = person.hair_colour * np.clip(strands, 0.4, 1.6)[..., None]
    return colour * (0.65 + 0.35 * smoothstep(inside * 2))[..., None]


def add_bun(picture: Picture, person: Person, frame: Frame, rng: np.random.Generator) -> None:
    """The knot of tied hair, behind the crown."""
    u, v = np.meshgrid(np.linspace(-np.pi, np.pi, picture.step(2)), np.linspace(0, np.pi, picture.step(1.2)))
    bun = np.stack([0.3 * np.sin(v) * np.sin(u), -0.27 * np.cos(v), 0.3 * np.sin(v) * np.cos(u)], -1)
    strands = 1 + 0.15 * smooth_noise(rng, u.shape, (4, 40))
    picture.add(turn_head(bun + (0, -1.12, -0.75), frame), person.hair_colour * strands[..., None], 0.25)
