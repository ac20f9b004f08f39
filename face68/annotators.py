"""Annotators put the same point in different places. A network learns by how much, and its points follow one of them.

Data sets by the same people, such as all of iBUG's, have one annotator. A network that is trained on several has a
reference: the annotator whose points it predicts. For each other annotator it learns an offset of each point, in the
face's own frame: level, its unit the side of the square around the 68 points. `to_annotator` adds these offsets, so
that predictions can be compared with that annotator's labels.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from face68.files import InputError
from face68.landmarks import IBUG68, NUM_LANDMARKS, face_frames
from face68.network import Network, OnnxNetwork, Predictions

IBUG, PUBLIC = "ibug", "public"  # who labelled 300-W, AFW and InfAnFace; the public set of this task


class Annotator(NamedTuple):
    """How one annotator's labels differ from the reference's, in sides of the face's square.

    offsets: (68, 2) float32, to the person's left and down.
    factor, scatter: where the network expects an error e, the distance from these labels is √((factor · e)² + scatter²)
        instead, since labels may be coarse.
    """

    offsets: np.ndarray
    factor: float
    scatter: float


def reference_first(names: Sequence[str]) -> tuple[str, ...]:
    """The annotators of several data sets, each once. The first one is a network's reference: iBUG if it is among them,
    else the annotator of the first set.
    """
    return tuple(dict.fromkeys(sorted(names, key=lambda name: name != IBUG)))


def annotators_of(network: Network) -> dict[str, Annotator]:
    """The annotators that a network learned, by name; none if it learned from one alone.

    Raises:
        InputError: an exported file's metadata can't be used.
    """
    if not isinstance(network, OnnxNetwork):
        return getattr(network, "annotators", {})
    try:
        return from_text(network.metadata.get("annotators", "{}"), len(network.scheme))
    except ValueError as error:
        raise InputError(f"{network.path}: its annotators can't be read; export it again") from error


def to_text(annotators: dict[str, Annotator]) -> str:
    """JSON, as the metadata of an exported file has it."""
    return json.dumps({name: one._asdict() | {"offsets": one.offsets.tolist()} for name, one in annotators.items()})


def from_text(text: str, points: int = NUM_LANDMARKS) -> dict[str, Annotator]:
    """What `to_text` wrote of networks of so many points.

    Raises:
        ValueError: it is anything else.
    """
    try:
        annotators = {
            name: Annotator(
                np.array(one["offsets"], np.float32).reshape(points, 2),
                float(one["factor"]),
                float(one["scatter"]),
            )
            for name, one in json.loads(text).items()
        }
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no annotators") from error
    if not all(np.isfinite([*one.offsets.flat, one.factor, one.scatter]).all() for one in annotators.values()):
        raise ValueError("numbers that aren't finite")
    return annotators


def to_annotator(predicted: Predictions, network: Network, names: str | Sequence[str]) -> Predictions:
    """Predictions of N faces, in px, as these annotators would have labelled them. Unknown annotators count as the
    reference.

    names: the annotator of all faces, or of each one.
    """
    known, names = annotators_of(network), np.broadcast_to(names, len(predicted.keypoints))
    if not known.keys() & set(names):
        return predicted
    reference = Annotator(np.zeros(predicted.keypoints.shape[1:], np.float32), 1.0, 0.0)
    offsets, factors, scatters = zip(*(known.get(name, reference) for name in names), strict=True)
    axes, _, sides = face_frames(predicted.keypoints, getattr(network, "scheme", IBUG68))
    keypoints = predicted.keypoints + np.stack(offsets) @ axes * sides[:, None, None]
    errors = predicted.errors
    if errors is not None:
        errors = np.hypot(np.array(factors)[:, None] * errors, (scatters * sides)[:, None]).astype(np.float32)
    return predicted._replace(keypoints=keypoints.astype(np.float32), errors=errors)
