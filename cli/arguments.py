"""The options that several commands have, and the types of their values."""

import argparse
import contextlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

from face68.align import BORDERS, LARGEST, TEMPLATES, Aligned, Template, align, open_template
from face68.detect import DETECTORS
from face68.files import InputError
from face68.landmarker import MIN_FACE_SCORE
from face68.network import FAMILY, FOR_FILMS, FOR_PHOTOS, PROVIDERS
from face68.overlays import DEFAULT_PLACE, PLACES
from face68.program import positive_int, whole_number


def add_overwrite(options: argparse._ActionsContainer) -> None:
    """The option --overwrite, for `outputs.check_outputs`."""
    options.add_argument("--overwrite", action="store_true", help="replace files that this program didn't write, too")


def add_finding(p: argparse.ArgumentParser) -> argparse._ActionsContainer:
    """The options of `weights.open_landmarker`; returns the group of those about finding faces."""
    p.add_argument(
        "--checkpoint",
        type=Path,
        metavar="|".join((*FAMILY, "FILE")),
        help="the network: a shipped one by its size, or a file (default: saved_models/best.pt if there is one, else "
        f"{FOR_PHOTOS} for photos, {FOR_FILMS} for films)",
    )
    p.add_argument("--threads", type=threads, default=1, help="processor threads that the network computes in")
    p.add_argument(
        "--provider", choices=PROVIDERS, default="cpu", help="where ONNX Runtime computes, if it has that here"
    )
    finding = p.add_argument_group("finding faces")
    finding.add_argument(
        "--detector",
        metavar="|".join((*DETECTORS, "FILE.onnx")),
        default="auto",
        help="auto: our own, for faces at any angle in the image plane; none: the whole picture is one face; "
        "FILE.onnx: one that train.py --model detector trained",
    )
    finding.add_argument(
        "--min-face",
        type=pixels_or_share,
        metavar="PX|N%",
        help="size of the smallest face to find, brows to chin, in pixels or in percent of the picture's longer side; "
        "smaller takes longer (default: chosen by the size of the picture)",
    )
    finding.add_argument("--largest", action="store_true", help="keep only the largest face of each picture")
    finding.add_argument(
        "--min-face-score",
        type=probability,
        default=MIN_FACE_SCORE,
        help="drop detections to which the landmark network gives a lower probability of a face, 0 to 1; 0 keeps all",
    )
    return finding


def add_measures(options: argparse._ActionsContainer) -> None:
    """The option --measures."""
    options.add_argument(
        "--measures",
        action="store_true",
        help="add the head's angles in degrees and how far eyes and mouth are open (height / width) to JSON and CSV; "
        "draw the head's axes into pictures",
    )


def add_drawing(options: argparse._ActionsContainer) -> None:
    """The options --confidence, and --overlay: None, or names for `overlays.load_overlay`."""
    options.add_argument(
        "--confidence", action="store_true", help="draw each point's expected error as a ring, and the face's score"
    )
    options.add_argument(
        "--overlay",
        action="append",
        metavar="NAME|FILE.png[@NAME]",
        help=f"draw this on each face and no points: {', '.join(PLACES)}; or your own picture with transparent parts: "
        f"FILE.png where {DEFAULT_PLACE} are worn, FILE.png@hat where the hat is; give it again for one more, on top",
    )


def add_align(p: argparse.ArgumentParser, files: str) -> None:
    """The option --align, of a folder for these files, and those of `open_align`."""
    group = p.add_argument_group("aligned faces")
    group.add_argument(
        "--align", type=Path, metavar="FOLDER", help=f"each face turned upright and cut out, {files} in this folder"
    )
    group.add_argument(
        "--align-template",
        type=template,
        metavar="|".join((*TEMPLATES, "FILE.json")),
        default="ffhq",
        help="where eyes and mouth lie in it: as in FFHQ, for ArcFace (take 112 px), as dlib's chips (150 px), level; "
        'or in your own places, shares of the side: {"36": [0.3, 0.4], "45": [0.7, 0.4]}',
    )
    group.add_argument(
        "--align-size", type=partial(positive_int, largest=LARGEST), default=256, help="its width and height, in pixels"
    )
    group.add_argument("--align-border", choices=BORDERS, default="black", help="what lies outside of the photo")


def open_align(args) -> Callable[..., Aligned]:
    """The function (image, face) → `align.Aligned` that the options of `add_align` ask for."""
    return partial(align, size=args.align_size, template=args.align_template, border=args.align_border)


def template(text: str) -> Template:
    """An option's value: a name or file for `align.open_template`."""
    try:
        return open_template(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seed(text: str) -> int:
    """An option's value: the seed of a random generator."""
    return whole_number(text, 2**64 - 1)


def threads(text: str) -> int:
    """An option's value: a number of processor threads."""
    return positive_int(text, 1024)


def positive_float(text: str) -> float:
    """An option's value: a finite number above 0."""
    return _number(text, lambda number: 0 < number < math.inf, "above 0")


def float_from_zero(text: str) -> float:
    """An option's value: a finite number from 0 up."""
    return _number(text, lambda number: 0 <= number < math.inf, "from 0 up")


def probability(text: str) -> float:
    """An option's value: 0 … 1."""
    return _number(text, lambda number: 0 <= number <= 1, "from 0 to 1")


def _number(text: str, is_allowed: Callable[[float], bool], bounds: str) -> float:
    with contextlib.suppress(ValueError):
        if is_allowed(float(text)):  # NaN never is
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number {bounds}")


def pixels_or_share(text: str) -> float:
    """An option's value: pixels from 1 up, or a percentage, which becomes a fraction below 1."""
    number = positive_float(text.removesuffix("%"))
    if text.endswith("%") and number < 100:
        return number / 100
    if not text.endswith("%") and number >= 1:
        return number
    raise argparse.ArgumentTypeError(f"{text!r} is neither pixels from 1 up nor a share as 5%")
