"""The scripts of the drawn films: people, surroundings and motion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from datasets.synthetic.curves import smoothstep
from datasets.synthetic.people import Frame, Person, Video, random_person, random_video
from datasets.synthetic.pose import posed_landmarks

SIZE = (640, 360)  # px
NTSC = Fraction(30000, 1001)  # frames per second


@dataclass(frozen=True, eq=False)
class Actor:
    """A person in a film.

    clothes: a video; its cloth, outfit and seed are used, and nothing else.
    script: gives pose, expression and position at a time in seconds.
    """

    person: Person
    clothes: Video
    script: Callable[[float], Frame]

    @cached_property
    def calm_points(self) -> np.ndarray:
        """The points (68, 3) of the calm, frontal face, in model units."""
        return posed_landmarks(self.person, Frame())[1]


@dataclass(frozen=True, eq=False)
class Film:
    """The actors of a film, their surroundings and its length.

    video: wall, lamp, lens and size.
    actors: the farthest first. Their identities are 1, 2, …
    board: gives the box of a plain board in front of them, x0, y0, x1, y1 px, at a time in seconds.
    """

    rate: Fraction
    seconds: float
    video: Video
    actors: Sequence[Actor]
    board: Callable[[float], tuple[float, float, float, float]] | None = None

    @property
    def times(self) -> list[float]:
        """Of the frames, in seconds."""
        return [float(i / self.rate) for i in range(round(self.seconds * self.rate))]


# --- Motion -------------------------------------------------------------------------------------------------------


def sway(time: float, amplitude: float, period: float, start: float = 0.0) -> float:
    """A sine that rises through 0 at the time `start`."""
    return amplitude * float(np.sin(2 * np.pi * (time - start) / period))


def glide(time: float, *stops: tuple[float, float]) -> float:
    """From value to value, level at each stop (time, value) and beyond the first and last."""
    for (t0, v0), (t1, v1) in pairwise(stops):
        if time < t1:
            return v0 + (v1 - v0) * float(smoothstep((time - t0) / (t1 - t0)))
    return stops[-1][1]


def blink(time: float, blinks: Sequence[tuple[float, float]]) -> float:
    """How far the lids are closed, 0 … 1: a sine squared for each blink (start, duration) in seconds."""
    for start, duration in blinks:
        if start < time < start + duration:
            return float(np.sin(np.pi * (time - start) / duration) ** 2)
    return 0.0


def speech(time: float, start: float, end: float) -> float:
    """How far a speaking mouth is open at a time: between `start` and `end` it speaks 4 syllables a second, louder ones
    and softer ones in turn.
    """
    if not start < time < end:
        return 0.0
    loudness = 0.36 + sway(time, 0.16, 1.3)
    ends = float(smoothstep((time - start) / 0.3) * smoothstep((end - time) / 0.3))
    return loudness * ends * float(np.sin(np.pi * SYLLABLES * (time - start)) ** 2)


SYLLABLES = 4.0  # a second
BLINKS = ((0.62, 0.2), (2.05, 0.16), (3.9, 0.28), (4.55, 0.18), (6.83, 0.24))  # start and duration, seconds


# --- The films ------------------------------------------------------------------------------------------------


def cast(number: int, seed: int) -> tuple[Person, Video]:
    """A person and clothes. The films' numbers were chosen for how these people look with seed 0."""
    rng = np.random.default_rng([seed, number])
    return random_person(rng), random_video(rng)


def well_lit_video(wall: str, seed: int) -> Video:
    """A well-lit room, and a camera with little noise."""
    video = random_video(np.random.default_rng(seed))
    light = np.array([-0.45, -0.5, 0.85])
    return replace(
        video,
        size=SIZE,
        lamp=light / np.linalg.norm(light),
        ambient=0.52,
        tint=np.array([1.03, 1.0, 0.96]),
        wall=wall,
        wall_colours=np.array([(92, 104, 122), (150, 140, 122), (104, 84, 66)]),
        blur=0.65,
        noise=1.0,
    )


def still(seed: int) -> Film:
    """A face that doesn't move: all that changes is the noise."""
    frame = Frame(yaw=8.0, pitch=2.0, roll=-3.0, smile=0.3, face_width=0.19)
    return Film(Fraction(25), 3.0, well_lit_video("shelves", seed), [Actor(*cast(30, seed), lambda time: frame)])


def speaking(seed: int) -> Film:
    """A head that sways by a few degrees, speaks and blinks at irregular times."""

    def script(time: float) -> Frame:
        return Frame(
            yaw=sway(time, 5, 5.3),
            pitch=sway(time, 2, 3.7, 0.6),
            roll=sway(time, 2, 7.1, 1.0),
            smile=0.15,
            mouth_open=max(speech(time, 0.3, 3.6), speech(time, 4.3, 7.7)),
            blink=blink(time, BLINKS),
            centre=(0.5 + sway(time, 0.004, 4.1), 0.5),
            face_width=0.19,
        )

    return Film(NTSC, 8.0, well_lit_video("window", seed), [Actor(*cast(19, seed), script)])


def turns(seed: int) -> Film:
    """Five seconds each: yaw from -60° to 60°, pitch from -25° to 25°, roll from -40° to 40°; each a sine."""

    def script(time: float) -> Frame:
        turn = int(time // 5)
        yaw, pitch, roll = (sway(time, amplitude, 5) if turn == k else 0.0 for k, amplitude in enumerate((60, 25, 40)))
        return Frame(yaw=yaw, pitch=pitch, roll=roll, face_width=0.18, centre=(0.5, 0.5))

    return Film(Fraction(30), 15.0, well_lit_video("curtain", seed), [Actor(*cast(20, seed), script)])


def fast(seed: int) -> Film:
    """The head is shaken at 1.5 Hz, nods at 2 Hz, and then jumps to the side by a face width in 0.3 s, four times."""
    width = 0.17

    def script(time: float) -> Frame:
        x = glide(time, (4.0, 0.5), (4.3, 0.5 + width), (4.8, 0.5 + width), (5.1, 0.5), (5.6, 0.5), (5.9, 0.5 - width),
                  (6.4, 0.5 - width), (6.7, 0.5))  # fmt: skip
        return Frame(
            yaw=sway(time, 25, 1 / 1.5) if time < 2 else 0.0,
            pitch=sway(time, 14, 1 / 2, 2.0) if 2 <= time < 3.5 else 0.0,
            centre=(x, 0.5),
            face_width=width,
        )

    return Film(Fraction(30), 7.2, well_lit_video("shelves", seed), [Actor(*cast(28, seed), script)])


def crossing(seed: int) -> Film:
    """Two people walk past each other; the second one, nearer, hides the first at the middle of the film."""
    seconds = 5.0

    def walk(x0: float, x1: float, y: float, width: float, yaw: float, time: float) -> Frame:
        x, bob = x0 + (x1 - x0) * time / seconds, sway(time, 0.006, 0.55)
        return Frame(yaw=yaw + sway(time, 2, 1.1), roll=sway(time, 1, 1.1), centre=(x, y + bob), face_width=width)

    first = Actor(*cast(23, seed), partial(walk, 0.2, 0.8, 0.49, 0.135, 25))
    second = Actor(*cast(26, seed), partial(walk, 0.8, 0.2, 0.52, 0.18, -25))
    return Film(Fraction(25), seconds, well_lit_video("window", seed), [first, second])


def occluded(seed: int) -> Film:
    """A board slides before the face from the left, hides it for 0.8 s, and goes on to the right."""

    def script(time: float) -> Frame:
        lids = blink(time, BLINKS[:2])
        return Frame(yaw=sway(time, 6, 4.3), roll=sway(time, 3, 3.1), smile=0.2, blink=lids, face_width=0.18)

    def board(time: float) -> tuple[float, float, float, float]:
        x = glide(time, (1.6, -150.0), (2.1, 320.0), (2.64, 320.0), (3.14, 790.0))
        return x - 130, 40.0, x + 130, 340.0

    return Film(Fraction(25), 5.0, well_lit_video("lights", seed), [Actor(*cast(11, seed), script)], board)


def four(seed: int) -> Film:
    """Four people at once, each with a motion of their own."""

    def script(i: int, time: float) -> Frame:
        return Frame(
            yaw=sway(time, 14, 3.3 + 0.4 * i, 0.7 * i),
            pitch=sway(time, 4, 2.9, 0.5 * i),
            roll=sway(time, 6, 4.1 - 0.3 * i, 0.9 * i),
            smile=0.2 * i,
            mouth_open=speech(time, 0.9 * i, 0.9 * i + 1.2),
            blink=blink(time + 0.5 * i, BLINKS),
            centre=(0.14 + 0.24 * i + sway(time, 0.008, 3.7, i), (0.51, 0.58)[i % 2]),
            face_width=0.12,
        )

    actors = [Actor(*cast(number, seed), partial(script, i)) for i, number in enumerate((1, 24, 13, 31))]
    return Film(Fraction(30), 4.0, well_lit_video("curtain", seed), actors)


def demo(seed: int) -> Film:
    """The film that comes with the repository: one person speaks, blinks and looks around, and another one joins."""

    def first(time: float) -> Frame:
        look = glide(time, (3.1, 0.0), (3.7, -32.0), (4.1, -32.0), (5.0, 30.0), (5.4, 30.0), (6.1, 14.0))
        return Frame(
            yaw=look + sway(time, 4, 3.9),
            pitch=sway(time, 2.5, 2.9, 0.4) - glide(time, (3.9, 0.0), (4.5, 5.0), (5.0, 0.0)),
            roll=sway(time, 2.5, 5.1, 1.0) + glide(time, (6.0, 0.0), (6.8, 5.0)),
            smile=glide(time, (0.0, 0.15), (5.2, 0.15), (5.9, 0.8)),
            brow_raise=glide(time, (0.9, 0.0), (1.2, 0.6), (1.8, 0.0), (5.2, 0.0), (5.6, 0.5), (6.4, 0.1)),
            mouth_open=speech(time, 0.25, 3.2),
            blink=blink(time, ((0.62, 0.2), (2.05, 0.16), (3.3, 0.28), (4.9, 0.2), (6.83, 0.24))),
            centre=(glide(time, (4.7, 0.5), (6.0, 0.34)) + sway(time, 0.004, 4.1), 0.51),
            face_width=0.19,
        )

    def second(time: float) -> Frame:
        return Frame(
            yaw=glide(time, (5.7, -30.0), (6.5, -12.0)) + sway(time, 3, 3.1),
            pitch=sway(time, 2, 2.3),
            roll=glide(time, (5.2, 4.0), (6.6, -4.0)),
            smile=glide(time, (5.6, 0.2), (6.3, 0.7)),
            mouth_open=speech(time, 6.2, 7.7),
            blink=blink(time, ((5.8, 0.18), (7.2, 0.2))),
            centre=(glide(time, (4.6, 1.3), (6.2, 0.68)), 0.5),
            face_width=0.185,
        )

    actors = [Actor(*cast(29, seed), first), Actor(*cast(14, seed), second)]
    return Film(NTSC, 8.0, well_lit_video("lights", seed), actors)


FILMS = {
    "still": still,
    "speech": speaking,
    "turns": turns,
    "fast": fast,
    "crossing": crossing,
    "occluded": occluded,
    "four": four,
    "demo": demo,
}
