"""The two tasks that train.py can train have one protocol: keypoints in faces (keypoints.py), and faces in pictures
(detector.py).

A task loads its data, computes its loss, validates on people that training never saw, describes itself in checkpoints,
and draws the pictures of how the network learned. The loop in train.py is the same for both.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from data_load import FacialKeypointsDataset, SeededSamples, join, open_split
from datasets.layout import split_by_person
from face68.files import InputError
from face68.landmarks import IBUG68
from face68.schemes import Scheme
from training.devices import first_here
from training.settings import Settings

SHOWN, WATCHED = 12, 5  # pictures of a sheet; samples in learning.png


class Losses(NamedTuple):
    """The losses of a batch, 0-dimensional tensors.

    total: the weighted sum of the losses on keypoints and heat maps, or the detector's loss: what train.py prints.
    auxiliary: further losses, minimised with the total but not printed.
    parts: by name the terms of both, without weights.
    """

    total: Tensor
    auxiliary: Tensor
    parts: dict[str, Tensor]


class Validation(Protocol):
    """The result of a validation.

    loss: the mean loss. error: the task's error, less is better. metrics: by name, for the checkpoint.
    of_sets: the error on each data set by its name; empty if there is only one.
    """

    loss: float
    error: float
    metrics: dict[str, float]
    of_sets: dict[str, float]

    @property
    def calibration(self) -> tuple[float, float]:
        """Offset and slope that correct the network's log errors or score logits."""
        ...

    def __str__(self) -> str: ...


class Task(Protocol):
    """column: the error's column in history.csv; measure: its name in print.
    legend: the colours in the task's pictures.
    annotators: of the labels, once they are loaded, see `models.create_model`.
    options: of the network, as the labels call for them.
    scheme: of the labelled points.
    """

    column: str
    measure: str
    legend: str
    annotators: Sequence[str]
    options: dict
    scheme: Scheme

    def load(self) -> tuple[SeededSamples, Dataset]:
        """The training samples, and the validation samples: of other people, and always the same."""
        ...

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Losses: ...

    def validate(self, model: nn.Module, data: Dataset, device: torch.device) -> Validation:
        """Validate on all samples. Of several processes each runs the network on its share.

        Raises:
            InputError: an output isn't finite.
        """
        ...

    def describe(self) -> dict:
        """The task's own entries in a checkpoint."""
        ...

    def finish(self, best: Path, data: Dataset, detector: str | Path) -> None:
        """Calibrate the best checkpoint, a file, after training.

        data: the validation samples. detector: finds their faces, see `face68.detect.open_detector`.

        Raises:
            InputError: the checkpoint or an image can't be read, or the checkpoint can't be written.
        """
        ...

    def sheets(self, untrained: nn.Module, best: nn.Module, data: Dataset, device: torch.device) -> list[np.ndarray]:
        """Two pictures, (H, W, 3) uint8 RGB: outputs and truth of the same samples before and after training."""
        ...

    def answers(self, model: nn.Module, data: Dataset, device: torch.device) -> list[Tensor]:
        """The outputs for WATCHED validation samples, always the same ones. Draws no global random numbers."""
        ...

    def tiles(self, data: Dataset, answers: list[list[Tensor]]) -> list[list[np.ndarray]]:
        """Those samples with outputs and truth, (H, W, 3) uint8 RGB: a row for each network's `answers`."""
        ...


def open_people(settings: Settings) -> tuple[FacialKeypointsDataset, list[int], list[int]]:
    """All labelled faces, and the indices of those for training and for validation.

    --train-faces limits those for training to so many, drawn by --seed; a smaller number draws a subset.

    Raises:
        InputError: there are too few faces for one of the two.
    """
    cache = settings.cache_dir, settings.cache_mb
    with first_here():
        dataset = join([open_split(directory, "training").preload(*cache) for directory in settings.data])
    if settings.one_annotator:
        dataset.source_annotators = dataset.source_annotators[:1] * len(dataset.source_annotators)
    training, validation = split_by_person(dataset.people, settings.val_fold, settings.folds)
    if not training or not validation:
        raise InputError(
            f"{settings.data[0]}: too few people to keep fold {settings.val_fold} of {settings.folds} for validation; "
            "add faces of others, or choose other --folds"
        )
    wanted = settings.train_faces
    if wanted is not None:
        if wanted > len(training):
            raise InputError(
                f"--train-faces {wanted}: there are {len(training)} for training; ask for as many or fewer"
            )
        training = np.random.default_rng(settings.seed).permutation(training)[:wanted].tolist()
    return dataset, training, validation


def print_sizes(training: Dataset, validation: Dataset, seconds: float) -> None:
    print(
        f"training: {len(training)} faces of {len(set(training.people))} people; "
        f"validation: {len(validation)} faces of {len(set(validation.people))} other people; opened in {seconds:.1f} s"
    )


def print_scheme(dataset: FacialKeypointsDataset) -> None:
    """Say what points others than iBUG's 68 are, and what goes without what their scheme doesn't state."""
    if dataset.scheme != IBUG68:
        gaps = f": {dataset.scheme.gaps}; scheme.json states them, see docs/schemes.md" if dataset.scheme.gaps else ""
        print(f"points: {len(dataset.scheme)}, {dataset.scheme.name}{gaps}")


def evenly(size: int, count: int) -> np.ndarray:
    """Up to `count` of `size` indices, evenly spaced."""
    return np.unique(np.linspace(0, size - 1, min(count, size)).astype(int))


def diverged() -> InputError:
    return InputError(
        "what the network says of the validation faces is not finite: training has diverged; try a lower --lr"
    )
