"""A trained network on whole images: find faces, crop as the checkpoint says, predict, map back to the image."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import geometry
from checkpoint import build_model, default_checkpoint, load_checkpoint
from data_load import denormalize_keypoints, gray_tensor
from detect import detect
from landmarks import Face
from models import Outputs, split_outputs

BATCH = 64  # faces at once; more is no faster and takes more memory


class Predictions(NamedTuple):
    """What the network says about N faces; the last two are None where it doesn't judge its own work.

    keypoints: (N, 68, 2) float32 px of the image.
    errors: (N, 68) float32, each point's expected distance from the truth, in px of the image.
    face_scores: (N,) float32 in 0 … 1, how surely this is a face at all.
    """

    keypoints: np.ndarray
    errors: np.ndarray | None
    face_scores: np.ndarray | None


class Landmarker:
    """The 68 keypoints of every face of an image.

        landmarker = Landmarker()  # the user's best.pt where there is one, else the network that we ship
        for face in landmarker(rgb):
            face.box, face.score, face.keypoints  # (x0, y0, x1, y1) px, the detector's score, (68, 2) float32 px

    checkpoint: a file that train.py wrote.
    detector: see `detect.detect`.
    device: where the network runs, as torch names it.

    Raises:
        InputError: the checkpoint can't be used.
    """

    def __init__(self, checkpoint: str | Path | None = None, detector: str = "auto", device: str = "cpu"):
        self.path = Path(checkpoint or default_checkpoint())
        self.model, self.policy = build_model(load_checkpoint(self.path), self.path)
        self.model.to(device)
        self.detector, self.device = detector, device

    def __call__(self, image: np.ndarray) -> list[Face]:
        """The faces of an RGB image (H, W, 3) uint8, left to right; an empty list where there is none."""
        boxes, scores = detect(image, self.detector)
        if len(boxes) == 0:
            return []
        # A detector's box is off by a tenth of the face. The first pass's points frame it better for the second.
        first = self.predict([image] * len(boxes), boxes).keypoints
        keypoints, errors, face_scores = self.predict([image] * len(boxes), [geometry.box_of(k) for k in first])
        return [
            Face(
                tuple(box.tolist()),
                float(score),
                keypoints[i],
                None if errors is None else errors[i],
                None if face_scores is None else float(face_scores[i]),
            )
            for i, (box, score) in enumerate(zip(boxes, scores, strict=True))
        ]

    @torch.inference_mode()
    def predict(self, images: list[np.ndarray], boxes) -> Predictions:
        """One pass over N ≥ 1 images, one box around the 68 points in each."""
        size = self.policy.size
        matrices = [geometry.crop_matrix(box, self.policy) for box in boxes]
        crops = torch.stack(
            [
                gray_tensor(geometry.warp(image, matrix, size, size))
                for image, matrix in zip(images, matrices, strict=True)
            ]
        )  # (N, 1, S, S)
        rows = torch.cat([self.model(part.to(self.device)).cpu() for part in crops.split(BATCH)])
        outputs = split_outputs(rows)
        keypoints = denormalize_keypoints(outputs.keypoints.numpy(), size, size)  # (N, 68, 2) px of the crop
        keypoints = [
            geometry.transform_points(points, geometry.invert(matrix))
            for points, matrix in zip(keypoints, matrices, strict=True)
        ]
        return Predictions(np.stack(keypoints), *self._judgement(outputs, matrices))

    def _judgement(self, outputs: Outputs, matrices: list[np.ndarray]):
        if outputs.log_errors is None:
            return None, None
        pixels = [self.policy.size / 2 / geometry.scale_of(matrix) for matrix in matrices]  # of the image, a unit
        errors = outputs.log_errors.exp().numpy() * np.array(pixels, np.float32)[:, None]
        return errors, outputs.face_logits.sigmoid().numpy()
