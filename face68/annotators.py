"""Whose labels they are: annotators put the same point in other places, and a network can learn by how much.

Data sets of one annotator, such as all of iBUG's, share a annotator. A network that is trained on several has one as
its own, and for each of the others an offset of each point in the face's own frame: level, its unit the side of the
square around its 68 points. Its points are as its own annotators put them, and so are the errors that it expects; to
compare it with another set's labels, `to_annotator` says what it expects of those.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from face68.files import InputError
from face68.landmarker import Predictions
from face68.landmarks import NUM_LANDMARKS
from face68.network import Network, OnnxNetwork
from models import frames_of, in_frame_of

IBUG, PUBLIC = "ibug", "public"  # who labelled 300-W, AFW and InfAnFace; the public set of this task


class Annotator(NamedTuple):
    """How one annotator's labels differ from those of a network's own annotator, in sides of the face's square.

    offsets: (68, 2) float32, to the person's left and down.
    factor, scatter: an error e that the network expects is √((factor · e)² + scatter²) there, for labels may be coarse.
    """

    offsets: np.ndarray
    factor: float
    scatter: float


REFERENCE = Annotator(np.zeros((NUM_LANDMARKS, 2), np.float32), 1.0, 0.0)


def reference_first(annotators: Sequence[str]) -> tuple[str, ...]:
    """The annotators of a network that learns from sets by these annotators; the first one is its own: iBUG's if it is
    among them, else that of the first set.
    """
    return tuple(dict.fromkeys(sorted(annotators, key=lambda name: name != IBUG)))


def annotators_of(network: Network) -> dict[str, Annotator]:
    """By annotator what a network learned of their labels; nothing, if it learned from one alone.

    Raises:
        InputError: an exported file says it in another way.
    """
    if not isinstance(network, OnnxNetwork):
        return getattr(network, "annotators", {})
    try:
        return from_text(network.metadata.get("annotators", "{}"))
    except ValueError as error:
        raise InputError(f"{network.path}: has annotators that can't be; export it again") from error


def to_text(annotators: dict[str, Annotator]) -> str:
    """As exported files hold them."""
    return json.dumps({name: one._asdict() | {"offsets": one.offsets.tolist()} for name, one in annotators.items()})


def from_text(text: str) -> dict[str, Annotator]:
    """Raises ValueError: it isn't what `as_text` writes."""
    try:
        told = {name: (one["offsets"], one["factor"], one["scatter"]) for name, one in json.loads(text).items()}
        annotators = {
            name: Annotator(np.array(offsets, np.float32).reshape(NUM_LANDMARKS, 2), float(factor), float(scatter))
            for name, (offsets, factor, scatter) in told.items()
        }
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no annotators") from error
    if not all(np.isfinite([*one.offsets.flat, one.factor, one.scatter]).all() for one in annotators.values()):
        raise ValueError("numbers that aren't finite")
    return annotators


def to_annotator(predicted: Predictions, network: Network, annotators: str | Sequence[str]) -> Predictions:
    """What a network says of N faces, in px, as it expects it of the annotators' labels: the same, if it knows none.

    annotators: of all faces, or of each one.
    """
    known, names = annotators_of(network), np.broadcast_to(annotators, len(predicted.keypoints))
    if not known.keys() & set(names):
        return predicted
    offsets, *of_errors = zip(*(known.get(name, REFERENCE) for name in names), strict=True)
    factors, scatters = np.array(of_errors, np.float32)[..., None]  # (N, 1)
    points = torch.from_numpy(np.asarray(predicted.keypoints, np.float32))
    errors = predicted.errors
    if errors is not None:
        errors = np.hypot(factors * errors, scatters * frames_of(points)[1].numpy()[:, None])
    points = points + in_frame_of(points, torch.from_numpy(np.stack(offsets)))
    return predicted._replace(keypoints=points.numpy(), errors=errors)
