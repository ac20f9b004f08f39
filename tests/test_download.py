"""A file fetched over HTTP from a server of our own."""

import socket
import urllib.error

import pytest
from file_server import Server, digest

from datasets import download
from face68.files import InputError

CONTENT = b"what is to be fetched" * 100


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF", 0.001)
    server = Server({"a": CONTENT})
    yield server
    server.close()


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.faults["/raw/a"] = [429, 503]
    download.fetch(f"{server.url}/raw/a", tmp_path / "a", digest(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.count("/raw/") == 3


@pytest.mark.parametrize(("status", "requests"), [(503, download.ATTEMPTS), (403, 1)])
def test_a_refusal_ends_in_one_line(server, tmp_path, status, requests):
    server.faults["/raw/a"] = [status] * 20
    with pytest.raises(InputError, match=rf"/raw/a: can't be downloaded \(HTTP {status} .*check the network"):
        download.fetch(f"{server.url}/raw/a", tmp_path / "a", digest(b""))
    assert server.count("/raw/") == requests
    assert not (tmp_path / "a").exists()


def test_retry_after_is_obeyed_within_bounds():
    def busy(value):
        return urllib.error.HTTPError("http://x", 429, "busy", {"Retry-After": value}, None)

    assert download.wait_before(busy("7"), 0) == 7
    assert download.wait_before(busy("86400"), 0) == download.LONGEST_WAIT
    assert download.wait_before(busy("Mon, 01 Jan"), 2) == download.BACKOFF * 4
    assert download.wait_before(TimeoutError(), 1) == download.BACKOFF * 2


def test_a_silent_server_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "BACKOFF", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(InputError, match="timed out"):
            download.fetch(url, tmp_path / "a", digest(b""), timeout=0.05)
