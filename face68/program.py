"""How a program begins and ends: its parser, its one-line errors, its exit status."""

import argparse
import contextlib
import copy
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from PIL import Image

from face68.files import InputError, printable, unwritable
from face68.formats import unreadable

MAX_PIXELS = 250_000_000  # of a picture that a command reads


def run_program(main: Callable[[], int | None]) -> None:
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
        problem = error
    except MemoryError:
        problem = InputError("the memory of this machine is too small for that; give smaller pictures, or fewer")
    except KeyboardInterrupt as stop:
        print(f"stopped by {' '.join(stop.args) or 'Ctrl-C'}", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if error.filename is not None:  # a name that no file can have, a folder that may not be entered, …
            problem = unreadable(error.filename, error)
        else:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what it still holds goes nowhere
            if isinstance(error, BrokenPipeError):  # `… | head` closed our stdout: the reader has what it wanted
                sys.exit(0)
            problem = unwritable("standard output", error)
    report_problems([problem])
    sys.exit(2)


def set_up_pillow() -> None:
    """In a process that is a command's own: Pillow reads up to MAX_PIXELS, and says nothing by itself."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # from there Pillow warns, and it refuses above twice that
    warnings.filterwarnings("ignore", module=r"PIL\.")  # odd metadata is nothing that a user could mend
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


def log(line: str) -> None:
    """Print a line at once, whatever the file names in it hold."""
    print(printable(line), flush=True)


def count_of_faces(count: int) -> str:
    return {0: "no face found", 1: "1 face"}.get(count, f"{count} faces")


def report_problems(problems: Sequence[InputError]) -> int:
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


def shortened(text: str) -> str:
    """A user's word as a message quotes it."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


LARGEST_COUNT = 10**9  # of the counts that an option may give: beyond, libraries of C have no room for them


def positive_int(text: str, largest: int = LARGEST_COUNT) -> int:
    """An option's value: 1, 2, 3, …"""
    if _is_up_to(largest, text) and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{shortened(text)} is not a whole number from 1 to {largest:,}")


def whole_number(text: str, largest: int = LARGEST_COUNT) -> int:
    """An option's value: 0, 1, 2, …"""
    if _is_up_to(largest, text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{shortened(text)} is not a whole number from 0 to {largest:,}")


def _is_up_to(largest: int, text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(largest)) and int(text) <= largest
