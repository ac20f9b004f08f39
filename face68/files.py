"""Files: what is wrong with one in a line, written whole or not at all, hashed."""

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


class InputError(ValueError):
    """Something the user gave can't be used. The message is ONE line: which file, what is wrong, what to do."""


class WriteError(InputError):
    """A place can't be written to."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; it takes `path`'s place when the block ends well.

    A crash, a full disk or Ctrl-C leaves what was there before. Creates the folder where it is missing. A link is
    followed; what is no regular file, a device or a pipe, is written to and not replaced.
    The suffix is kept, because cv2 and matplotlib choose the format by it.

    Raises:
        WriteError: the folder can't be written to, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        target = Path(os.path.realpath(path))
        special = target.exists() and not target.is_file()
        folder = Path(tempfile.gettempdir()) if special else target.parent
        folder.mkdir(parents=True, exist_ok=True)
        temporary = _new_file(folder, path.suffix)
        yield temporary
        if special:
            with temporary.open("rb") as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            return
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise WriteError(f"{path}: can't be written ({error.strerror or error}); give another place") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _new_file(folder: Path, suffix: str) -> Path:
    """An empty file of a name that nothing has yet. The kernel applies the umask: a result is an ordinary file."""
    while True:
        path = folder / f".partial-{secrets.token_hex(8)}{suffix}"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return path


def cache_folder() -> Path:
    """The user's folder for what can be fetched or made again, in `$XDG_CACHE_HOME` or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "facial-landmarks")


def files_below(folder: str | Path) -> Iterator[Path]:
    """The files in a folder and its folders, by name; hidden ones don't belong to it.

    Links are followed, and each real folder is visited once, so that links in a circle come to an end.
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
