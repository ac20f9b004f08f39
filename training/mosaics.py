"""Pictures to learn finding faces from: faces of several photos, of any roll and size, on pieces of others.

A labelled photo shows one face, upright, in the middle. A mosaic is laid of such photos: pieces from beside their faces
as a background, pieces that are easily taken for a face though they are none, and faces with some of what surrounds
them. It knows of each of its pixels which photo it is from, and so which faces can be seen.

A mosaic is a dict: `image` (S, S, 3) uint8 RGB; `faces` (K, 4) float32, of each face that is to be found the centre x
and y, the side of its `upright_frame` and the degrees by which it is turned clockwise, in px of the mosaic; `ignored`
(M, 3), x, y and side of what is neither a face that must be found nor none: hidden by half, too small, or somebody in
the background of a photo who has no label.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision.transforms import Compose
from tqdm import tqdm

from data_load import FacialKeypointsDataset, RandomLight
from face68 import geometry
from face68.detect import open_detector
from face68.landmarker import Landmarker
from face68.landmarks import upright_frame
from models import CELL

SIZE = 192  # px, the side of a mosaic
SMALLEST, LARGEST = 9.0, 160.0  # px, the sides of faces that are to be found
SEEN, HIDDEN = 0.5, 0.2  # the share of a face that is seen, from which it must be found; below which it is none
SURROUNDINGS = 1.35  # × the side of a face's frame: from there a photo shows what is beside it
WHOLE = 0.35  # the share of mosaics that are a single photo, as it is
NARROWEST = 24  # px, the narrowest piece of background
PEOPLE = 0.3  # of the landmark network's face score, from which somebody without a label may be a person
_GRID = np.linspace(-0.45, 0.45, 7)
DISC = np.array([(x, y) for x in _GRID for y in _GRID if x * x + y * y < 0.2])  # (P, 2), points of a face of side 1


class Photo(NamedTuple):
    """What is known of where faces are in a labelled photo.

    frame: x, y of the centre and the side of the labelled face's `upright_frame`, px.
    degrees: how far it is turned clockwise.
    others: (M, 3), x, y and side, px, of people who have no label.
    decoys: (M, 3), likewise, of what a detector takes for a face and is none.
    """

    frame: np.ndarray
    degrees: float
    others: np.ndarray
    decoys: np.ndarray


class Layer(NamedTuple):
    """A piece of a photo on a mosaic: which photo, the 2×3 matrix from it to the mosaic, and the piece's outline (P, 2)
    in px of the mosaic.
    """

    photo: int
    matrix: np.ndarray
    outline: np.ndarray


def lay(dataset: FacialKeypointsDataset, *then: Callable[[dict], dict]) -> "Mosaics":
    """Mosaics of a data set's photos as a detector learns them, in any light and colour; `then` is called on each."""
    return Mosaics(dataset, look_around(dataset), Compose([RandomLight(), RandomColor(), *then]))


def look_around(dataset: FacialKeypointsDataset) -> list[Photo]:
    """Each photo with the other faces that our detector finds there, also doubtful ones.

    Whether these are people who have no label, or decoys, the landmark network's face score says.
    """
    landmarker, photos = Landmarker(detector=open_detector(min_face=SMALLEST), min_face_score=0), []
    for i in tqdm(range(len(dataset)), desc="looking for others", unit="image", leave=False, disable=None):
        box, degrees = upright_frame(dataset.keypoints[i])
        frame = _circles(box[None])[0]
        found = landmarker.faces([dataset.image(i)], [landmarker.detect(dataset.image(i))])[0]
        circles = _circles(np.array([face.box for face in found]).reshape(-1, 4))
        away = np.linalg.norm(circles[:, :2] - frame[:2], axis=1) > 0.5 * np.maximum(circles[:, 2], frame[2])
        person = np.array([face.face_score >= PEOPLE for face in found], dtype=bool)
        photos.append(Photo(frame, -degrees, circles[away & person], circles[away & ~person]))
    return photos


def _circles(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) as centres and sides, (N, 3)."""
    return np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2] - boxes[:, 0]])


class Mosaics(Dataset):
    """As many mosaics as a data set has photos; number i shows the face of photo i, nearly always.

    photos: what is known of each, see `look_around`.
    transform: called on every mosaic.

    All that is random is drawn from torch's global generator. `names`, `keypoints`, `sources` and `people` are the data
    set's.
    """

    def __init__(self, dataset: FacialKeypointsDataset, photos: list[Photo], transform: Callable[[dict], dict]):
        self.dataset, self.photos, self.transform = dataset, photos, transform
        self.names, self.keypoints = dataset.names, dataset.keypoints
        self.sources, self.people = dataset.sources, dataset.people
        self._with_decoys = [i for i, photo in enumerate(photos) if len(photo.decoys)]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        random = np.random.default_rng(int(torch.randint(2**62, ())))
        if random.random() < WHOLE:
            return self.transform(self._compose([self._whole(index, random)], random))
        layers = [*self._background(random), *self._decoys(random)]
        if random.random() < 0.9:
            layers += self._faces(index, random)
        return self.transform(self._compose(layers, random))

    def _whole(self, index: int, random) -> Layer:
        """The photo as it is, as a detector sees it when photos are searched."""
        height, width = self.dataset.image(index).shape[:2]
        center = np.array([(width - 1) / 2, (height - 1) / 2])
        side = self.photos[index].frame[2]
        scale = _between(random, max(0.3 * SIZE / max(height, width), SMALLEST / side), LARGEST / side)
        turn = _roll(random)
        return self._layer(index, center, SIZE / 2 + random.uniform(-0.15, 0.15, 2) * SIZE, scale, turn, random)

    def _background(self, random) -> list[Layer]:
        """Pieces from beside faces, one or several."""
        middle = random.uniform(0.3, 0.7, 2) * SIZE if random.random() < 0.6 else np.array([SIZE, SIZE])
        layers = []
        for x0, x1 in ((0, middle[0]), (middle[0], SIZE)):
            for y0, y1 in ((0, middle[1]), (middle[1], SIZE)):
                index = int(random.integers(len(self)))
                piece = self._beside(index, random)
                if x0 < x1 and y0 < y1 and piece is not None:
                    left, top, right, bottom = piece
                    scale = max((x1 - x0) / (right - left), (y1 - y0) / (bottom - top)) * random.uniform(1, 1.4)
                    center, target = np.array([left + right, top + bottom]) / 2, np.array([x0 + x1, y0 + y1]) / 2
                    turn = random.choice([0, 0, 90, 180, 270]) + random.normal(0, 10)
                    layers.append(self._layer(index, center, target, scale, turn, random, piece))
        return layers

    def _beside(self, index: int, random) -> np.ndarray | None:
        """A part of a photo, x0, y0, x1, y1 px, that the labelled face doesn't reach; None: there is none."""
        height, width = self.dataset.image(index).shape[:2]
        x, y, side = self.photos[index].frame
        near, far = np.array([x, y]) - SURROUNDINGS * side / 2, np.array([x, y]) + SURROUNDINGS * side / 2
        strips = np.array(
            [(0, 0, near[0], height), (far[0], 0, width, height), (0, 0, width, near[1]), (0, far[1], width, height)]
        )
        sizes = strips[:, 2:] - strips[:, :2]
        wide = np.flatnonzero(sizes.min(axis=1) >= NARROWEST)
        if not len(wide):
            return None
        areas = sizes[wide].prod(axis=1)
        return strips[random.choice(wide, p=areas / areas.sum())] - 0.5

    def _decoys(self, random) -> list[Layer]:
        """Pieces of the size and the outline of a face that show none: of a face a part, something beside it, or what
        a detector was wrong about.
        """
        layers = []
        for kind in random.integers(3, size=random.integers(4)):
            index = int(random.integers(len(self)))
            if kind == 0:  # skin, hair, an ear, one eye
                x, y, side = self.photos[index].frame
                half = side * random.uniform(0.12, 0.25)
                center = np.array([x, y]) + random.uniform(-0.6, 0.6, 2) * side
            elif kind == 1 and self._with_decoys:
                index = self._with_decoys[int(random.integers(len(self._with_decoys)))]
                x, y, side = random.choice(self.photos[index].decoys)
                center, half = np.array([x, y]), side * random.uniform(0.5, 1)
            else:
                piece = self._beside(index, random)
                if piece is None:
                    continue
                half = min(piece[2:] - piece[:2]) / 2
                center = random.uniform(piece[:2] + half, piece[2:] - half + 1e-6)
            piece = np.concatenate([center - half, center + half])
            scale = _between(random, SMALLEST, 100) / (2 * half)
            target, turn = random.uniform(0, SIZE, 2), random.uniform(0, 360)
            layers.append(self._layer(index, center, target, scale, turn, random, piece))
        return layers

    def _faces(self, index: int, random) -> list[Layer]:
        """The face of a photo and those of others, beside each other."""
        count = int(random.choice([1, 1, 1, 2, 2, 3, 4, 6, 10]))
        largest = min(LARGEST, 1.2 * SIZE / math.sqrt(count))
        layers, places = [], np.zeros((0, 3))
        for i in [index, *random.integers(len(self), size=count - 1)]:
            x, y, frame_side = self.photos[i].frame
            side = _between(random, SMALLEST, largest)
            for _ in range(10):
                target = random.uniform(0.1 * side, SIZE - 0.1 * side, 2)
                apart = np.linalg.norm(places[:, :2] - target, axis=1) > 0.6 * (places[:, 2] + side)
                if apart.all():
                    break
            else:
                continue
            places = np.vstack([places, [*target, side]])
            reach = frame_side * np.exp(random.uniform(math.log(0.6), math.log(2.5), 4))
            piece = np.array([x, y, x, y]) + reach * [-1, -1, 1, 1]
            turn = _roll(random)
            layers.append(self._layer(i, np.array([x, y]), target, side / frame_side, turn, random, piece))
        return [layers[i] for i in np.argsort(-places[:, 2])]

    def _layer(self, index, center, target, scale, degrees, random, piece=None) -> Layer:
        """The piece x0, y0, x1, y1 px of a photo (None: all of it), turned by `degrees`, mirrored one time in two, with
        `center` at `target`.
        """
        height, width = self.dataset.image(index).shape[:2]
        mirror = bool(random.random() < 0.5)
        matrix = geometry.similarity(center, target, float(scale), float(degrees), mirror)
        x0, y0, x1, y1 = (-0.5, -0.5, width - 0.5, height - 0.5) if piece is None else piece
        if piece is not None and random.random() < 0.3:
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            x, y = (x0 + x1 + (x1 - x0) * np.cos(angles)) / 2, (y0 + y1 + (y1 - y0) * np.sin(angles)) / 2
            outline = np.column_stack([x, y])
        else:
            outline = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        outline = outline.clip(-0.5, [width - 0.5, height - 0.5])
        return Layer(int(index), matrix, geometry.transform_points(outline, matrix))

    def _compose(self, layers: list[Layer], random) -> dict:
        image, owner = _ground(random), np.full((SIZE, SIZE), -1, np.int16)
        for number, layer in enumerate(layers):
            low = np.floor(layer.outline.min(axis=0)).clip(0, SIZE).astype(int)
            high = (np.ceil(layer.outline.max(axis=0)) + 1).clip(0, SIZE).astype(int)
            width, height = (high - low).tolist()
            if not (width and height):
                continue
            shifted = layer.matrix - np.array([[0, 0, low[0]], [0, 0, low[1]]])
            part = geometry.warp(self.dataset.image(layer.photo), shifted, height, width)
            inside = np.zeros((height, width), np.uint8)
            cv2.fillPoly(inside, [np.round((layer.outline - low) * 16).astype(np.int32)], 1, shift=4)
            window = slice(low[1], high[1]), slice(low[0], high[0])
            cv2.copyTo(part, inside, image[window])
            owner[window][inside > 0] = number
        faces, ignored = [], []
        for number, layer in enumerate(layers):
            self._note_faces(layer, owner == number, faces, ignored)
        return {
            "image": image,
            "faces": np.array(faces, np.float32).reshape(-1, 4),
            "ignored": np.array(ignored, np.float32).reshape(-1, 3),
        }

    def _note_faces(self, layer: Layer, seen: np.ndarray, faces: list, ignored: list) -> None:
        """Put the faces of a layer's photo where they belong, by how much of them is seen (S, S)."""
        photo, scale = self.photos[layer.photo], geometry.scale_of(layer.matrix)
        for i, (x, y, side) in enumerate([photo.frame, *photo.others]):
            center, side = geometry.transform_points(np.array([x, y]), layer.matrix), float(side * scale)
            share = _share(seen, center, side)
            if i == 0 and share >= SEEN and SMALLEST <= side <= LARGEST:
                eyes = np.array([math.cos(math.radians(photo.degrees)), math.sin(math.radians(photo.degrees))])
                dx, dy = layer.matrix[:, :2] @ eyes
                if np.linalg.det(layer.matrix[:, :2]) < 0:  # mirrored: the left eye is where the right one was
                    dx, dy = -dx, -dy
                faces.append((*center, side, math.degrees(math.atan2(dy, dx))))
            elif share >= HIDDEN:
                ignored.append((*center, side))


def _share(seen: np.ndarray, center: np.ndarray, side: float) -> float:
    """How much of a face with that centre and side, px, lies where `seen` (S, S) is true."""
    x, y = np.round(center + DISC * side).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < SIZE) & (y < SIZE)
    return float(seen[y[inside], x[inside]].sum() / len(DISC))


def _between(random, low: float, high: float) -> float:
    """A random number, as often between 10 and 20 as between 20 and 40."""
    return math.exp(random.uniform(math.log(low), math.log(max(low, high))))


def _roll(random) -> float:
    """Degrees: about upright two times in five, else any."""
    return random.normal(0, 12) if random.random() < 0.4 else random.uniform(-180, 180)


def _ground(random) -> np.ndarray:
    """What a mosaic lies on, (S, S, 3) uint8: black as what photos are filled up with, a colour, stripes or letters."""
    kind = random.random()
    if kind < 0.4:
        return np.zeros((SIZE, SIZE, 3), np.uint8)
    colors = random.integers(0, 256, (2, 3))
    image = np.full((SIZE, SIZE, 3), colors[0], np.uint8)
    if kind < 0.7:
        return image
    if kind < 0.85:
        rows, columns = np.indices((SIZE, SIZE))
        angle, period = random.uniform(0, np.pi), _between(random, 4, 60)
        image[np.sin((np.cos(angle) * columns + np.sin(angle) * rows) * 2 * np.pi / period) > 0] = colors[1]
        return image
    color = tuple(map(int, colors[1]))
    for y in range(0, SIZE + 40, int(random.integers(10, 40))):
        letters = "".join(map(chr, random.integers(33, 127, 20)))
        font, size = int(random.integers(0, 8)), random.uniform(0.3, 1.2)
        cv2.putText(image, letters, (int(random.integers(-20, 20)), y), font, size, color, int(random.integers(1, 4)))
    return image


class RandomColor:
    """Another colour of the light, or none at all: gray one time in five."""

    def __init__(self, gray: float = 0.2, strength: float = 0.15):
        self.gray, self.strength = gray, strength

    def __call__(self, sample: dict) -> dict:
        image, (coin, *gains) = sample["image"], torch.rand(4).tolist()
        if coin < self.gray:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        else:
            levels = np.arange(256)[:, None] * (1 + self.strength * (2 * np.array(gains) - 1))
            image = cv2.LUT(image, levels.clip(0, 255).astype(np.uint8)[:, None])
        return {**sample, "image": image}


def to_maps(sample: dict) -> dict:
    """A mosaic as a detector learns it: `image` (3, S, S) float32 in [0, 1] and, of S/8 × S/8 cells, what `DetectorOutputs`
    is to say: `centers` (2, …), `log_sides` and `axes` (2, …) of the nearest face; `heat`, 1 in the cell of a face's
    centre and falling off around it; and `known`, 0 where something is ignored.
    """
    count = sample["image"].shape[0] // CELL
    faces = (sample["faces"] + np.float32([0.5, 0.5, 0, 0])) / np.float32([CELL, CELL, CELL, 1])  # edges, in cells
    maps = {"heat": np.zeros((count, count), np.float32), "known": np.ones((count, count), np.float32)}
    maps |= {"centers": np.zeros((2, count, count), np.float32), "log_sides": np.zeros((count, count), np.float32)}
    maps |= {"axes": np.zeros((2, count, count), np.float32)}
    rows, columns = np.indices((count, count), dtype=np.float32) + 0.5
    for x, y, side in (sample["ignored"] + np.float32([0.5, 0.5, 0])) / CELL:
        maps["known"][(rows - y) ** 2 + (columns - x) ** 2 <= max(0.5 * side, 1) ** 2] = 0
    for x, y, side, degrees in faces:
        column, row = min(int(x), count - 1), min(int(y), count - 1)
        spread = 0.6 + 0.06 * side
        heat = np.exp(-((rows - row - 0.5) ** 2 + (columns - column - 0.5) ** 2) / (2 * spread**2))
        nearest = heat > maps["heat"]
        maps["heat"][nearest] = heat[nearest]
        maps["centers"][0][nearest], maps["centers"][1][nearest] = (x - columns)[nearest], (y - rows)[nearest]
        maps["log_sides"][nearest] = math.log(side)
        maps["axes"][:, nearest] = [[math.cos(math.radians(degrees))], [math.sin(math.radians(degrees))]]
        maps["known"][row, column] = 1
    image = np.ascontiguousarray(sample["image"].transpose(2, 0, 1)).astype(np.float32) / 255
    return {name: torch.from_numpy(values) for name, values in (maps | {"image": image}).items()}
