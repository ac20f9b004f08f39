"""The task of placing keypoints in the crop of a face."""

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
    face_matrix,
    training_transform,
    upright_transform,
)
from evaluation import metrics
from evaluation import metrics as evaluation_metrics
from evaluation.predictions import predict_all
from face68.annotators import to_annotator
from face68.geometry import CropPolicy, denormalize_keypoints, invert, transform_points
from face68.landmarker import MIN_FACE_SCORE, Landmarker
from face68.landmarks import face_frames
from models import (
    Outputs,
    as_outputs,
    input_size,
    join_outputs,
    predicts_errors,
)
from plots import errors
from training.checkpoint import TorchNetwork, load_checkpoint, save_checkpoint
from training.devices import batches, first_batch, gather, shard, unwrapped
from training.losses import LOSSES, error_loss, face_loss, heatmap_loss, keypoint_loss
from training.run import distinct_names
from training.settings import MEASURES, Settings
from training.task import SHOWN, WATCHED, Losses, diverged, open_people, say_what_is_there

HEATMAP_WEIGHT = 0.2  # of the loss on heat maps beside the loss on keypoints, unless --heatmap-weight says another
BACKGROUND = 0.1  # the share of training crops that show no upright face, for a network that judges what it sees
LARGEST_LOG = 80.0  # of an expected error or of its inverse: more can't be told from infinity


class KeypointValidation(NamedTuple):
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


class KeypointTask:
    """Keypoints in the crop of a face."""

    column, measure, legend = "val_nme", MEASURES["val_nme"], errors.POINTS

    def __init__(self, settings: Settings):
        self.settings, self.policy = settings, CropPolicy(size=input_size(settings.model))

    def load(self) -> tuple[SeededSamples, FacialKeypointsDataset]:
        started = time.perf_counter()
        dataset, training_rows, validation_rows = open_people(self.settings)
        self.annotators = dataset.annotators
        if self.settings.published_labels:
            dataset, transform = dataset.as_published(), upright_transform(self.policy)
        else:
            transform = training_transform(self.policy, BACKGROUND if predicts_errors(self.settings.model) else 0.0)
        training = dataset.subset(training_rows, transform)
        validation = dataset.subset(validation_rows, evaluation_transform(self.policy))
        say_what_is_there(training, validation, time.perf_counter() - started)
        return SeededSamples(training, self.settings.seed, self.settings.balance), validation

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Losses:
        """That on keypoints and heat maps; and that on the network's own judgement."""
        target, is_upright_face = batch["keypoints"], batch["is_upright_face"]  # (B, 68, 2) normalised, (B,)
        outputs = as_outputs(model(batch["image"]))
        if "annotator" in batch:
            target = unwrapped(model).annotators.to_reference(target, batch["annotator"])
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

    def validate(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> KeypointValidation:
        rows = shard(len(data))
        parts = gather(self._ask(model, Subset(data, rows), device) if rows else None)
        outputs, truth = join_outputs([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        loss = LOSSES[self.settings.loss](outputs.keypoints, truth).item()
        log_errors = None if outputs.log_errors is None else outputs.log_errors.numpy()
        keypoints, truth = outputs.keypoints.numpy(), truth.numpy()
        sane = log_errors is None or (np.abs(log_errors) < LARGEST_LOG).all()
        if not (sane and np.isfinite(keypoints).all()):
            raise diverged()
        return KeypointValidation(loss, keypoints, truth, log_errors, data.sources, distinct_names(self.settings.data))

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
        return {"policy": asdict(self.policy), "annotators": list(self.annotators)}

    def finish(self, best: Path, data: FacialKeypointsDataset, detector: str | Path) -> None:
        calibrate(best, data, detector)

    def sheets(self, untrained: nn.Module, best: nn.Module, data, device: torch.device) -> list[np.ndarray]:
        """Faces from the trained network's best to its worst."""
        order = np.argsort(self.validate(best, data, device).nme)
        shown = data.subset(order[np.linspace(0, len(data) - 1, min(SHOWN, len(data))).astype(int)], data.transform)
        titles = "The same validation faces before training", "Validation faces from best to worst"
        return [
            errors.error_sheet(shown, range(len(shown)), self._predict(model, shown, device), shown.keypoints, title)
            for model, title in zip((untrained, best), titles, strict=True)
        ]

    def answers(self, model: nn.Module, data: FacialKeypointsDataset, device: torch.device) -> list[Tensor]:
        """Keypoints (68, 2) px of the image of each."""
        return list(torch.from_numpy(self._predict(model, _watched(data), device)))

    def tiles(self, data: FacialKeypointsDataset, answers: list[list[Tensor]]) -> list[list[np.ndarray]]:
        shown = _watched(data)
        rows = range(len(shown))
        return [errors.error_tiles(shown, rows, torch.stack(row).numpy(), shown.keypoints) for row in answers]

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
    if "annotator" not in batch:
        return outputs
    return outputs._replace(keypoints=model.annotators.to_annotator(outputs.keypoints, batch["annotator"]))


def _watched(data: FacialKeypointsDataset) -> FacialKeypointsDataset:
    """Faces from all over the data set, so most likely of as many people."""
    return data.subset(np.unique(np.linspace(0, len(data) - 1, WATCHED).astype(int)), data.transform)


FACES = 400  # at most, evenly chosen
FEWEST = 8  # of an annotator's that say something


def calibrate(path: Path, data: FacialKeypointsDataset, detector: str | Path) -> None:
    """Calibrate a checkpoint's network on the faces of `data` that a detector finds, and write it anew. Nothing
    happens where the network doesn't judge its work, or too few faces are found. Twice is as good as once.

    Raises:
        InputError: the checkpoint can't be used or written, or an image can't be read.
    """
    checkpoint, network = load_checkpoint(path), TorchNetwork(path)
    weights = checkpoint["weights"]
    if "calibration" not in weights:
        return
    network.model.model.calibration.copy_(torch.tensor([0.0, 1.0]))
    data = data.subset(np.unique(np.linspace(0, len(data) - 1, FACES).astype(int)), None)
    found = predict_all(Landmarker(network, detector, min_face_score=0), data, "detector")
    if found.errors is None:  # no face at all
        return
    points = to_annotator(found, network, data.labelled_by).keypoints
    halves = network.policy.margin / 2 * face_frames(points)[2][:, None]  # of crops, px
    expected = found.errors / halves  # as the network says it
    measured = np.linalg.norm(points - data.keypoints, axis=-1) / halves
    is_sure = (np.nan_to_num(found.face_scores) >= MIN_FACE_SCORE) & (halves[:, 0] > 0)
    own, *others = (np.flatnonzero(is_sure & (data.labelled_by == name)) for name in data.annotators)
    if len(own) < FEWEST:
        return
    offset, slope = metrics.fit_calibration(np.log(expected[own]), measured[own])
    weights["calibration"] = torch.tensor([offset, slope])
    expected = np.exp(offset + slope * np.log(expected))
    for i, rows in enumerate(others, start=1):
        if len(rows) >= FEWEST:
            factor, scatter = metrics.fit_scatter(expected[rows], measured[rows])
            scatter *= network.policy.margin / 2  # in sides of the square
            weights["annotators.errors"][i] = torch.tensor([factor, scatter])
    save_checkpoint(path, checkpoint)
