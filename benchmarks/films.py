"""Films: milliseconds a frame; how well faces are followed where the truth is known, and how steady points are."""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.figures import plot_signals
from benchmarks.movement import (
    OneEuro,
    blink_row,
    blinks_seen,
    drawn_blinks,
    kept_row,
    labelled_blinks,
    mouth_opening,
    peaks_kept,
    slope,
)
from benchmarks.peers import MediaPipe, installed
from benchmarks.photos import landmarker_of
from benchmarks.tables import Tables
from benchmarks.timing import in_turn, one_core, time_rows
from datasets.synthetic.films import frames as drawn_frames
from evaluation.metrics import is_near
from face68.files import InputError
from face68.frames import FilmReader, Frame
from face68.geometry import box_of, resize
from face68.landmarker import Landmarker, upright_frames
from face68.landmarks import CHIN, REGIONS, Face, inter_ocular
from face68.network import shipped_network
from face68.tracking import SteadyFaces, Tracker, smooth_ahead
from plots import style

STEADY = "steady.png"
JUDGE = "large"  # the network that tells movement from noise in clips
WARM_UP = 10  # frames
SHOWN = 2.5  # seconds of a film in a picture
MOST_LAG = 4.0  # frames that a lag is looked for within


class Followed(NamedTuple):
    """An actor of a film and what was seen of them, in T frames.

    times: (T,) seconds. truth: (T, 68, 2) px. hidden: (T,) share of the points, 1 where the actor isn't there.
    closed: (T,) how far the lids are closed, 0 … 1.
    found: (T, 68, 2) px, NaN where nobody was found. identities: (T,), 0 where nobody was found.
    """

    times: np.ndarray
    truth: np.ndarray
    hidden: np.ndarray
    closed: np.ndarray
    found: np.ndarray
    identities: np.ndarray

    @property
    def is_seen(self) -> np.ndarray:
        """(T,) where at least half of the points can be seen."""
        return self.hidden < 0.5


class SeenFrame(NamedTuple):
    """A frame of a film whose truth is known: seconds, its actors and the faces found."""

    time: float
    actors: Sequence
    faces: Sequence[Face]


# --- The commands ---------------------------------------------------------------------------------------------


def compare_films(args) -> Tables:
    """Milliseconds a frame of a film with 1, 2 and 4 faces, one core, against MediaPipe's tracking."""
    frames = [frame.image for frame in FilmReader(args.film, end=args.seconds)]
    rows = []
    for faces in (1, 2, 4):
        with one_core():
            trackers = {"face68": Tracker(landmarker_of(args.network))}
            peer = partial(MediaPipe, model=args.mediapipe_model, film=True, faces=faces)
            peers = {peer.name: peer for peer in installed(peer)}
            times, found = track_in_turn(trackers | peers, [tiled(frame, faces) for frame in frames])
        for row in time_rows(times, against=peers):
            share = {"found": np.mean(found[row["name"]]) / faces}
            rows.append(row | {"name": f"{row['name']}, {faces} face{'s' * (faces > 1)}"} | share)
    return {"films": rows}


def track_in_turn(trackers: dict, pictures: Sequence[np.ndarray]) -> tuple[dict, dict]:
    """Milliseconds that each takes for each picture, once warm, and how many faces it finds there."""
    times, found = {name: [] for name in trackers}, {name: [] for name in trackers}

    def follow(name: str, picture: np.ndarray) -> None:
        found[name].append(len(trackers[name](picture)))

    for picture in pictures:
        for name, values in in_turn({name: partial(follow, name, picture) for name in trackers}, 1).items():
            times[name] += values.tolist()
    return {name: np.array(values[WARM_UP:]) for name, values in times.items()}, found


def measure_tracking(args) -> Tables:
    """Drawn films, whose truth is known: identities, accuracy, jitter and lag by how points are filtered; and clips.

    "photos": each frame by itself, as predict.py does; else as video.py does, by --smooth. "share searched": of the
    frames, of which all was searched. Jitter is that of the points' second differences, in distances of the eyes; of
    clips, whose truth nobody knows, also in the calmer half of the frames. "×": how much less than off. Lags are in
    frames. "kept": the share of a clip's movement, by band in hertz, as another network judges it (see
    `movement.kept`). "one euro": MediaPipe's filter, for comparison.
    """
    landmarker, rows, panels = landmarker_of(args.network), [], []
    for name in args.films:
        followed, photos, searched = watch_film(landmarker, name)
        films = {"photos": photos} | filtered(followed)
        figures = {mode: film_row(follow_actors(film)) for mode, film in films.items()}
        for mode, film in films.items():
            row = {"name": f"{name}, {mode}", "frames": len(film)}
            row |= {"share_searched": 1.0 if mode == "photos" else searched} | figures[mode]
            rows.append(row | {"less_jitter": figures["off"]["jitter"] / row["jitter"]})
        panels += panels_of(name, filtered(followed))
    if panels:
        style.save_figure(plot_signals(panels), args.output_dir / STEADY)
    judge = landmarker_of(shipped_network(JUDGE))
    clips = [row for path in args.clip or () for row in clip_rows(landmarker, judge, path)]
    return ({"films": rows} if rows else {}) | ({"clips": clips} if clips else {})


def watch_film(landmarker: Landmarker, name: str) -> tuple[list[SeenFrame], list[SeenFrame], float]:
    """A drawn film as it is followed, unfiltered, and as photos; and the share of the frames that were searched."""
    tracker, followed, photos = Tracker(landmarker, smooth=False), [], []
    for image, moment, actors in drawn_frames(name):
        followed.append(SeenFrame(moment, actors, tracker(image, moment)))
        photos.append(SeenFrame(moment, actors, landmarker(image)))
    return followed, photos, tracker.searches / tracker.frames


def clip_rows(landmarker: Landmarker, judge: Landmarker, path: Path) -> list[dict]:
    """Jitter, movement and blinks of the face that a clip shows for longest; judge: of another network."""
    tracker = Tracker(landmarker, smooth=False)
    followed = [SeenFrame(frame.time, (), tracker(frame.image, frame.time)) for frame in FilmReader(path)]
    if not any(frame.faces for frame in followed):
        raise InputError(f"{path}: no face is found there; give another clip")
    films = {mode: points_of_longest(film) for mode, film in filtered(followed).items()}
    frames, calm = films["off"][0], films["offline"][1]
    judged = judged_points(judge, path, frames, films["off"][1])
    times = np.array([followed[i].time for i in frames])
    true, rows = labelled_blinks(path.stem), []
    for mode, (_, points) in films.items():
        row = {"name": f"{path.stem}, {mode}", "frames": len(points)}
        row |= {"share_searched": tracker.searches / tracker.frames}
        row |= {"jitter": jitter(points, inter_ocular(calm)), "jitter_calm": quiet_jitter(points, calm)}
        row |= kept_row(points, films["off"][1], judged, (len(times) - 1) / np.ptp(times))
        rows.append(row | blink_row(blinks_seen(times, points), true or (), np.ptp(times)))
    for row in rows:
        row |= {f"less_{name}": rows[0][name] / row[name] for name in ("jitter", "jitter_calm")}
    return rows


def judged_points(judge: Landmarker, path: Path, frames: Sequence[int], points: np.ndarray) -> np.ndarray:
    """(T, 68, 2) px: the points of the same face by another network, in the boxes of the first one's points."""
    wanted, judged = dict(zip(frames, points, strict=True)), []
    for i, frame in enumerate(FilmReader(path)):
        if i in wanted:
            boxes, degrees = upright_frames(wanted[i][None])
            judged.append(judge.predict([frame.image], boxes, degrees).keypoints[0])
    return np.stack(judged)


# --- Who was followed, and how well ---------------------------------------------------------------------------


def filtered(film: Sequence[SeenFrame]) -> dict[str, list[SeenFrame]]:
    """A film that was followed without filtering, by each way to filter: those of video.py --smooth."""
    live = SteadyFaces()
    ahead = smooth_ahead((Frame(i, frame.time, None), frame.faces) for i, frame in enumerate(film))
    others: dict[int, OneEuro] = defaultdict(OneEuro)
    return {
        "off": list(film),
        "one euro": [
            frame._replace(faces=[others[face.identity](face, frame.time) for face in frame.faces]) for frame in film
        ],
        "live": [frame._replace(faces=live(frame.faces, frame.time)) for frame in film],
        "offline": [frame._replace(faces=faces) for frame, (_, faces) in zip(film, ahead, strict=True)],
    }


def points_of_longest(film: Sequence[SeenFrame]) -> tuple[list[int], np.ndarray]:
    """Of the face that is seen for longest, until it is lost: its frames' numbers, and points (T, 68, 2) px."""
    longest, current = [], {}
    for i, frame in enumerate(film):
        current = {face.identity: [*current.get(face.identity, []), (i, face.keypoints)] for face in frame.faces}
        longest = max([longest, *current.values()], key=len)
    frames, points = zip(*longest, strict=True)
    return list(frames), np.stack(points)


def panels_of(name: str, films: dict[str, Sequence[SeenFrame]]) -> list[dict]:
    """The panel of a film for `plot_signals`, its first SHOWN seconds; none of a film without an entry in SIGNALS."""
    if name not in SIGNALS:
        return []
    title, signal = SIGNALS[name]
    lines, times = {}, np.zeros(0)
    for mode in ("off", "live", "offline"):
        actor = follow_actors(films[mode])[0]
        lines = {"truth": signal(actor.truth, actor.truth)} | lines | {mode: signal(actor.found, actor.truth)}
        times = actor.times
    shown = times < SHOWN
    return [{"title": title, "times": times[shown], "lines": {mode: 100 * y[shown] for mode, y in lines.items()}}]


def follow_actors(film: Sequence[SeenFrame]) -> list[Followed]:
    """What became of each actor of a film. A face is that of the actor it is nearest to."""
    identities = sorted({actor.identity for frame in film for actor in frame.actors})
    rows, nowhere = {identity: [] for identity in identities}, np.full((68, 2), np.nan)
    for frame in film:
        there = {actor.identity: actor for actor in frame.actors}
        owners = {id(face): nearest_actor(frame.actors, face) for face in frame.faces}
        for identity in identities:
            own = [face for face in frame.faces if owners[id(face)] == identity]
            truth, hidden, closed = nowhere, 1.0, 0.0
            if identity in there:
                truth, hidden, closed = (getattr(there[identity], name) for name in ("keypoints", "hidden", "blink"))
            found, seen = (own[0].keypoints, own[0].identity or 0) if own else (nowhere, 0)
            rows[identity].append((truth, hidden, closed, found, seen))
    times = np.array([frame.time for frame in film])
    return [Followed(times, *map(np.array, zip(*rows[identity], strict=True))) for identity in identities]


def nearest_actor(actors: Sequence, face: Face) -> int | None:
    """The identity of the actor whose points are the nearest to a face's, of those that are about there."""
    near = [actor for actor in actors if is_near(box_of(face.keypoints), actor.keypoints)]
    nearest = min(near, key=lambda actor: np.linalg.norm(face.keypoints - actor.keypoints), default=None)
    return None if nearest is None else nearest.identity


def switches(identities: np.ndarray) -> int:
    """How often another identity is seen than the last one that was."""
    seen = identities[identities > 0]
    return int((np.diff(seen) != 0).sum())


def jitter(points: np.ndarray, eyes: np.ndarray, frames: np.ndarray = np.s_[:]) -> float:
    """The standard deviation of the points' second differences from frame to frame, in distances of the eyes.

    points: (T, 68, 2) px, NaN where there are none; less the truth, where that is known, so that motion doesn't count.
    eyes: (T,) px. frames: (T - 2,) bool, which of the differences count.
    """
    return float(np.nanstd((np.diff(points, 2, axis=0) / eyes[1:-1, None, None])[frames]))


def lag(signal: np.ndarray, truth: np.ndarray, moves: float = 0.0) -> float:
    """By how many frames a signal (T,) comes late: where it fits the truth best, up to an offset and a factor.

    NaN where the truth's standard deviation is at most `moves`, or the signal isn't known throughout.
    """
    if np.std(truth) <= moves or not np.isfinite(signal).all():
        return math.nan
    shifts = np.arange(-MOST_LAG, MOST_LAG + 0.05, 0.05)
    at = np.arange(len(truth), dtype=float)
    inside = slice(int(MOST_LAG), -int(MOST_LAG))
    fits = [np.corrcoef(signal[inside], np.interp(at - shift, at, truth)[inside])[0, 1] for shift in shifts]
    return float(shifts[int(np.argmax(fits))])


def film_row(followed: Sequence[Followed]) -> dict:
    """How well the actors of a film were followed; of those that can be seen by half at least, all together.

    found: share of the frames. switches: of identities. nme: inter-ocular, of those found. jitter: without that of the
    actors themselves. slope_mouth, peaks_mouth: of the mouth's opening, 1 where it is all there. lag_mouth, lag_head:
    frames, of that and of the nose's way across; NaN where these don't move. And `blink_row`.
    """
    found, errors, jitters, mouths, heads = [], [], [], [], []
    for actor in followed:
        eyes, seen = inter_ocular(actor.truth), actor.is_seen
        error = np.linalg.norm(actor.found - actor.truth, axis=-1).mean(axis=-1) / eyes
        found.append(np.isfinite(error[seen]))
        errors.append(error[seen])
        jitters.append(jitter((actor.found - actor.truth)[seen], eyes[seen]))
        if seen.all():
            mouths.append(mouth_row(mouth_opening(actor.found), mouth_opening(actor.truth)))
            heads.append(lag(nose_across(actor.found) / eyes, nose_across(actor.truth) / eyes, MOVES["head"]))
    return {
        "found": np.concatenate(found).mean(),
        "switches": sum(switches(actor.identities) for actor in followed),
        "nme": np.nanmean(np.concatenate(errors)),
        "jitter": np.mean(jitters),
        **pd.DataFrame(mouths, columns=MOUTH_FIGURES, dtype=float).mean().to_dict(),  # without NaN
        "lag_head": pd.Series(heads, dtype=float).mean(),
        **film_blinks(followed),
    }


MOUTH_FIGURES = ("slope_mouth", "peaks_mouth", "lag_mouth")


def mouth_row(opening: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """MOUTH_FIGURES of a mouth's opening (T,); NaN where the mouth doesn't move, or isn't known throughout."""
    late = lag(opening, truth, MOVES["mouth"])
    return (math.nan,) * 3 if math.isnan(late) else (slope(opening, truth), peaks_kept(opening, truth), late)


def film_blinks(followed: Sequence[Followed]) -> dict:
    """`blink_row` of all actors together; a blink of somebody who isn't seen counts as not found."""
    seen, true, offset = [], [], 0.0
    for actor in followed:
        there = np.isfinite(actor.found[:, 0, 0])
        seen += [time + offset for time in blinks_seen(actor.times[there], actor.found[there])]
        true += [(begin + offset, end + offset) for begin, end in drawn_blinks(actor.times, actor.closed)]
        offset += actor.times[-1] + 10
    return blink_row(seen, true, len(followed) * np.ptp(followed[0].times))


MOVES = {"mouth": 0.02, "head": 0.2}  # standard deviations, in distances of the eyes, from which a lag can be measured


def nose_across(points: np.ndarray) -> np.ndarray:
    """(T,) px: how far to the right the nose is; points (T, 68, 2) px."""
    return points[:, REGIONS["nose"], 0].mean(axis=-1)


def quiet_jitter(points: np.ndarray, calm: np.ndarray) -> float:
    """`jitter` of points (T, 68, 2) in the half of the frames in which the face moves least, where no truth is known.

    calm: the same points filtered, (T, 68, 2): they tell how much it moves.
    """
    eyes = inter_ocular(calm)
    speeds = np.linalg.norm(np.diff(calm, axis=0), axis=-1).mean(axis=-1) / eyes[1:]
    speeds = np.convolve(speeds, np.ones(9) / 9, "same")[:-1]  # over a third of a second
    return jitter(points, eyes, speeds <= np.median(speeds))


def tiled(image: np.ndarray, count: int) -> np.ndarray:
    """The frame of `count` copies side by side, 1, 2 or 4, in a picture of the same size."""
    across, down = {1: (1, 1), 2: (2, 1), 4: (2, 2)}[count]
    height, width = image.shape[:2]
    block = np.tile(resize(image, height // across, width // across), (down, across, 1))
    frame = np.zeros_like(image)
    frame[: block.shape[0], : block.shape[1]] = block
    return frame


# Films in which there is something to see, with what: its name, and its values (T,) in distances of the eyes, from
# found and true points (T, 68, 2) px.
SIGNALS = {
    "still": ("a face at rest: tip of the chin", lambda found, true: (found - true)[:, CHIN, 0] / inter_ocular(true)),
    "speech": ("speech: opening of the mouth", lambda found, true: mouth_opening(found)),
    "fast": (
        "a head that is shaken: nose",
        lambda found, true: (nose_across(found) - nose_across(true).mean()) / inter_ocular(true),
    ),
}
