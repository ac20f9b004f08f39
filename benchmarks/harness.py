"""What the attacks share: commands in forked children of this process, what came of them, and damaged files."""

import cli.launch as launch

import contextlib
import importlib
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLE = REPOSITORY / "data" / "sample"

MEMORY = 2 << 30  # bytes that a command may take
PATIENCE = 120  # s of processor time, after which a command hangs; or five times as long by the clock
FAULT = "FAULT"


class Outcome(NamedTuple):
    """status: the exit status, negative for a signal, None where it hung; seconds: how long it took; memory: its peak
    in bytes.
    """

    status: int | None
    stdout: str
    stderr: str
    seconds: float
    memory: int

    def judged(self, *names: str, done: bool = False) -> str:
        """What it was: "named", "done" where that may be, or a fault. names: one of them stands in the error line."""
        lines = [line for line in self.stderr.splitlines() if line.strip() and not line.startswith("note: ")]
        if self.status in (None, -signal.SIGXCPU):
            return f"{FAULT}: hangs"
        if self.memory > MEMORY:
            return f"{FAULT}: took {self.memory / 1e9:.1f} GB"
        if "Traceback" in self.stderr:
            return f"{FAULT}: traceback, {lines[-1][:150]}"
        if self.status == 0 and not lines:
            return "done" if done else f"{FAULT}: was taken for good"
        if self.status == 2 and len(lines) == 1 and any(name in lines[0] for name in names):
            return "named"
        return f"{FAULT}: status {self.status}, {' / '.join(lines)[:200]}"


def start(
    folder: Path, script: str, *arguments, limit: tuple[int, int] | None = None, without: str | None = None
) -> int:
    """Begin `python SCRIPT …` in a folder, as a child of this process; its pid.

    limit: one of `resource`'s. without: a package that it finds not installed.
    """
    sys.stdout.flush()
    outputs = [os.open(folder / f"{name}.txt", os.O_CREAT | os.O_TRUNC | os.O_WRONLY) for name in ("stdout", "stderr")]
    pid = os.fork()
    if pid:
        for output in outputs:
            os.close(output)
        with contextlib.suppress(OSError):  # it may have done so itself
            os.setpgid(pid, pid)
        return pid
    status = 1
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        for number, output in enumerate(outputs, start=1):
            os.dup2(output, number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        resource.setrlimit(resource.RLIMIT_DATA, (12 << 30, 12 << 30))  # for the machine's sake
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE + 1))
        if limit is not None:
            resource.setrlimit(limit[0], (limit[1], limit[1]))
        if without is not None:
            sys.modules[without] = None
        sys.argv = [f"{script}.py", *map(str, arguments)]
        launch.run(importlib.import_module(script).main)
    except SystemExit as exit_:
        status = exit_.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def wait(pid: int, folder: Path, seconds: float = 5 * PATIENCE) -> Outcome:
    """What came of a child; it is killed after some seconds, if it is still there."""
    began = time.monotonic()
    ended, raw, usage = os.wait4(pid, os.WNOHANG)
    while not ended and time.monotonic() - began < seconds:
        time.sleep(0.005)
        ended, raw, usage = os.wait4(pid, os.WNOHANG)
    status = os.waitstatus_to_exitcode(raw) if ended else None
    if not ended:
        kill(pid)
        usage = os.wait4(pid, 0)[2]
    texts = [(folder / f"{name}.txt").read_text(errors="replace") for name in ("stdout", "stderr")]
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Outcome(status, *texts, time.monotonic() - began, peak)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def run(folder: Path, script: str, *arguments, **options) -> Outcome:
    return wait(start(folder, script, *arguments, **options), folder)


# --- Data ---------------------------------------------------------------------------------------------------------


def photo() -> Path:
    return sorted((SAMPLE / "test").glob("*.jpg"))[0]


def small_set(root: Path, count: int = 12, pts: bool = False) -> Path:
    """The first images of that many people of the sample: in the public layout, or with .pts files."""
    images = root / "training"
    images.mkdir(parents=True)
    header, *rows = (SAMPLE / "training_frames_keypoints.csv").read_text().splitlines()
    people = {row.split(",")[0].rsplit("_", 1)[0]: row for row in reversed(rows)}
    rows = sorted(people.values())[:count]
    for row in rows:
        name, *cells = row.split(",")
        shutil.copy(SAMPLE / "training" / name, images)
        if pts:
            lines = [f"{float(x) + 1} {float(y) + 1}" for x, y in zip(cells[::2], cells[1::2], strict=True)]
            text = "version: 1\nn_points: 68\n{\n" + "\n".join(lines) + "\n}\n"
            (images / name).with_suffix(".pts").write_text(text)
    if not pts:
        (root / "training_frames_keypoints.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


_EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


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
        kind = random.integers(7)
        if kind == 0:
            data[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[at : at + len(part)] = random.bytes(len(part))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + len(part)]
        elif kind == 4:
            data[at:at] = part
        elif kind == 5:
            width = int(random.choice((1, 2, 4)))
            value = int(random.choice(_EXTREMES)) % 256**width
            data[at : at + width] = value.to_bytes(width, str(random.choice(("big", "little"))))
        else:
            data[at : at + len(part)] = bytes(len(part))
    return bytes(data)


def choose(random: np.random.Generator, table: dict[str, object]) -> tuple[str, object]:
    return list(table.items())[random.integers(len(table))]
