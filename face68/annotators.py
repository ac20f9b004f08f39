"""Whose labels they are: annotators put the same point in other places, and a network can learn by how much.

Data sets of one annotator, such as all of iBUG's, share a convention. A network that is trained on several has one as
its own, and for each of the others an offset of each point in the face's own frame: level, its unit the side of the
square around its 68 points. Its points are as its own annotators put them, and so are the errors that it expects; to
compare it with another set's labels, `annotated` says what it expects of those.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from face68.files import InputError
from face68.landmarker import Predictions
from face68.landmarks import FLIP, NUM_LANDMARKS
from face68.network import Network, OnnxNetwork

IBUG, PUBLIC = "ibug", "public"  # who labelled 300-W, AFW and InfAnFace; the public set of this task


class Convention(NamedTuple):
    """How one annotator's labels differ from those of a network's own convention, in sides of the face's square.

    offsets: (68, 2) float32, to the person's left and down.
    factor, scatter: an error e that the network expects is √((factor · e)² + scatter²) there, for labels may be coarse.
    """

    offsets: np.ndarray
    factor: float
    scatter: float


AS_OWN = Convention(np.zeros((NUM_LANDMARKS, 2), np.float32), 1.0, 0.0)


def own_first(annotators: Sequence[str]) -> tuple[str, ...]:
    """The conventions of a network that learns from sets by these annotators; the first one is its own: iBUG's if it is
    among them, else that of the first set.
    """
    return tuple(dict.fromkeys(sorted(annotators, key=lambda name: name != IBUG)))


class Conventions(nn.Module):
    """How far each annotator's points lie off those of the first, learned along with the network that it belongs to.

    Left and right are alike, so that mirrored faces are true ones: what is not is a shift of the labels, see
    `data_load.LabelShift`.

    names: the annotators, at least two.

    `errors` (N, 2), factor and scatter of each, are measured after training, see calibration.py.
    """

    def __init__(self, names: Sequence[str]):
        super().__init__()
        self.names = tuple(names)
        self.others = nn.Parameter(torch.zeros(len(names) - 1, NUM_LANDMARKS, 2))
        self.register_buffer("errors", torch.tensor([1.0, 0.0]).repeat(len(names), 1))

    def offsets(self) -> Tensor:
        """Of each annotator and point, (N, 68, 2), see `Convention`."""
        mirrored = self.others[:, FLIP] * self.others.new_tensor([-1.0, 1.0])
        return torch.cat([torch.zeros_like(self.others[:1]), (self.others + mirrored) / 2])

    def known(self) -> dict[str, Convention]:
        """By annotator how the labels differ."""
        offsets = self.offsets().detach().cpu().numpy()
        return {
            name: Convention(*values, *errors)
            for name, *values, errors in zip(self.names, offsets, self.errors.tolist(), strict=True)
        }

    def to_own(self, labels: Tensor, annotators: Tensor) -> Tensor:
        """Labels (B, 68, 2) as the first annotator would have put them; annotators: (B,), the index of each one's."""
        return labels - in_frame_of(labels, self.offsets()[annotators])

    def from_own(self, points: Tensor, annotators: Tensor) -> Tensor:
        """The network's points (B, 68, 2) as those annotators would have put them."""
        return points + in_frame_of(points, self.offsets()[annotators])


def in_frame_of(points: Tensor, offsets: Tensor) -> Tensor:
    """Offsets (B, 68, 2) in the own frames of faces, as vectors in the frame and unit of their points (B, 68, 2)."""
    axes, sides = frames_of(points)
    return offsets @ axes * sides[:, None, None]


def frames_of(points: Tensor) -> tuple[Tensor, Tensor]:
    """The own frames of faces with points (B, 68, 2), see `face68.landmarks.upright_frame`: their axes (B, 2, 2), rows
    to the right and down, and the sides of their squares (B,).
    """
    eyes = (points[:, 42:48] - points[:, 36:42]).sum(dim=1)  # (B, 2)
    x = eyes / eyes.norm(dim=1, keepdim=True).clamp(min=1e-9)
    axes = torch.stack([x, torch.stack([-x[:, 1], x[:, 0]], dim=1)], dim=1)
    level = points @ axes.mT
    return axes, (level.amax(dim=1) - level.amin(dim=1)).amax(dim=1)


def known_to(network: Network) -> dict[str, Convention]:
    """By annotator what a network learned of their labels; nothing, if it learned from one alone.

    Raises:
        InputError: an exported file says it in another way.
    """
    if not isinstance(network, OnnxNetwork):
        return getattr(network, "conventions", {})
    try:
        return from_text(network.metadata.get("conventions", "{}"))
    except ValueError as error:
        raise InputError(f"{network.path}: has conventions that can't be; export it again") from error


def as_text(conventions: dict[str, Convention]) -> str:
    """As exported files hold them."""
    return json.dumps({name: one._asdict() | {"offsets": one.offsets.tolist()} for name, one in conventions.items()})


def from_text(text: str) -> dict[str, Convention]:
    """Raises ValueError: it isn't what `as_text` writes."""
    try:
        told = {name: (one["offsets"], one["factor"], one["scatter"]) for name, one in json.loads(text).items()}
        conventions = {
            name: Convention(np.array(offsets, np.float32).reshape(NUM_LANDMARKS, 2), float(factor), float(scatter))
            for name, (offsets, factor, scatter) in told.items()
        }
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no conventions") from error
    if not all(np.isfinite([*one.offsets.flat, one.factor, one.scatter]).all() for one in conventions.values()):
        raise ValueError("numbers that aren't finite")
    return conventions


def annotated(predicted: Predictions, network: Network, annotators: str | Sequence[str]) -> Predictions:
    """What a network says of N faces, in px, as it expects it of the annotators' labels: the same, if it knows none.

    annotators: of all faces, or of each one.
    """
    known, names = known_to(network), np.broadcast_to(annotators, len(predicted.keypoints))
    if not known.keys() & set(names):
        return predicted
    offsets, *of_errors = zip(*(known.get(name, AS_OWN) for name in names), strict=True)
    factors, scatters = np.array(of_errors, np.float32)[..., None]  # (N, 1)
    points = torch.from_numpy(np.asarray(predicted.keypoints, np.float32))
    errors = predicted.errors
    if errors is not None:
        errors = np.hypot(factors * errors, scatters * frames_of(points)[1].numpy()[:, None])
    points = points + in_frame_of(points, torch.from_numpy(np.stack(offsets)))
    return predicted._replace(keypoints=points.numpy(), errors=errors)
