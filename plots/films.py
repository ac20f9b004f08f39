"""What the people of a film do over time: blinks, talk, pose."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from face68.draw import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from face68.landmarks import Face
from plots.style import new_figure, to_hex

MOST_PEOPLE = 6  # those who are seen for longest
TALK = 0.03  # of the mouth's ratio: its standard deviation over TALK_SECONDS from which it counts as talk
TALK_SECONDS = 1.0
GAP = 0.5  # seconds without a face from which a line is broken


class PeopleOverTime:
    """Gathers the measures of a film's faces, frame by frame, for `figure`."""

    def __init__(self):
        self._rows: dict[int, list[tuple]] = defaultdict(list)

    def add(self, time: float, faces: Iterable[Face]) -> None:
        """faces: with identity and measures, as `measures.measured` and video.py's count of blinks give them."""
        for face in faces:
            values = [np.nan if face.measures[name] is None else face.measures[name] for name in COLUMNS]
            self._rows[face.identity].append((time, *values))

    def figure(self):
        """Eyes with blinks, mouth with talk, and pose of each person, one below the other. A matplotlib Figure."""
        people = sorted(self._rows.items(), key=lambda item: -len(item[1]))[:MOST_PEOPLE]
        figure, axes = new_figure(12, 2.2 * max(1, len(people)) + 0.4, columns=3, rows=max(1, len(people)))
        for row, (identity, values) in zip(np.atleast_2d(axes), sorted(people), strict=False):
            plot_person(row, identity, np.array(values))
        for axis in np.atleast_2d(axes)[-1]:
            axis.set_xlabel("seconds")
        return figure


COLUMNS = ("right_eye", "left_eye", "mouth", "yaw", "pitch", "roll", "blinks")


def plot_person(axes: Sequence, identity: int, values: np.ndarray) -> None:
    """axes: three, for eyes, mouth and pose. values: (T, 8), seconds and COLUMNS."""
    times, right, left, mouth, *pose, blinks = values.T
    broken = np.where(np.diff(times, prepend=times[0]) > GAP, np.nan, 1.0)  # no line across a gap
    eyes, lips, head = axes
    told = times[1:][np.diff(blinks) > 0]
    eyes.plot(times, broken * (right + left) / 2, color=to_hex(BLUE), linewidth=1)
    eyes.plot(told, np.full(len(told), 0.02), "^", color=to_hex(VERMILION), clip_on=False)
    eyes.set(title=f"face {identity}: eyes, height / width; {len(told)} blinks ▲", ylim=(0, None))
    lips.plot(times, broken * mouth, color=to_hex(GREEN), linewidth=1)
    moves = talks(times, mouth)
    lips.fill_between(times, 0, 1, where=moves, transform=lips.get_xaxis_transform(), color=to_hex(SKY), alpha=0.25)
    lips.set(title=f"mouth, height / width; moves {moves.mean():.0%} of the time (shaded)", ylim=(0, None))
    for name, angle, color in zip(("yaw", "pitch", "roll"), pose, (VERMILION, ORANGE, PURPLE), strict=True):
        head.plot(times, broken * angle, color=to_hex(color), linewidth=1, label=name)
    head.set(title="head, °")
    head.legend(frameon=False, ncols=3, loc="upper right", fontsize="small")


def talks(times: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """(T,): where a mouth moves as one that talks does; times (T,) seconds, growing; mouth (T,) height / width.

    The mouth's standard deviation over TALK_SECONDS is above TALK. Chewing and laughing count too.
    """
    first = np.searchsorted(times, times - TALK_SECONDS / 2)
    last = np.searchsorted(times, times + TALK_SECONDS / 2, side="right")
    sums, squares = (np.concatenate([[0.0], np.cumsum(np.nan_to_num(mouth) ** power)]) for power in (1, 2))
    count = last - first
    mean = (sums[last] - sums[first]) / count
    return (squares[last] - squares[first]) / count - mean**2 > TALK**2
