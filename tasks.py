"""What train.py can train: a network that places keypoints in faces, or one that finds faces in pictures.

A task brings its data, what is minimised, what is measured on people that training never saw (less is better), what a
checkpoint holds of it, and the sheet of pictures at the end. The loop in train.py is the same for both.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import metrics
import mosaics
import report
from compute import batches
from data_load import (
    FacialKeypointsDataset,
    Seeded,
    evaluation_transform,
    join,
    open_split,
    split_by_person,
    training_transform,
    upright_transform,
)
from face68 import geometry
from face68.detect import Circles, as_circles, peaks
from face68.files import InputError
from face68.geometry import CropPolicy, denormalize_keypoints, invert, transform_points
from losses import LOSSES, confidence_loss, detection_loss, heatmap_loss, keypoint_loss
from models import CELL, Maps, as_outputs, faces_in_pixels, finds_faces, input_size, join_outputs, predicts_errors
from runs import Settings

HEATMAP_WEIGHT = 0.2  # of the loss on heat maps beside the loss on keypoints
BACKGROUND = 0.1  # the share of training crops that show no upright face, for a network that judges what it sees
LARGEST_LOG = 80.0  # of an expected error or of its inverse: more can't be told from infinity
SHOWN = 12  # pictures of a sheet


class Validation(Protocol):
    """What a network is worth on people that training never saw.

    loss: the loss there; error: what is measured, less is better; metrics: what a checkpoint says of it, by name.
    """

    loss: float
    error: float
    metrics: dict[str, float]

    @property
    def calibration(self) -> tuple[float, float]:
        """Offset and slope that make what the network says of its own certainty true there."""
        ...

    def __str__(self) -> str: ...


class Task(Protocol):
    """column, measure: what is measured, as history.csv and as people call it."""

    column: str
    measure: str

    def load(self) -> tuple[Seeded, Dataset]:
        """The training samples and the validation samples: of other people, and always the same."""
        ...

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss of a batch that is watched, and what is minimised beside it."""
        ...

    def validate(self, model: nn.Module, data: Dataset, device: torch.device) -> Validation:
        """Raises InputError: something isn't finite."""
        ...

    def describe(self) -> dict:
        """What a checkpoint holds of the task, beside the network."""
        ...

    def sheet(self, model: nn.Module, data: Dataset, device: torch.device) -> np.ndarray:
        """What the network says of some validation samples beside the truth, a picture (H, W, 3) uint8 RGB."""
        ...


def task_of(settings: Settings) -> Task:
    return FindFaces(settings) if finds_faces(settings.model) else PlaceKeypoints(settings)


def open_people(settings: Settings) -> tuple[FacialKeypointsDataset, list[int], list[int]]:
    """All labelled faces, and which of them are for training and for validation.

    Raises:
        InputError: one of the two would be empty.
    """
    cache = settings.cache_dir, settings.cache_mb
    dataset = join([open_split(directory, "training").preload(*cache) for directory in settings.data])
    training, validation = split_by_person(dataset.people, settings.val_fold, settings.folds)
    if not training or not validation:
        raise InputError(
            f"{settings.data[0]}: too few people to keep fold {settings.val_fold} of {settings.folds} for validation; "
            "add faces of others, or choose other --folds"
        )
    return dataset, training, validation


def say_what_is_there(training: Dataset, validation: Dataset, seconds: float) -> None:
    print(
        f"training: {len(training)} faces of {len(set(training.people))} people; "
        f"validation: {len(validation)} faces of {len(set(validation.people))} other people; opened in {seconds:.1f} s"
    )


# --- Keypoints in faces ---------------------------------------------------------------------------------------


class Placed(NamedTuple):
    """Validation of N faces, normalised as the network's outputs are.

    predicted, truth: keypoints (N, 68, 2).
    log_errors: (N, 68), the logarithm of each point's expected distance from the truth, or None.
    sources: (N,), of which data set each is.
    """

    loss: float
    predicted: np.ndarray
    truth: np.ndarray
    log_errors: np.ndarray | None
    sources: np.ndarray

    @property
    def nme(self) -> np.ndarray:
        """NME (inter-ocular) of each face, (N,): a ratio, the same in pixels."""
        return metrics.nme(self.predicted, self.truth)

    @property
    def error(self) -> float:
        return float(self.nme.mean())

    @property
    def metrics(self) -> dict[str, float]:
        return {"val_nme_inter_ocular": self.error, "val_loss": self.loss}

    @property
    def calibration(self) -> tuple[float, float]:
        return metrics.fit_calibration(self.log_errors, np.linalg.norm(self.predicted - self.truth, axis=-1))

    def __str__(self) -> str:
        """In parentheses the NME of each data set where there are several."""
        nme = self.nme
        each = [f"{nme[self.sources == source].mean():.2%}" for source in np.unique(self.sources)]
        return f"NME (inter-ocular) {nme.mean():.2%}" + (f" ({', '.join(each)})" if len(each) > 1 else "")


class PlaceKeypoints:
    """Keypoints in the crop of a face."""

    column, measure = "val_nme", "NME (inter-ocular)"

    def __init__(self, settings: Settings):
        self.settings, self.policy = settings, CropPolicy(size=input_size(settings.model))

    def load(self) -> tuple[Seeded, FacialKeypointsDataset]:
        started = time.perf_counter()
        dataset, training_rows, validation_rows = open_people(self.settings)
        if self.settings.published_labels:
            dataset, transform = dataset.as_published(), upright_transform(self.policy)
        else:
            transform = training_transform(self.policy, BACKGROUND if predicts_errors(self.settings.model) else 0.0)
        training = dataset.subset(training_rows, transform)
        validation = dataset.subset(validation_rows, evaluation_transform(self.policy))
        say_what_is_there(training, validation, time.perf_counter() - started)
        return Seeded(training, self.settings.seed, self.settings.balance), validation

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """That on keypoints and heat maps; and that on the network's own judgement."""
        target, is_upright_face = batch["keypoints"], batch["is_upright_face"]  # (B, 68, 2) normalised, (B,)
        outputs = as_outputs(model(batch["image"]))
        loss = keypoint_loss(LOSSES[self.settings.loss], outputs.keypoints, target, is_upright_face)
        if outputs.heatmaps is not None:
            loss = loss + HEATMAP_WEIGHT * heatmap_loss(outputs.heatmaps, target, is_upright_face)
        return loss, confidence_loss(outputs, target, is_upright_face)

    @torch.inference_mode()
    def validate(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> Placed:
        model.eval()
        parts, truth = [], []
        for batch in batches(data, self.settings.workers, device):
            parts.append(as_outputs(model(batch["image"])))
            truth.append(batch["keypoints"].cpu())
        outputs, truth = join_outputs(parts), torch.cat(truth)
        loss = LOSSES[self.settings.loss](outputs.keypoints, truth).item()
        log_errors = None if outputs.log_errors is None else outputs.log_errors.numpy()
        keypoints, truth = outputs.keypoints.numpy(), truth.numpy()
        sane = log_errors is None or (np.abs(log_errors) < LARGEST_LOG).all()
        if not (sane and np.isfinite(keypoints).all()):
            raise diverged()
        return Placed(loss, keypoints, truth, log_errors, data.sources)

    def describe(self) -> dict:
        return {"policy": asdict(self.policy)}

    def sheet(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> np.ndarray:
        """Faces from best to worst."""
        found = self.validate(model, data, device)
        matrices = [geometry.crop_matrix(geometry.box_of(points), self.policy) for points in data.keypoints]
        crops = denormalize_keypoints(found.predicted, self.policy.size, self.policy.size)
        predicted = np.stack([transform_points(one, invert(m)) for one, m in zip(crops, matrices, strict=True)])
        chosen = np.argsort(found.nme)[np.linspace(0, len(data) - 1, min(SHOWN, len(data))).astype(int)]
        title = "Validation faces from best to worst"
        return report.error_sheet(data, chosen, predicted, data.keypoints, title)


def diverged() -> InputError:
    return InputError(
        "what the network says of the validation faces is not finite: training has diverged; try a lower --lr; "
        "best.pt and last.pt are those of the epoch before"
    )


# --- Faces in pictures ----------------------------------------------------------------------------------------

VALIDATION_SEED = 2**31  # of the validation mosaics, which are the same whatever --seed is
VALIDATED = 640  # mosaics, at most
LEAST_SCORE, SHOWN_SCORE = 0.02, 0.3  # of what counts as found, and of what a sheet shows


class FoundFaces(NamedTuple):
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
    def error(self) -> float:
        return 1 - metrics.average_precision(self.scores, self.is_true, self.count)

    @property
    def metrics(self) -> dict[str, float]:
        return {"val_average_precision": 1 - self.error, "val_loss": self.loss}

    @property
    def calibration(self) -> tuple[float, float]:
        return metrics.fit_logistic(np.log(self.scores) - np.log1p(-self.scores), self.is_true)

    def __str__(self) -> str:
        center, side, roll = np.median(self.off, axis=0) if len(self.off) else (np.nan, np.nan, np.nan)
        return f"1 - AP {self.error:.2%} (off: centres {center:.1%} and sides {side:.1%} of the side, roll {roll:.1f}°)"


class FindFaces:
    """Faces of any roll in pictures, learned on `mosaics.Mosaics`."""

    column, measure = "val_1_minus_ap", "1 - AP"

    def __init__(self, settings: Settings):
        self.settings = settings

    def load(self) -> tuple[Seeded, Seeded]:
        started = time.perf_counter()
        dataset, training_rows, validation_rows = open_people(self.settings)
        chosen = np.unique(np.linspace(0, len(validation_rows) - 1, VALIDATED).astype(int))
        validation_rows = [validation_rows[i] for i in chosen]
        of_training, of_validation = (
            mosaics.lay(dataset.subset(rows, None), mosaics.to_maps) for rows in (training_rows, validation_rows)
        )
        say_what_is_there(of_training, of_validation, time.perf_counter() - started)
        return Seeded(of_training, self.settings.seed, self.settings.balance), Seeded(of_validation, VALIDATION_SEED)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return detection_loss(model(batch["image"]), batch), torch.zeros(())

    @torch.inference_mode()
    def validate(self, model: nn.Module, data: Seeded, device: torch.device) -> FoundFaces:
        losses = []

        def find(batch: dict[str, Tensor]) -> list[Circles]:
            maps = look(model, batch)
            losses.append(detection_loss(maps, batch).item())
            return circles(maps, LEAST_SCORE)

        measured = measure(find, batches(data, self.settings.workers, device))
        return measured._replace(loss=float(np.mean(losses)))

    def describe(self) -> dict:
        return {}

    @torch.inference_mode()
    def sheet(self, model: nn.Module, data: Seeded, device: torch.device) -> np.ndarray:
        """Some mosaics."""
        batch = next(batches(data, 0, device, size=SHOWN))
        found, there = circles(look(model, batch), SHOWN_SCORE), faces_there(batch)
        images = (batch["image"] * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return report.detection_sheet(list(images), found, there)


def measure(find: Callable[[dict[str, Tensor]], list[Circles]], data: Iterable[dict[str, Tensor]]) -> FoundFaces:
    """What finding is worth on batches of mosaics; `find` tells the faces in each mosaic of a batch."""
    matched, count = [], 0
    for batch in data:
        for found, there, known in zip(find(batch), faces_there(batch), batch["known"].cpu().numpy(), strict=True):
            matched.append(match(found, there, known))
            count += len(there.scores)
    return FoundFaces(*map(np.concatenate, zip(*matched, strict=True)), count)


def look(model: nn.Module, batch: dict[str, Tensor]) -> Maps:
    """What a detector says of a batch.

    Raises:
        InputError: something that isn't finite.
    """
    maps = model.eval()(batch["image"])
    if not all(values.isfinite().all() for values in maps):
        raise diverged()
    return maps


def faces_there(batch: dict[str, Tensor]) -> list[Circles]:
    """The faces of each picture of a batch of `mosaics.to_maps`."""
    truth = faces_in_pixels(Maps(batch["heat"], batch["centers"], batch["log_sides"], batch["axes"])).cpu().numpy()
    return [
        as_circles(faces[:, heat == 1], heat[heat == 1])
        for faces, heat in zip(truth, batch["heat"].cpu().numpy(), strict=True)
    ]


def circles(maps: Maps, least: float) -> list[Circles]:
    """The faces of each picture that have at least that score."""
    scores, faces = maps.score_logits.sigmoid().cpu().numpy(), faces_in_pixels(maps).cpu().numpy()
    return [peaks(*of_picture, least) for of_picture in zip(scores, faces, strict=True)]


def match(found: Circles, there: Circles, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of what was found is there, surest first: a face once, within 0.4 of its side of its centre, with 0.6 to
    1.6 of its side.

    known: (H, W), 0 in cells of which isn't known what they show: what was found there counts for nothing.

    Returns:
        scores and is_true, (N,), and off, (T, 3), see `FoundFaces`.
    """
    distances = np.linalg.norm(found.centers[:, None] - there.centers, axis=2) / there.sides  # (N, K)
    ratios = found.sides[:, None] / there.sides
    nearest = metrics.nearest_free(np.where((distances < 0.4) & (ratios > 0.6) & (ratios < 1.6), distances, np.inf))
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
