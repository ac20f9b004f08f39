"""How far a data set's labels lie off the faces: `python prepare.py shift DIR --checkpoint C`.

Annotators or their tools may put all points a little to one side. Two kinds of network show that shift, b = (b_x, b_y).

1. A network trained on these labels as published, without mirroring or turning (`train.py --published-labels`). It
   learns b as a constant offset. Two experiments make b visible:
   - It predicts an image and its mirror image, whose points are mirrored back. The two predictions differ by 2 b_x.
   - It predicts an image turned by +t and by -t, whose points are turned back. They differ by 2 sin(t) (b_y, -b_x).
   A network also prefers upright faces. That adds to both differences and may be as large as the shift, so compare
   with a data set whose labels are right.
2. A network trained on other labels, with mirroring and turning. It predicts where those other annotators would have
   put the points. Mirroring leaves it without a sideways shift and without a slant (one half of the face lower than
   the other), so both come from the labels that are measured. Up and down the two annotators only differ: nobody can
   say which of them is right.

Figures are fractions of the distance between the outer eye corners, positive to the right and down, with 95% intervals
by bootstrap over people. Faces that the network was trained on are left out.

A shift may have two parts: one that grows with the face, as the cells of a heat map do, and one in pixels, as from
counting from 1 or from cutting off decimals. A line fitted over faces of all sizes separates them. That works for
photos at their own size alone. Where all were reduced to one size, the eyes are near each other in turned heads and not
in small ones, and the whole shift looks like one in pixels.
"""

import math
from pathlib import Path

import numpy as np

from data_load import FacialKeypointsDataset, open_split
from datasets.layout import FOLDS, split_by_person
from evaluation.metrics import bootstrap, bootstrap_interval
from face68 import geometry
from face68.draw import contact_sheet, face_tile
from face68.files import InputError
from face68.images import write_image
from face68.landmarker import Landmarker
from face68.landmarks import FLIP, IBUG68, NUM_LANDMARKS, REGIONS, inter_ocular

TURNS = (8, 12, 16)  # degrees
PICTURED = 6  # faces
EYES = list(REGIONS["eyes"])


def measure(directory: Path, network, picture: Path) -> None:
    """Measure the labels in `directory` with a checkpoint's network: print their shift, write a picture of the eyes.

    network: a `training.checkpoint.TorchNetwork`.

    Raises:
        InputError: the data set can't be used, or the network was trained on all of its faces.
    """
    landmarker, arguments = Landmarker(network), network.checkpoint["arguments"]
    data = open_split(directory, "training").preload()
    if data.scheme != IBUG68 or network.scheme is not IBUG68:
        raise InputError(
            f"{directory}: label shifts are measured of iBUG's 68 points alone; give such a set and network"
        )
    fold, folds = arguments["val_fold"], arguments.get("folds", FOLDS)
    _, unseen = split_by_person(data.people, fold, folds)
    if not unseen:
        raise InputError(f"{directory}: no person in fold {fold} of {folds}, which {network.path} didn't see")
    data = data.subset(unseen, None)
    published = data.as_published()
    print(f"{len(data)} faces of {len(set(data.people))} people of {directory}, fold {fold} of {folds}")
    print("                                      to the right                   down")
    if arguments.get("published_labels"):
        mirrored = mirror_disagreement(landmarker, published)
        print(_line("mirror disagreement", mirrored, published.people, columns=1))
        print(_parts(mirrored, published, columns=1), end="")
        for degrees in TURNS:
            turned = turn_disagreement(landmarker, published, degrees)
            print(_line(f"turned by {degrees} degrees", turned, published.people))
    else:
        offsets = label_offsets(landmarker, published)  # (N, 68, 2)
        print(_line("labels - network", offsets.mean(axis=1), published.people))
        print(_parts(offsets.mean(axis=1), published), end="")
        print(_row("slant, px per px", ["", "{:+.2%} ({:+.2%} to {:+.2%})".format(*slant(offsets, published))]))
        for region, points in REGIONS.items():
            print(_line(f"  {region}", offsets[:, list(points)].mean(axis=1), published.people))
    x, y = data.label_shifts.mean(axis=(0, 1))
    print(
        f"taken off when the data set is opened: a mean of {x:+.2f} px to the right and {y:+.2f} px down; "
        "label_shift.json changes that"
    )
    write_image(picture, eyes_sheet(data))
    print(f"published labels beside corrected ones: {picture}")


def mirror_disagreement(landmarker: Landmarker, data: FacialKeypointsDataset) -> np.ndarray:
    """The shift b by each face, (N, 2): half of what separates the image's points from the mirror image's."""
    difference = predict(landmarker, data) - predict(landmarker, data, mirror=True)
    return _in_eye_distances(difference, data).mean(axis=1) / 2


def turn_disagreement(landmarker: Landmarker, data: FacialKeypointsDataset, degrees: float) -> np.ndarray:
    """The shift b by each face, (N, 2), from its image turned by `degrees` to either side."""
    difference = predict(landmarker, data, degrees=degrees) - predict(landmarker, data, degrees=-degrees)
    dx, dy = _in_eye_distances(difference, data).mean(axis=1).T / (2 * math.sin(math.radians(degrees)))
    return np.column_stack([-dy, dx])


def label_offsets(landmarker: Landmarker, data: FacialKeypointsDataset) -> np.ndarray:
    """How far each label lies from the network's point, (N, 68, 2).

    That point is the mean over the image and its mirror image, so that the network adds no sideways shift.
    """
    symmetric = (predict(landmarker, data) + predict(landmarker, data, mirror=True)) / 2
    return _in_eye_distances(data.keypoints - symmetric, data)


def predict(
    landmarker: Landmarker, data: FacialKeypointsDataset, degrees: float = 0.0, mirror: bool = False
) -> np.ndarray:
    """Keypoints (N, 68, 2) px of the image; the network sees crops around the labels, turned clockwise or mirrored."""
    images = [data.image(i) for i in range(len(data))]
    boxes = [geometry.box_of(points) for points in data.keypoints]
    return landmarker.predict(images, boxes, [degrees] * len(data), mirror).keypoints


def eyes_sheet(data: FacialKeypointsDataset) -> np.ndarray:
    """The eyes of the largest faces of a few people: published labels above, corrected ones below. (H, W, 3) uint8."""
    people, largest = data.people, {}
    for i in np.argsort(-inter_ocular(data.keypoints)):
        largest.setdefault(people[i], i)
    chosen = list(largest.values())[:PICTURED]
    tiles = []
    for i in chosen:
        eyes = np.full((NUM_LANDMARKS, 2), np.nan)
        eyes[EYES] = data.keypoints[i, EYES]
        box = geometry.box_of(eyes[EYES])  # the same for both halves: so the labels move and not the eyes
        halves = [
            face_tile(data.image(i), points, box=box, margin=1.4, side=640)[165:475]  # no more than the eyes
            for points in (eyes + data.label_shifts[i], eyes)
        ]
        tiles.append(np.vstack([halves[0], np.full((20, 640, 3), 255, np.uint8), halves[1]]))
    captions = [Path(data.names[i]).stem for i in chosen]
    title = "Eyes with the labels as published (above) and as corrected (below)"
    return contact_sheet(tiles, columns=3, tile=640, captions=captions, title=title)


def _in_eye_distances(offsets: np.ndarray, data: FacialKeypointsDataset) -> np.ndarray:
    return offsets / inter_ocular(data.keypoints)[:, None, None]


def grown_and_constant(shifts: np.ndarray, eyes: np.ndarray, people) -> np.ndarray:
    """Fit shift · eyes = fraction · eyes + pixels: the part of a shift that grows with the face, and the constant one.

    Least squares, with residuals in eye distances.

    shifts: of each face, (N,), fractions of its eye distance; eyes: that distance, (N,) px; people: whose face it is.

    Returns:
        (2, 3): the fraction and the pixels, each with its 95% interval by bootstrap over people.
    """
    inverse = 1 / eyes

    def line(n, u, uu, v, uv):  # through the points (u, v), by sums over them
        pixels = (n * uv - u * v) / (n * uu - u * u)
        return np.array([(v - pixels * u) / n, pixels])

    return bootstrap(line, (np.ones_like(eyes), inverse, inverse**2, shifts, shifts * inverse), people)


def slant(offsets: np.ndarray, data: FacialKeypointsDataset) -> np.ndarray:
    """How much further down labels lie for each pixel to the right, with its 95% interval, (3,).

    offsets: `label_offsets`. Each point is compared with its counterpart on the other half of the face. So an offset
    that both halves share does not count.
    """
    down, x = offsets[..., 1], data.keypoints[..., 0] / inter_ocular(data.keypoints)[:, None]  # (N, 68)
    lower, across = down - down[:, FLIP], x - x[:, FLIP]
    return bootstrap(np.divide, ((lower * across).sum(axis=1), (across**2).sum(axis=1)), data.people)


def _parts(shifts: np.ndarray, data: FacialKeypointsDataset, columns: int = 2) -> str:
    """Two lines on shifts (N, 2), see `grown_and_constant`; "" for fewer than five people."""
    if len(set(data.people)) < 5:
        return ""
    eyes = inter_ocular(data.keypoints)
    fits = [grown_and_constant(column, eyes, data.people) for column in shifts.T[:columns]]
    grown = [f"{mean:+.2%} ({low:+.2%} to {high:+.2%})" for (mean, low, high), _ in fits]
    constant = [f"{mean:+.2f} ({low:+.2f} to {high:+.2f}) px" for _, (mean, low, high) in fits]
    return _row("  growing with the face", grown) + "\n" + _row("  the same for all", constant) + "\n"


def _line(name: str, values: np.ndarray, people: list[str], columns: int = 2) -> str:
    """The means of values (N, 2) and their intervals."""
    cells = []
    for column in values.T[:columns]:
        low, high = bootstrap_interval(column, people)
        cells.append(f"{column.mean():+.2%} ({low:+.2%} to {high:+.2%})")
    return _row(name, cells)


def _row(name: str, cells: list[str]) -> str:
    return f"{name:<26}" + "".join(f"{cell:>28}" for cell in cells)
