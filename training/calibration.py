"""What a trained network expects of its own errors, made true of faces as the detector finds them.

While it trains it is calibrated on crops around true points, which flatter: in a photo nobody knows them. So in the end
all passes are run on photos of people that it was not trained on. Faces labelled in the network's own convention set
its two numbers; of other annotators it is measured how much further off their labels are.
"""

from cli.weights import default_detector

from pathlib import Path

import numpy as np
import torch

from data_load import FacialKeypointsDataset
from evaluation import metrics
from evaluation.predictions import predict_all
from face68.annotators import annotated, frames_of
from face68.landmarker import MIN_FACE_SCORE, Landmarker
from training.checkpoint import TorchNetwork, load_checkpoint, save_checkpoint

FACES = 400  # at most, evenly chosen
FEWEST = 8  # of an annotator's that say something


def calibrate(path: Path, data: FacialKeypointsDataset) -> None:
    """Calibrate a checkpoint's network on the faces of `data` that the detector finds, and write it anew. Nothing
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
    found = predict_all(Landmarker(network, default_detector(), min_face_score=0), data, "detector")
    if found.errors is None:  # no face at all
        return
    points = annotated(found, network, data.labelled_by).keypoints
    halves = network.policy.margin / 2 * frames_of(torch.from_numpy(points))[1].numpy()[:, None]  # of crops, px
    expected = found.errors / halves  # as the network says it
    measured = np.linalg.norm(points - data.keypoints, axis=-1) / halves
    is_sure = (np.nan_to_num(found.face_scores) >= MIN_FACE_SCORE) & (halves[:, 0] > 0)
    own, *others = (np.flatnonzero(is_sure & (data.labelled_by == name)) for name in data.conventions)
    if len(own) < FEWEST:
        return
    offset, slope = metrics.fit_calibration(np.log(expected[own]), measured[own])
    weights["calibration"] = torch.tensor([offset, slope])
    expected = np.exp(offset + slope * np.log(expected))
    for i, rows in enumerate(others, start=1):
        if len(rows) >= FEWEST:
            factor, scatter = metrics.fit_scatter(expected[rows], measured[rows])
            scatter *= network.policy.margin / 2  # in sides of the square
            weights["conventions.errors"][i] = torch.tensor([factor, scatter])
    save_checkpoint(path, checkpoint)
