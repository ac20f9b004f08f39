"""What files, folders, globs and "-" on a command line stand for."""

import glob
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
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
    MAX_BYTES,
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
    names: of each, its path in the folder that holds them all: no two are alike.
    problems: what names nothing.
    """

    sources: list[str]
    names: list[Path]
    problems: list[InputError]


def find_inputs(arguments: Iterable[str], recursive: bool = False) -> Inputs:
    """What files, folders, globs and "-" (standard input) stand for, each image once; `recursive` is for folders.

    A file's own name is taken as it is, even where it would be a glob as well.
    """
    sources, folders, problems = {}, set(), []  # sources by their absolute paths; a dict keeps the order
    for argument in arguments:
        try:
            if argument == STDIN:
                found = [STDIN]
            elif Path(argument).is_dir():
                if found := find_images(argument, recursive, problems.append):
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
    """Absolute paths as seen from the folder that holds them and `folders`; on several Windows drives, from above."""
    if not paths:
        return []
    try:
        root = os.path.commonpath(folders | {path.parent for path in paths})
    except ValueError:  # several drives have no common folder
        return [type(path)(path.drive.strip(":\\"), path.relative_to(path.anchor)) for path in paths]
    return [path.relative_to(root) for path in paths]


def _absolute(path: str) -> Path:
    """Without `..`, but with links as they are: two links to a photo are two names."""
    return Path(os.path.normpath(Path(path).absolute()))


def _match(pattern: str) -> list[str]:
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
    found = sorted(name for name in names if is_image_name(Path(name).name) and not is_stream(name))
    if not found:
        raise InputError(f"{pattern}: matches no image; check the pattern")
    return found


def demonstration_photo() -> Path:
    """A photograph that comes with matplotlib, found without its import, which takes longer than the prediction.

    Raises:
        InputError: it isn't there.
    """
    package = importlib.util.find_spec("matplotlib")
    if package is None:
        raise InputError("--image: the photo of the demonstration comes with matplotlib, which isn't here; name one")
    return Path(package.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"


def read_source(source: str) -> np.ndarray:
    """`read_image`, where "-" stands for standard input."""
    if source != STDIN:
        return read_image(source)
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"standard input: gives more than {MAX_BYTES // 1_000_000} MB; send a smaller image")
    return read_image(data, "standard input")


def glance_at_source(source: str) -> Reduced:
    """As `read_source`, of large JPEG files a smaller decoding, as fine as the search for faces looks."""
    if source == STDIN or is_stream(source):  # which can't be read twice
        return Reduced(read_source(source), 1)
    return read_reduced(source, least=SEARCHES[-1])


def weigh_source(source: str) -> int:
    """How many pixels `read_source` gives of a file, 0 where only reading tells."""
    return 0 if source == STDIN else decoded_pixels(source)


def weigh_glance(source: str) -> int:
    """As `weigh_source`, of `glance_at_source`."""
    return 0 if source == STDIN else decoded_pixels(source, SEARCHES[-1])


def _refuse(problem: InputError) -> None:
    raise problem


def find_images(
    folder: str | Path, recursive: bool = False, tell: Callable[[InputError], None] = _refuse
) -> list[Path]:
    """The image files of a folder, by suffix, sorted; `recursive` looks into its folders too. Hidden ones are skipped,
    and what is no file, as pipes and devices, which may never end.

    tell: is told of folders that can't be read, of HEIC photos, and where there are no images.

    Raises:
        InputError: no such folder; and what `tell` raises.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    found, errors, heic = [], [], 0
    for parent, folders, files in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        places = [Path(parent, name) for name in files if is_image_name(name)]
        found += [path for path in places if not is_stream(path)]
        heic += sum(Path(name).suffix.lower() in HEIC_SUFFIXES for name in files)
    for error in errors:
        tell(unreadable(error.filename, error))
    if heic:
        tell(InputError(f"{folder}: {heic} HEIC photos are left out; {AS_JPEG}"))
    elif not found and not errors:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        tell(InputError(f"{folder}: holds no images ({suffixes}); give another folder"))
    return sorted(found)
