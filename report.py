"""What an evaluation shows: predictions beside the truth, as sheets of pictures, (H, W, 3) uint8 RGB."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import metrics
from face68 import geometry
from face68.detect import Circles
from face68.draw import VERMILION, WHITE, contact_sheet, draw_squares, face_tile


def error_sheet(dataset, chosen: Sequence[int], predicted: np.ndarray, truth: np.ndarray, title: str) -> np.ndarray:
    """Predictions and the truth on the chosen faces of a data set, each with its error and its file's name.

    predicted, truth: keypoints of all faces of the data set, (N, 68, 2) px of their images.
    """
    errors = metrics.nme(predicted, truth)
    boxes = {i: geometry.box_of(truth[i]) for i in chosen}
    tiles = [face_tile(dataset.image(i), predicted[i], truth[i], box, side=320) for i, box in boxes.items()]
    captions = [f"{errors[i]:.1%}  {Path(dataset.names[i]).stem}" for i in chosen]
    title += ": NME (inter-ocular); in colour what was predicted, white crosses are the truth"
    return contact_sheet(tiles, tile=320, captions=captions, title=title)


def detection_sheet(pictures: Sequence[np.ndarray], found: Sequence[Circles], truth: Sequence[Circles]) -> np.ndarray:
    """Pictures (H, W, 3) uint8 RGB with what a detector found in each, and in white what is there."""
    tiles = []
    for picture, of_picture, there in zip(pictures, found, truth, strict=True):
        tile = draw_squares(picture, there.centers, there.sides, there.rolls, WHITE)
        tiles.append(draw_squares(tile, of_picture.centers, of_picture.sides, of_picture.rolls, VERMILION))
    pairs = zip(found, truth, strict=True)
    captions = [f"{len(of_picture.scores)} found, {len(there.scores)} there" for of_picture, there in pairs]
    title = "Validation mosaics: what was found in colour, what is there in white; the thick side is the forehead's"
    return contact_sheet(tiles, tile=320, captions=captions, title=title)
