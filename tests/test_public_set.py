"""The public set's download, with an invented archive from a server of our own."""

import errno
import os
import re
import socket
import subprocess
import sys
import tarfile
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import REPOSITORY
from file_server import Server, digest, make_archive

from datasets import public_set
from datasets.layout import PUBLIC_CSV_SHA256
from face68.files import InputError

FILES = {f"data/training/Some_Öne_{i:02d}.jpg": os.urandom(3000 + i) for i in range(12)}
FILES |= {f"data/test/Some_Öne_{i:02d}.jpg": os.urandom(2000 + i) for i in range(6)}
FILES |= {"data/training_frames_keypoints.csv": b",x0\nSome_One_00.jpg,1\n" * 500}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(public_set, "BACKOFF", 0.001)
    monkeypatch.setattr(public_set, "FEW", 3)
    server = Server(FILES)
    yield server
    server.close()


@pytest.fixture
def get(server, tmp_path):
    """Run the download into tmp_path/data and return how many files it fetched."""
    manifest = tmp_path / "manifest.sha256"
    manifest.write_text("".join(f"{digest(c)}  {n}\n" for n, c in FILES.items()), encoding="utf-8")

    def run():
        return public_set.download_dataset(tmp_path / "data", f"{server.url}/archive", f"{server.url}/raw/", manifest)

    return run


def content_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


ALL = {name.removeprefix("data/"): content for name, content in FILES.items()}


def test_whole_download_takes_one_request_and_the_second_none(server, get, tmp_path, capsys):
    assert get() == len(FILES)
    assert content_of(tmp_path / "data") == ALL
    assert server.requests == ["/archive"]
    output = capsys.readouterr()
    assert output.out == f"{tmp_path / 'data'}: all 19 files are there and verified (19 fetched now)\n"
    assert output.err == ""  # no progress bar where stderr is no terminal

    assert get() == 0
    assert server.requests == ["/archive"]


def test_missing_and_damaged_files_are_repaired_one_by_one(server, get, tmp_path):
    get()
    (tmp_path / "data/test/Some_Öne_03.jpg").unlink()
    damaged = tmp_path / "data/training/Some_Öne_05.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    server.requests.clear()

    assert get() == 2
    assert content_of(tmp_path / "data") == ALL
    assert sorted(server.requests) == [
        "/raw/data/test/Some_Öne_03.jpg",
        "/raw/data/training/Some_Öne_05.jpg",
    ]


def test_an_interrupted_stream_keeps_what_it_had_and_goes_on_later(server, get, tmp_path, monkeypatch):
    monkeypatch.setattr(public_set, "ATTEMPTS", 1)
    whole = server.files
    server.files, server.cut_archive_at = {}, len(server.archive) // 2
    with pytest.raises(InputError, match="HTTP 404"):
        get()
    kept = content_of(tmp_path / "data")
    assert 3 < len(kept) < len(FILES)
    assert kept.items() <= ALL.items()

    server.files = whole
    server.requests.clear()
    assert get() == len(FILES) - len(kept)
    assert content_of(tmp_path / "data") == ALL
    assert server.count("/raw/") == len(FILES) - len(kept)


def test_a_stream_that_breaks_off_is_tried_again(server, get, tmp_path, monkeypatch):
    server.files, server.cut_archive_at = {}, len(server.archive) // 2

    def heal(error, attempt):
        server.cut_archive_at = None
        return 0

    monkeypatch.setattr(public_set, "wait_before", heal)
    assert get() == len(FILES)
    assert server.requests == ["/archive", "/archive"]


def test_a_busy_archive_is_tried_again(server, get, tmp_path):
    server.files, server.faults = {}, {"/archive": [429, 502]}
    assert get() == len(FILES)
    assert content_of(tmp_path / "data") == ALL
    assert server.requests == ["/archive"] * 3


def test_a_corrupt_member_is_fetched_singly(server, get, tmp_path):
    name = "data/test/Some_Öne_02.jpg"
    server.archive = make_archive(FILES | {name: b"not what was measured"})
    assert get() == len(FILES)
    assert content_of(tmp_path / "data") == ALL
    assert server.requests == ["/archive", f"/raw/{name}"]


def test_an_archive_that_is_none_falls_back_to_single_files(server, get, tmp_path):
    server.archive = b"<html>Log in to this network</html>"
    assert get() == len(FILES)
    assert content_of(tmp_path / "data") == ALL


def test_wrong_content_everywhere_is_one_line_and_not_written(server, get, tmp_path):
    name = "data/test/Some_Öne_02.jpg"
    server.archive = make_archive({n: c for n, c in FILES.items() if n != name})
    server.files[name] = b"<html>Log in to this network</html>"
    with pytest.raises(InputError, match="other content than expected") as error:
        get()
    assert "\n" not in str(error.value)
    assert content_of(tmp_path / "data") == {n: c for n, c in ALL.items() if n != "test/Some_Öne_02.jpg"}


def test_hostile_members_are_ignored(server, get, tmp_path):
    stranger = tarfile.TarInfo("repository-6e55adc/data/training/stranger.jpg")
    climbing = tarfile.TarInfo("repository-6e55adc/data/../../escaped.txt")
    absolute = tarfile.TarInfo(str(tmp_path / "absolute.txt"))
    link = tarfile.TarInfo("repository-6e55adc/data/test/Some_Öne_00.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    server.archive = make_archive(
        {n: c for n, c in FILES.items() if n != "data/test/Some_Öne_00.jpg"},
        [(stranger, b"x"), (climbing, b"x"), (absolute, b"x"), (link, b"")],
    )
    assert get() == len(FILES)
    assert content_of(tmp_path) == {f"data/{n}": c for n, c in ALL.items()} | {
        "manifest.sha256": (tmp_path / "manifest.sha256").read_bytes()
    }
    assert not (tmp_path / "data/test/Some_Öne_00.jpg").is_symlink()


def test_no_server_is_one_line_at_once(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(public_set, "time", SimpleNamespace(sleep=waits.append))  # not for other threads
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(InputError, match="refused") as error:
        public_set.download_dataset(tmp_path, f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}/")
    assert "\n" not in str(error.value)
    assert waits == []  # a refusal is not tried again
    assert content_of(tmp_path) == {}


def test_full_disk_is_one_line_and_leaves_nothing(server, get, tmp_path, monkeypatch):
    written = []

    def write_bytes(path, content):
        with path.open("wb") as file:
            file.write(content[:100])
            written.append(path)
            if len(written) > 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            file.write(content[100:])

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(InputError, match="No space left on device") as error:
        get()
    assert "\n" not in str(error.value)
    kept = content_of(tmp_path / "data")
    assert len(kept) == 4
    assert kept.items() <= ALL.items()


def test_ctrl_c_leaves_whole_files_only(server, get, tmp_path, monkeypatch):
    finished = Path.replace
    count = iter(range(100))

    def replace(self, target):
        if next(count) == 5:
            raise KeyboardInterrupt
        return finished(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        get()
    kept = content_of(tmp_path / "data")
    assert len(kept) == 5
    assert kept.items() <= ALL.items()


def test_leftovers_of_a_killed_download_are_removed(server, get, tmp_path):
    (tmp_path / "data/test").mkdir(parents=True)
    (tmp_path / "data/test/.partial-0123456789abcdef.jpg").write_bytes(b"half")
    get()
    assert content_of(tmp_path / "data") == ALL


def test_a_destination_that_is_a_file_is_one_line(server, get, tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InputError, match="can't be written"):
        get()
    assert (tmp_path / "data").read_text() == "mine"


def test_the_shipped_manifest_lists_the_public_set():
    digests = dict(line.split("  ")[::-1] for line in public_set.MANIFEST.read_text(encoding="utf-8").splitlines())
    folders = [name.split("/")[1] for name in digests]
    assert folders.count("training") == 3462 and folders.count("test") == 2308 and len(digests) == 3462 + 2308 + 2
    assert all(len(value) == 64 and int(value, 16) for value in digests.values())
    labels = [digest for name, digest in digests.items() if name.endswith(".csv")]
    assert sorted(labels) == sorted(PUBLIC_CSV_SHA256), "by which a data set is known as the public one"


# --- One file --------------------------------------------------------------------------------------------------------

CSV = "data/training_frames_keypoints.csv"


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.faults[f"/raw/{CSV}"] = [429, 503]
    public_set.fetch(f"{server.url}/raw/{CSV}", tmp_path / "a", digest(FILES[CSV]))
    assert (tmp_path / "a").read_bytes() == FILES[CSV]
    assert server.count("/raw/") == 3


@pytest.mark.parametrize(("status", "requests"), [(503, public_set.ATTEMPTS), (403, 1)])
def test_a_refusal_ends_in_one_line(server, tmp_path, status, requests):
    server.faults[f"/raw/{CSV}"] = [status] * 20
    with pytest.raises(InputError, match=rf"\.csv: can't be downloaded \(HTTP {status} .*check the network"):
        public_set.fetch(f"{server.url}/raw/{CSV}", tmp_path / "a", digest(b""))
    assert server.count("/raw/") == requests
    assert not (tmp_path / "a").exists()


def test_retry_after_is_obeyed_within_bounds():
    def busy(value):
        return urllib.error.HTTPError("http://x", 429, "busy", {"Retry-After": value}, None)

    assert public_set.wait_before(busy("7"), 0) == 7
    assert public_set.wait_before(busy("86400"), 0) == public_set.LONGEST_WAIT
    assert public_set.wait_before(busy("Mon, 01 Jan"), 2) == public_set.BACKOFF * 4
    assert public_set.wait_before(TimeoutError(), 1) == public_set.BACKOFF * 2


def test_a_silent_server_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr(public_set, "BACKOFF", 0.001)
    monkeypatch.setattr(public_set, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(InputError, match="timed out"):
            public_set.fetch(url, tmp_path / "a", digest(b""))


def test_the_command_without_a_network_is_one_line(tmp_path):
    """No request gets out: the proxy is a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
        environment = {k: v for k, v in os.environ.items() if k.lower() not in ("no_proxy", "https_proxy")}
        result = subprocess.run(
            [sys.executable, "prepare.py", "download", "--data", tmp_path / "data"],
            cwd=REPOSITORY,
            env=environment | {"https_proxy": proxy},
            capture_output=True,
            text=True,
        )
    assert result.returncode == 2
    assert re.fullmatch(r"error: https://raw\.githubusercontent\.com/.*refused.*check the network.*\n", result.stderr)
    assert content_of(tmp_path) == {}
