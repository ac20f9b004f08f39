"""What every command shares: one-line errors, the argument parser, and files written whole or not at all."""

import argparse
import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


class InputError(ValueError):
    """Something the user gave can't be used. The message is ONE line: which file, what is wrong, what to do."""


def run(main: Callable[[], int | None]) -> None:
    """Run a command's `main` and exit: its status (0 for None), 2 after an `InputError`, 130 after Ctrl-C.

    The error goes to stderr as one line; a traceback on a user's screen is a bug of ours.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # file names may be bytes that are no text
    try:
        sys.exit(main())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `… | head` closed our stdout: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line and not the whole usage."""

    def error(self, message: str):
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows each option's default where it has one, and the description as it is written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def parser(doc: str) -> argparse.ArgumentParser:
    """An argument parser that shows the module's docstring as it is and each option's default."""
    return OneLineParser(description=doc, formatter_class=Formatter, allow_abbrev=False)


def positive_int(text: str) -> int:
    """An option's value: 1, 2, 3, …"""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")


def whole_number(text: str) -> int:
    """An option's value: 0, 1, 2, …"""
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")


def positive_float(text: str) -> float:
    """An option's value: a finite number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def probability(text: str) -> float:
    """An option's value: 0 … 1."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; it takes `path`'s place when the block ends well.

    A crash, a full disk or Ctrl-C leaves what was there before. Creates the folder where it is missing.
    The suffix is kept, because cv2 and matplotlib choose the format by it.

    Raises:
        InputError: the folder can't be written to, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes it private; a result is an ordinary file
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror or error}); give another place") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
