"""What attacks and tests feed to commands: a part of the sample, damaged files, a hostile server. On any system."""

import contextlib
import shutil
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.layout import SAMPLE_DIR
from face68.formats import write_pts


def photo() -> Path:
    return sorted((SAMPLE_DIR / "test").glob("*.jpg"))[0]


def small_set(root: Path, split: str = "training", pts: bool = False) -> Path:
    """The first image of each of twelve people of the sample: in the public layout, or with .pts files."""
    (root / split).mkdir(parents=True)
    header, *rows = (SAMPLE_DIR / f"{split}_frames_keypoints.csv").read_text().splitlines()
    people = {row.split(",")[0].rsplit("_", 1)[0]: row for row in reversed(rows)}
    rows = [*reversed(people.values())][:12]
    for row in rows:
        name, *cells = row.split(",")
        shutil.copy(SAMPLE_DIR / split / name, root / split)
        if pts:
            write_pts((root / split / name).with_suffix(".pts"), np.reshape(cells, (68, 2)).astype(float))
    if not pts:
        (root / f"{split}_frames_keypoints.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def damaged(random: np.random.Generator, content: bytes) -> bytes:
    """The content changed in one to four places: bits, noise, cuts, doublings, zeros, and numbers made extreme."""
    data = bytearray(content)
    for _ in range(random.integers(1, 5)):
        if not data:
            break
        # Heads hold what decides: every second place lies in the first or last kilobyte.
        at = int(random.integers(len(data)))
        if random.random() < 0.5:
            at = at % 1024 if random.random() < 0.7 else max(0, len(data) - 1 - at % 1024)
        part = data[at : at + int(2 ** random.uniform(0, 14))]
        width, order = int(random.choice((1, 2, 4))), str(random.choice(("big", "little")))
        extreme = (int(random.choice(EXTREMES)) % 256**width).to_bytes(width, order)
        bit = bytes([data[at] ^ 1 << int(random.integers(8))])
        changes = (  # the end of the bytes that are replaced, and their replacement
            (at + 1, bit),
            (at + len(part), random.bytes(len(part))),
            (len(data), b""),
            (at + len(part), b""),
            (at, part),
            (at + width, extreme),
            (at + len(part), bytes(len(part))),
        )
        end, content = changes[random.integers(len(changes))]
        data[at:end] = content
    return bytes(data)


def choose(random: np.random.Generator, table: dict[str, object]) -> tuple[str, object]:
    return list(table.items())[random.integers(len(table))]


@contextlib.contextmanager
def serving(answer: bytes, rate: float) -> Iterator[str]:
    """The address of a server that gives every request the answer, and then `rate` bytes a second while one listens."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                self.request.recv(1 << 16)
                self.request.sendall(answer)
                while rate:
                    self.request.sendall(b"x" * min(1 << 16, max(1, int(rate / 4))))
                    time.sleep(0.25 if rate < 1e6 else 0)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
