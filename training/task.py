"""What train.py can train: a network that places keypoints in faces, or one that finds faces in pictures.

A task brings its data, what is minimised, what is measured on people that training never saw (less is better), what a
checkpoint holds of it, and the pictures of how it learned. The loop in train.py is the same for both.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from data_load import (
    FacialKeypointsDataset,
    Seeded,
    evaluation_transform,
    face_matrix,
    join,
    open_split,
    split_by_person,
    training_transform,
    upright_transform,
)
from evaluation import metrics as evaluation_metrics
from evaluation import report
from face68.detect import Circles, as_circles, peaks
from face68.files import InputError
from face68.geometry import CropPolicy, denormalize_keypoints, invert, transform_points
from models import (
    CELL,
    Maps,
    Outputs,
    as_outputs,
    faces_in_pixels,
    finds_faces,
    input_size,
    join_outputs,
    predicts_errors,
)
from training import mosaics
from training.calibration import calibrate
from training.compute import batches, first_batch
from training.devices import alone, first_here, joined, share, unwrapped
from training.losses import LOSSES, detection_loss, error_loss, face_loss, heatmap_loss, keypoint_loss
from training.run import MEASURES, Settings, distinct_names

HEATMAP_WEIGHT = 0.2  # of the loss on heat maps beside the loss on keypoints, unless --heatmap-weight says another
BACKGROUND = 0.1  # the share of training crops that show no upright face, for a network that judges what it sees
LARGEST_LOG = 80.0  # of an expected error or of its inverse: more can't be told from infinity
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
    conventions: of the labels, once they are loaded, see `models.create_model`.
    """

    column: str
    measure: str
    legend: str
    conventions: Sequence[str]

    def load(self) -> tuple[Seeded, Dataset]:
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

    def finish(self, best: Path, data: Dataset) -> None:
        """What is done in the end to the best checkpoint, a file; `data` are the validation samples.

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


def task_of(settings: Settings) -> Task:
    return FindFaces(settings) if finds_faces(settings.model) else PlaceKeypoints(settings)


def open_people(settings: Settings) -> tuple[FacialKeypointsDataset, list[int], list[int]]:
    """All labelled faces, and which of them are for training and for validation.

    With --train-faces so many of those for training, drawn by --seed: fewer are a part of more.

    Raises:
        InputError: one of the two would be empty, or there aren't so many.
    """
    cache = settings.cache_dir, settings.cache_mb
    with first_here():
        dataset = join([open_split(directory, "training").preload(*cache) for directory in settings.data])
    if settings.one_convention:
        dataset.annotators = dataset.annotators[:1] * len(dataset.annotators)
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


# --- Keypoints in faces ---------------------------------------------------------------------------------------


class Placed(NamedTuple):
    """Validation of N faces, normalised as the network's outputs are.

    predicted, truth: keypoints (N, 68, 2).
    log_errors: (N, 68), the logarithm of each point's expected distance from the truth, or None.
    sources: (N,), of which data set each is; sets: those sets' names.
    """

    loss: float
    predicted: np.ndarray
    truth: np.ndarray
    log_errors: np.ndarray | None
    sources: np.ndarray
    sets: list[str]

    @property
    def nme(self) -> np.ndarray:
        """NME (inter-ocular) of each face, (N,): a ratio, the same in pixels."""
        return evaluation_metrics.nme(self.predicted, self.truth)

    @property
    def error(self) -> float:
        return float(self.nme.mean())

    @property
    def of_sets(self) -> dict[str, float]:
        nme, there = self.nme, np.unique(self.sources)
        return {self.sets[i]: float(nme[self.sources == i].mean()) for i in there} if len(there) > 1 else {}

    @property
    def metrics(self) -> dict[str, float]:
        return {"val_nme_inter_ocular": self.error, "val_loss": self.loss}

    @property
    def calibration(self) -> tuple[float, float]:
        return evaluation_metrics.fit_calibration(self.log_errors, np.linalg.norm(self.predicted - self.truth, axis=-1))

    def __str__(self) -> str:
        """In parentheses the NME of each data set where there are several."""
        each = ", ".join(f"{name} {nme:.2%}" for name, nme in self.of_sets.items())
        return f"NME (inter-ocular) {self.error:.2%}" + (f" ({each})" if each else "")


class PlaceKeypoints:
    """Keypoints in the crop of a face."""

    column, measure, legend = "val_nme", MEASURES["val_nme"], report.POINTS

    def __init__(self, settings: Settings):
        self.settings, self.policy = settings, CropPolicy(size=input_size(settings.model))

    def load(self) -> tuple[Seeded, FacialKeypointsDataset]:
        started = time.perf_counter()
        dataset, training_rows, validation_rows = open_people(self.settings)
        self.conventions = dataset.conventions
        if self.settings.published_labels:
            dataset, transform = dataset.as_published(), upright_transform(self.policy)
        else:
            transform = training_transform(self.policy, BACKGROUND if predicts_errors(self.settings.model) else 0.0)
        training = dataset.subset(training_rows, transform)
        validation = dataset.subset(validation_rows, evaluation_transform(self.policy))
        say_what_is_there(training, validation, time.perf_counter() - started)
        return Seeded(training, self.settings.seed, self.settings.balance), validation

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Losses:
        """That on keypoints and heat maps; and that on the network's own judgement."""
        target, is_upright_face = batch["keypoints"], batch["is_upright_face"]  # (B, 68, 2) normalised, (B,)
        outputs = as_outputs(model(batch["image"]))
        if "convention" in batch:
            target = unwrapped(model).conventions.to_own(target, batch["convention"])
        watched = keypoint_loss(LOSSES[self.settings.loss], outputs.keypoints, target, is_upright_face)
        beside, parts = torch.zeros(()), {"points": watched}
        if outputs.heatmaps is not None:
            parts["heatmaps"] = heatmap_loss(outputs.heatmaps, target, is_upright_face)
            watched = watched + self.settings.heatmap_weight * parts["heatmaps"]
        if outputs.log_errors is not None:
            parts["errors"] = error_loss(outputs, target.detach(), is_upright_face)
            parts["face"] = face_loss(outputs, is_upright_face)
            beside = parts["errors"] + parts["face"]
        return Losses(watched, beside, parts)

    def validate(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> Placed:
        rows = share(len(data))
        parts = joined(self._ask(model, Subset(data, rows), device) if rows else None)
        outputs, truth = join_outputs([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        loss = LOSSES[self.settings.loss](outputs.keypoints, truth).item()
        log_errors = None if outputs.log_errors is None else outputs.log_errors.numpy()
        keypoints, truth = outputs.keypoints.numpy(), truth.numpy()
        sane = log_errors is None or (np.abs(log_errors) < LARGEST_LOG).all()
        if not (sane and np.isfinite(keypoints).all()):
            raise diverged()
        return Placed(loss, keypoints, truth, log_errors, data.sources, distinct_names(self.settings.data))

    @torch.inference_mode()
    def _ask(self, model: nn.Module, data: Dataset, device: torch.device) -> tuple[Outputs, Tensor]:
        """What the network says of N samples, and their true keypoints (N, 68, 2), on the CPU."""
        model.eval()
        parts, truth = [], []
        for batch in batches(data, self.settings.workers, device):
            parts.append(_as_labelled(model, batch))
            truth.append(batch["keypoints"].cpu())
        return join_outputs(parts), torch.cat(truth)

    def describe(self) -> dict:
        return {"policy": asdict(self.policy), "conventions": list(self.conventions)}

    def finish(self, best: Path, data: FacialKeypointsDataset) -> None:
        calibrate(best, data)

    def sheets(self, untrained: nn.Module, best: nn.Module, data, device: torch.device) -> list[np.ndarray]:
        """Faces from the trained network's best to its worst."""
        order = np.argsort(self.validate(best, data, device).nme)
        shown = data.subset(order[np.linspace(0, len(data) - 1, min(SHOWN, len(data))).astype(int)], data.transform)
        titles = "The same validation faces before training", "Validation faces from best to worst"
        return [
            report.error_sheet(shown, range(len(shown)), self._predict(model, shown, device), shown.keypoints, title)
            for model, title in zip((untrained, best), titles, strict=True)
        ]

    def answers(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> list[Tensor]:
        """Keypoints (68, 2) px of the image of each."""
        return list(torch.from_numpy(self._predict(model, _watched(data), device)))

    def tiles(self, data: FacialKeypointsDataset, answers: list[list[Tensor]]) -> list[list[np.ndarray]]:
        shown = _watched(data)
        rows = range(len(shown))
        return [report.error_tiles(shown, rows, torch.stack(row).numpy(), shown.keypoints) for row in answers]

    @torch.inference_mode()
    def _predict(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> np.ndarray:
        """Keypoints (N, 68, 2) px of the images of a few faces."""
        normalised = _as_labelled(model.eval(), first_batch(data, device, len(data))).keypoints.cpu().numpy()
        crops = denormalize_keypoints(normalised, self.policy.size, self.policy.size)
        matrices = [face_matrix(points, self.policy) for points in data.keypoints]
        return np.stack([transform_points(one, invert(m)) for one, m in zip(crops, matrices, strict=True)])


def _as_labelled(model: nn.Module, batch: dict[str, Tensor]) -> Outputs:
    """What a network says of a batch, its points as the annotators of each face would have put them."""
    outputs = as_outputs(model(batch["image"]))
    if "convention" not in batch:
        return outputs
    return outputs._replace(keypoints=model.conventions.from_own(outputs.keypoints, batch["convention"]))


def _watched(data: FacialKeypointsDataset) -> FacialKeypointsDataset:
    """Faces from all over the data set, so most likely of as many people."""
    return data.subset(np.unique(np.linspace(0, len(data) - 1, WATCHED).astype(int)), data.transform)


def diverged() -> InputError:
    return InputError(
        "what the network says of the validation faces is not finite: training has diverged; try a lower --lr"
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


class FindFaces:
    """Faces of any roll in pictures, learned on `mosaics.Mosaics`."""

    column, measure = "val_1_minus_ap", MEASURES["val_1_minus_ap"]
    legend = f"{report.SQUARES}; found is what has a score of {SHOWN_SCORE} or more"
    conventions = ()

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

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Losses:
        return Losses(detection_loss(model(batch["image"]), batch), torch.zeros(()), {})

    def validate(self, model: nn.Module, data: Seeded, device: torch.device) -> FoundFaces:
        rows = share(len(data))
        with alone():  # one process may have more batches than another
            part = self._search(model, Subset(data, rows), device) if rows else None
        found, losses = zip(*joined(part), strict=True)
        fields = (np.concatenate(field) for field in zip(*(one[:3] for one in found), strict=True))
        return FoundFaces(*fields, sum(one.count for one in found), float(np.mean(np.concatenate(losses))))

    @torch.inference_mode()
    def _search(self, model: nn.Module, data: Dataset, device: torch.device) -> tuple[FoundFaces, list[float]]:
        """What is found in some mosaics, and the loss of each batch of them."""
        losses = []

        def find(batch: dict[str, Tensor]) -> list[Circles]:
            maps = look(model, batch)
            losses.append(detection_loss(maps, batch).item())
            return circles(maps, LEAST_SCORE)

        return measure(find, batches(data, self.settings.workers, device)), losses

    def describe(self) -> dict:
        return {}

    def finish(self, best: Path, data: Seeded) -> None:
        """Nothing: it was calibrated as it was validated, on whole mosaics."""

    def sheets(self, untrained: nn.Module, best: nn.Module, data: Seeded, device: torch.device) -> list[np.ndarray]:
        """The first mosaics."""
        batch = first_batch(data, device, SHOWN)
        titles = "The same validation mosaics before training", "Validation mosaics"
        return [
            report.detection_sheet(_pictures(batch), self._find(model, batch), faces_there(batch), title)
            for model, title in zip((untrained, best), titles, strict=True)
        ]

    def answers(self, model: nn.Module, data: Seeded, device: torch.device) -> list[Tensor]:
        """x, y, side and roll of the faces that it finds in each, (N, 4): px and degrees."""
        found = self._find(model, first_batch(data, device, WATCHED))
        return [torch.from_numpy(np.column_stack([one.centers, one.sides, one.rolls])) for one in found]

    def tiles(self, data: Seeded, answers: list[list[Tensor]]) -> list[list[np.ndarray]]:
        batch = first_batch(data, torch.device("cpu"), WATCHED)
        pictures, there = _pictures(batch), faces_there(batch)
        found = [[_as_circles(faces.numpy()) for faces in row] for row in answers]
        return [report.detection_tiles(pictures, row, there) for row in found]

    @torch.inference_mode()
    def _find(self, model: nn.Module, batch: dict[str, Tensor]) -> list[Circles]:
        return circles(look(model, batch), SHOWN_SCORE)


def _as_circles(faces: np.ndarray) -> Circles:
    """From what `FindFaces.answers` tells."""
    return Circles(faces[:, :2], faces[:, 2], faces[:, 3], np.ones(len(faces)))


def _pictures(batch: dict[str, Tensor]) -> list[np.ndarray]:
    """The mosaics of a batch, (S, S, 3) uint8 RGB each."""
    return list((batch["image"] * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())


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
