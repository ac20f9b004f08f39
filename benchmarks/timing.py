"""How long things take, side by side.

A machine's speed varies. So candidates are measured in turn, on one core of the processor.
"""

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np


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
