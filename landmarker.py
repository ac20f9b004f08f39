"""A trained network on whole images: find faces, crop as the checkpoint says, predict, map back to the image."""

from pathlib import Path

import numpy as np
import torch

import geometry
from checkpoint import build_model, default_checkpoint, load_checkpoint
from data_load import Compose, Normalize, ToTensor, denormalize_keypoints
from detect import detect
from landmarks import NUM_LANDMARKS, Face
from models import split_outputs

BATCH = 64  # faces at once; more is no faster and takes more memory


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
        # A detector's box is off by a tenth of the face. The first pass's points frame it better for the second.
        first = self.predict([image] * len(boxes), boxes)
        keypoints = self.predict([image] * len(boxes), [geometry.box_of(points) for points in first])
        return [
            Face(tuple(box.tolist()), float(score), points)
            for box, score, points in zip(boxes, scores, keypoints, strict=True)
        ]

    @torch.inference_mode()
    def predict(self, images: list[np.ndarray], boxes) -> np.ndarray:
        """One pass: the keypoints (N, 68, 2) in pixels of N images, one box around the 68 points in each."""
        if len(boxes) == 0:
            return np.zeros((0, NUM_LANDMARKS, 2), dtype=np.float32)
        size = self.policy.size
        matrices = [geometry.crop_matrix(box, self.policy) for box in boxes]
        prepare = Compose([Normalize(), ToTensor()])
        crops = [
            prepare({"image": geometry.warp(image, matrix, size, size), "keypoints": np.zeros((NUM_LANDMARKS, 2))})
            for image, matrix in zip(images, matrices, strict=True)
        ]
        tensors = torch.stack([crop["image"] for crop in crops])  # (N, 1, S, S)
        outputs = torch.cat([self.model(part.to(self.device)).cpu() for part in tensors.split(BATCH)])
        keypoints = denormalize_keypoints(split_outputs(outputs)[0].numpy(), size, size)  # (N, 68, 2) px of the crop
        return np.stack(
            [
                geometry.transform_points(points, geometry.invert(matrix))
                for points, matrix in zip(keypoints, matrices, strict=True)
            ]
        )
