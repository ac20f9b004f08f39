"""Where a training's time goes, and how fast samples come.

Nothing here trains: train.py's own loop runs, and its parts tell when they are done.
"""

import contextlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose

from checkpoint import save_checkpoint
from data_load import FacialKeypointsDataset, Normalize, RandomCrop, Rescale, Seeded, ToTensor
from benchmarks.timing import Laps, in_turn, one_core, time_rows, timed
from runs import BEST, LAST

STEP = ("loading", "forward and loss", "backward", "optimizer", "averaging", "bookkeeping")  # its parts, in their order


def sized(data: Seeded, faces: int) -> Seeded:
    """So many of the samples: the first ones, or all of them and, as often as it takes, once more."""
    rows = np.arange(faces) % len(data.dataset)
    return Seeded(data.dataset.subset(rows, data.dataset.transform), data.seed, data.balance)


class WatchedSteps:
    """Notes how long each of the STEP's parts takes in each step of a `train.Training`, in its `laps`.

    It stands in for the interrupt of `train.train_epoch`, which asks it after each step, and ends the epoch when there
    are `most` steps. "loading" is all that a step waits for its batch, "bookkeeping" what the loop does at its end.
    """

    def __init__(self, training, most: int):
        self.laps, self.most = Laps(), most
        training.task.loss = self._between("loading", training.task.loss, "forward and loss")
        training.optimizers[0].register_step_pre_hook(lambda *_: self.laps.lap("backward"))
        training.average.update = self._between("optimizer", training.average.update, "averaging")

    def _between(self, before: str, function: Callable, name: str) -> Callable:
        """The function, whose call ends one part and whose return ends another."""

        def watched(*arguments):
            self.laps.lap(before)
            result = function(*arguments)
            self.laps.lap(name)
            return result

        return watched

    @property
    def is_full(self) -> bool:
        return len(self.laps.rounds) >= self.most

    @property
    def requested(self) -> bool:
        self.laps.lap("bookkeeping")
        self.laps.end_round()
        return self.is_full


def divide_steps(train_epoch: Callable, training, data: Seeded, warm_up: int, steps: int) -> dict[str, np.ndarray]:
    """Milliseconds of each part of so many steps, (steps,) each, of as many epochs as it takes; others come before.

    train_epoch: that of train.py.
    """
    watched = WatchedSteps(training, warm_up + steps)
    while not watched.is_full:
        train_epoch(training, data, watched)
        if not watched.is_full:
            training.finish_epoch()
    return {name: 1000 * np.array([step[name] for step in watched.laps.rounds[warm_up:]]) for name in STEP}


def end_epoch(describe: Callable, training, data: Dataset) -> dict[str, float]:
    """Milliseconds of what ends an epoch: a validation on `data`, and the checkpoints, where it is the best so far.

    describe: that of train.py.
    """
    laps = Laps()
    with tempfile.TemporaryDirectory() as folder:
        found = training.task.validate(training.average.model, data, training.device)
        laps.lap("validation")
        checkpoint = describe(training, found)
        save_checkpoint(Path(folder, BEST), checkpoint)
        save_checkpoint(Path(folder, LAST), checkpoint | {"training": training.state()})
        laps.lap("checkpoints")
    laps.end_round()
    return {name: 1000 * seconds for name, seconds in laps.rounds[0].items()}


# --- Loaders --------------------------------------------------------------------------------------------------


class PlainLoader(Dataset):
    """Faces in the way of the course that made the public set known: each access decodes the file, then rescales the
    image, cuts a random window out and normalises. No cache, no other augmentation.
    """

    def __init__(self, dataset: FacialKeypointsDataset):
        self.paths, self.keypoints = dataset.paths, dataset.keypoints
        self.transform = Compose([Rescale(250), RandomCrop(224), Normalize(center=100, scale=50), ToTensor()])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        with Image.open(self.paths[index]) as file:
            image = np.asarray(file.convert("RGB"))
        return self.transform({"image": image, "keypoints": self.keypoints[index]})


def loader_rows(data: Seeded, batch_size: int, samples: int, rounds: int) -> list[dict]:
    """Milliseconds a sample and samples a second of train.py's loader and of the plain one, in batches, no network.

    Both give the same faces in the same order, once in each round, on one core.
    """
    faces = [key % len(data.dataset) for key in sized(data, samples).order()]
    loaders = {"ours: cache, one warp": data, "plain: decode, rescale, crop": PlainLoader(data.dataset)}
    steps = {name: partial(_load, loader, faces, batch_size) for name, loader in loaders.items()}
    with one_core(), one_thread():
        times = in_turn(timed(steps), rounds, warm_up=1)
    times = {name: values / samples for name, values in times.items()}
    return [row | {"rate": 1000 / row["ms"]} for row in time_rows(times, against=list(times)[:1])]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch computes in one thread: several on one core would wait for each other."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


def _load(data: Dataset, order: Sequence[int], batch_size: int) -> None:
    deque(DataLoader(data, batch_size, sampler=order, generator=torch.Generator()), maxlen=0)
