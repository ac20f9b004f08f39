"""What training minimises: how far the keypoints are off, and how wrong the network is about that."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from face68.files import InputError
from models import DetectorOutputs, Outputs, cell_centres
from training.devices import mean_share


def wing_loss(
    predicted: Tensor, target: Tensor, width: float = 0.18, curvature: float = 0.036, reduction: str = "mean"
) -> Tensor:
    """Wing loss (Feng et al., 2018, arXiv:1711.06753): logarithmic for small errors, linear beyond `width`.

    In normalised coordinates; the defaults are the paper's ratio at a width of about 10 px of a 112-pixel crop.

    reduction: "mean", or "none" for each coordinate's own, as torch's losses have it.
    """
    error = (predicted - target).abs()
    offset = width - width * math.log1p(width / curvature)
    losses = torch.where(error < width, width * torch.log1p(error / curvature), error - offset)
    return losses.mean() if reduction == "mean" else losses


LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth-l1": F.smooth_l1_loss, "wing": wing_loss}


def keypoint_loss(criterion, keypoints: Tensor, target: Tensor, is_upright_face: Tensor) -> Tensor:
    """The mean of one of LOSSES over the crops that show an upright face, (B,) 1.0 or 0.0; 0 where none does.

    The others, faces that are turned and background, count nothing.

    Raises:
        InputError: it gives no loss for each coordinate.
    """
    try:
        losses = criterion(keypoints, target, reduction="none").mean(dim=(1, 2))
    except (AttributeError, IndexError, TypeError) as error:  # a module, a mean, a function without `reduction`
        name = getattr(criterion, "__name__", criterion)
        raise InputError(f'--loss: {name} must take reduction="none", as torch\'s losses do ({error})') from error
    return mean_of_faces(losses, is_upright_face)


def heatmap_loss(heatmaps: Tensor, target: Tensor, is_upright_face: Tensor, cells: float = 1.0) -> Tensor:
    """How far each heat map, logits (B, 68, H, W), is from a Gaussian around its point: the divergence, in nats.

    A loss on the mean position alone leaves the map's shape open; that it should be one peak where the point is teaches
    every cell, and much faster (after Nibali et al., 2018, arXiv:1801.07372).

    target: (B, 68, 2), -1 and 1 are the edges; a point outside of the crop pulls to the nearest edge.
    cells: the Gaussian's standard deviation, in cells of the map.
    """
    logs = []
    for axis, count in enumerate((heatmaps.shape[3], heatmaps.shape[2])):
        distance = (target[..., axis, None] - cell_centres(count, like=heatmaps)) * count / 2 / cells
        logs.append((-(distance**2) / 2).log_softmax(dim=-1))  # (B, 68, count)
    x, y = (log.exp() for log in logs)
    entropy = -(x * logs[0]).sum(dim=-1) - (y * logs[1]).sum(dim=-1)  # (B, 68)
    log_probability = heatmaps.flatten(2).log_softmax(dim=-1).view(heatmaps.shape)
    cross_entropy = -torch.einsum("bkh,bkhw,bkw->bk", y, log_probability, x)
    return mean_of_faces((cross_entropy - entropy).mean(dim=1), is_upright_face)


def error_loss(outputs: Outputs, target: Tensor, is_upright_face: Tensor) -> Tensor:
    """What teaches a network to tell how far off its points are.

    The log error s of each point is fitted to the distance r from the truth by the likelihood of an exponential
    distribution, r exp(-s) + s, whose minimum is the expected distance (after Kendall & Gal, 2017, arXiv:1703.04977).
    """
    distance = (outputs.keypoints.detach() - target).norm(dim=-1)  # (B, 68)
    likelihood = (distance * torch.exp(-outputs.log_errors) + outputs.log_errors).mean(dim=1)  # (B,)
    return mean_of_faces(likelihood, is_upright_face)


def face_loss(outputs: Outputs, is_upright_face: Tensor) -> Tensor:
    """What teaches a network to tell upright faces, 1.0, from all else, 0.0: the cross-entropy, in nats."""
    losses = F.binary_cross_entropy_with_logits(outputs.face_logits, is_upright_face, reduction="none")
    return mean_of_faces(losses, torch.ones_like(is_upright_face))


def mean_of_faces(losses: Tensor, is_upright_face: Tensor) -> Tensor:
    """The mean of those of B losses whose `is_upright_face` is 1.0, not 0.0; 0 where there is none. Where several
    processes train together it is this one's part of that, see `devices.mean_share`.
    """
    return (losses * is_upright_face).sum() / mean_share(is_upright_face.sum())


def detection_loss(maps: DetectorOutputs, target: dict[str, Tensor]) -> Tensor:
    """How wrong a detector is about B pictures, a face; see `mosaics.to_maps` for the target.

    Scores by the focal loss that lets cells near a centre off (Zhou et al., 2019, arXiv:1904.07850); the rest by the
    absolute error, in those near cells too, for whichever of them turns out as the peak is to tell the same. A centre
    may be off by more where the face is larger.
    """
    heat, known = target["heat"], target["known"]  # (B, H, W)
    probability = maps.score_logits.sigmoid()
    right, wrong = F.logsigmoid(maps.score_logits), F.logsigmoid(-maps.score_logits)
    at_centre = heat == 1
    focal = torch.where(at_centre, (1 - probability) ** 2 * right, (1 - heat) ** 4 * probability**2 * wrong)
    near = torch.where(heat > 0.3, heat, 0.0)
    cells = target["log_sides"].exp()
    off = (maps.centers - target["centers"]).abs().sum(dim=1) / cells.clamp(min=1).sqrt()
    off = off + (maps.log_sides - target["log_sides"]).abs() + (maps.axes - target["axes"]).abs().sum(dim=1)
    return -(focal * known).sum() / mean_share(at_centre.sum()) + (near * off).sum() / mean_share(near.sum())
