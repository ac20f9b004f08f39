"""The colours of a face, painted on maps: skin, creases, beard, mouth, eyes and brows."""

import numpy as np

from datasets.synthetic.curves import ellipse, outline, smooth_noise
from datasets.synthetic.face_maps import blend, bump, map_axes, mask, stroke
from datasets.synthetic.head import RIGHT_HALF
from datasets.synthetic.people import Frame, Person
from face68.landmarks import CHIN, LEFT_EYE


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
        ring = wing + np.array([(-0.02, 0.02), (0.03, -0.03), (0.015, -0.1)]) * (side, 1)
        middle = (wing + corner) / 2 + (0.09 * side, 0)
        cheek = np.array([wing + (0.06 * side, -0.06), middle, corner + (0.07 * side, 0.02)])
        bag = p[LEFT_EYE].mean(0) * (side, 1) + np.array([(-0.13, 0.07), (0, 0.125), (0.13, 0.075)])
        blend(image, 0.55 * stroke(outline(ring), 0.025, 0.014), dark)
        blend(image, fold * stroke(outline(cheek), 0.035, 0.016), dark)
        blend(image, (0.12 + 0.3 * person.age) * stroke(outline(bag), 0.03, 0.016), dark)
        nostril = ellipse(0.07 * side * p[35, 0] / RIGHT_HALF[35][0], p[33, 1] - 0.022, 0.036, 0.017)
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
        [outline(low) + (0, 0.03), [(-0.3, p[CHIN, 1] - 0.2), (-0.25, 1.9), (0.25, 1.9), (0.3, p[CHIN, 1] - 0.2)]]
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


def paint_eye(
    image: np.ndarray, gloss: np.ndarray, person: Person, p: np.ndarray, frame: Frame, side: int, skin: np.ndarray
) -> None:
    """One eye: white, iris, pupil, highlight, lids and lashes. Its lids run through its six points."""
    right = p[LEFT_EYE] * (side, 1)  # the face is symmetric: inner corner, two upper, outer corner, two lower
    upper, under = outline(right[:4]), outline(right[[3, 4, 5, 0]])
    opening = mask(np.vstack([upper, under]), 0.004)
    centre = right.mean(0)
    size = right[3, 0] * side - right[0, 0] * side
    blend(image, 0.35 * mask(ellipse(*centre - (0, 0.07), 0.17, 0.05), 0.03), skin * (0.66, 0.52, 0.5))
    if person.makeup > 0.4:
        blend(image, 0.5 * mask(ellipse(*centre - (0, 0.06), 0.16, 0.05), 0.02), skin * (0.6, 0.45, 0.5))
    blend(image, opening, (246, 243, 238))
    blend(image, opening * mask(ellipse(right[0, 0], right[0, 1], 0.03, 0.03)), (196, 130, 120))
    iris = np.array([centre[0], right[[0, 3], 1].mean() - 0.005]) + frame.gaze
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
