"""The public data set: the folder data/ of https://github.com/udacity/P1_Facial_Keypoints, 350 MB.

The commit is pinned, and `data/public_files.sha256` has the SHA-256 of every file: no file with other content is
written.
"""

import concurrent.futures
import hashlib
import http.client
import tarfile
import threading
import time
import urllib.error
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from tqdm import tqdm

from face68.files import InputError, atomic_path, remove_leftovers, sha256

REPOSITORY = "udacity/P1_Facial_Keypoints"
COMMIT = "6e55adc6bd032d9fb1ad41a4c3e68aae847cdf81"
ARCHIVE_URL = f"https://codeload.github.com/{REPOSITORY}/tar.gz/{COMMIT}"
FILE_URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/"
MANIFEST = Path(__file__).parent.parent / "data" / "public_files.sha256"

FEW = 200  # files: up to so many missing ones arrive sooner one by one than with the whole archive
THREADS = 8
ATTEMPTS = 4
BACKOFF = 1.0  # s before the second attempt; doubles with each further one
LONGEST_WAIT = 60.0  # s before the next attempt, however long the server's Retry-After is
TIMEOUT = 30.0  # s without a byte from the server
DEADLINE = 120.0  # s for one file in one attempt, even if bytes keep coming
LARGEST = 64 * 2**20  # bytes of a file
NETWORK_ERRORS = (OSError, http.client.HTTPException)
STREAM_ERRORS = (*NETWORK_ERRORS, tarfile.TarError, EOFError, zlib.error)


def download_dataset(
    destination: str | Path,
    archive_url: str = ARCHIVE_URL,
    file_url: str = FILE_URL,
    manifest: str | Path = MANIFEST,
) -> int:
    """Bring `destination` to what the manifest lists, print one line, and return how many files were fetched.

    Intact files are kept. Missing and damaged ones are fetched: many from the archive while it downloads, the rest one
    by one. An interrupted download continues where it stopped.

    Args:
        destination: the folder that gets `training/`, `test/` and the two CSV files.
        archive_url: a tar.gz with one folder that holds the manifest's paths.
        file_url: the prefix of single files' addresses; the manifest's path follows.
        manifest: lines of `sha256sum`, paths starting with `data/`.

    Raises:
        InputError: see `fetch`. Files that arrived before are kept.
    """
    lines = Path(manifest).read_text(encoding="utf-8").splitlines()
    digests = {name.removeprefix("data/"): digest for digest, name in (line.split("  ", 1) for line in lines)}
    destination = Path(destination)
    for folder in {(destination / name).parent for name in digests}:
        remove_leftovers(folder)
    missing = {name: digest for name, digest in digests.items() if not is_intact(destination / name, digest)}
    wanted = len(missing)
    with tqdm(total=len(digests), initial=len(digests) - wanted, desc="download", unit="file", disable=None) as bar:
        _from_archive(archive_url, destination, missing, bar)
        _one_by_one(file_url + "data/", destination, missing, bar)
    print(f"{destination}: all {len(digests)} files are there and verified ({wanted} fetched now)")
    return wanted


def is_intact(path: Path, digest: str) -> bool:
    """Whether a file is there and has this SHA-256."""
    try:
        return sha256(path) == digest
    except OSError:  # missing or unreadable
        return False


def _from_archive(url: str, destination: Path, missing: dict[str, str], bar: tqdm) -> None:
    """Write the files of `missing` (name to SHA-256) that the archive has, and remove them from `missing`.

    Errors of the network or the archive are ignored: the files that are still missing come one by one.
    """
    for attempt in range(ATTEMPTS):
        if len(missing) <= FEW:
            return
        try:
            for name, content in _stream(url, missing):
                if hashlib.sha256(content).hexdigest() == missing[name]:
                    _write(destination / name, content)
                    del missing[name]
                    bar.update()
                if not missing:
                    return  # without reading the rest of the archive
            return
        except STREAM_ERRORS as error:
            if not may_pass(error):
                return
            time.sleep(wait_before(error, attempt))


def _stream(url: str, wanted: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the wanted files of a tar.gz while it downloads.

    Only exact names are taken, and only regular files, so that neither `../` nor a link leads out of the folder.
    """
    with open_url(url) as response, tarfile.open(fileobj=response, mode="r|gz") as archive:
        for member in archive:
            # GitHub puts everything into one folder, repository-commit/.
            _, _, name = member.name.partition("/data/")
            if member.isreg() and name in wanted and member.size <= LARGEST:
                yield name, archive.extractfile(member).read()


def _one_by_one(url: str, destination: Path, missing: dict[str, str], bar: tqdm) -> None:
    pool = ThreadPoolExecutor(THREADS)
    try:
        for _ in pool.map(lambda name: fetch(url + quote(name), destination / name, missing[name]), missing):
            bar.update()
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C no further file is begun


def fetch(url: str, path: Path, expected_sha256: str) -> None:
    """Download one file; `path` is written only if the content's SHA-256 is the expected one.

    Busy servers (429, 5xx), time-outs and broken connections get ATTEMPTS attempts.

    Raises:
        InputError: no answer, a refusal, more than LARGEST bytes, other content, or `path` can't be written.
    """
    content = download(url)
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected_sha256:
        raise InputError(
            f"{url}: the server sent other content than expected (SHA-256 {actual[:12]}…, not "
            f"{expected_sha256[:12]}…), {path} was not written; try again from another network"
        )
    _write(path, content)


def download(url: str) -> bytes:
    """The content at an address. Attempts and limits are those of `fetch`.

    Raises:
        InputError: no answer, a refusal, or more than LARGEST bytes.
    """
    for attempt in range(ATTEMPTS):
        content: Future[bytes] = Future()
        # A daemon thread, which is left behind at the deadline: nothing else interrupts a header sent byte by byte.
        threading.Thread(target=_read, args=(url, content), daemon=True).start()
        try:
            return content.result(DEADLINE)
        except (*NETWORK_ERRORS, concurrent.futures.TimeoutError) as error:
            if attempt == ATTEMPTS - 1 or not may_pass(error):
                reason = _reason(error) if content.done() else f"not done within {DEADLINE:g} s"
                raise InputError(
                    f"{url}: can't be downloaded ({reason}); check the network and try again later"
                ) from error
            time.sleep(wait_before(error, attempt))


def _read(url: str, result: Future) -> None:
    """Read an address and give its content, or the error, to `result`."""
    try:
        with open_url(url) as response:
            content = response.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise InputError(f"{url}: sends more than {LARGEST // 2**20} MB; try again from another network")
            if response.length:  # of Content-Length this much did not arrive
                raise http.client.IncompleteRead(content, response.length)
        result.set_result(content)
    except Exception as error:
        result.set_exception(error)


def open_url(url: str):
    """`urlopen`, all of whose errors are NETWORK_ERRORS."""
    try:
        return urlopen(url, timeout=TIMEOUT)
    except ValueError as error:  # a redirection to a malformed address
        raise http.client.InvalidURL(f"sent on to no address: {error}") from error


def may_pass(error: Exception) -> bool:
    """Whether another attempt makes sense: a busy server, a time-out, a connection that broke off."""
    if isinstance(error, http.client.InvalidURL):
        return False
    if isinstance(error, urllib.error.HTTPError):
        return error.code == 429 or error.code >= 500
    if isinstance(error, urllib.error.URLError):  # no connection at all
        return isinstance(error.reason, TimeoutError)
    return True


def wait_before(error: Exception, attempt: int) -> float:
    """Seconds until the next attempt: the server's Retry-After, else BACKOFF, doubled with each attempt."""
    asked = error.headers.get("Retry-After", "") if isinstance(error, urllib.error.HTTPError) else ""
    return min(float(asked) if asked.isdecimal() else BACKOFF * 2**attempt, LONGEST_WAIT)


def _reason(error: Exception) -> str:
    """One line."""
    status = f"HTTP {error.code} " if isinstance(error, urllib.error.HTTPError) else ""
    return " ".join((status + str(getattr(error, "reason", error) or type(error).__name__)).split())


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
