"""Download files and keep only what matches its known SHA-256."""

import hashlib
import http.client
import threading
import time
import urllib.error
from pathlib import Path
from urllib.request import urlopen

from face68.files import InputError, atomic_path

ATTEMPTS = 4
BACKOFF = 1.0  # s before the second attempt; doubles with each further one
LONGEST_WAIT = 60.0  # s, however long the server asks us to stay away
TIMEOUT = 30.0  # s without a byte from the server
DEADLINE = 120.0  # s, until when an attempt has to be done, however busily the server sends
LARGEST, BLOCK = 64 * 2**20, 2**16  # bytes of a file, and of what is read of it at once

NETWORK_ERRORS = (OSError, http.client.HTTPException)


def fetch(url: str, path: str | Path, expected_sha256: str, timeout: float = TIMEOUT, attempts: int = ATTEMPTS) -> None:
    """Download one file of a few MB; `path` is written only when the content's SHA-256 is as expected.

    Busy servers (429, 5xx), time-outs and broken connections are tried again.

    Args:
        timeout: seconds without a byte after which an attempt counts as failed.
        attempts: how many there are in all; none takes more than DEADLINE s.

    Raises:
        InputError: no answer, a refusal, more than LARGEST bytes or other content than expected, or `path` can't be
            written.
    """
    content = _get(url, timeout, attempts)
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected_sha256:
        raise InputError(
            f"{url}: the server sent other content than expected (SHA-256 {actual[:12]}…, not "
            f"{expected_sha256[:12]}…), {path} was not written; try again from another network"
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _get(url: str, timeout: float, attempts: int) -> bytes:
    for attempt in range(attempts):
        try:
            return _within(DEADLINE, url, timeout)
        except NETWORK_ERRORS as error:
            if attempt == attempts - 1 or not may_pass(error):
                raise InputError(
                    f"{url}: can't be downloaded ({_reason(error)}); check the network and try again later"
                ) from error
            time.sleep(wait_before(error, attempt))


def _within(deadline: float, url: str, timeout: float) -> bytes:
    """The content, read in a thread that may be left behind: a server can also send its head byte by byte."""
    ended: list[bytes | Exception] = []
    stop = threading.Event()

    def read() -> None:
        try:
            ended.append(_read(url, timeout, stop))
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(deadline)
    stop.set()
    result = ended[0] if ended else TimeoutError(f"not done within {deadline:g} s")
    if isinstance(result, Exception):
        raise result
    return result


def _read(url: str, timeout: float, stop: threading.Event) -> bytes:
    content = bytearray()
    with open_url(url, timeout) as response:
        while (block := response.read1(BLOCK)) and not stop.is_set():
            content += block
            if len(content) > LARGEST:
                raise InputError(f"{url}: sends more than {LARGEST // 2**20} MB; try again from another network")
        if response.length:  # told by the server, and not come
            raise http.client.IncompleteRead(bytes(content), response.length)
    return bytes(content)


def open_url(url: str, timeout: float = TIMEOUT):
    """`urlopen`, of which all that goes wrong is one of NETWORK_ERRORS."""
    try:
        return urlopen(url, timeout=timeout)
    except ValueError as error:  # it was sent on to something that is no address
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
    """Seconds until the next attempt: what the server asks for, else doubling."""
    asked = error.headers.get("Retry-After", "") if isinstance(error, urllib.error.HTTPError) else ""
    return min(float(asked) if asked.isdecimal() else BACKOFF * 2**attempt, LONGEST_WAIT)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    return " ".join(str(getattr(error, "reason", error) or type(error).__name__).split())  # one line
