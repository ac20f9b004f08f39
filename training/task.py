"""What train.py can train: a network that places keypoints in faces, or one that finds faces in pictures.

A task brings its data, what is minimised, what is measured on people that training never saw (less is better), what a
checkpoint holds of it, and the pictures of how it learned. The loop in train.py is the same for both.
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
from training.devices import first_here
from training.settings import Settings

SHOWN, WATCHED = 12, 5  # pictures of a sheet, and of those that are looked at as training goes on


class Losses(NamedTuple):
    """Of a batch.

    watched: what is told while training; beside: what is minimised beside that; 0-dimensional tensors.
    parts: by name what both are made of, before weights.
    """

    watched: Tensor
    beside: Tensor
    parts: dict[str, Tensor]


class Validation(Protocol):
    """What a network is worth on people that training never saw.

    loss: the loss there; error: what is measured, less is better; metrics: what a checkpoint says of it, by name.
    of_sets: the error on each data set, by its name, where there are several.
    """

    loss: float
    error: float
    metrics: dict[str, float]
    of_sets: dict[str, float]

    @property
    def calibration(self) -> tuple[float, float]:
        """Offset and slope that make what the network says of its own certainty true there."""
        ...

    def __str__(self) -> str: ...


class Task(Protocol):
    """column, measure: what is measured, as history.csv and as people call it.

    legend: what its pictures show in which colour.
    annotators: of the labels, once they are loaded, see `models.create_model`.
    """

    column: str
    measure: str
    legend: str
    annotators: Sequence[str]

    def load(self) -> tuple[SeededSamples, Dataset]:
        """The training samples and the validation samples: of other people, and always the same."""
        ...

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Losses: ...

    def validate(self, model: nn.Module, data: Dataset, device: torch.device) -> Validation:
        """Of all samples; where several processes ask, each asks the network about its share.

        Raises:
            InputError: something isn't finite.
        """
        ...

    def describe(self) -> dict:
        """What a checkpoint holds of the task, beside the network."""
        ...

    def finish(self, best: Path, data: Dataset, detector: str | Path) -> None:
        """Calibrate the best checkpoint, a file, in the end.

        data: the validation samples. detector: what finds their faces, see `face68.detect.open_detector`.

        Raises:
            InputError: it can't be.
        """
        ...

    def sheets(self, untrained: nn.Module, best: nn.Module, data: Dataset, device: torch.device) -> list[np.ndarray]:
        """What the network said before and after training of the same validation samples, beside the truth: a picture
        each, (H, W, 3) uint8 RGB.
        """
        ...

    def answers(self, model: nn.Module, data: Dataset, device: torch.device) -> list[Tensor]:
        """What the network says of a few validation samples, always the same ones, as a checkpoint can hold it. Draws
        nothing from the global random numbers.
        """
        ...

    def tiles(self, data: Dataset, answers: list[list[Tensor]]) -> list[list[np.ndarray]]:
        """Those samples with each of several networks' answers beside the truth, pictures (H, W, 3) uint8 RGB."""
        ...


def open_people(settings: Settings) -> tuple[FacialKeypointsDataset, list[int], list[int]]:
    """All labelled faces, and which of them are for training and for validation.

    With --train-faces so many of those for training, drawn by --seed: fewer are a part of more.

    Raises:
        InputError: one of the two would be empty, or there aren't so many.
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


def say_what_is_there(training: Dataset, validation: Dataset, seconds: float) -> None:
    print(
        f"training: {len(training)} faces of {len(set(training.people))} people; "
        f"validation: {len(validation)} faces of {len(set(validation.people))} other people; opened in {seconds:.1f} s"
    )


def diverged() -> InputError:
    return InputError(
        "what the network says of the validation faces is not finite: training has diverged; try a lower --lr"
    )
