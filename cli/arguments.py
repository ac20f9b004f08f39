"""What every command shares: the argument parser, values of options, and errors in one line."""

import argparse
import contextlib
import copy
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from face68.detect import DETECTORS
from face68.files import InputError, printable, unwritable
from face68.formats import unreadable
from face68.landmarker import MIN_FACE_SCORE
from face68.network import FAMILY, FOR_FILMS, FOR_PHOTOS
from face68.overlays import DEFAULT_PLACE, PLACES

MAX_PIXELS = 250_000_000  # of a picture that a command reads


def run(main: Callable[[], int | None]) -> None:
    """Run a command's `main` and exit: its status (0 for None), 2 after an `InputError` and where memory or room for
    what it prints ran out, 130 after Ctrl-C and the like.

    The error goes to stderr as one line; a traceback on a user's screen is a bug of ours.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # the terminal may lack letters of a file's name
    set_up_pillow()
    try:
        status = main()
        sys.stdout.flush()
        sys.exit(status)
    except InputError as error:
        complain([error])
        sys.exit(2)
    except MemoryError:
        complain([InputError("the memory of this machine is too small for that; give smaller pictures, or fewer")])
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(f"stopped by {' '.join(stop.args) or 'Ctrl-C'}", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if error.filename is not None:  # a name that no file can have, a folder that may not be entered, …
            complain([unreadable(error.filename, error)])
            sys.exit(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what it still holds goes nowhere
        if isinstance(error, BrokenPipeError):  # `… | head` closed our stdout: the reader has what it wanted
            sys.exit(0)
        complain([unwritable("standard output", error)])
        sys.exit(2)


def set_up_pillow() -> None:
    """In a process that is a command's own: Pillow reads up to MAX_PIXELS, and says nothing by itself."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # from there Pillow warns, and it refuses above twice that
    warnings.filterwarnings("ignore", module=r"PIL\.")  # odd metadata is nothing that a user could mend
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


def say(line: str) -> None:
    """Print a line at once, whatever the file names in it hold."""
    print(printable(line), flush=True)


def complain(problems: Sequence[InputError]) -> int:
    """Print each problem as a line on stderr, after which the run may go on. Returns how many they are."""
    with contextlib.suppress(OSError):  # there may be no room for that either
        for problem in problems:
            print(printable(f"error: {problem}"), file=sys.stderr, flush=True)
    return len(problems)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line and not the whole usage."""

    def error(self, message: str):
        self.exit(2, printable(f"error: {message}; see {self.prog} --help") + "\n")


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows each option's default where it has one, and texts as they are written: a percent sign in them is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        action = copy.copy(action)
        action.help = action.help.replace("%", "%%")
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


def parser(doc: str) -> argparse.ArgumentParser:
    """An argument parser that shows the module's docstring as it is and each option's default."""
    return OneLineParser(description=doc, formatter_class=Formatter, allow_abbrev=False)


def add_overwrite(options: argparse._ActionsContainer) -> None:
    """The option --overwrite of a parser or a group of it, see `places.check_places`."""
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
        help="auto: our own, in any roll; yunet is fetched when it isn't here; none: the frame shows one face, in the "
        "middle; FILE.onnx: one that train.py --model detector trained",
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


LARGEST = 10**9  # of the counts that an option may give: beyond, libraries of C have no room for them


def positive_int(text: str, largest: int = LARGEST) -> int:
    """An option's value: 1, 2, 3, …"""
    if _is_up_to(largest, text) and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{shortened(text)} is not a whole number from 1 to {largest:,}")


def whole_number(text: str, largest: int = LARGEST) -> int:
    """An option's value: 0, 1, 2, …"""
    if _is_up_to(largest, text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{shortened(text)} is not a whole number from 0 to {largest:,}")


def seed(text: str) -> int:
    """An option's value: what a generator of random numbers begins with."""
    return whole_number(text, 2**64 - 1)


def threads(text: str) -> int:
    """An option's value: a number of threads that a machine can have."""
    return positive_int(text, 1024)


def _is_up_to(largest: int, text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(largest)) and int(text) <= largest


def shortened(text: str) -> str:
    """A user's word as a message quotes it."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


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
