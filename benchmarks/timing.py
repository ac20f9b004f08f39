"""How long things take, side by side.

A machine's speed varies. So candidates are measured in turn, on one core of the processor.
"""

import contextlib
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from face68.draw import draw_faces
from face68.images import read_image, write_image
from face68.landmarker import Landmarker
from face68.network import Network, Predictions


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


def in_turn(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds of each step in each round: (rounds,).

    Each round has an order of its own: what follows one that fills the caches would always pay for it otherwise.
    """
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name in random.sample(list(steps), len(steps)):
            start = time.perf_counter()
            steps[name]()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: np.array(values) for name, values in times.items()}


def time_rows(times: dict[str, np.ndarray], against: Iterable[str] = ()) -> list[dict]:
    """A row for each name: the mean of its times, their median, and the time that 90% of them stay below, all in ms.

    times: (N,) each, of the same N photos or frames.
    against: the names whose means each mean is divided by.
    """
    means = {name: values.mean() for name, values in times.items()}
    return [
        {"name": name, "ms": means[name], "ms_median": np.median(values), "ms_p90": np.quantile(values, 0.9)}
        | {f"ratio_{other}": means[name] / means[other] for other in against}
        for name, values in times.items()
    ]


def peak_memory() -> float:
    """Of this process so far, in MiB; NaN where the system doesn't tell."""
    try:
        import resource  # not on Windows
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes, Linux KiB
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


# --- Where a photo's time goes ---------------------------------------------------------------------------------


class Clocked:
    """A network (`face68.network.Network`) that notes in the list `ends` when each of its calls has ended."""

    def __init__(self, network: Network, ends: list[float]):
        self.network, self.ends = network, ends
        self.policy, self.path, self.predicts_errors = network.policy, network.path, network.predicts_errors
        self.scheme = network.scheme

    def __call__(self, crops: np.ndarray) -> Predictions:
        outputs = self.network(crops)
        self.ends.append(time.perf_counter())
        return outputs


def clocked(landmarker: Landmarker) -> Landmarker:
    """The landmarker with its networks clocked together, as `divide` needs them."""
    ends = []
    landmarker.network = Clocked(landmarker.network, ends)
    landmarker.coarse_network = Clocked(landmarker.coarse_network, ends)
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
    """The parts of a photo's time; of the runs with the usual number of passes, since others have other parts.

    A pass ends when the network has spoken, so it holds the cutting of its crops.
    """
    usual = statistics.mode(map(len, runs))
    names = ["decode", "detect", *(f"pass {i + 1}" for i in range(usual - 5)), "combine", "draw", "write"]
    times = np.stack([run for run in runs if len(run) == usual])
    whole = times.sum(axis=1).mean()
    rows = time_rows(dict(zip(names, times.T, strict=True)))
    return [row | {"share": row["ms"] / whole, "runs": f"{len(times)} of {len(runs)}"} for row in rows]
