"""Films of invented people whose motion is known exactly: `python prepare.py film NAME`.

    for image, time, actors in frames("speech"):  # (H, W, 3) uint8 RGB, seconds, [Seen, …]
        actors[0].keypoints  # (68, 2) float64 px

A film (see `scripts`) has a rate, a length, the surroundings of a video, and actors, each with a script: a function
from the time to a `Frame`. The camera is fitted to the actor's calm, frontal face, which gets the frame's `face_width`
and `centre`, and stays fixed while the head turns and the mouth opens. (A single picture, see `scene.draw`, is fitted
to the face as it is.)

The truth is exact: the keypoints; blink and mouth_open as the script has them; and the pose, the angles (yaw, pitch,
roll) in degrees that `pose.rotation` turns the head by, with the signs of `Frame`. The pose is relative to the line of
sight to the head. That line meets the picture at `Seen.axis`, between the eyes of the calm face. A perspective fit
finds the pose if it takes this point as its optical axis, and `Seen.focal` as its focal length. If it takes the mean of
the points instead, it finds the head turned up to 5° further.

There is no motion blur. Each frame has new noise, and the background stays the same.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from datasets.synthetic.head import HeadShape
from datasets.synthetic.people import Frame, Video
from datasets.synthetic.pose import CAMERA_DISTANCE, Camera, posed_landmarks
from datasets.synthetic.scene import add_person, background, through_lens
from datasets.synthetic.scripts import FILMS, Actor, Film
from datasets.synthetic.surfaces import Picture
from face68.files import atomic_path
from face68.frames import film_writer, is_marked_film

SUPERSAMPLE = 1.5  # half the work of a single picture's, and edges are still smooth
OUTLINE_SCALE = 0.25  # of the small picture that decides which points a nearer actor hides
REACH = 2.1  # model units: no part of a person is further to the left or right of the eyes
BOARD_COLOUR = (126.0, 104.0, 82.0)  # RGB


@dataclass(frozen=True, eq=False)
class Seen:
    """The truth about an actor in a frame who has at least one keypoint in the picture.

    keypoints: (68, 2) float64 px, hidden ones included.
    pose: yaw, pitch, roll in degrees, see above.
    axis, focal: the point where the optical axis of the head's camera meets the picture, and its focal length, all px.
    blink, mouth_open: 0 … 1.
    hidden: the share of keypoints that lie behind another actor, behind the board or outside the picture. A keypoint
        that the head's own hair or its turning hides doesn't count.
    """

    identity: int
    keypoints: np.ndarray
    pose: tuple[float, float, float]
    axis: tuple[float, float]
    focal: float
    blink: float
    mouth_open: float
    hidden: float

    def to_dict(self) -> dict:
        """Plain values, as the truth file has them: to 0.01 px, other numbers to 4 digits."""
        digits = {"pose": 4, "axis": 2, "focal": 2, "blink": 4, "mouth_open": 4, "hidden": 4, "keypoints": 2}
        values = {name: np.round(getattr(self, name), count).tolist() for name, count in digits.items()}
        return {"identity": self.identity} | values


class FrameTruth(NamedTuple):
    time: float  # seconds
    actors: list[Seen]


class FilmFrame(NamedTuple):
    image: np.ndarray  # (H, W, 3) uint8 RGB
    time: float  # seconds
    actors: list[Seen]


class Posed(NamedTuple):
    """An actor at a moment."""

    identity: int
    actor: Actor
    frame: Frame
    head: HeadShape
    camera: Camera
    keypoints: np.ndarray


# --- From a script to pictures and truth ----------------------------------------------------------------------


def truth(name: str, seed: int = 0) -> Iterator[FrameTruth]:
    """What is in each frame of a film, without drawing it."""
    film = FILMS[name](seed)
    for time in film.times:
        yield FrameTruth(time, seen_actors(film, time, posed_actors(film, time)))


def frames(name: str, seed: int = 0) -> Iterator[FilmFrame]:
    """The frames of a film, drawn as they are asked for. The same seed draws the same again."""
    film = FILMS[name](seed)
    behind = background(film.video, SUPERSAMPLE)
    for index, time in enumerate(film.times):
        posed = posed_actors(film, time)
        image = behind.copy()
        for one in posed:
            picture = Picture(image, one.camera, film.video, SUPERSAMPLE)
            add_person(picture, one.head, one.actor.person, one.actor.clothes, one.frame)
            image = picture.draw()
        if film.board:
            draw_board(image, film.board(time))
        yield FilmFrame(through_lens(image, film.video, index), time, seen_actors(film, time, posed))


def posed_actors(film: Film, time: float) -> list[Posed]:
    """The actors of whom a part may be in the picture, their shoulders for example; the farthest first."""
    posed = []
    for identity, actor in enumerate(film.actors, start=1):
        frame = actor.script(time)
        camera = Camera.fit(actor.calm_points, frame, film.video.size)
        if -REACH * camera.scale < camera.offset[0] < film.video.size[0] + REACH * camera.scale:
            head, points = posed_landmarks(actor.person, frame)
            posed.append(Posed(identity, actor, frame, head, camera, camera(points)))
    return posed


def seen_actors(film: Film, time: float, posed: Sequence[Posed]) -> list[Seen]:
    """The truth about those of the actors who are in the picture."""
    seen = []
    for i, one in enumerate(posed):
        outside = ((one.keypoints < -0.5) | (one.keypoints >= np.array(film.video.size) - 0.5)).any(1)
        if outside.all():
            continue
        hidden = outside | is_on_board(film, time, one.keypoints)
        for other in posed[i + 1 :]:
            hidden |= is_behind(one.keypoints, other, film.video)
        frame, axis, focal = one.frame, tuple(one.camera.offset.tolist()), float(one.camera.scale * CAMERA_DISTANCE)
        pose, hidden = (frame.yaw, frame.pitch, frame.roll), float(hidden.mean())
        seen.append(Seen(one.identity, one.keypoints, pose, axis, focal, frame.blink, frame.mouth_open, hidden))
    return seen


def is_behind(keypoints: np.ndarray, nearer: Posed, video: Video) -> np.ndarray:
    """Which points (68, 2) px lie behind a nearer actor: (68,). Its outline is exact to a few px of the picture."""
    camera = nearer.camera
    if np.abs(keypoints[:, 0] - camera.offset[0]).min() > REACH * camera.scale:
        return np.zeros(len(keypoints), bool)
    # Pixel centres are at integers in both pictures: those of the small one lie between those of the large one.
    small = Camera(camera.scale * OUTLINE_SCALE, (camera.offset + 0.5) * OUTLINE_SCALE - 0.5)
    width, height = (round(n * OUTLINE_SCALE) for n in video.size)
    picture = Picture(np.zeros((height, width, 3), np.float32), small, video, supersample=1)
    add_person(picture, nearer.head, nearer.actor.person, nearer.actor.clothes, nearer.frame)
    covered = cv2.medianBlur((picture.nearest() >= 0).astype(np.uint8), 3) > 0  # without gaps between samples
    x, y = np.rint((keypoints + 0.5) * OUTLINE_SCALE - 0.5).astype(int).T
    return covered[y.clip(0, height - 1), x.clip(0, width - 1)]


def is_on_board(film: Film, time: float, keypoints: np.ndarray) -> np.ndarray:
    """Which points (68, 2) px the film's board hides: (68,)."""
    if film.board is None:
        return np.zeros(len(keypoints), bool)
    x0, y0, x1, y1 = film.board(time)
    return ((keypoints >= (x0, y0)) & (keypoints <= (x1, y1))).all(1)


def draw_board(image: np.ndarray, box: tuple[float, float, float, float]) -> None:
    """Draw a plain board on an image of SUPERSAMPLE times the picture's size, in place; box: x0, y0, x1, y1 px of the
    picture.
    """
    fixed = 4  # bits behind the point
    x0, y0, x1, y1 = np.rint(((np.array(box) + 0.5) * SUPERSAMPLE - 0.5) * 2**fixed).astype(np.int32)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    cv2.fillConvexPoly(image, corners, BOARD_COLOUR, cv2.LINE_8, fixed)


# --- Files ------------------------------------------------------------------------------------------------------


def film_files(path: Path) -> tuple[Path, Path]:
    """A film and its truth: speech.mp4 and speech.truth.jsonl."""
    return path, path.with_suffix(".truth.jsonl")


def is_film_file(path: Path) -> bool:
    """Whether a file is a film of ours, or the truth of one."""
    try:
        with path.open("rb") as file:
            return file.read(len(TRUTH_HEAD)) == TRUTH_HEAD or is_marked_film(path)
    except OSError:
        return False


TRUTH_HEAD = b'{"frame": 0, "time": 0.0, "actors": ['


def write_film(name: str, path: Path, seed: int) -> None:
    """Draw a film into an .mp4 file and its truth into the .truth.jsonl file beside it: a line a frame.

    A line is {"frame": i, "time": seconds, "actors": [{"identity", "pose", "axis", "focal", "blink",
    "mouth_open", "hidden", "keypoints"}, …]}, see `Seen`. Both files are there at the end, whole, or neither.

    Raises:
        InputError: the files can't be written.
    """
    film = FILMS[name](seed)
    bar = tqdm(frames(name, seed), desc=name, total=len(film.times), unit="frame", disable=None)
    film_file, truth_file = film_files(path)
    with (
        atomic_path(film_file) as film_part,
        atomic_path(truth_file) as truth_part,
        film_writer(film_part, float(film.rate), film.video.size) as write,
        truth_part.open("w", encoding="utf-8") as lines,
    ):
        for index, (image, time, actors) in enumerate(bar):
            write(image)
            values = {"frame": index, "time": round(time, 6), "actors": [one.to_dict() for one in actors]}
            lines.write(json.dumps(values) + "\n")
    print(f"{film_file}: {len(film.times)} frames drawn; the truth is in {truth_file}")
