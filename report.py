"""What an evaluation shows: predictions beside the truth, as sheets of pictures, (H, W, 3) uint8 RGB."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import metrics
from face68 import geometry
from face68.detect import Circles
from face68.draw import VERMILION, WHITE, contact_sheet, draw_squares, face_tile

POINTS = "in colour what was predicted, white crosses are the truth"
SQUARES = "what was found in colour, what is there in white; the thick side is the forehead's"


def error_sheet(dataset, chosen: Sequence[int], predicted: np.ndarray, truth: np.ndarray, title: str) -> np.ndarray:
    """Predictions and the truth on the chosen faces of a data set, each with its error and its file's name.

    predicted, truth: keypoints of all faces of the data set, (N, 68, 2) px of their images.
    """
    errors = metrics.nme(predicted, truth)
    captions = [f"{errors[i]:.1%}  {Path(dataset.names[i]).stem}" for i in chosen]
    title += f": NME (inter-ocular); {POINTS}"
    return contact_sheet(error_tiles(dataset, chosen, predicted, truth), tile=320, captions=captions, title=title)


def error_tiles(dataset, chosen: Sequence[int], predicted: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """The pictures of `error_sheet`."""
    boxes = [geometry.box_of(truth[i]) for i in chosen]
    return [
        face_tile(dataset.image(i), predicted[i], truth[i], box, side=320) for i, box in zip(chosen, boxes, strict=True)
    ]


def detection_sheet(
    pictures: Sequence[np.ndarray], found: Sequence[Circles], truth: Sequence[Circles], title: str
) -> np.ndarray:
    """Pictures (H, W, 3) uint8 RGB with what a detector found in each, and in white what is there."""
    pairs = zip(found, truth, strict=True)
    captions = [f"{len(of_picture.scores)} found, {len(there.scores)} there" for of_picture, there in pairs]
    title += f": {SQUARES}"
    return contact_sheet(detection_tiles(pictures, found, truth), tile=320, captions=captions, title=title)


def detection_tiles(
    pictures: Sequence[np.ndarray], found: Sequence[Circles], truth: Sequence[Circles]
) -> list[np.ndarray]:
    """The pictures of `detection_sheet`."""
    tiles = []
    for picture, of_picture, there in zip(pictures, found, truth, strict=True):
        tile = draw_squares(picture, there.centers, there.sides, there.rolls, WHITE)
        tiles.append(draw_squares(tile, of_picture.centers, of_picture.sides, of_picture.rolls, VERMILION))
    return tiles


def learning_strip(
    epochs: Sequence[int], errors: Sequence[float], tiles: Sequence[Sequence[np.ndarray]], measure: str, legend: str
) -> np.ndarray:
    """The same samples as the network saw them after each of some epochs, a row an epoch.

    epochs: 0 is before training; errors: of all validation samples then, as fractions; measure: what people call them.
    tiles: as many pictures (H, W, 3) uint8 RGB for each.
    """
    short = measure.partition(" (")[0]
    labels = [
        f"{f'epoch {epoch}' if epoch else 'before'}\n{short} {error:.1%}"
        for epoch, error in zip(epochs, errors, strict=True)
    ]
    title = f"Watch it learn: the same pictures epoch after epoch, with {measure} of all validation samples; {legend}"
    return contact_sheet(list(itertools.chain(*tiles)), len(tiles[0]), 240, title=title, labels=labels)
