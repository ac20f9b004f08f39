"""The keypoint task: the points in the crop of a face, or of another object. Its loss, its validation, its calibration
and its pictures.
"""

import inspect
import math
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from data_load import (
    FacialKeypointsDataset,
    SeededSamples,
    evaluation_transform,
    face_frame,
    face_matrix,
    training_transform,
    upright_transform,
)
from evaluation import metrics
from evaluation.predictions import predict_all
from face68.annotators import to_annotator
from face68.geometry import CropPolicy, denormalize_keypoints, invert, transform_points
from face68.landmarker import MIN_FACE_SCORE, Landmarker
from face68.landmarks import HIDDEN, IBUG68, face_frames, scheme_to
from face68.network import concatenated
from face68.schemes import PIXELS, Scheme
from models import MODELS, Outputs, as_outputs, input_size, predicts_errors
from plots import errors
from training.checkpoint import TorchNetwork, load_checkpoint, save_checkpoint
from training.devices import batches, first_batch, gather, shard, unwrapped
from training.losses import (
    LOSSES,
    error_loss,
    face_loss,
    heatmap_loss,
    keypoint_loss,
    point_weights,
    visibility_loss,
)
from training.run import distinct_names
from training.settings import Settings
from training.task import SHOWN, WATCHED, Losses, diverged, evenly, open_people, print_scheme, print_sizes

HEATMAP_WEIGHT = 0.2  # of the loss on heat maps, relative to that on keypoints; the default of --heatmap-weight
VISIBILITY_WEIGHT = 0.05  # of the loss on visibility, relative to that on keypoints
BACKGROUND = 0.1  # share of training crops without an upright face, for networks that have a face score
LARGEST_LOG = 80.0  # of an expected error or its inverse: beyond that float32 is nearly infinite
CALIBRATION_FACES, FEWEST = 400, 8  # at most, evenly chosen; at least, of each annotator


class KeypointValidation(NamedTuple):
    """Validation on N faces, in normalised coordinates.

    predicted, truth: keypoints (N, 68, 2), of the truth NaN for hidden ones.
    log_errors: (N, 68), logarithms of the expected errors, or None.
    sources: (N,), the index of each face's data set in `sets`, their names.
    scheme: of the points. side: of the crop, px.
    """

    loss: float
    predicted: np.ndarray
    truth: np.ndarray
    log_errors: np.ndarray | None
    sources: np.ndarray
    sets: list[str]
    scheme: Scheme = IBUG68
    side: int = CropPolicy.size

    @property
    def nme(self) -> np.ndarray:
        """NME of each face, (N,), by the scheme's norm: a ratio, the same as in pixels, or of crops' 100 px. NaN where
        a point of the normaliser, as an outer eye corner, is hidden.
        """
        if self.scheme.norm == PIXELS:
            return metrics.nme(self.predicted * self.side / 2, self.truth * self.side / 2, scheme=self.scheme)
        return metrics.nme(self.predicted, self.truth, scheme=self.scheme)

    @property
    def error(self) -> float:
        return float(np.nanmean(self.nme))

    @property
    def of_sets(self) -> dict[str, float]:
        nme, present = self.nme, np.unique(self.sources)
        return {self.sets[i]: float(np.nanmean(nme[self.sources == i])) for i in present} if len(present) > 1 else {}

    @property
    def metrics(self) -> dict[str, float]:
        return {f"val_nme_{'_'.join(re.findall('[a-z0-9]+', self.scheme.norm))}": self.error, "val_loss": self.loss}

    @property
    def calibration(self) -> tuple[float, float]:
        distances = np.linalg.norm(self.predicted - self.truth, axis=-1)
        known = np.isfinite(distances)
        return metrics.fit_calibration(self.log_errors[known], distances[known])

    def __str__(self) -> str:
        """The NME, and in parentheses that of each data set if there are several."""
        each = ", ".join(f"{name} {nme:.2%}" for name, nme in self.of_sets.items())
        return f"NME ({self.scheme.norm}) {self.error:.2%}" + (f" ({each})" if each else "")


class KeypointTask:
    column, legend = "val_nme", errors.POINTS
    scheme = IBUG68  # until the labels are loaded

    def __init__(self, settings: Settings):
        self.settings, self.policy = settings, CropPolicy(size=input_size(settings.model))

    @property
    def measure(self) -> str:
        return f"NME ({self.scheme.norm})"

    def load(self) -> tuple[SeededSamples, FacialKeypointsDataset]:
        started = time.perf_counter()
        dataset, training_rows, validation_rows = open_people(self.settings)
        self.annotators, self.scheme = dataset.annotators, dataset.scheme
        wanted = {"visibility": dataset.says_visibility, "points": len(self.scheme)}
        taken = inspect.signature(MODELS[self.settings.model]).parameters
        self.options = {name: v for name, v in wanted.items() if name in taken and taken[name].default != v}
        print_scheme(dataset)
        if self.settings.published_labels:
            dataset, transform = dataset.as_published(), upright_transform(self.policy)
        else:
            transform = training_transform(self.policy, BACKGROUND if predicts_errors(self.settings.model) else 0.0)
        training = dataset.subset(training_rows, transform)
        validation = dataset.subset(validation_rows, evaluation_transform(self.policy))
        print_sizes(training, validation, time.perf_counter() - started)
        return SeededSamples(training, self.settings.seed, self.settings.balance), validation

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Losses:
        """Total: keypoints and heat maps. Auxiliary: the expected errors, the face score and the visibility."""
        target, is_upright_face = batch["keypoints"], batch["is_upright_face"]  # (B, 68, 2) normalised, (B,)
        outputs = as_outputs(model(batch["image"]), len(self.scheme))
        # Labels of other annotators, as the reference would have put them
        if "annotator" in batch:
            target = unwrapped(model).annotators.to_reference(target, batch["annotator"])
        weights = point_weights(batch["visibility"]) if "visibility" in batch else None  # (B, 68)
        total = keypoint_loss(LOSSES[self.settings.loss], outputs.keypoints, target, is_upright_face, weights)
        auxiliary, parts = torch.zeros(()), {"points": total}
        if outputs.heatmaps is not None:
            parts["heatmaps"] = heatmap_loss(outputs.heatmaps, target, is_upright_face, weights)
            total = total + self.settings.heatmap_weight * parts["heatmaps"]
        if outputs.log_errors is not None:
            parts["errors"] = error_loss(outputs, target.detach(), is_upright_face, weights)
            parts["face"] = face_loss(outputs, is_upright_face)
            auxiliary = parts["errors"] + parts["face"]
        if outputs.visible_logits is not None:
            parts["visibility"] = visibility_loss(outputs.visible_logits, batch["visibility"], is_upright_face)
            auxiliary = auxiliary + VISIBILITY_WEIGHT * parts["visibility"]
        return Losses(total, auxiliary, parts)

    def validate(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> KeypointValidation:
        rows = shard(len(data))
        parts = gather(self._run(model, Subset(data, rows), device) if rows else None)
        outputs, truth = concatenated([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
        is_sane = outputs.log_errors is None or (np.abs(outputs.log_errors) < LARGEST_LOG).all()
        if not (is_sane and np.isfinite(outputs.keypoints).all()):
            raise diverged()
        known = np.isfinite(truth)
        pair = torch.from_numpy(outputs.keypoints[known]), torch.from_numpy(truth[known])
        loss = LOSSES[self.settings.loss](*pair).item()
        names = distinct_names(self.settings.data)
        return KeypointValidation(
            loss, outputs.keypoints, truth, outputs.log_errors, data.sources, names, self.scheme, self.policy.size
        )

    @torch.inference_mode()
    def _run(self, model: nn.Module, data: Dataset, device: torch.device) -> tuple[Outputs, np.ndarray]:
        """The outputs for N samples, as arrays, and the true keypoints (N, 68, 2), NaN for hidden ones."""
        model.eval()
        parts, truth = [], []
        for batch in batches(data, self.settings.workers, device):
            parts.append(
                Outputs(*(None if v is None else v.cpu().numpy() for v in _as_labelled(model, batch, len(self.scheme))))
            )
            truth.append(_labelled(batch).cpu().numpy())
        return concatenated(parts), np.concatenate(truth)

    def describe(self) -> dict:
        annotators, scheme = list(self.annotators), scheme_to(self.scheme)
        return {"policy": asdict(self.policy), "annotators": annotators, "scheme": scheme}

    def finish(self, best: Path, data: FacialKeypointsDataset, detector: str | Path) -> None:
        calibrate(best, data, detector)

    def sheets(self, untrained: nn.Module, best: nn.Module, data, device: torch.device) -> list[np.ndarray]:
        """Faces from the trained network's best to its worst."""
        order = np.argsort(self.validate(best, data, device).nme)
        shown = data.subset(order[evenly(len(data), SHOWN)], data.transform)
        titles = "The same validation faces before training", "Validation faces from best to worst"
        return [
            errors.error_sheet(shown, range(len(shown)), self._predict(model, shown, device), shown.keypoints, title)
            for model, title in zip((untrained, best), titles, strict=True)
        ]

    def answers(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> list[Tensor]:
        """Keypoints (68, 2) px of each image."""
        return list(torch.from_numpy(self._predict(model, _watched(data), device)))

    def tiles(self, data: FacialKeypointsDataset, answers: list[list[Tensor]]) -> list[list[np.ndarray]]:
        shown = _watched(data)
        rows = range(len(shown))
        return [errors.error_tiles(shown, rows, torch.stack(row).numpy(), shown.keypoints) for row in answers]

    @torch.inference_mode()
    def _predict(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> np.ndarray:
        """Keypoints (N, 68, 2) px of the images, of a few faces."""
        normalised = _as_labelled(model.eval(), first_batch(data, device, len(data)), len(self.scheme)).keypoints
        normalised = normalised.cpu().numpy()
        crops = denormalize_keypoints(normalised, self.policy.size, self.policy.size)
        shapes = [data.image(i).shape for i in range(len(data))]
        frames = [face_frame(*face, self.scheme) for face in zip(data.keypoints, shapes, strict=True)]
        matrices = [face_matrix(frame, self.policy) for frame in frames]
        return np.stack([transform_points(one, invert(m)) for one, m in zip(crops, matrices, strict=True)])


def _as_labelled(model: nn.Module, batch: dict[str, Tensor], points: int) -> Outputs:
    """The outputs for a batch, with each face's points as its annotator would have put them."""
    outputs = as_outputs(model(batch["image"]), points)
    if "annotator" not in batch:
        return outputs
    return outputs._replace(keypoints=model.annotators.to_annotator(outputs.keypoints, batch["annotator"]))


def _labelled(batch: dict[str, Tensor]) -> Tensor:
    """The keypoints (B, 68, 2) of a batch, NaN for hidden ones."""
    if "visibility" not in batch:
        return batch["keypoints"]
    return batch["keypoints"].masked_fill((batch["visibility"] == HIDDEN)[..., None], math.nan)


def _watched(data: FacialKeypointsDataset) -> FacialKeypointsDataset:
    """A few faces from all over the data set, so most likely of different people."""
    return data.subset(evenly(len(data), WATCHED), data.transform)


def calibrate(path: Path, data: FacialKeypointsDataset, detector: str | Path) -> None:
    """Fit a checkpoint's expected errors to the measured ones on detected faces of `data`, and write it again.

    Nothing is written if the network predicts no errors, the points have no extent, or too few faces are found. A
    second call changes nothing.

    Raises:
        InputError: the checkpoint can't be used or written, or an image can't be read.
    """
    checkpoint, network = load_checkpoint(path), TorchNetwork(path)
    weights = checkpoint["weights"]
    if "calibration" not in weights or not network.scheme.has_extent:  # whose side is the unit of errors
        return
    # Predict with the uncalibrated network.
    network.model.model.calibration.copy_(torch.tensor([0.0, 1.0]))
    data = data.subset(evenly(len(data), CALIBRATION_FACES), None)
    predicted = predict_all(Landmarker(network, detector, min_face_score=0), data, "detector")
    if predicted.errors is None:  # no face was found
        return
    # Expected and measured errors, normalised by half the side of the crop.
    points = to_annotator(predicted, network, data.labelled_by).keypoints
    halves = network.policy.margin / 2 * face_frames(points, network.scheme)[2][:, None]  # (N, 1) px
    expected = predicted.errors / halves
    measured = np.linalg.norm(points - data.labelled, axis=-1) / halves  # NaN for hidden points
    is_face = (np.nan_to_num(predicted.face_scores) >= MIN_FACE_SCORE) & (halves[:, 0] > 0)
    own, *others = (np.flatnonzero(is_face & (data.labelled_by == name)) for name in data.annotators)
    if len(own) < FEWEST:
        return
    # The reference annotator's faces give offset and slope; the other annotators' a factor and a scatter each.
    known = np.isfinite(measured[own])
    offset, slope = metrics.fit_calibration(np.log(expected[own][known]), measured[own][known])
    weights["calibration"] = torch.tensor([offset, slope])
    expected = np.exp(offset + slope * np.log(expected))
    for i, rows in enumerate(others, start=1):
        if len(rows) >= FEWEST:
            known = np.isfinite(measured[rows])
            factor, scatter = metrics.fit_scatter(expected[rows][known], measured[rows][known])
            weights["annotators.errors"][i] = torch.tensor([factor, scatter * network.policy.margin / 2])  # in sides
    save_checkpoint(path, checkpoint)
