"""Where results go: a name for each, none in the way of another or of a user's file.

The rule of every command that writes: what it writes replaces only what this program wrote (`is_ours`), unless the user
says --overwrite, and never a file that the run reads. It is looked at before the work begins:

    check_outputs([args.output, args.json], overwrite=args.overwrite)
"""

import contextlib
import itertools
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from face68.files import MARK, InputError, check_writable, is_stream, unwritable
from face68.formats import is_result
from face68.images import MARKED_SUFFIXES, WRITABLE_SUFFIXES, is_marked
from face68.inputs import STDIN, Inputs
from face68.program import log

OUTPUTS = Path("outputs")


# --- The rule -------------------------------------------------------------------------------------------------


def is_ours(path: Path) -> bool:
    """Whether a file is one that this program wrote: pictures say so in their metadata, results by how they begin."""
    return is_result(path) or is_marked(path)


def check_outputs(
    places: Iterable[Path],
    reads: Iterable[str | Path] = (),
    overwrite: bool = False,
    known: Callable[[Path], bool] = is_ours,
) -> None:
    """See before the work begins that each place can be written to, and that no user's file is lost by it.

    reads: files that the run reads; none is ever replaced, whatever links and letter case say.
    overwrite: other files may be replaced, whoever wrote them.
    known: whether a file is one that this command wrote, where it writes other kinds than `is_ours` knows.

    Raises:
        InputError: naming the first place that won't do.
    """
    read = {_identity(path) for path in reads} - {None}
    targets, folders = set(), set()
    for path in places:
        if is_stream(path):
            check_writable(path)
            continue
        target = Path(os.path.realpath(path))
        if target in targets:
            raise InputError(f"{path}: is named for two results; give each a place of its own")
        targets.add(target)
        if _identity(path) in read:
            raise InputError(f"{path}: is read by this run; name another place for results")
        check_replaceable(path, overwrite, known)
        if target.parent not in folders:
            folders.add(target.parent)
            check_writable(path)


def log_new_folders(files: Iterable[Path]) -> None:
    """Say which folders these results' names will make: one may be misspelt."""
    for folder in {path.parent: None for path in files if not path.parent.exists()}:
        log(f"{folder}: is a new folder")


def check_replaceable(path: Path, overwrite: bool = False, known: Callable[[Path], bool] = is_ours) -> None:
    """See that a file may be written: nothing is there, or nothing in it, or what is known as ours.

    Raises:
        InputError: it may not.
    """
    try:
        status = path.stat()
    except OSError:  # nothing is there, or nothing that could be replaced
        return
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder; name a file")
    if not (overwrite or is_stream(path) or status.st_size == 0 or known(path)):
        raise InputError(f"{path}: is there and not this program's; name another place, or replace it with --overwrite")


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):  # not there, or a path that no file can have
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def only_writer(folder: Path, name: str = "") -> Iterator[None]:
    """Keep others out of a folder, or of the file `name` in it, who ask like this: to the end of the block, or of the
    process, however that comes.

    Raises:
        InputError: somebody else is in it, or it can't be written to.
    """
    from filelock import FileLock, Timeout  # here, because the library doesn't need it

    path = folder / f".{name or MARK}.lock"
    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"{folder / name}: another process writes into it; wait for it, or name another") from None
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes it at the release
            path.unlink()
        lock.release()


# --- The names ------------------------------------------------------------------------------------------------


def picture_paths(inputs: Inputs, output: Path | None, single: bool) -> dict[str, Path]:
    """The picture of each source: `output` or a file in it for a `single` photo, else its name within that folder.

    Raises:
        InputError: `output` is a file's name, and there are several photos.
    """
    folder = output or OUTPUTS
    is_file = output is not None and not output.is_dir() and output.suffix.lower() in WRITABLE_SUFFIXES
    if single:
        ((source, name),) = zip(inputs.sources, inputs.names, strict=True)
        return {source: output if is_file else folder / _picture_name(name, "_keypoints")}
    if is_file:
        raise InputError(f"{output}: is a file's name, but the pictures are several; give --output a folder")
    places, taken = {}, set(inputs.names)
    for source, name in zip(inputs.sources, inputs.names, strict=True):
        picture = _picture_name(name)
        places[source] = folder / (name if picture == name else _free(picture, taken))
    return places


def _picture_name(name: Path, addition: str = "") -> Path:
    """In the photo's own format where a picture can be written and marked in that, else PNG behind the whole name."""
    if name.suffix.lower() in MARKED_SUFFIXES:
        return name.with_name(f"{name.stem}{addition}{name.suffix}")
    return name.with_name(f"{name.name}{addition}.png")


def _free(name: Path, taken: set[Path]) -> Path:
    """The name, or with the first number behind it that no other has; now it is taken too."""
    numbered = (name.with_stem(f"{name.stem}_{i}") for i in itertools.count(2))
    free = next(one for one in itertools.chain([name], numbered) if one not in taken)
    taken.add(free)
    return free


def sheet_paths(inputs: Inputs, output: Path | None, pictures: Iterable[Path] = ()) -> dict[str, Path]:
    """The contact sheet that each source would begin, numbered by it: so an interrupted run's sheets stay. Beside
    `pictures`, none of which it replaces.
    """
    folder, taken = output or OUTPUTS, set(pictures)
    sheets = [_free(folder / f"contact_sheet_{i}.jpg", taken) for i in range(1, len(inputs.sources) + 1)]
    return dict(zip(inputs.sources, sheets, strict=True))


def pts_paths(inputs: Inputs, folder: Path) -> dict[str, Path]:
    """The .pts file of each source's first face: the photo's name with that suffix, which tools look for.

    It comes behind the whole name where a file of two photos could be one: of a.jpg and a.png, or of the second face of
    a.jpg (see `pts_of_face`) and a.face2.jpg.

    Raises:
        InputError: a file would lie beside a photo, where tools look for its labels; or that whole name won't do.
    """
    stems = [name.with_suffix("") for name in inputs.names]
    owners = Counter(map(_family, [*stems, *(name for name in inputs.names if name.suffix)]))
    places, families = {}, set()
    for source, name, stem in zip(inputs.sources, inputs.names, stems, strict=True):
        chosen = stem if owners[_family(stem)] == 1 else name
        if _family(chosen) in families:
            raise InputError(f"{source}: its .pts could be that of another photo's face; rename it")
        families.add(_family(chosen))
        places[source] = folder / chosen.with_name(f"{chosen.name}.pts")
    photos = [Path(source) for source in inputs.sources if source != STDIN]
    links = [Path(os.path.realpath(photo)) for photo in photos if photo.is_symlink()]  # labels may lie at either end
    beside = {os.path.realpath(parent) for parent in {photo.parent for photo in [*photos, *links]}}
    for parent, place in {place.parent: place for place in places.values()}.items():
        if os.path.realpath(parent) in beside:
            raise InputError(f"{place}: would lie among photos, as their labels do; give --pts another folder")
    return places


def pts_of_face(path: Path, number: int) -> Path:
    """photo.pts for the first face of a photo, photo.face2.pts for the second."""
    return path if number == 1 else path.with_name(f"{path.stem}.face{number}.pts")


def _family(stem: Path) -> Path:
    """A name without the numbers of faces: what names of one family make with `pts_of_face` could be the same."""
    return stem.with_name(re.sub(r"(?<=.)(\.face\d+)+$", "", stem.name))
