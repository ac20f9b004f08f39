"""Invented people, their videos and the frames of these videos. A picture is drawn from one of each."""

from dataclasses import dataclass

import numpy as np

from datasets.synthetic.curves import curve

# Colours are RGB, 0 to 255; SKIN from light to dark, HAIR and IRIS with the dark ones first, gray hair last.
SKIN = [(244, 208, 188), (232, 186, 160), (214, 164, 130), (186, 132, 98), (146, 98, 70), (104, 68, 50), (74, 48, 38)]
HAIR = [(28, 24, 24), (50, 36, 28), (84, 56, 36), (128, 88, 50), (196, 160, 100), (138, 66, 34), (150, 148, 146)]
IRIS = [(70, 44, 26), (92, 62, 34), (60, 36, 24), (84, 104, 122), (104, 130, 150), (90, 104, 70)]
CLOTH = [(36, 40, 52), (28, 28, 30), (70, 74, 84), (120, 40, 44), (40, 70, 110), (200, 196, 186), (60, 90, 70),
         (150, 110, 80), (110, 70, 120), (220, 220, 226)]  # fmt: skip
WALL = [(92, 100, 116), (150, 140, 122), (60, 70, 64), (122, 60, 54), (40, 46, 70), (176, 182, 186), (104, 84, 66),
        (60, 96, 130), (30, 28, 32), (130, 146, 120)]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """What stays the same in all pictures of a person. Factors are 1 on average, lengths in model units."""

    skin: np.ndarray
    hair_colour: np.ndarray
    iris: np.ndarray
    shape: dict[str, float]  # factors and offsets, see `head.neutral_points`
    age: float  # 0 young, 1 old
    hair: str  # a key of `hair.HAIR_STYLES`, or bald
    beard: str  # none, stubble, moustache, goatee or full
    glasses: bool
    makeup: float  # 0 to 1
    seed: int  # for the details: strands, freckles


@dataclass(frozen=True, eq=False)
class Video:
    """What stays the same in all frames of a video."""

    size: tuple[int, int]  # (width, height) px
    lamp: np.ndarray  # unit vector towards the lamp
    ambient: float  # share of the light that comes from everywhere
    tint: np.ndarray  # colour of the lamp, RGB factors
    cloth: np.ndarray  # (3, 3): jacket, shirt, tie
    outfit: str  # suit, crew (a round collar) or neckline
    wall: str  # plain, or a key of `scene.WALLS`
    wall_colours: np.ndarray  # (3, 3): three colours of what is behind the person
    blur: float  # px
    noise: float  # grey levels
    quality: int  # of the JPEG file
    seed: int


@dataclass(frozen=True)
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
    centre: tuple[float, float] = (0.5, 0.52)  # of the landmarks' box, as a share of width and height


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
        cloth[:2] = CLOTH[rng.integers(3)], CLOTH[-1]  # dark, over a white shirt
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
