"""The parts of a person as surfaces, but for the hair: head, ears, neck, shoulders and glasses."""

import numpy as np

from datasets.synthetic.curves import even, length, outline, smooth_noise, smoothstep, tube
from datasets.synthetic.face_maps import read_map
from datasets.synthetic.head import HeadShape
from datasets.synthetic.paint import paint_face
from datasets.synthetic.people import Frame, Person, Video
from datasets.synthetic.pose import rotation, turn_head
from datasets.synthetic.surfaces import Picture
from face68.landmarks import LEFT_EYE


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
    """Neck and shoulders."""
    radius = 0.46 * person.shape["neck"] * person.shape["width"]
    add_neck(picture, radius, person, frame)
    grid = shoulder_grid(picture, radius)
    picture.add(grid, cloth_colours(grid, person, video), 0.05)


def add_neck(picture: Picture, radius: float, person: Person, frame: Frame) -> None:
    """The neck: its top follows the head, its foot stays with the body."""
    y = np.linspace(0.55, 2.1, picture.step(1.8))[:, None]
    a = np.linspace(-2.2, 2.2, picture.step(2.6))[None]
    flare = radius * (1 + 0.5 * smoothstep((y - 1.25) / 0.6))
    shift = -0.3 - 0.12 * (y - 1)
    grid = np.stack(np.broadcast_arrays(flare * np.sin(a), y, shift + 0.95 * flare * np.cos(a)), -1)
    follow = 1 - smoothstep((y - 0.6) / 1.2)[..., None]
    grid = follow * turn_head(grid, frame) + (1 - follow) * grid
    shade = 0.55 + 0.4 * smoothstep((y - 1.2) / 0.5)[..., None]
    picture.add(grid, person.skin * (1, 0.97, 0.96) * shade, 0.1)


def shoulder_grid(picture: Picture, neck: float) -> np.ndarray:
    """The shoulders (R, C, 3), from a neck of this radius downwards."""
    knots = np.array([(neck * 1.1, 1.46), (neck * 1.65, 1.58), (1.1, 1.72), (1.55, 1.92), (1.85, 2.35), (1.97, 3.2),
                      (2, 4.4)])  # fmt: skip
    rows = even(outline(knots), picture.step(5.2))[:, None]
    a = np.linspace(-np.pi / 2 - 0.3, np.pi / 2 + 0.3, picture.step(7))[None]
    radius, y = rows[..., 0], rows[..., 1]
    depth = np.minimum(radius, 0.45 + 0.3 * (radius - 0.5))
    return np.stack(np.broadcast_arrays(radius * np.sin(a), y + 0.12 * np.cos(a), depth * np.cos(a) - 0.38), -1)


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


def add_glasses(picture: Picture, head: HeadShape, person: Person, frame: Frame) -> None:
    """Wire or horn rims around the eyes, a bridge, and arms to the ears."""
    if not person.glasses:
        return
    eye = head.points[LEFT_EYE].mean(0)
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
