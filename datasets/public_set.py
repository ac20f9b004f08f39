"""The public data set: the folder data/ of https://github.com/udacity/P1_Facial_Keypoints, 350 MB.

The commit is pinned and `data/public_files.sha256` lists every file: what arrives is what was measured, or it isn't
written.
"""

import hashlib
import tarfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from tqdm import tqdm

from datasets.download import ATTEMPTS, LARGEST, NETWORK_ERRORS, fetch, may_pass, open_url, wait_before
from face68.files import atomic_path, remove_leftovers, sha256

REPOSITORY = "udacity/P1_Facial_Keypoints"
COMMIT = "6e55adc6bd032d9fb1ad41a4c3e68aae847cdf81"
ARCHIVE_URL = f"https://codeload.github.com/{REPOSITORY}/tar.gz/{COMMIT}"
FILE_URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/"
MANIFEST = Path(__file__).parent.parent / "data" / "public_files.sha256"

FEW = 200  # files: so many missing ones come faster one by one than by streaming the whole archive
THREADS = 8
STREAM_ERRORS = (*NETWORK_ERRORS, tarfile.TarError, EOFError, zlib.error)


def download_dataset(
    destination: str | Path,
    archive_url: str = ARCHIVE_URL,
    file_url: str = FILE_URL,
    manifest: str | Path = MANIFEST,
) -> int:
    """Make `destination` what the manifest lists, say so in a line, and return how many files were fetched.

    Intact files are kept; missing and damaged ones are fetched. When these are many, they are picked out of
    the archive as it streams by; the rest comes one by one. An interrupted download goes on where it stopped.

    Args:
        destination: the folder that gets `training/`, `test/` and the two CSV files.
        archive_url: a tar.gz with one folder that holds the manifest's paths.
        file_url: what to put the manifest's paths behind to fetch them singly.
        manifest: lines of `sha256sum`, paths starting with `data/`.

    Raises:
        InputError: as `fetch` does. What arrived before is kept.
    """
    destination = Path(destination)
    digests = _read_manifest(manifest)
    for folder in {_place(destination, name).parent for name in digests}:
        remove_leftovers(folder)
    missing = {name: digest for name, digest in digests.items() if not _is_intact(_place(destination, name), digest)}
    wanted = len(missing)
    with tqdm(total=len(digests), initial=len(digests) - wanted, desc="download", unit="file", disable=None) as bar:
        _from_archive(archive_url, destination, missing, bar)
        _one_by_one(file_url, destination, missing, bar)
    print(f"{destination}: all {len(digests)} files are there and verified ({wanted} fetched now)")
    return wanted


def _from_archive(url: str, destination: Path, missing: dict[str, str], bar: tqdm) -> None:
    """Write what the archive has of `missing` (name to SHA-256) and take it out of there.

    Its failures are no errors: what it doesn't give comes one by one.
    """
    for attempt in range(ATTEMPTS):
        if len(missing) <= FEW:
            return
        try:
            for name, content in _stream(url, missing):
                if hashlib.sha256(content).hexdigest() == missing[name]:
                    _write(_place(destination, name), content)
                    del missing[name]
                    bar.update()
                if not missing:
                    return  # the rest of the stream is of no use
            return
        except STREAM_ERRORS as error:
            if not may_pass(error):
                return
            time.sleep(wait_before(error, attempt))


def _stream(url: str, wanted: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the wanted files of a tar.gz while it downloads.

    Only exact names count, so a hostile path (`../`) or a link has no way to the disk.
    """
    with open_url(url) as response, tarfile.open(fileobj=response, mode="r|gz") as archive:
        for member in archive:
            name = member.name.partition("/")[2]  # GitHub puts everything into one folder, repository-commit/
            if member.isreg() and name in wanted and member.size <= LARGEST:
                yield name, archive.extractfile(member).read()


def _one_by_one(url: str, destination: Path, missing: dict[str, str], bar: tqdm) -> None:
    def get(name: str) -> None:
        fetch(url + quote(name), _place(destination, name), missing[name])

    pool = ThreadPoolExecutor(THREADS)
    try:
        for _ in pool.map(get, missing):
            bar.update()
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C nothing new is begun


def _read_manifest(path: str | Path) -> dict[str, str]:
    """Name to SHA-256, from lines as `sha256sum` writes them: hexadecimal digits, two spaces, name."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _place(destination: Path, name: str) -> Path:
    return destination / name.removeprefix("data/")


def _is_intact(path: Path, digest: str) -> bool:
    try:
        return sha256(path) == digest
    except OSError:  # missing or unreadable
        return False


def _write(path: str | Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
