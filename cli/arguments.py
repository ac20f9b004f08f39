"""What every command shares: the argument parser, values of options, and errors in one line."""

import argparse
import contextlib
import math
from pathlib import Path

from face68.detect import DETECTORS
from face68.landmarker import MIN_FACE_SCORE
from face68.network import FAMILY, FOR_FILMS, FOR_PHOTOS
from face68.overlays import DEFAULT_PLACE, PLACES
from face68.program import positive_int, whole_number


def add_overwrite(options: argparse._ActionsContainer) -> None:
    """The option --overwrite of a parser or a group of it, see `places.check_outputs`."""
    options.add_argument("--overwrite", action="store_true", help="replace files that this program didn't write, too")


def add_finding(p: argparse.ArgumentParser) -> argparse._ActionsContainer:
    """The options of every command that finds faces, see `networks.open_landmarker`; returns their group."""
    p.add_argument(
        "--checkpoint",
        type=Path,
        metavar="|".join((*FAMILY, "FILE")),
        help="network, one of those that are shipped or a file (default: saved_models/best.pt if there is one, else "
        f"{FOR_PHOTOS} for photos, {FOR_FILMS} for films)",
    )
    p.add_argument("--threads", type=threads, default=1, help="processor threads that the network computes in")
    finding = p.add_argument_group("finding faces")
    finding.add_argument(
        "--detector",
        metavar="|".join((*DETECTORS, "FILE.onnx")),
        default="auto",
        help="auto: our own, in any roll; none: the frame shows one face, in the middle; FILE.onnx: one that "
        "train.py --model detector trained",
    )
    finding.add_argument(
        "--min-face",
        type=pixels_or_share,
        metavar="PX|N%",
        help="the smallest face, brows to chin, in pixels or as a share of the picture's longer side; the search is as "
        "fine as that takes (default: as fine as it seems to pay)",
    )
    finding.add_argument("--largest", action="store_true", help="the largest face of each picture alone")
    finding.add_argument(
        "--min-face-score",
        type=probability,
        default=MIN_FACE_SCORE,
        help="drop detections that the landmark network gives a lower probability of being a face; 0 keeps all",
    )
    return finding


def add_measures(options: argparse._ActionsContainer) -> None:
    """The option --measures of a parser or a group of it."""
    options.add_argument(
        "--measures",
        action="store_true",
        help="head pose in degrees, how far eyes and mouth are open, into JSON and CSV; the head's axes into pictures",
    )


def add_overlay(options: argparse._ActionsContainer) -> None:
    """The option --overlay of a parser or a group of it: None, or names for `overlays.load_overlay`."""
    options.add_argument(
        "--overlay",
        action="append",
        metavar="NAME|FILE.png[@NAME]",
        help=f"draw this on each face and no points: {', '.join(PLACES)}; or a picture of yours with transparent "
        f"parts: FILE.png where {DEFAULT_PLACE} lie, FILE.png@hat where the hat does; again for one more, above it",
    )


def seed(text: str) -> int:
    """An option's value: what a generator of random numbers begins with."""
    return whole_number(text, 2**64 - 1)


def threads(text: str) -> int:
    """An option's value: a number of threads that a machine can have."""
    return positive_int(text, 1024)


def positive_float(text: str) -> float:
    """An option's value: a finite number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def float_from_zero(text: str) -> float:
    """An option's value: a finite number from 0 up."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")


def probability(text: str) -> float:
    """An option's value: 0 … 1."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")


def pixels_or_share(text: str) -> float:
    """An option's value: pixels, or a share in percent as a fraction below 1."""
    number = positive_float(text.removesuffix("%"))
    if text.endswith("%") and number < 100:
        return number / 100
    if not text.endswith("%") and number >= 1:
        return number
    raise argparse.ArgumentTypeError(f"{text!r} is neither pixels from 1 up nor a share as 5%")
