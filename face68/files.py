"""Files: written whole or not at all, errors that name them in one line, hashes."""

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: what killed runs leave behind stays there
    fcntl = None

MARK = "face68"  # how a file says that this program wrote it, see `images.is_marked` and `formats.is_result`


class InputError(ValueError):
    """The user's input can't be used. The message is ONE line: which file, what is wrong, what to do."""


class WriteError(InputError):
    """A file can't be written."""


def as_problem(name: str | Path, error: Exception) -> InputError:
    """Any error of one file among many as an InputError that names the file; the others go on."""
    if isinstance(error, InputError):
        return error
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return InputError(f"{name}: failed ({reason[:200]}); convert it, or leave it out")


def unwritable(path: str | Path, error: OSError) -> WriteError:
    return WriteError(f"{path}: can't be written ({error.strerror or error}); give another path")


def printable(text: str) -> str:
    """A text as one line for the terminal. Characters that end a line, move the cursor, change colours or the direction
    of writing, or aren't text are replaced by their escapes; file names may hold any of them.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_DESCRIPTOR = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/(self|\d+)/fd/\d+")


def is_stream(path: str | Path) -> bool:
    """Whether a path can only be written to, not replaced: a pipe, a device, a stream that this process has open."""
    if _DESCRIPTOR.fullmatch(str(path)):
        return True
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # not there, or a path that no file can have
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; it takes `path`'s place when the block ends well.

    A crash, a full disk or Ctrl-C leaves what was there before. Creates the folder where it is missing. A link is
    followed; a stream (see `is_stream`) is written to and not replaced. A file that is replaced hands on its mode.
    The suffix is kept, because cv2 and matplotlib choose the format by it. A process that is killed leaves the
    temporary file behind; the next one that writes into that folder removes it, see `remove_leftovers`.

    Raises:
        WriteError: the folder can't be written to, or the disk is full.
    """
    path = Path(path)
    temporary = lock = None
    try:
        target, stream = Path(os.path.realpath(path)), is_stream(path)
        folder = Path(tempfile.gettempdir()) if stream else target.parent
        folder.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(target.stat().st_mode) if not stream and target.exists() else None
        temporary, lock = _new_file(folder, path.suffix, mode)
        yield temporary
        if stream:
            with temporary.open("rb") as source, path.open("ab") as sink:  # a shell's file may hold lines already
                shutil.copyfileobj(source, sink)
            return
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if mode not in (None, stat.S_IMODE(temporary.stat().st_mode)):
            temporary.chmod(mode)
        temporary.replace(target)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
            _close(lock)


def check_writable(path: str | Path) -> None:
    """Check before hours of work that `atomic_path(path)` can make a file. Leaves nothing behind.

    Raises:
        InputError: it can't.
    """
    try:
        if is_stream(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(None, "not for writing")
            return
        folder = Path(os.path.realpath(path)).parent
        while not folder.exists():
            folder = folder.parent
        temporary, lock = _new_file(folder, "")
        temporary.unlink()
        _close(lock)
    except OSError as error:
        raise unwritable(path, error) from error


_PARTIAL = ".partial-"


def _new_file(folder: Path, suffix: str, mode: int | None = None) -> tuple[Path, int | None]:
    """An empty file with a new name, and the descriptor that locks it while it is open. Its rights are at most `mode`,
    and the umask applies.
    """
    _remove_leftovers_once(folder)
    path = folder / f"{_PARTIAL}{secrets.token_hex(8)}{suffix}"
    lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else mode | 0o600)
    if fcntl is None:
        os.close(lock)  # Windows replaces no file that is open
        return path, None
    with contextlib.suppress(OSError):  # a file system without locks: nobody takes it for a leftover there
        fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.fstat(lock).st_nlink:  # it was taken for a leftover before it was locked
        os.close(lock)
        return _new_file(folder, suffix, mode)
    return path, lock


def _close(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of `atomic_path` that killed processes left in a folder: those that nobody locks."""
    if fcntl is None:
        return
    for path in folder.glob(f"{_PARTIAL}*"):
        if not re.fullmatch(_PARTIAL + r"[0-9a-f]{16}(\..*)?", path.name) or not path.is_file():
            continue  # not ours
        with contextlib.suppress(OSError):  # locked, gone, or another user's
            lock = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(lock)


_remove_leftovers_once = functools.cache(remove_leftovers)  # of each folder, in a process


def cache_folder() -> Path:
    """The user's folder for files that can be downloaded or made again, in `$XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        InputError: there is neither, as for a user whom the system doesn't know.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "facial-landmarks")
    except RuntimeError as error:
        raise InputError("XDG_CACHE_HOME: is not set, and no home is known; name a folder in it") from error


def files_below(folder: str | Path) -> Iterator[Path]:
    """The files in a folder and its folders, by name, without hidden ones.

    Links are followed; each real folder is visited once, so that links in a circle end.
    """
    visited = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        yield from (path for path in paths if path.is_file())


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
