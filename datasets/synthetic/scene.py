"""A whole picture: the person before a background, through the lens."""

import cv2
import numpy as np

from datasets.synthetic.curves import smooth_noise
from datasets.synthetic.hair import add_hair
from datasets.synthetic.head import HeadShape
from datasets.synthetic.parts import add_body, add_glasses, add_head
from datasets.synthetic.people import Frame, Person, Video
from datasets.synthetic.pose import face_labels
from datasets.synthetic.surfaces import SUPERSAMPLE, Picture


def draw(person: Person, video: Video, frame: Frame, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One picture (H, W, 3) uint8 RGB and its labels (68, 2) float64 px. `index`, of the frame, varies the noise."""
    head, camera, labels = face_labels(person, video, frame)
    picture = Picture(background(video), camera, video)
    add_person(picture, head, person, video, frame)
    return through_lens(picture.draw(), video, index), labels


def add_person(picture: Picture, head: HeadShape, person: Person, video: Video, frame: Frame) -> None:
    """Add all surfaces of a person. Of the video it uses the clothes alone."""
    add_body(picture, person, video, frame)
    add_head(picture, head, person, frame)
    add_hair(picture, head, person, frame)
    add_glasses(picture, head, person, frame)


def through_lens(image: np.ndarray, video: Video, index: int) -> np.ndarray:
    """Reduce a drawing to the picture's size, blur it a little and add the frame's own noise: (H, W, 3) uint8."""
    image = cv2.resize(image, video.size, interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (0, 0), video.blur)
    rng = np.random.default_rng([video.seed, index])
    image += video.noise * cv2.GaussianBlur(rng.standard_normal(image.shape).astype(np.float32), (0, 0), 0.6)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def background(video: Video, supersample: float = SUPERSAMPLE) -> np.ndarray:
    """The wall and what is on it, out of focus: (H, W, 3) float32 at the drawing size."""
    rng = np.random.default_rng(video.seed)
    width, height = (round(supersample * n) for n in video.size)
    colours = video.wall_colours.astype(np.float32)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = colours[0] * (1 - 0.5 * ramp) * np.ones((height, width, 1), np.float32)
    if video.wall != "plain":
        WALLS[video.wall](image, colours, rng)
    return cv2.GaussianBlur(image, (0, 0), width * rng.uniform(0.006, 0.014))


def add_shelves(image: np.ndarray, colours: np.ndarray, rng: np.random.Generator) -> None:
    """Rows of books, and the boards that they stand on."""
    height, width = image.shape[:2]
    y = 0
    while y < height:
        step, x = int(height * rng.uniform(0.14, 0.25)), 0
        while x < width:
            book = int(width * rng.uniform(0.02, 0.07))
            tone = colours[rng.integers(3)] * rng.uniform(0.5, 1.1)
            top = y + int(step * rng.uniform(0.05, 0.3))
            cv2.rectangle(image, (x, top), (x + book, y + step), tone.tolist(), -1)
            x += book + 2
        board = y + step, y + step + height // 60
        cv2.rectangle(image, (0, board[0]), (width, board[1]), (colours[0] * 0.35).tolist(), -1)
        y = board[1]


def add_curtain(image: np.ndarray, colours: np.ndarray, rng: np.random.Generator) -> None:
    """Folds from top to bottom."""
    width = image.shape[1]
    folds = smooth_noise(rng, (1, width), (1, 14)).reshape(1, width, 1)
    image *= 1 + 0.22 * np.clip(folds, -2, 2)


def add_windows(image: np.ndarray, colours: np.ndarray, rng: np.random.Generator) -> None:
    """Three panes in frames."""
    height, width = image.shape[:2]
    for _ in range(3):
        x, y = rng.uniform(-0.1, 0.8) * width, rng.uniform(-0.2, 0.6) * height
        w, h = rng.uniform(0.15, 0.5, 2)
        corner, far = (int(x), int(y)), (int(x + w * width), int(y + h * height))
        cv2.rectangle(image, corner, far, colours[1 + rng.integers(2)].tolist(), -1)
        cv2.rectangle(image, corner, far, (colours[0] * 0.4).tolist(), max(2, width // 70))


def add_lights(image: np.ndarray, colours: np.ndarray, rng: np.random.Generator) -> None:
    """Round spots of light, as of lamps far behind."""
    height, width = image.shape[:2]
    for _ in range(26):
        at = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        tone = colours[rng.integers(3)] * rng.uniform(0.6, 1.7)
        cv2.circle(image, at, int(width * rng.uniform(0.02, 0.09)), tone.tolist(), -1, cv2.LINE_AA)


WALLS = {"shelves": add_shelves, "curtain": add_curtain, "window": add_windows, "lights": add_lights}
