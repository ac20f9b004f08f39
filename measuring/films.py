"""How well faces are followed in films whose truth is known, and how steady their points are."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from face68.geometry import box_of
from face68.landmarks import Face, inter_ocular
from metrics import is_near

MOUTH = (62, 66)  # the middles of the inner lips, upper and lower
MOST_LAG = 4.0  # frames that a lag is looked for within


class Followed(NamedTuple):
    """An actor of a film and what was seen of them, in T frames.

    times: (T,) seconds. truth: (T, 68, 2) px. hidden: (T,) share of the points, 1 where the actor isn't there.
    found: (T, 68, 2) px, NaN where nobody was found. identities: (T,), 0 where nobody was found.
    """

    times: np.ndarray
    truth: np.ndarray
    hidden: np.ndarray
    found: np.ndarray
    identities: np.ndarray

    @property
    def is_seen(self) -> np.ndarray:
        """(T,) where at least half of the points can be seen."""
        return self.hidden < 0.5


def follow_actors(frames: Iterable[tuple[float, Sequence, Sequence[Face]]]) -> list[Followed]:
    """What became of each actor. frames: time, the actors as `curation.drawn.films` tells of them, the faces found."""
    frames = list(frames)
    actors = sorted({actor.identity for _, there, _ in frames for actor in there})
    rows = {identity: [] for identity in actors}
    for _, there, faces in frames:
        by_identity = {actor.identity: actor for actor in there}
        for identity in actors:
            actor = by_identity.get(identity)
            face = None if actor is None else nearest_face(faces, actor.keypoints)
            nobody = np.full((68, 2), np.nan)
            rows[identity].append(
                (
                    nobody if actor is None else actor.keypoints,
                    1.0 if actor is None else actor.hidden,
                    nobody if face is None else face.keypoints,
                    0 if face is None else face.identity,
                )
            )
    times = np.array([time for time, _, _ in frames])
    return [Followed(times, *map(np.array, zip(*rows[identity], strict=True))) for identity in actors]


def nearest_face(faces: Sequence[Face], points: np.ndarray) -> Face | None:
    """The face whose points are the nearest to (68, 2) px, of those that are about there."""
    near = [face for face in faces if is_near(box_of(face.keypoints), points)]
    return min(near, key=lambda face: np.linalg.norm(face.keypoints - points), default=None)


def switches(identities: np.ndarray) -> int:
    """How often another identity is seen than the last one that was."""
    seen = identities[identities > 0]
    return int((np.diff(seen) != 0).sum())


def jitter(points: np.ndarray, eyes: np.ndarray) -> float:
    """The standard deviation of the points' second differences from frame to frame, in distances of the eyes.

    points: (T, 68, 2) px, NaN where there are none; less the truth, where that is known, so that motion doesn't count.
    eyes: (T,) px.
    """
    return float(np.nanstd(np.diff(points, 2, axis=0) / eyes[1:-1, None, None]))


def lag(signal: np.ndarray, truth: np.ndarray) -> float:
    """By how many frames a signal (T,) comes late: where it fits the truth best, up to an offset and a factor."""
    shifts = np.arange(-MOST_LAG, MOST_LAG + 0.05, 0.05)
    at = np.arange(len(truth), dtype=float)
    inside = slice(int(MOST_LAG), -int(MOST_LAG))
    known = np.isfinite(signal[inside])
    fits = [np.corrcoef(signal[inside][known], np.interp(at - s, at, truth)[inside][known])[0, 1] for s in shifts]
    return float(shifts[int(np.argmax(fits))])


def mouth_opening(points: np.ndarray) -> np.ndarray:
    """(T,): the distance between the inner lips in distances of the eyes; points (T, 68, 2) px."""
    upper, lower = MOUTH
    return np.linalg.norm(points[:, lower] - points[:, upper], axis=-1) / inter_ocular(points)
