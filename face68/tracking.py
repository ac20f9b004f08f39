"""Faces of a film, frame by frame, each with its identity and steady points, and without a search of each frame."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from face68 import geometry
from face68.frames import Frame
from face68.images import as_rgb
from face68.landmarker import Landmarker, certainty, is_trusted, next_frames
from face68.landmarks import Face
from face68.smoothing import BOTH_WAYS, SteadyPoints

SEARCH_EVERY = 30  # frames from one search for newcomers to the next
RETRY_EVERY = 5  # frames from one search for a lost or unsure face to the next
MIRROR_EVERY = 10  # frames from one mirrored prediction to the next …
MIRROR_OFFSET_SHARE = 0.5  # … and the weight of the new one
MEMORY = 2.0  # seconds for which a lost face is known again
UNSURE = 0.8  # the face score below which a followed face is searched for in the whole frame
SAME_FACE = 0.5  # of a face's side; centres that are closer are of one face
# A lost face is known again so many of its sides from where it is expected, and so much farther for each second, and up
# to so many times larger or smaller.
REACH, REACH_A_SECOND, SIZES = 1.0, 1.0, 1.6
# So far back, in seconds, and across cuts, who looks alike is known again: pictures correlate by so much. In clips
# those of one person half a second apart do by 0.83 in the median; those of two, in `hamilton`, by at most 0.7.
LONG_MEMORY, ALIKE = 10.0, 0.8
MARGIN = 0.15  # of the points' box around it in such a picture, twice as much above
LOOK_AHEAD = 0.5  # seconds, of `smooth_ahead`
CUT = 20.0  # gray levels, the least mean difference between the pixels of two successive frames at a film's cut
STEADY = 0.1  # seconds over which a face's velocity is averaged
STRAIGHT = 0.3  # seconds for which a face is expected to go on at its velocity


@dataclass
class _Track:
    """Somebody who is followed, or got lost lately.

    face: the last prediction. time: of that, seconds. velocity: of the middle of its points, (2,) px a second.
    mirror_offset: (68, 2), the mean of a plain and a mirrored prediction less the plain one, in sides of the level
        face; None before the first mirrored prediction.
    picture: once the face is lost, how it looked, see `picture_of`. is_cut_off: whether a cut lies between.
    """

    identity: int
    face: Face
    time: float
    velocity: np.ndarray | float = 0.0
    mirror_offset: np.ndarray | None = None
    picture: np.ndarray | None = None
    is_cut_off: bool = False

    def __post_init__(self):
        self.middle, self.side = middle(self.face), side(self.face)

    def expected(self, time: float) -> np.ndarray:
        """Where the middle of the points should be, (2,) px."""
        return self.middle + self.velocity * min(time - self.time, STRAIGHT)

    def moved(self, face: Face, time: float) -> "_Track":
        """The track with the face of a new frame."""
        after = _Track(self.identity, face, time, mirror_offset=self.mirror_offset)
        gap = time - self.time
        now = (after.middle - self.middle) / gap
        after.velocity = self.velocity + (now - self.velocity) * min(1.0, gap / STEADY)
        return after


class Tracker:
    """The faces of a film, each with an identity that it keeps, and with steady points.

        tracker = Tracker(Landmarker())
        for frame in FilmReader("film.mp4"):
            for face in tracker(frame.image, frame.time):
                face.identity, face.keypoints

    A face is predicted once a frame, in the square around its points in the last frame. Every MIRROR_EVERY frames it is
    also predicted mirrored: the mean of both is better, and their difference changes slowly. The whole frame is
    searched when no face is followed, every `search_every` frames, and after a face got lost or its face score dropped.
    A face that comes back within MEMORY seconds keeps its identity, by its expected place and its size; one that comes
    back later, or behind a cut, if it also looks the same (see `picture_of`): no face is recognised.

    landmarker: its network, detector and limits are used.
    smooth: whether points are filtered (see `SteadyPoints`). Times must be true then: a speed is one a second.
    search_every: frames.

    `frames` and `searches` count the frames, and the searches of a whole frame.
    """

    def __init__(self, landmarker: Landmarker, smooth: bool = True, search_every: int = SEARCH_EVERY):
        self.landmarker, self.search_every = landmarker, search_every
        self._steady = SteadyFaces() if smooth else None
        self.frames = self.searches = 0
        self._tracks: list[_Track] = []
        self._lost: list[_Track] = []
        self._identities = 0
        self._time = -math.inf
        self._searched = -math.inf  # the number of the frame
        self._glimpse: np.ndarray | None = None
        self._image: np.ndarray | None = None  # the last one

    def __call__(self, image: np.ndarray, time: float | None = None) -> list[Face]:
        """The faces of the next frame, left to right.

        image: as `images.as_rgb` takes it.
        time: seconds, from any zero, growing. None: a thirtieth after the last one.

        Raises:
            ValueError: the time is not after that of the last frame, or not finite.
        """
        image = as_rgb(image)
        if time is None:
            time = 0.0 if self._time == -math.inf else self._time + 1 / 30
        if not self._time < time < math.inf:
            raise ValueError(f"a frame at {time} s comes after one at {self._time} s; times are finite, and grow")
        if self._is_cut(image):
            self._lose(self._tracks)
            self._tracks = []
            for track in self._lost:
                track.is_cut_off = True
        self._lost = [track for track in self._lost if time - track.time <= LONG_MEMORY]
        self._follow(image, time)
        if self._is_to_search():
            self._search(image, time)
        self.frames, self._time, self._image = self.frames + 1, time, image
        faces = [replace(track.face, identity=track.identity) for track in self._tracks]
        faces.sort(key=lambda face: face.keypoints[:, 0].min())
        return self._steady(faces, time) if self._steady else faces

    def _is_cut(self, image: np.ndarray) -> bool:
        """Whether this frame is so unlike the last one that the film was cut between them."""
        height, width = image.shape[:2]
        glimpse = np.ascontiguousarray(image[:: max(1, height // 24), :: max(1, width // 32), 1])
        before, self._glimpse = self._glimpse, glimpse
        if before is None or before.shape != glimpse.shape:
            return False
        return cv2.norm(glimpse, before, cv2.NORM_L1) > CUT * glimpse.size

    # --- Followed ---------------------------------------------------------------------------------------------

    def _follow(self, image: np.ndarray, time: float) -> None:
        """Predict each face where it is expected; one that isn't there is lost."""
        if not self._tracks:
            return
        # The frame of each face's last points, moved on.
        points, boxes = zip(*((track.face.keypoints, track.face.box) for track in self._tracks), strict=True)
        scheme = self._tracks[0].face.scheme
        frames, degrees = next_frames(np.stack(points), boxes, scheme)
        moving = scheme.has_extent  # around a single point lies the same box, for the picture frames it
        moves = [moving * (track.expected(time) - track.middle) for track in self._tracks]
        boxes = [frame + np.concatenate([move, move]) for frame, move in zip(frames, moves, strict=True)]
        images = [image] * len(boxes)
        predictions = self.landmarker.predict(images, boxes, degrees)
        if self.frames % MIRROR_EVERY == 0 or any(track.mirror_offset is None for track in self._tracks):
            mirrored = self.landmarker.predict(images, boxes, degrees, mirror=True)
            self._learn_mirror_offsets((mirrored.keypoints - predictions.keypoints) / 2, boxes, degrees)
        # The faces that are still there.
        seen = []
        for i, track in enumerate(self._tracks):
            errors, face_score, visible = (None if values is None else values[i] for values in predictions[1:])
            mirror_offset = geometry.transform_points(track.mirror_offset, from_level(boxes[i], degrees[i]))
            face = replace(
                track.face,
                box=tuple(boxes[i].tolist()),
                keypoints=predictions.keypoints[i] + mirror_offset,
                errors=errors,
                face_score=None if face_score is None else float(face_score),
                visible=visible,
            )
            if is_trusted(face, self.landmarker.min_face_score):
                seen.append((track, face))
            else:
                self._lose([track])
        self._tracks = [track.moved(face, time) for track, face in self._only_owners(seen, time)]

    def _learn_mirror_offsets(self, halves: np.ndarray, boxes: Sequence, degrees: Sequence[float]) -> None:
        """halves: (N, 68, 2) px, of the difference between a mirrored and a plain prediction of the followed faces."""
        for track, half, box, degree in zip(self._tracks, halves, boxes, degrees, strict=True):
            new, old = geometry.transform_points(half, geometry.invert(from_level(box, degree))), track.mirror_offset
            track.mirror_offset = new if old is None else old + MIRROR_OFFSET_SHARE * (new - old)

    def _only_owners(self, seen: list[tuple[_Track, Face]], time: float) -> list[tuple[_Track, Face]]:
        """One track for each face: where several end up on one, as when a person passes before another, the track that
        was expected there stays, and the others are lost.
        """
        if len(seen) < 2:
            return seen

        def surprise(pair: tuple[_Track, Face]) -> float:
            track, face = pair
            return float(np.linalg.norm(middle(face) - track.expected(time)) / track.side)

        owners = []
        for track, face in sorted(seen, key=surprise):
            if any(is_same(face, other) for _, other in owners):
                self._lose([track])
            else:
                owners.append((track, face))
        return owners

    # --- Searched for -----------------------------------------------------------------------------------------

    def _is_to_search(self) -> bool:
        since = self.frames - self._searched
        if not self._tracks or since >= self.search_every:
            return True
        is_lost = any(self._time - track.time <= MEMORY and not track.is_cut_off for track in self._lost)
        return since >= RETRY_EVERY and (is_lost or any(is_unsure(track.face) for track in self._tracks))

    def _search(self, image: np.ndarray, time: float) -> None:
        """Find newcomers and lost faces in the whole frame, and better points of unsure faces."""
        self.searches, self._searched = self.searches + 1, self.frames
        (faces,) = self.landmarker.faces([image], [self.landmarker.detect(image)])
        new = []
        for face in faces:
            i = next((i for i, track in enumerate(self._tracks) if is_same(face, track.face)), None)
            if i is None:
                new.append(face)
            elif is_unsure(self._tracks[i].face) and certainty(face) > certainty(self._tracks[i].face):
                self._tracks[i] = replace(self._tracks[i], face=face)
        self._lose_missing(faces)
        if self.landmarker.largest and self._tracks:
            return
        for face in new:
            track = self._found_again(face, time, image)
            if track is None:
                self._identities += 1
                track = _Track(self._identities, face, time)
            self._tracks.append(track)

    def _lose(self, tracks: Sequence[_Track]) -> None:
        """Remember who was seen in the last frame and isn't in this one, and how they looked."""
        for track in tracks:
            track.picture = picture_of(self._image, track.face)
        self._lost += tracks

    def _lose_missing(self, faces: Sequence[Face]) -> None:
        """Lose the tracks that a search didn't find. Only where the network gives no face scores: else these tell."""
        for track in list(self._tracks):
            if track.face.face_score is None and not any(is_same(face, track.face) for face in faces):
                self._tracks.remove(track)
                self._lose([track])

    def _found_again(self, face: Face, time: float, image: np.ndarray) -> _Track | None:
        """The lost track that a face belongs to: the nearest to where it was expected, if near enough."""
        picture = picture_of(image, face) if self._lost else None

        def distance(track: _Track) -> float:
            away = time - track.time
            if not 1 / SIZES < side(face) / track.side < SIZES:
                return math.inf
            if (track.is_cut_off or away > MEMORY) and not picture @ track.picture > ALIKE:
                return math.inf
            allowed = track.side * (REACH + REACH_A_SECOND * min(away, MEMORY))
            return float(np.linalg.norm(middle(face) - track.expected(time))) / allowed

        nearest = min(self._lost, key=distance, default=None)
        if nearest is None or distance(nearest) > 1:
            return None
        self._lost.remove(nearest)
        return _Track(nearest.identity, face, time)


class SteadyFaces:
    """The faces of successive frames with points filtered for each identity; one that was away begins anew.

    cutoffs: see `SteadyPoints`.
    """

    def __init__(self, cutoffs: float = 1.0):
        self.cutoffs = cutoffs
        self._filters: dict[int, SteadyPoints] = {}

    def __call__(self, faces: Sequence[Face], time: float) -> list[Face]:
        """time: seconds, growing."""
        self._filters = {
            face.identity: self._filters.get(face.identity) or SteadyPoints(self.cutoffs, face.scheme) for face in faces
        }
        return [_filtered(face, self._filters[face.identity], time) for face in faces]


def smooth_ahead(seen: Iterable[tuple[Frame, list[Face]]]) -> Iterator[tuple[Frame, list[Face]]]:
    """The same frames, given out LOOK_AHEAD seconds later, with points that neither shake nor lag.

    Each face is filtered forwards, and then backwards from LOOK_AHEAD seconds later: the one filter's lag takes off the
    other's.

    seen: frames and their faces, of a `Tracker` that doesn't smooth.
    """
    forwards, waiting = SteadyFaces(BOTH_WAYS), deque()
    for frame, faces in seen:
        waiting.append((frame, forwards(faces, frame.time)))
        while frame.time - waiting[0][0].time >= LOOK_AHEAD:
            yield _without_lag(waiting)
    while waiting:
        yield _without_lag(waiting)


def _without_lag(waiting: deque) -> tuple[Frame, list[Face]]:
    """The first of the waiting frames, its faces filtered backwards from the last one in which each is followed."""
    frame, faces = waiting[0]
    steady = []
    for face in faces:
        views = []
        for later, others in waiting:
            view = next((other for other in others if other.identity == face.identity), None)
            if view is None:
                break
            views.append((view, later.time))
        backwards = SteadyPoints(BOTH_WAYS, face.scheme)
        for view, time in reversed(views):
            face = _filtered(view, backwards, -time)
        steady.append(face)
    waiting.popleft()
    return frame, steady


def _filtered(face: Face, steady: SteadyPoints, time: float) -> Face:
    return replace(face, keypoints=steady(face.keypoints, face.errors, time))


def from_level(box: np.ndarray, degrees: float) -> np.ndarray:
    """The 2×3 matrix that takes differences in sides of the level face of `landmarks.upright_frame` to px."""
    return geometry.similarity((0, 0), (0, 0), scale=box[2] - box[0], degrees=-degrees)


def picture_of(image: np.ndarray, face: Face) -> np.ndarray:
    """How a face and its hair look: (192,) floats, of 8×8 pixels in colour, of mean 0 and length 1; all 0 of a plain or
    unseen one. Brightness and contrast, as of a flash, don't count; the product of two is their correlation.
    """
    low, high = face.keypoints.min(axis=0), face.keypoints.max(axis=0)
    margin = MARGIN * (high - low)
    (x0, y0), (x1, y1) = np.rint([low - margin * (1, 2), high + margin]).clip(0).astype(int)
    part = image[y0:y1, x0:x1]
    if not part.size:
        return np.zeros(8 * 8 * 3)
    small = cv2.resize(part, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
    small -= small.mean()
    return small / (np.linalg.norm(small) or 1.0)


def middle(face: Face) -> np.ndarray:
    """(2,) px: the mean of the points."""
    return face.keypoints.sum(axis=0, dtype=np.float64) / len(face.keypoints)


def side(face: Face) -> float:
    """px: the longer side of the box around the points; of a single point the width of the face's own box."""
    return float(np.ptp(face.keypoints, axis=0).max()) if face.scheme.has_extent else face.box[2] - face.box[0]


def is_unsure(face: Face) -> bool:
    """Whether its face score is low; without one a face counts as sure."""
    return face.face_score is not None and face.face_score < UNSURE


def is_same(one: Face, other: Face) -> bool:
    """Whether two faces are one, by their places."""
    return bool(np.linalg.norm(middle(one) - middle(other)) < SAME_FACE * max(side(one), side(other)))
