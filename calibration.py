"""What a trained network expects of its own errors, made true of faces as the detector finds them.

While it trains it is calibrated on crops around true points, which flatter: in a photo nobody knows them. So in the end
all passes are run on photos of people that it was not trained on. Faces labelled in the network's own convention set
its two numbers; of other annotators it is measured how much further off their labels are.
"""

from pathlib import Path

import numpy as np
import torch

import metrics
from checkpoint import TorchNetwork, load_checkpoint, save_checkpoint
from conventions import annotated, frames_of
from data_load import FacialKeypointsDataset
from face68.landmarker import MIN_FACE_SCORE, Landmarker, Predictions
from networks import default_detector
from predictions import predict_all

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
    is_sure = np.nan_to_num(found.face_scores) >= MIN_FACE_SCORE
    annotators = np.array(data.annotators)[data.sources]
    for i, name in enumerate(data.conventions):  # the network's own is the first one
        rows = np.flatnonzero(is_sure & (annotators == name))
        if len(rows) >= FEWEST:
            of_name = Predictions(*(values[rows] for values in found))
            points = annotated(of_name, network, name).keypoints
            half = network.policy.margin / 2 * frames_of(torch.from_numpy(points))[1].numpy()[:, None]  # a crop's, px
            expected = of_name.errors / half  # as the network says it
            measured = np.linalg.norm(points - data.keypoints[rows], axis=-1) / half
            if i == 0:
                offset, slope = metrics.fit_calibration(np.log(expected), measured)
                weights["calibration"] = torch.tensor([offset, slope])
            else:
                factor, scatter = metrics.fit_scatter(np.exp(offset + slope * np.log(expected)), measured)
                scatter *= network.policy.margin / 2  # in sides of the square
                weights["conventions.errors"][i] = torch.tensor([factor, scatter])
        elif i == 0:
            return
    save_checkpoint(path, checkpoint)
