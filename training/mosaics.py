"""Mosaics: the pictures that the detector is trained on, each composed of pieces of several labelled photos.

A labelled photo shows one face, upright, in the middle. A mosaic has a background of pieces from beside faces, pieces
that are easily taken for a face (decoys), and faces of any roll and size. It knows which photo each of its pixels is
from, so it knows how much of each face is visible.

A mosaic is a dict: `image` (S, S, 3) uint8 RGB; `faces` (K, 4) float32: centre x and y, side of the `upright_frame`, in
px of the mosaic, and clockwise roll in degrees of each face to find; `ignored` (M, 3): x, y and side of regions that
count neither as a face nor as background: faces half hidden or too small, and unlabelled people.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from data_load import FacialKeypointsDataset, RandomLight, compose
from face68 import geometry
from face68.detect import open_detector
from face68.landmarker import Landmarker
from face68.landmarks import upright_frame
from face68.network import CELL
from models import DetectorNet

SIZE = DetectorNet.input_size  # px, the side of a mosaic
SMALLEST, LARGEST = 9.0, 160.0  # px, the sides of faces to find
# The visible share of a face from which it must be detected, and below which it is background.
WELL_SEEN, HARDLY_SEEN = 0.5, 0.2
SURROUNDINGS = 1.35  # × the side of a face's frame: outside of that a photo is background
WHOLE = 0.35  # the share of mosaics that are one whole photo
NARROWEST = 24  # px, the narrowest piece of background
PEOPLE = 0.3  # the face score of the landmark network from which an unlabelled face may be a person
_GRID = np.linspace(-0.45, 0.45, 7)
DISC = np.array([(x, y) for x in _GRID for y in _GRID if x * x + y * y < 0.2])  # (P, 2), points of a face of side 1


class Photo(NamedTuple):
    """The faces of a labelled photo.

    frame: (3,), centre x and y and side, px, of the labelled face's `upright_frame`.
    degrees: its clockwise roll.
    others: (M, 3), likewise, unlabelled people.
    decoys: (M, 3), likewise, false detections.
    """

    frame: np.ndarray
    degrees: float
    others: np.ndarray
    decoys: np.ndarray


class Layer(NamedTuple):
    """A piece of a photo on a mosaic: the photo's index, the 2×3 matrix from photo to mosaic, and the piece's outline
    (P, 2) in px of the mosaic.
    """

    photo: int
    matrix: np.ndarray
    outline: np.ndarray


def lay(dataset: FacialKeypointsDataset, *then: Callable[[dict], dict]) -> "Mosaics":
    """Mosaics of a data set's photos, augmented in light and colour; then the transforms `then` are applied."""
    return Mosaics(dataset, look_around(dataset), compose(RandomLight(motion=2.0), RandomColor(), *then))


def look_around(dataset: FacialKeypointsDataset) -> list[Photo]:
    """Run the shipped detector on each photo for further faces, also doubtful ones. The face score of the landmark
    network divides them into unlabelled people and decoys. Of objects without eyes there are none of either.
    """
    landmarker, photos = Landmarker(detector=open_detector(min_face=SMALLEST), min_face_score=0), []
    for i in tqdm(range(len(dataset)), desc="further faces", unit="image", leave=False, disable=None):
        box, degrees = upright_frame(dataset.keypoints[i], dataset.scheme)
        faces = []
        if dataset.scheme.eyes:
            (faces,) = landmarker.faces([dataset.image(i)], [landmarker.detect(dataset.image(i))])
        boxes = np.array([box, *(face.box for face in faces)])
        circles = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2] - boxes[:, 0]])  # x, y, side
        frame, others = circles[0], circles[1:]
        is_apart = np.linalg.norm(others[:, :2] - frame[:2], axis=1) > 0.5 * np.maximum(others[:, 2], frame[2])
        is_person = np.array([face.face_score >= PEOPLE for face in faces], dtype=bool)
        photos.append(Photo(frame, -degrees, others[is_apart & is_person], others[is_apart & ~is_person]))
    return photos


class Mosaics(Dataset):
    """As many mosaics as a data set has photos; most mosaics i show the face of photo i.

    photos: see `look_around`.
    transform: applied to every mosaic.

    All random numbers derive from torch's global generator. `names`, `keypoints`, `sources` and `people` are the data
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
            layers = [self._whole(index, random)]
        else:
            layers = [*self._background(random), *self._decoys(random)]
            if random.random() < 0.9:
                layers += self._faces(index, random)
        return self.transform(self._compose(layers, random))

    def _whole(self, index: int, random) -> Layer:
        """A whole photo, as in prediction."""
        height, width = self.dataset.image(index).shape[:2]
        center = np.array([(width - 1) / 2, (height - 1) / 2])
        side = self.photos[index].frame[2]
        scale = _between(random, max(0.3 * SIZE / max(height, width), SMALLEST / side), LARGEST / side)
        turn = _roll(random)
        return self._layer(index, center, SIZE / 2 + random.uniform(-0.15, 0.15, 2) * SIZE, scale, turn, random)

    def _background(self, random) -> list[Layer]:
        """One piece from beside a face, or four that meet in a point."""
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
        """A part of a photo, x0, y0, x1, y1 px, without the labelled face; None if all strips beside it are narrow."""
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
        """Up to three pieces of a face's size and outline that show no whole face."""
        layers = []
        for kind in random.integers(3, size=random.integers(4)):
            index = int(random.integers(len(self)))
            if kind == 0:  # a part of a face: skin, hair, an ear, one eye
                x, y, side = self.photos[index].frame
                half = side * random.uniform(0.12, 0.25)
                center = np.array([x, y]) + random.uniform(-0.6, 0.6, 2) * side
            elif kind == 1 and self._with_decoys:  # a false detection
                index = self._with_decoys[int(random.integers(len(self._with_decoys)))]
                x, y, side = random.choice(self.photos[index].decoys)
                center, half = np.array([x, y]), side * random.uniform(0.5, 1)
            else:  # something beside a face
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
        """The face of a photo and up to nine others, beside each other; small ones lie on large ones."""
        count = int(random.choice([1, 1, 1, 2, 2, 3, 4, 6, 10]))
        largest = min(LARGEST, 1.2 * SIZE / math.sqrt(count))
        layers, circles = [], np.zeros((0, 3))  # of the faces so far: x, y, side
        for i in [index, *random.integers(len(self), size=count - 1)]:
            x, y, frame_side = self.photos[i].frame
            side = _between(random, SMALLEST, largest)
            for _ in range(10):  # attempts to find a free spot
                target = random.uniform(0.1 * side, SIZE - 0.1 * side, 2)
                is_apart = np.linalg.norm(circles[:, :2] - target, axis=1) > 0.6 * (circles[:, 2] + side)
                if is_apart.all():
                    break
            else:
                continue
            circles = np.vstack([circles, [*target, side]])
            # The piece shows more or less of what is around the face, on each side another amount.
            reach = frame_side * np.exp(random.uniform(math.log(0.6), math.log(2.5), 4))
            piece = np.array([x, y, x, y]) + reach * [-1, -1, 1, 1]
            turn = _roll(random)
            layers.append(self._layer(i, np.array([x, y]), target, side / frame_side, turn, random, piece))
        return [layers[i] for i in np.argsort(-circles[:, 2])]

    def _layer(self, index, center, target, scale, degrees, random, piece=None) -> Layer:
        """A piece of a photo, turned by `degrees`, randomly mirrored, its `center` (photo) at `target` (mosaic).

        piece: x0, y0, x1, y1 px, cut out as a rectangle or an ellipse; None: the whole photo.
        """
        height, width = self.dataset.image(index).shape[:2]
        mirror = bool(random.random() < 0.5)
        matrix = geometry.similarity(center, target, float(scale), float(degrees), mirror)
        x0, y0, x1, y1 = (-0.5, -0.5, width - 0.5, height - 0.5) if piece is None else piece
        if piece is not None and random.random() < 0.3:
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            circle = np.column_stack([np.cos(angles), np.sin(angles)])
            outline = np.array([x0 + x1, y0 + y1]) / 2 + circle * [(x1 - x0) / 2, (y1 - y0) / 2]
        else:
            outline = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        outline = outline.clip(-0.5, [width - 0.5, height - 0.5])
        return Layer(int(index), matrix, geometry.transform_points(outline, matrix))

    def _compose(self, layers: list[Layer], random) -> dict:
        """The mosaic of layers, each over those before it."""
        # Draw them, and note of each pixel whose it is.
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
        # Sort their faces by how much of them is visible.
        faces, ignored = [], []
        for number, layer in enumerate(layers):
            self._note_faces(layer, owner == number, faces, ignored)
        return {
            "image": image,
            "faces": np.array(faces, np.float32).reshape(-1, 4),
            "ignored": np.array(ignored, np.float32).reshape(-1, 3),
        }

    def _note_faces(self, layer: Layer, seen: np.ndarray, faces: list, ignored: list) -> None:
        """Append the faces of a layer's photo to `faces` or `ignored`; seen: (S, S), the layer's visible pixels."""
        photo, scale = self.photos[layer.photo], geometry.scale_of(layer.matrix)
        for i, (x, y, side) in enumerate([photo.frame, *photo.others]):
            center, side = geometry.transform_points(np.array([x, y]), layer.matrix), float(side * scale)
            share = _share(seen, center, side)
            if i == 0 and share >= WELL_SEEN and SMALLEST <= side <= LARGEST:
                eyes = np.array([math.cos(math.radians(photo.degrees)), math.sin(math.radians(photo.degrees))])
                dx, dy = layer.matrix[:, :2] @ eyes
                if np.linalg.det(layer.matrix[:, :2]) < 0:  # mirrored: the left eye is where the right one was
                    dx, dy = -dx, -dy
                faces.append((*center, side, math.degrees(math.atan2(dy, dx))))
            elif share >= HARDLY_SEEN:
                ignored.append((*center, side))


def _share(seen: np.ndarray, center: np.ndarray, side: float) -> float:
    """The share of a face with that centre and side, px, where `seen` (S, S) is true."""
    x, y = np.round(center + DISC * side).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < SIZE) & (y < SIZE)
    return float(seen[y[inside], x[inside]].sum() / len(DISC))


def _between(random, low: float, high: float) -> float:
    """A random number, log-uniform: as often between 10 and 20 as between 20 and 40."""
    return math.exp(random.uniform(math.log(low), math.log(max(low, high))))


def _roll(random) -> float:
    """Random degrees: 40% about upright, the others uniform."""
    return random.normal(0, 12) if random.random() < 0.4 else random.uniform(-180, 180)


def _ground(random) -> np.ndarray:
    """The ground under the layers, (S, S, 3) uint8: black as padding is, one colour, stripes or letters."""
    kind = random.random()
    if kind < 0.4:  # black
        return np.zeros((SIZE, SIZE, 3), np.uint8)
    colors = random.integers(0, 256, (2, 3))
    image = np.full((SIZE, SIZE, 3), colors[0], np.uint8)
    if kind < 0.7:  # one colour
        return image
    if kind < 0.85:  # stripes
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
    """Change the colour of the light by up to `strength`, or make the image gray with probability `gray`."""

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


def to_maps(sample: dict) -> dict[str, torch.Tensor]:
    """A mosaic as input and target of a detector.

    `image`: (3, S, S) float32 in [0, 1]. Of S/8 × S/8 cells, float32: `heatmap`, 1 in the cell of a face's centre and
    falling off around it; and of the face with the highest value there `centers` (2, …), `log_sides` and `axes` (2, …),
    see `DetectorOutputs`. `ignore_mask`, bool: cells whose scores don't count.
    """
    count = SIZE // CELL
    heatmap, log_sides = np.zeros((2, count, count), np.float32)
    centers, axes = np.zeros((2, 2, count, count), np.float32)
    ignore_mask = np.zeros((count, count), bool)
    rows, columns = np.indices((count, count), dtype=np.float32) + 0.5  # the cells' centres, from the mosaic's edge
    for x, y, side in (sample["ignored"] + np.float32([0.5, 0.5, 0])) / CELL:
        ignore_mask |= (rows - y) ** 2 + (columns - x) ** 2 <= max(0.5 * side, 1) ** 2
    for x, y, side, degrees in (sample["faces"] + np.float32([0.5, 0.5, 0, 0])) / np.float32([CELL, CELL, CELL, 1]):
        column, row = min(int(x), count - 1), min(int(y), count - 1)
        spread = 0.6 + 0.06 * side  # in cells
        peak = np.exp(-((rows - row - 0.5) ** 2 + (columns - column - 0.5) ** 2) / (2 * spread**2))
        is_nearest = peak > heatmap
        heatmap[is_nearest] = peak[is_nearest]
        centers[:, is_nearest] = x - columns[is_nearest], y - rows[is_nearest]
        log_sides[is_nearest] = math.log(side)
        axes[:, is_nearest] = [[math.cos(math.radians(degrees))], [math.sin(math.radians(degrees))]]
        ignore_mask[row, column] = False
    maps = {"heatmap": heatmap, "ignore_mask": ignore_mask, "centers": centers, "log_sides": log_sides, "axes": axes}
    image = np.ascontiguousarray(sample["image"].transpose(2, 0, 1)).astype(np.float32) / 255
    return {name: torch.from_numpy(values) for name, values in (maps | {"image": image}).items()}
