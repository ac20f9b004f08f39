"""Download files and keep only what matches its known SHA-256."""

import hashlib
import http.client
import time
import urllib.error
from pathlib import Path
from urllib.request import urlopen

from face68.files import InputError, atomic_path

ATTEMPTS = 4
BACKOFF = 1.0  # s before the second attempt; doubles with each further one
LONGEST_WAIT = 60.0  # s, however long the server asks us to stay away
TIMEOUT = 30.0  # s without a byte from the server

NETWORK_ERRORS = (OSError, http.client.HTTPException)


def fetch(url: str, path: str | Path, expected_sha256: str, timeout: float = TIMEOUT, attempts: int = ATTEMPTS) -> None:
    """Download one file of a few MB; `path` is written only when the content's SHA-256 is as expected.

    Busy servers (429, 5xx), time-outs and broken connections are tried again.

    Args:
        timeout: seconds without a byte after which an attempt counts as failed.
        attempts: how many there are in all.

    Raises:
        InputError: no answer, a refusal, other content than expected, or `path` can't be written.
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
            with urlopen(url, timeout=timeout) as response:
                return response.read()
        except NETWORK_ERRORS as error:
            if attempt == attempts - 1 or not may_pass(error):
                raise InputError(
                    f"{url}: can't be downloaded ({_reason(error)}); check the network and try again later"
                ) from error
            time.sleep(wait_before(error, attempt))


def may_pass(error: Exception) -> bool:
    """Whether another attempt makes sense: a busy server, a time-out, a connection that broke off."""
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
