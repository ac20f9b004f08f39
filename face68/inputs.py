"""The photos that files, folders, patterns and "-" on a command line name."""

import glob
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from face68.detect import SEARCHES
from face68.files import InputError, is_stream
from face68.formats import unreadable
from face68.images import (
    AS_JPEG,
    HEIC_SUFFIXES,
    IMAGE_SUFFIXES,
    Reduced,
    decoded_pixels,
    is_image_name,
    read_image,
    read_reduced,
)

STDIN = "-"


class Inputs(NamedTuple):
    """The images that a user named.

    sources: their paths as the user would write them, or "-"; for `read_source`.
    names: the path of each in the folder that holds them all; no two are alike.
    problems: an error for each argument that names no image.
    """

    sources: list[str]
    names: list[Path]
    problems: list[InputError]


def find_inputs(arguments: Iterable[str], recursive: bool = False) -> Inputs:
    """The images that files, folders, patterns and "-" (standard input) name, each once; `recursive` is for folders.

    The name of an existing file is no pattern, whatever characters it has.
    """
    sources, folders, problems = {}, set(), []  # sources by their absolute paths; a dict keeps the order
    for argument in arguments:
        try:
            if argument == STDIN:
                found = [STDIN]
            elif Path(argument).is_dir():
                if found := find_images(argument, recursive, problems):
                    folders.add(_absolute(argument))
            elif glob.has_magic(argument) and not Path(argument).exists():
                found = _match(argument)
            else:
                found = [argument]
        except InputError as error:
            problems.append(error)
        except OSError as error:  # a name too long, a folder that may not be entered
            problems.append(InputError(f"{argument}: can't be read ({error.strerror}); check the path"))
        else:
            for source in map(str, found):
                sources.setdefault(_absolute("stdin" if source == STDIN else source), source)
    return Inputs(list(sources.values()), _names(list(sources), folders), problems)


def _names(paths: list[Path], folders: set[Path]) -> list[Path]:
    """Absolute paths, relative to the folder that holds them and `folders`; several Windows drives become folders."""
    if not paths:
        return []
    try:
        root = os.path.commonpath(folders | {path.parent for path in paths})
    except ValueError:  # several drives have no common folder
        return [type(path)(path.drive.strip(":\\"), path.relative_to(path.anchor)) for path in paths]
    return [path.relative_to(root) for path in paths]


def _absolute(path: str) -> Path:
    """An absolute path without `..`; links aren't followed: two links to a photo are two names."""
    return Path(os.path.normpath(Path(path).absolute()))


def _match(pattern: str) -> list[str]:
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
    found = sorted(name for name in names if is_image_name(Path(name).name) and not is_stream(name))
    if not found:
        raise InputError(f"{pattern}: matches no image; check the pattern")
    return found


def demonstration_photo() -> Path:
    """A photograph that comes with matplotlib, which isn't imported: that takes longer than the prediction.

    Raises:
        InputError: matplotlib isn't installed.
    """
    package = importlib.util.find_spec("matplotlib")
    if package is None:
        raise InputError("--image: the photo of the demonstration comes with matplotlib, which isn't here; name one")
    return Path(package.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"


def read_source(source: str) -> np.ndarray:
    """`read_image`, where "-" stands for standard input."""
    return read_image(sys.stdin.buffer, "standard input") if source == STDIN else read_image(source)


def glance_at_source(source: str) -> Reduced:
    """As `read_source`, but large JPEG files are decoded smaller, just fine enough for the search for faces."""
    if source == STDIN or is_stream(source):  # it can't be read twice
        return Reduced(read_source(source), 1)
    return read_reduced(source, least=SEARCHES[-1])


def weigh_source(source: str) -> int:
    """How many pixels `read_source` will return, 0 where that is unknown before reading."""
    return 0 if source == STDIN else decoded_pixels(source)


def weigh_glance(source: str) -> int:
    """How many pixels `glance_at_source` will return, 0 where that is unknown before reading."""
    return 0 if source == STDIN else decoded_pixels(source, SEARCHES[-1])


def find_images(folder: str | Path, recursive: bool = False, problems: list[InputError] | None = None) -> list[Path]:
    """The image files of a folder, by suffix, sorted; `recursive` looks into its folders too. Hidden files are skipped,
    and so are pipes and devices, which may never end.

    problems: gets an error for each folder that can't be read, for HEIC photos, and if there are no images.

    Raises:
        InputError: there is no such folder; or the first problem, where there is no list for them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    found, errors, heic = [], [], 0
    for parent, folders, files in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        images = [Path(parent, name) for name in files if is_image_name(name)]
        found += [path for path in images if not is_stream(path)]
        heic += sum(Path(name).suffix.lower() in HEIC_SUFFIXES for name in files)
    new = [unreadable(error.filename, error) for error in errors]
    if heic:
        new.append(InputError(f"{folder}: {heic} HEIC photos are left out; {AS_JPEG}"))
    elif not found and not errors:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        new.append(InputError(f"{folder}: holds no images ({suffixes}); give another folder"))
    if problems is not None:
        problems += new
    elif new:
        raise new[0]
    return sorted(found)
