"""The task of finding faces in pictures."""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from data_load import SeededSamples
from evaluation import metrics as evaluation_metrics
from face68.detect import Detections, as_detections, peaks
from models import CELL, DetectorOutputs, faces_in_pixels
from plots import errors
from training import mosaics
from training.devices import batches, first_batch, gather, local, shard
from training.losses import detection_loss
from training.settings import MEASURES, Settings
from training.task import SHOWN, WATCHED, Losses, diverged, open_people, say_what_is_there

VALIDATION_SEED = 2**31  # of the validation mosaics, which are the same whatever --seed is
VALIDATED = 640  # mosaics, at most
LEAST_SCORE, SHOWN_SCORE = 0.02, 0.3  # of what counts as found, and of what a sheet shows


class DetectionValidation(NamedTuple):
    """Validation of a detector on mosaics.

    scores, is_true: (N,), of all that it found but what may be ignored.
    off: (T, 3), of each face that was found how far its centre, its side (both as shares of the side) and its roll
        (degrees) are off.
    count: how many faces there are.
    """

    scores: np.ndarray
    is_true: np.ndarray
    off: np.ndarray
    count: int
    loss: float = math.nan

    @property
    def of_sets(self) -> dict[str, float]:
        return {}  # a mosaic shows faces of all

    @property
    def error(self) -> float:
        return 1 - evaluation_metrics.average_precision(self.scores, self.is_true, self.count)

    @property
    def metrics(self) -> dict[str, float]:
        return {"val_average_precision": 1 - self.error, "val_loss": self.loss}

    @property
    def calibration(self) -> tuple[float, float]:
        return evaluation_metrics.fit_logistic(np.log(self.scores) - np.log1p(-self.scores), self.is_true)

    def __str__(self) -> str:
        if not len(self.off):
            return f"1 - AP {self.error:.2%} (no face found)"
        center, side, roll = np.median(self.off, axis=0)
        return f"1 - AP {self.error:.2%} (off: centres {center:.1%} and sides {side:.1%} of the side, roll {roll:.1f}°)"


class DetectionTask:
    """Faces of any roll in pictures, learned on `mosaics.Mosaics`."""

    column, measure = "val_1_minus_ap", MEASURES["val_1_minus_ap"]
    legend = f"{errors.SQUARES}; found is what has a score of {SHOWN_SCORE} or more"
    annotators = ()

    def __init__(self, settings: Settings):
        self.settings = settings

    def load(self) -> tuple[SeededSamples, SeededSamples]:
        started = time.perf_counter()
        dataset, training_rows, validation_rows = open_people(self.settings)
        chosen = np.unique(np.linspace(0, len(validation_rows) - 1, VALIDATED).astype(int))
        validation_rows = [validation_rows[i] for i in chosen]
        of_training, of_validation = (
            mosaics.lay(dataset.subset(rows, None), mosaics.to_maps) for rows in (training_rows, validation_rows)
        )
        say_what_is_there(of_training, of_validation, time.perf_counter() - started)
        return SeededSamples(of_training, self.settings.seed, self.settings.balance), SeededSamples(
            of_validation, VALIDATION_SEED
        )

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Losses:
        return Losses(detection_loss(model(batch["image"]), batch), torch.zeros(()), {})

    def validate(self, model: nn.Module, data: SeededSamples, device: torch.device) -> DetectionValidation:
        rows = shard(len(data))
        with local():  # one process may have more batches than another
            part = self._search(model, Subset(data, rows), device) if rows else None
        found, losses = zip(*gather(part), strict=True)
        fields = (np.concatenate(field) for field in zip(*(one[:3] for one in found), strict=True))
        return DetectionValidation(*fields, sum(one.count for one in found), float(np.mean(np.concatenate(losses))))

    @torch.inference_mode()
    def _search(self, model: nn.Module, data: Dataset, device: torch.device) -> tuple[DetectionValidation, list[float]]:
        """What is found in some mosaics, and the loss of each batch of them."""
        losses = []

        def find(batch: dict[str, Tensor]) -> list[Detections]:
            maps = look(model, batch)
            losses.append(detection_loss(maps, batch).item())
            return detections(maps, LEAST_SCORE)

        return measure(find, batches(data, self.settings.workers, device)), losses

    def describe(self) -> dict:
        return {}

    def finish(self, best: Path, data: SeededSamples, detector: str | Path) -> None:
        """Nothing: it was calibrated as it was validated, on whole mosaics."""

    def sheets(
        self, untrained: nn.Module, best: nn.Module, data: SeededSamples, device: torch.device
    ) -> list[np.ndarray]:
        """The first mosaics."""
        batch = first_batch(data, device, SHOWN)
        titles = "The same validation mosaics before training", "Validation mosaics"
        return [
            errors.detection_sheet(_pictures(batch), self._find(model, batch), faces_there(batch), title)
            for model, title in zip((untrained, best), titles, strict=True)
        ]

    def answers(self, model: nn.Module, data: SeededSamples, device: torch.device) -> list[Tensor]:
        """x, y, side and roll of the faces that it finds in each, (N, 4): px and degrees."""
        found = self._find(model, first_batch(data, device, WATCHED))
        return [torch.from_numpy(np.column_stack([one.centers, one.sides, one.rolls])) for one in found]

    def tiles(self, data: SeededSamples, answers: list[list[Tensor]]) -> list[list[np.ndarray]]:
        batch = first_batch(data, torch.device("cpu"), WATCHED)
        pictures, there = _pictures(batch), faces_there(batch)
        found = [[_as_circles(faces.numpy()) for faces in row] for row in answers]
        return [errors.detection_tiles(pictures, row, there) for row in found]

    @torch.inference_mode()
    def _find(self, model: nn.Module, batch: dict[str, Tensor]) -> list[Detections]:
        return detections(look(model, batch), SHOWN_SCORE)


def _as_circles(faces: np.ndarray) -> Detections:
    """From what `DetectionTask.answers` tells."""
    return Detections(faces[:, :2], faces[:, 2], faces[:, 3], np.ones(len(faces)))


def _pictures(batch: dict[str, Tensor]) -> list[np.ndarray]:
    """The mosaics of a batch, (S, S, 3) uint8 RGB each."""
    return list((batch["image"] * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())


def measure(
    find: Callable[[dict[str, Tensor]], list[Detections]], data: Iterable[dict[str, Tensor]]
) -> DetectionValidation:
    """What finding is worth on batches of mosaics; `find` tells the faces in each mosaic of a batch."""
    matched, count = [], 0
    for batch in data:
        for found, there, known in zip(find(batch), faces_there(batch), batch["known"].cpu().numpy(), strict=True):
            matched.append(match(found, there, known))
            count += len(there.scores)
    return DetectionValidation(*map(np.concatenate, zip(*matched, strict=True)), count)


def look(model: nn.Module, batch: dict[str, Tensor]) -> DetectorOutputs:
    """What a detector says of a batch.

    Raises:
        InputError: something that isn't finite.
    """
    maps = model.eval()(batch["image"])
    if not all(values.isfinite().all() for values in maps):
        raise diverged()
    return maps


def faces_there(batch: dict[str, Tensor]) -> list[Detections]:
    """The faces of each picture of a batch of `mosaics.to_maps`."""
    truth = (
        faces_in_pixels(DetectorOutputs(batch["heat"], batch["centers"], batch["log_sides"], batch["axes"]))
        .cpu()
        .numpy()
    )
    return [
        as_detections(faces[:, heat == 1], heat[heat == 1])
        for faces, heat in zip(truth, batch["heat"].cpu().numpy(), strict=True)
    ]


def detections(maps: DetectorOutputs, least: float) -> list[Detections]:
    """The faces of each picture that have at least that score."""
    scores, faces = maps.score_logits.sigmoid().cpu().numpy(), faces_in_pixels(maps).cpu().numpy()
    return [peaks(*of_picture, least) for of_picture in zip(scores, faces, strict=True)]


def match(found: Detections, there: Detections, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of what was found is there, surest first: a face once, within 0.4 of its side of its centre, with 0.6 to
    1.6 of its side.

    known: (H, W), 0 in cells of which isn't known what they show: what was found there counts for nothing.

    Returns:
        scores and is_true, (N,), and off, (T, 3), see `DetectionValidation`.
    """
    distances = np.linalg.norm(found.centers[:, None] - there.centers, axis=2) / there.sides  # (N, K)
    ratios = found.sides[:, None] / there.sides
    nearest = evaluation_metrics.nearest_free(
        np.where((distances < 0.4) & (ratios > 0.6) & (ratios < 1.6), distances, np.inf)
    )
    is_true = nearest >= 0
    hits, of = np.flatnonzero(is_true), nearest[is_true]
    turns = np.abs((found.rolls[hits] - there.rolls[of] + 180) % 360 - 180)
    columns, rows = ((found.centers + 0.5) / CELL).astype(int).clip(0, len(known) - 1).T
    counts = is_true | (known[rows, columns] > 0)
    return (
        found.scores[counts],
        is_true[counts],
        np.column_stack([distances[hits, of], np.abs(ratios[hits, of] - 1), turns]),
    )
