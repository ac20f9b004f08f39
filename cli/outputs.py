"""The paths of results: a path for each, none of which replaces another result or a user's file.

Every command checks its outputs before the work begins:

    check_outputs([args.output, args.json], reads=[args.checkpoint], overwrite=args.overwrite)

A result replaces files in outputs/ and what this program wrote (`is_ours`), other files only with --overwrite, and a
file that the run reads never.
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


# --- What may be written --------------------------------------------------------------------------------------


def is_ours(path: Path) -> bool:
    """Whether this program wrote a file: a picture's metadata and the beginning of a result say so."""
    return is_result(path) or is_marked(path)


def check_outputs(
    paths: Iterable[Path],
    reads: Iterable[str | Path] = (),
    overwrite: bool = False,
    known: Callable[[Path], bool] = is_ours,
) -> None:
    """Check before the work begins that each path can be written, and that no user's file is lost by it.

    reads: files that the run reads; none is ever replaced, also under another name (a link, other letter case).
    overwrite: other files may be replaced, whoever wrote them.
    known: whether this command wrote a file, where it writes other kinds than `is_ours` knows.

    Raises:
        InputError: naming the first path that can't be used.
    """
    read = {_identity(path) for path in reads} - {None}
    targets, folders = set(), set()
    for path in paths:
        if is_stream(path):
            check_writable(path)
            continue
        target = Path(os.path.realpath(path))
        if target in targets:
            raise InputError(f"{path}: is named for two results; give each a path of its own")
        targets.add(target)
        if _identity(path) in read:
            raise InputError(f"{path}: is read by this run; name another file for results")
        check_replaceable(path, overwrite, known)
        if target.parent not in folders:
            folders.add(target.parent)
            check_writable(path)


def log_new_folders(files: Iterable[Path]) -> None:
    """Name the folders that will be made for these results: one may be misspelt."""
    for folder in {path.parent: None for path in files if not path.parent.exists()}:
        log(f"{folder}: is a new folder")


def check_replaceable(path: Path, overwrite: bool = False, known: Callable[[Path], bool] = is_ours) -> None:
    """Check that nothing is lost by writing a file: it is not there, empty, in outputs/, or one that is known as ours.

    Raises:
        InputError: it is a folder, or a file that may be somebody's.
    """
    try:
        status = path.stat()
    except OSError:  # not there, or not to be replaced
        return
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder; name a file")
    if overwrite or status.st_size == 0 or path.resolve().is_relative_to(OUTPUTS.resolve()) or known(path):
        return
    raise InputError(f"{path}: is there and not this program's; name another file, or replace it with --overwrite")


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):  # not there, or a path that no file can have
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def only_writer(folder: Path, name: str = "") -> Iterator[None]:
    """Lock a folder, or the file `name` in it, to the end of the block, or of the process, however it ends.

    Raises:
        InputError: another process holds the lock, or the folder can't be written to.
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


@contextlib.contextmanager
def only_writer_of(files: Iterable[Path | None]) -> Iterator[None]:
    """Lock files that are written line by line, see `only_writer`; a stream, or None, needs no lock."""
    with contextlib.ExitStack() as stack:
        for path in {Path(os.path.realpath(path)) for path in files if path and not is_stream(path)}:
            stack.enter_context(only_writer(path.parent, path.name))
        yield


# --- Their names ----------------------------------------------------------------------------------------------


def picture_paths(inputs: Inputs, output: Path | None, single: bool) -> dict[str, Path]:
    """The picture of each source: `output` or a file in it for a `single` photo, else its name in that folder.

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
    paths, taken = {}, set(inputs.names)
    for source, name in zip(inputs.sources, inputs.names, strict=True):
        picture = _picture_name(name)
        paths[source] = folder / (name if picture == name else _free(picture, taken))
    return paths


def _picture_name(name: Path, addition: str = "") -> Path:
    """In the photo's own format where pictures in that can be marked as ours, else PNG: a.jpg, b.bmp.png."""
    if name.suffix.lower() in MARKED_SUFFIXES:
        return name.with_name(f"{name.stem}{addition}{name.suffix}")
    return name.with_name(f"{name.name}{addition}.png")


def _free(name: Path, taken: set[Path]) -> Path:
    """The name if it isn't taken, else a_2.png, a_3.png, …; from now on it is."""
    numbered = (name.with_stem(f"{name.stem}_{i}") for i in itertools.count(2))
    free = next(one for one in itertools.chain([name], numbered) if one not in taken)
    taken.add(free)
    return free


def sheet_paths(inputs: Inputs, output: Path | None, pictures: Iterable[Path] = ()) -> dict[str, Path]:
    """The contact sheet that would begin with each source, numbered by it, so that an interrupted run's sheets stay.
    None has the name of one of the `pictures`.
    """
    folder, taken = output or OUTPUTS, set(pictures)
    sheets = [_free(folder / f"contact_sheet_{i}.jpg", taken) for i in range(1, len(inputs.sources) + 1)]
    return dict(zip(inputs.sources, sheets, strict=True))


def face_paths(inputs: Inputs, folder: Path, suffix: str = ".pts") -> dict[str, Path]:
    """The file of each source's first face: a.pts for a.jpg, as other tools expect.

    It is a.jpg.pts where two photos could get the same file: a.jpg and a.png, or the second face of a.jpg (see
    `path_of_face`) and a.face2.jpg.

    Raises:
        InputError: a file would lie beside a photo, where tools look for its labels and the next run for photos; or
            that longer name is taken too.
    """
    stems = [name.with_suffix("") for name in inputs.names]
    owners = Counter(map(_without_face_numbers, [*stems, *(name for name in inputs.names if name.suffix)]))
    paths, taken = {}, set()
    for source, name, stem in zip(inputs.sources, inputs.names, stems, strict=True):
        chosen = stem if owners[_without_face_numbers(stem)] == 1 else name
        if _without_face_numbers(chosen) in taken:
            raise InputError(f"{source}: its {suffix} could be that of another photo's face; rename it")
        taken.add(_without_face_numbers(chosen))
        paths[source] = folder / chosen.with_name(f"{chosen.name}{suffix}")
    photos = [Path(source) for source in inputs.sources if source != STDIN]
    photos += [Path(os.path.realpath(photo)) for photo in photos if photo.is_symlink()]  # labels may lie at either end
    folders_of_photos = {os.path.realpath(parent) for parent in {photo.parent for photo in photos}}
    for parent, path in {path.parent: path for path in paths.values()}.items():
        if os.path.realpath(parent) in folders_of_photos:
            raise InputError(f"{path}: would lie among photos, as labels and photos do; give another folder")
    return paths


def path_of_face(path: Path, number: int) -> Path:
    """photo.pts for the first face of a photo, photo.face2.pts for the second."""
    return path if number == 1 else path.with_name(f"{path.stem}.face{number}{path.suffix}")


def _without_face_numbers(stem: Path) -> Path:
    return stem.with_name(re.sub(r"(?<=.)(\.face\d+)+$", "", stem.name))
