"""examples/serve.py under load: real requests from several clients at once, bad ones among them."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from face68.files import InputError
from face68.inputs import read_source
from face68.landmarker import Landmarker
from face68.photos import find_faces

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "serve.py"
START = 300.0  # s that it may take to answer for the first time, on a busy machine
# Every so many-th request is one of these, by turns: what is posted where, and the status that is right.
EVERY = 5
BAD = (
    ("/faces", b"no photo", 400),
    ("/faces", b"", 400),
    ("/picture", b"\xff\xd8\xff\xe0" + bytes(1000), 400),
    ("/nothing", b"x", 422),
)


class Answer(NamedTuple):
    """status: None where there was none. seconds: it took. right: whether status and content are as they should be."""

    status: int | None
    seconds: float
    right: bool


@contextlib.contextmanager
def served(network: Path, workers: int = 1) -> Iterator[tuple[int, int]]:
    """The service with a network; yields its port and its pid, and ends it.

    Raises:
        InputError: FastAPI or uvicorn isn't here, or the service doesn't start.
    """
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    environment = os.environ | {"FACE68_NETWORK": str(network), "PYTHONPATH": str(SCRIPT.parent.parent)}
    line = [sys.executable, str(SCRIPT), "--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(line, env=environment)
    try:
        began = time.monotonic()
        while ask(port, "GET", "/health")[0] != 200:
            if process.poll() is not None or time.monotonic() - began > START:
                raise InputError("examples/serve.py doesn't start: pip install fastapi uvicorn")
            time.sleep(0.2)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int | None, bytes]:
    """The status and the content of an answer; None where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return None, b""
    finally:
        connection.close()


def load(port: int, photo: bytes, requests: int, clients: int) -> list[Answer]:
    """Answers to so many requests from so many clients at once. A photo's answer is right if it has one face."""

    def send(number: int) -> Answer:
        path, body, expected = BAD[number // EVERY % len(BAD)] if number % EVERY == 0 else ("/faces", photo, 200)
        began = time.perf_counter()
        status, content = ask(port, "POST", path, body)
        seconds = time.perf_counter() - began
        is_right = status == expected and (status != 200 or len(json.loads(content)["faces"]) == 1)
        return Answer(status, seconds, is_right)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(send, range(requests)))


def memory_of(pid: int) -> float:
    """Of a process, MB that are its own or shared; Linux alone knows."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return float("nan")


def measure_service(args) -> dict[str, list[dict]]:
    """examples/serve.py under load: what is lost, photos a second beside the library's, memory.

    A fifth of the requests are bad: no photo, nothing, a damaged one, a path that isn't there. A tenth more goes first,
    after which memory is "early".
    """
    with served(args.network) as (port, pid):
        body = args.photo.read_bytes()
        load(port, body, max(args.clients, args.requests // 10), args.clients)
        early, began = memory_of(pid), time.perf_counter()
        answers = load(port, body, args.requests, args.clients)
        seconds, late = time.perf_counter() - began, memory_of(pid)
    times = sorted(answer.seconds for answer in answers)
    began = time.perf_counter()
    photos = sum(1 for _ in find_faces(Landmarker(args.network), [str(args.photo)] * args.requests, read_source))
    alone = photos / (time.perf_counter() - began)
    statuses = Counter(answer.status for answer in answers)
    row = {
        "name": f"{args.clients} at once",
        "requests": len(answers),
        "lost": statuses[None],
        "wrong": sum(not answer.right for answer in answers),
        "statuses": ", ".join(f"{count} × {status}" for status, count in statuses.most_common() if status),
        "rate_service": statuses[200] / seconds,
        "rate_library": alone,
        "ms_median": 1000 * times[len(times) // 2],
        "ms_p90": 1000 * times[len(times) * 9 // 10],
        "mb_early": early,
        "mb_late": late,
    }
    return {"service": [row]}
