"""How long things take, side by side.

A machine is now faster, now slower. So what is to be compared is measured in turn, on one core of the processor, and a
ratio is that of two times of the same round.
"""

import contextlib
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from face68.draw import draw_faces
from face68.images import read_image, write_image
from face68.landmarker import Landmarker
from face68.network import Network, Outputs


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Within the block this thread, all that it starts and OpenCV compute on one core.

    Not every library can be told a number of threads; the system keeps all of them on a core (Linux: others can't).
    """
    threads = cv2.getNumThreads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    try:
        cv2.setNumThreads(1)
        if cores:
            os.sched_setaffinity(0, {max(cores)})
        yield
    finally:
        cv2.setNumThreads(threads)
        if cores:
            os.sched_setaffinity(0, cores)


def timed(steps: dict[str, Callable[[], object]]) -> dict[str, Callable[[], float]]:
    """What measures how long each step takes, in milliseconds; for `in_turn`."""

    def milliseconds(step: Callable[[], object]) -> float:
        start = time.perf_counter()
        step()
        return 1000 * (time.perf_counter() - start)

    return {name: partial(milliseconds, step) for name, step in steps.items()}


def in_turn(measures: dict[str, Callable], rounds: int, warm_up: int = 0) -> dict[str, np.ndarray]:
    """What each measure says in each round: (rounds, …). Rounds to warm up come before.

    Each round has an order of its own: what follows one that fills the caches would always pay for it otherwise.
    """
    said = {name: [] for name in measures}
    for _ in range(warm_up + rounds):
        for name in random.sample(list(measures), len(measures)):
            said[name].append(measures[name]())
    return {name: np.array(values[warm_up:]) for name, values in said.items()}


def time_rows(times: dict[str, np.ndarray], against: Iterable[str]) -> list[dict]:
    """A row for each name: the median of its times in ms, where the middle 80% of them lie, and its ratios.

    times: arrays of one shape, times at the same place being of the same round.
    against: the names that each one is divided by.
    """
    rows = []
    for name, values in times.items():
        low, high = np.quantile(values, (0.1, 0.9))
        row = {"name": name, "ms": float(np.median(values)), "ms_p10": float(low), "ms_p90": float(high)}
        rows.append(row | {f"ratio_{other}": float(np.median(values / times[other])) for other in against})
    return rows


def power_law(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Exponent and factor of factor · size ** exponent, by least squares of the logarithms.

    sizes, values: N ≥ 2 of each, above 0.
    """
    exponent, logarithm = np.polyfit(np.log(sizes), np.log(values), 1)
    return float(exponent), math.exp(logarithm)


class Laps:
    """A stopwatch: seconds of the parts of each round, in `rounds`; what lies between two laps is the latter's."""

    def __init__(self):
        self.rounds: list[dict[str, float]] = []
        self._round, self._last = defaultdict(float), time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self._round[part] += now - self._last
        self._last = now

    def end_round(self) -> None:
        self.rounds.append(self._round)
        self._round = defaultdict(float)


# --- Processes and memory -------------------------------------------------------------------------------------


# Run in a process of its own, since a child's peak memory begins with that of the process that it is forked from.
FROM_COLD = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def from_cold(command: list[str]) -> tuple[float, float]:
    """Milliseconds that a command takes, and its peak memory in MiB. Not on Windows, which doesn't tell."""
    result = subprocess.run([sys.executable, "-c", FROM_COLD, *command], stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak = map(float, result.stdout.split())
    return 1000 * seconds, mebibytes(peak)


def mebibytes(peak: float) -> float:
    """`ru_maxrss` in MiB: macOS counts bytes, Linux KiB."""
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def peak_memory() -> float:
    """Of this process so far, in MiB; NaN where the system doesn't tell."""
    try:
        import resource  # not on Windows
    except ImportError:
        return math.nan
    return mebibytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def memory_now() -> dict[str, float]:
    """MiB that this process has in memory: its own, and of mapped files (programs, decoded images), which the system
    takes back where it needs room and which processes share. NaN where the system doesn't tell: Linux does.
    """
    fields = {}
    with contextlib.suppress(OSError):
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        name: float(fields[field].split()[0]) / 2**10 if field in fields else math.nan
        for name, field in (("mib_own", "RssAnon"), ("mib_mapped", "RssFile"))
    }


# --- Where a photo's time goes ---------------------------------------------------------------------------------


class Clocked:
    """A network (`face68.network.Network`) that notes in `ends` when each of its calls has ended."""

    def __init__(self, network: Network, ends: list[float]):
        self.network, self.ends = network, ends
        self.policy, self.path, self.predicts_errors = network.policy, network.path, network.predicts_errors

    def __call__(self, crops: np.ndarray) -> Outputs:
        outputs = self.network(crops)
        self.ends.append(time.perf_counter())
        return outputs


def clocked(landmarker: Landmarker) -> Landmarker:
    """The landmarker with its networks clocked together, as `divide` needs them."""
    ends = []
    landmarker.network, landmarker.framing = Clocked(landmarker.network, ends), Clocked(landmarker.framing, ends)
    return landmarker


def divide(landmarker: Landmarker, photo: bytes, picture: Path) -> np.ndarray:
    """Milliseconds of each part of a JPEG file's way to a picture with its points, see `part_rows`.

    landmarker: see `clocked`.
    """
    landmarker.network.ends.clear()
    marks = [time.perf_counter()]
    image = read_image(photo)
    marks.append(time.perf_counter())
    found = landmarker.detect(image)
    marks.append(time.perf_counter())
    (faces,) = landmarker.faces([image], [found])
    marks += [*landmarker.network.ends, time.perf_counter()]
    drawn = draw_faces(image, faces)
    marks.append(time.perf_counter())
    write_image(picture, drawn)
    return 1000 * np.diff([*marks, time.perf_counter()])


def part_rows(runs: Sequence[np.ndarray]) -> list[dict]:
    """What a photo's time divides into; of the runs with the usual number of passes, since others have other parts.

    A pass ends when the network has spoken, so it holds the cutting of its crops.
    """
    usual = statistics.mode(map(len, runs))
    passes = [f"pass {i + 1}" for i in range(usual - 5)]
    names = ["decode", "detect", *passes, "combine", "draw", "write"]
    times = np.stack([run for run in runs if len(run) == usual])
    rows = time_rows(dict(zip(names, times.T, strict=True)), against=())
    return [row | {"runs": f"{len(times)} of {len(runs)}"} for row in with_shares(rows)]


def with_shares(rows: Sequence[dict]) -> list[dict]:
    """Rows of parts with the share that each one's ms have in all."""
    total = sum(row["ms"] for row in rows)
    return [row | {"share": row["ms"] / total} for row in rows]
