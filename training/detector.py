"""The detection task: faces of any roll in pictures, learned on `mosaics.Mosaics`."""

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
from evaluation import metrics
from face68.detect import Detections, as_detections, peaks
from face68.files import InputError
from face68.landmarks import IBUG68
from face68.network import CELL
from models import DetectorOutputs, faces_in_pixels
from plots import errors
from training import mosaics
from training.devices import batches, first_batch, gather, local, shard
from training.losses import detection_loss
from training.settings import MEASURES, Settings
from training.task import SHOWN, WATCHED, Losses, diverged, evenly, open_people, print_sizes

VALIDATION_SEED = 2**31  # of the validation mosaics, which are the same whatever --seed is
VALIDATED = 640  # mosaics, at most
LEAST_SCORE, SHOWN_SCORE = 0.02, 0.3  # the least scores of detections that are validated, and drawn


class DetectionValidation(NamedTuple):
    """Validation on mosaics.

    scores, is_true: (N,), of all detections outside of ignored regions.
    off: (T, 3), errors of the T true ones: centre and side (as shares of the side) and roll (degrees).
    count: the number of labelled faces.
    """

    scores: np.ndarray
    is_true: np.ndarray
    off: np.ndarray
    count: int
    loss: float = math.nan

    @property
    def of_sets(self) -> dict[str, float]:
        return {}  # a mosaic shows faces of all sets

    @property
    def error(self) -> float:
        return 1 - metrics.average_precision(self.scores, self.is_true, self.count)

    @property
    def metrics(self) -> dict[str, float]:
        return {"val_average_precision": 1 - self.error, "val_loss": self.loss}

    @property
    def calibration(self) -> tuple[float, float]:
        return metrics.fit_logistic(np.log(self.scores) - np.log1p(-self.scores), self.is_true)

    def __str__(self) -> str:
        if not len(self.off):
            return f"1 - AP {self.error:.2%} (no face found)"
        center, side, roll = np.median(self.off, axis=0)
        return f"1 - AP {self.error:.2%} (off: centres {center:.1%} and sides {side:.1%} of the side, roll {roll:.1f}°)"


class DetectionTask:
    column, measure = "val_1_minus_ap", MEASURES["val_1_minus_ap"]
    legend = f"{errors.SQUARES}; found is what has a score of {SHOWN_SCORE} or more"
    annotators, options, scheme = (), {}, IBUG68  # which it doesn't depend on

    def __init__(self, settings: Settings):
        self.settings = settings

    def load(self) -> tuple[SeededSamples, SeededSamples]:
        started = time.perf_counter()
        dataset, training_rows, validation_rows = open_people(self.settings)
        if not dataset.scheme.has_extent:
            raise InputError(
                f"{dataset.root}: one point has no extent to be found by; give --box to predict.py instead"
            )
        validation_rows = [validation_rows[i] for i in evenly(len(validation_rows), VALIDATED)]
        training, validation = (
            mosaics.lay(dataset.subset(rows, None), mosaics.to_maps) for rows in (training_rows, validation_rows)
        )
        print_sizes(training, validation, time.perf_counter() - started)
        seeded = SeededSamples(training, self.settings.seed, self.settings.balance)
        return seeded, SeededSamples(validation, VALIDATION_SEED)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Losses:
        return Losses(detection_loss(model(batch["image"]), batch), torch.zeros(()), {})

    def validate(self, model: nn.Module, data: SeededSamples, device: torch.device) -> DetectionValidation:
        rows = shard(len(data))
        with local():  # one process may have more batches than another
            part = self._validate(model, Subset(data, rows), device) if rows else None
        parts, losses = zip(*gather(part), strict=True)
        fields = (np.concatenate(field) for field in zip(*(part[:3] for part in parts), strict=True))
        return DetectionValidation(*fields, sum(part.count for part in parts), float(np.mean(np.concatenate(losses))))

    @torch.inference_mode()
    def _validate(self, model: nn.Module, data: Dataset, device: torch.device) -> tuple[DetectionValidation, list]:
        """The validation on some mosaics, and the loss of each batch."""
        losses = []

        def detect(batch: dict[str, Tensor]) -> list[Detections]:
            outputs = run(model, batch)
            losses.append(detection_loss(outputs, batch).item())
            return detections(outputs, LEAST_SCORE)

        return validate_detections(detect, batches(data, self.settings.workers, device)), losses

    def describe(self) -> dict:
        return {}

    def finish(self, best: Path, data: SeededSamples, detector: str | Path) -> None:
        """Does nothing: each checkpoint has its validation's calibration, which is of whole pictures already."""

    def sheets(
        self, untrained: nn.Module, best: nn.Module, data: SeededSamples, device: torch.device
    ) -> list[np.ndarray]:
        """The first mosaics."""
        batch = first_batch(data, device, SHOWN)
        titles = "The same validation mosaics before training", "Validation mosaics"
        return [
            errors.detection_sheet(_pictures(batch), self._detect(model, batch), true_faces(batch), title)
            for model, title in zip((untrained, best), titles, strict=True)
        ]

    def answers(self, model: nn.Module, data: SeededSamples, device: torch.device) -> list[Tensor]:
        """x, y, side and roll of the detections in each mosaic, (N, 4): px and degrees."""
        detected = self._detect(model, first_batch(data, device, WATCHED))
        return [torch.from_numpy(np.column_stack([one.centers, one.sides, one.rolls])) for one in detected]

    def tiles(self, data: SeededSamples, answers: list[list[Tensor]]) -> list[list[np.ndarray]]:
        batch = first_batch(data, torch.device("cpu"), WATCHED)
        pictures, truth = _pictures(batch), true_faces(batch)
        detected = [[_as_detections(faces.numpy()) for faces in row] for row in answers]
        return [errors.detection_tiles(pictures, row, truth) for row in detected]

    @torch.inference_mode()
    def _detect(self, model: nn.Module, batch: dict[str, Tensor]) -> list[Detections]:
        return detections(run(model, batch), SHOWN_SCORE)


def _as_detections(faces: np.ndarray) -> Detections:
    """From the (N, 4) of `DetectionTask.answers`."""
    return Detections(faces[:, :2], faces[:, 2], faces[:, 3], np.ones(len(faces)))


def _pictures(batch: dict[str, Tensor]) -> list[np.ndarray]:
    """The mosaics of a batch, (S, S, 3) uint8 RGB each."""
    return list((batch["image"] * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())


def run(model: nn.Module, batch: dict[str, Tensor]) -> DetectorOutputs:
    """A detector's outputs for a batch.

    Raises:
        InputError: an output isn't finite.
    """
    outputs = model.eval()(batch["image"])
    if not all(values.isfinite().all() for values in outputs):
        raise diverged()
    return outputs


def detections(outputs: DetectorOutputs, least_score: float) -> list[Detections]:
    """The detections in each picture, with at least that score."""
    scores, faces = outputs.score_logits.sigmoid().cpu().numpy(), faces_in_pixels(outputs).cpu().numpy()
    return [peaks(*of_picture, least_score) for of_picture in zip(scores, faces, strict=True)]


def true_faces(batch: dict[str, Tensor]) -> list[Detections]:
    """The labelled faces of each picture of a batch of `mosaics.to_maps`."""
    heatmaps = batch["heatmap"].cpu().numpy()
    targets = DetectorOutputs(batch["heatmap"], batch["centers"], batch["log_sides"], batch["axes"])
    return [
        as_detections(faces[:, heatmap == 1], heatmap[heatmap == 1])
        for faces, heatmap in zip(faces_in_pixels(targets).cpu().numpy(), heatmaps, strict=True)
    ]


def validate_detections(
    detect: Callable[[dict[str, Tensor]], list[Detections]], data: Iterable[dict[str, Tensor]]
) -> DetectionValidation:
    """Compare the detections in batches of mosaics with the truth; `detect` gives those in each mosaic of a batch."""
    matches, count = [], 0
    for batch in data:
        ignore_masks = batch["ignore_mask"].cpu().numpy()
        for detected, truth, ignore_mask in zip(detect(batch), true_faces(batch), ignore_masks, strict=True):
            matches.append(match(detected, truth, ignore_mask))
            count += len(truth.scores)
    return DetectionValidation(*map(np.concatenate, zip(*matches, strict=True)), count)


def match(
    detected: Detections, truth: Detections, ignore_mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match detections, surest first, with labelled faces, each at most once: a true detection's centre lies within 0.4
    of the face's side of its centre, and its side is 0.6 to 1.6 of the face's.

    ignore_mask: (H, W), cells in which a false detection doesn't count.

    Returns:
        scores and is_true, (N,), and off, (T, 3), see `DetectionValidation`.
    """
    distances = np.linalg.norm(detected.centers[:, None] - truth.centers, axis=2) / truth.sides  # (N, K)
    ratios = detected.sides[:, None] / truth.sides
    is_near = (distances < 0.4) & (ratios > 0.6) & (ratios < 1.6)
    nearest = metrics.nearest_free(np.where(is_near, distances, np.inf))  # (N,), -1: none
    is_true = nearest >= 0
    # How far the true ones are off
    hits, faces = np.flatnonzero(is_true), nearest[is_true]
    turns = np.abs((detected.rolls[hits] - truth.rolls[faces] + 180) % 360 - 180)
    off = np.column_stack([distances[hits, faces], np.abs(ratios[hits, faces] - 1), turns])
    # Without those in ignored cells
    columns, rows = ((detected.centers + 0.5) / CELL).astype(int).clip(0, len(ignore_mask) - 1).T
    counts = is_true | ~ignore_mask[rows, columns]
    return detected.scores[counts], is_true[counts], off
