"""The losses: of keypoints and heat maps, of a network's judgement of its own work, and of a detector."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from face68.files import InputError
from face68.landmarks import COVERED, HIDDEN, SEEN, UNSAID
from models import DetectorOutputs, Outputs, cell_centres
from training.devices import mean_share


def wing_loss(
    predicted: Tensor, target: Tensor, width: float = 0.18, curvature: float = 0.036, reduction: str = "mean"
) -> Tensor:
    """Wing loss (Feng et al., 2018, arXiv:1711.06753): logarithmic for errors below `width`, linear beyond.

    In normalised coordinates; the defaults are the paper's ratio at a width of about 10 px of a 112-pixel crop.

    reduction: "mean" or "none" (a loss for each coordinate), as in torch's losses.
    """
    error = (predicted - target).abs()
    offset = width - width * math.log1p(width / curvature)  # makes the two parts meet
    losses = torch.where(error < width, width * torch.log1p(error / curvature), error - offset)
    return losses.mean() if reduction == "mean" else losses


LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth-l1": F.smooth_l1_loss, "wing": wing_loss}


COVERED_WEIGHS = 0.5  # of a covered point in the losses, whose label is the annotator's guess


def point_weights(visibility: Tensor) -> Tensor:
    """How much each point counts, by its visibility, (B, 68): hidden ones, which have no label, not at all."""
    return torch.where(visibility == COVERED, COVERED_WEIGHS, 1.0) * (visibility != HIDDEN)


def mean_of_points(losses: Tensor, weights: Tensor | None) -> Tensor:
    """The mean (B,) of the losses (B, 68) of each face's points, with `point_weights`; None: all count alike."""
    return losses.mean(dim=1) if weights is None else (losses * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def keypoint_loss(
    criterion, keypoints: Tensor, target: Tensor, is_upright_face: Tensor, weights: Tensor | None = None
) -> Tensor:
    """The mean of a loss of LOSSES over the crops that show an upright face; turned faces and background don't count.

    keypoints, target: (B, 68, 2). is_upright_face: (B,), 1.0 or 0.0. weights: see `point_weights`.

    Raises:
        InputError: the loss doesn't take `reduction="none"`.
    """
    try:
        losses = criterion(keypoints, target, reduction="none").mean(dim=2)  # (B, 68)
    except (AttributeError, IndexError, TypeError) as error:  # a module, a mean, a function without `reduction`
        name = getattr(criterion, "__name__", criterion)
        raise InputError(f'--loss: {name} must take reduction="none", as torch\'s losses do ({error})') from error
    return mean_of_faces(mean_of_points(losses, weights), is_upright_face)


def heatmap_loss(
    heatmaps: Tensor, target: Tensor, is_upright_face: Tensor, weights: Tensor | None = None, cells: float = 1.0
) -> Tensor:
    """The Kullback-Leibler divergence, in nats, of each heat map from a Gaussian around its point.

    A loss on the mean position leaves the map's shape open. This one asks for a single peak at the point: it teaches
    every cell, so the network learns much faster (after Nibali et al., 2018, arXiv:1801.07372).

    heatmaps: (B, 68, H, W) logits. target: (B, 68, 2), -1 and 1 are the crop's edges; a point outside pulls to the
        nearest edge. weights: see `point_weights`.
    cells: the Gaussian's standard deviation, in cells of the map.
    """
    # The Gaussian is a product of one along x and one along y.
    logs = []
    for axis, count in enumerate((heatmaps.shape[3], heatmaps.shape[2])):
        distance = (target[..., axis, None] - cell_centres(count, like=heatmaps)) * count / 2 / cells
        logs.append((-(distance**2) / 2).log_softmax(dim=-1))  # (B, 68, count)
    x, y = (log.exp() for log in logs)
    entropy = -(x * logs[0]).sum(dim=-1) - (y * logs[1]).sum(dim=-1)  # (B, 68)
    log_probability = heatmaps.flatten(2).log_softmax(dim=-1).view(heatmaps.shape)
    cross_entropy = -torch.einsum("bkh,bkhw,bkw->bk", y, log_probability, x)
    return mean_of_faces(mean_of_points(cross_entropy - entropy, weights), is_upright_face)


def error_loss(outputs: Outputs, target: Tensor, is_upright_face: Tensor, weights: Tensor | None = None) -> Tensor:
    """Teaches a network to predict how far its points are from the truth; the points themselves learn nothing from it.

    The negative log-likelihood of the distances r under exponential distributions whose means are the predicted errors
    exp(s): r exp(-s) + s (after Kendall & Gal, 2017, arXiv:1703.04977). It is least at the expected distance.
    """
    distance = (outputs.keypoints.detach() - target).norm(dim=-1)  # (B, 68)
    likelihood = distance * torch.exp(-outputs.log_errors) + outputs.log_errors  # (B, 68)
    return mean_of_faces(mean_of_points(likelihood, weights), is_upright_face)


def visibility_loss(visible_logits: Tensor, visibility: Tensor, is_upright_face: Tensor) -> Tensor:
    """The cross-entropy, in nats, of the probability that a point can be seen, over points of which that is known.

    visible_logits: (B, 68). visibility: (B, 68), see face68/landmarks.py.
    """
    is_seen, is_known = (visibility == SEEN).to(visible_logits.dtype), visibility != UNSAID
    losses = F.binary_cross_entropy_with_logits(visible_logits, is_seen, reduction="none")
    known = is_known.any(dim=1).to(is_upright_face.dtype) * is_upright_face
    return mean_of_faces(mean_of_points(losses, is_known.to(losses.dtype)), known)


def face_loss(outputs: Outputs, is_upright_face: Tensor) -> Tensor:
    """The cross-entropy of the face scores, in nats: teaches a network to tell upright faces from everything else."""
    losses = F.binary_cross_entropy_with_logits(outputs.face_logits, is_upright_face, reduction="none")
    return mean_of_faces(losses, torch.ones_like(is_upright_face))


def mean_of_faces(losses: Tensor, is_upright_face: Tensor) -> Tensor:
    """The mean of the losses (B,) of upright faces; 0 if there are none. In distributed training this process's part
    of that mean, see `devices.mean_share`.
    """
    return (losses * is_upright_face).sum() / mean_share(is_upright_face.sum())


def detection_loss(outputs: DetectorOutputs, target: dict[str, Tensor]) -> Tensor:
    """A detector's loss for each face, over B pictures; target: see `mosaics.to_maps`.

    Scores have the focal loss of Zhou et al. (2019, arXiv:1904.07850), which asks little of cells near a centre.
    Centre, size and roll have the absolute error, also in those near cells: any of them may become the peak. The larger
    a face, the more its centre may be off.
    """
    heatmap = target["heatmap"]  # (B, H, W), 1 at the centres of faces
    # Scores
    probability, log_right = outputs.score_logits.sigmoid(), F.logsigmoid(outputs.score_logits)
    log_wrong = F.logsigmoid(-outputs.score_logits)
    is_center = heatmap == 1
    focal = torch.where(is_center, (1 - probability) ** 2 * log_right, (1 - heatmap) ** 4 * probability**2 * log_wrong)
    score_loss = -(focal * ~target["ignore_mask"]).sum() / mean_share(is_center.sum())
    # Centre, side and axis of each face, in its own cells
    sides = target["log_sides"].exp().clamp(min=1)  # in cells
    off = (outputs.centers - target["centers"]).abs().sum(dim=1) / sides.sqrt()
    off = off + (outputs.log_sides - target["log_sides"]).abs() + (outputs.axes - target["axes"]).abs().sum(dim=1)
    weights = torch.where(heatmap > 0.3, heatmap, 0.0)
    return score_loss + (weights * off).sum() / mean_share(weights.sum())
