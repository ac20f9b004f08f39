"""Who is who in a film, and how seldom all of a frame has to be searched for that."""

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
from conftest import SHARED

from face68 import Landmarker, tracking
from face68.detect import FaceBoxes
from face68.draw import schematic_face
from face68.frames import FilmReader, Frame
from face68.landmarks import Face
from face68.network import Predictions
from face68.tracking import Tracker, smooth_ahead

RATE = 25
SIDE = 60.0  # px, of the box around the 68 points
SHAPE = schematic_face() / np.ptp(schematic_face(), axis=0).max() * SIDE
IMAGE = np.zeros((400, 800, 3), np.uint8)


@dataclass
class World:
    """Stands for a landmarker: its frames show faces at `places`, whatever the pixels say.

    mirror_offset: what is added to a plain prediction, and taken off a mirrored one. unsure: the faces' score.
    """

    places: list = field(default_factory=list)  # of those who can be seen: the middle of their points, (2,) px
    mirror_offset: np.ndarray | float = 0.0
    face_score: float = 1.0
    min_face_score: float = 0.3
    largest: bool = False
    searches: int = 0
    predictions: int = 0

    def predict(self, images, boxes, degrees, mirror=False):
        self.predictions += len(images)
        points, scores = [], []
        for x0, y0, x1, y1 in boxes:
            center = np.array([x0 + x1, y0 + y1]) / 2
            nearest = min(self.places, key=lambda place: np.linalg.norm(place - center), default=center + 1000)
            is_there = np.linalg.norm(nearest - center) < 0.6 * SIDE
            points.append(at(nearest if is_there else center) + (-self.mirror_offset if mirror else self.mirror_offset))
            scores.append(self.face_score if is_there else 0.01)
        return Predictions(np.float32(points), np.full((len(boxes), 68), 1.0, np.float32), np.float32(scores))

    def detect(self, image):
        self.searches += 1
        return FaceBoxes(
            np.array([[*place, *place] for place in self.places]).reshape(-1, 4), np.ones(len(self.places))
        )

    def faces(self, images, found):
        return [
            [Face(tuple(box), 1.0, at(box[:2]), np.ones(68, np.float32), self.face_score) for box in found[0].boxes]
        ]


def at(place) -> np.ndarray:
    return (SHAPE - SHAPE.mean(axis=0) + place).astype(np.float32)


def play(world: World, films: list, tracker: Tracker | None = None, start: int = 0) -> list[list[Face]]:
    """The faces of each frame; films: for each frame the places of those who can be seen."""
    tracker = tracker or Tracker(world, smooth=False)
    found = []
    for i, places in enumerate(films, start=start):
        world.places = [np.asarray(place, float) for place in places]
        found.append(tracker(IMAGE, i / RATE))
    return found


def identities(found: list[list[Face]]) -> list[list[int]]:
    return [[face.identity for face in faces] for faces in found]


def test_a_face_that_moves_is_followed_and_seldom_searched_for():
    world = World()
    found = play(world, [[(100 + 5 * i, 200)] for i in range(100)])
    assert identities(found) == [[1]] * 100
    assert world.searches == 4  # at the beginning and every 30 frames
    for i, (face,) in enumerate(found):
        np.testing.assert_allclose(face.keypoints.mean(axis=0), (100 + 5 * i, 200), atol=1e-3)


def test_fast_faces_are_followed_where_they_go():
    """Half of a face's side a frame is more than its crop bears, unless that goes ahead."""
    way = np.cumsum(np.minimum(np.arange(20), 12) * 0.045 * SIDE)
    world = World()
    assert identities(play(world, [[(100 + x, 200)] for x in way])) == [[1]] * 20
    assert world.searches == 1


def test_newcomers_are_found_in_time():
    found = play(World(), [[(100, 200)]] * 10 + [[(100, 200), (400, 200)]] * 40)
    assert identities(found)[9] == [1] and identities(found)[tracking.SEARCH_EVERY] == [1, 2]


@pytest.mark.parametrize(("hidden", "back", "expected"), [(25, (110, 205), 1), (75, (110, 205), 2), (5, (500, 200), 2)])
def test_who_was_hidden_is_known_again_soon_and_near(hidden, back, expected):
    """Frames, of 25 a second."""
    found = identities(play(World(), [[(100, 200)]] * 20 + [[]] * hidden + [[back]] * 10))
    assert found[19] == [1] and found[21] == [] and found[-1] == [expected]


@pytest.mark.parametrize("speed", [3, 6, 12])
def test_who_passes_behind_another_keeps_their_number(speed):
    """Two walk past each other; while they are at one place only the nearer one can be seen."""

    def film():
        for i in range(round(400 / speed)):
            near, far = (200 + speed * i, 200), (600 - speed * i, 205)
            yield [near] if abs(near[0] - far[0]) < 0.8 * SIDE else [near, far]

    found = play(World(), list(film()))
    assert identities(found)[0] == [1, 2]
    assert identities(found)[-1] == [2, 1]  # from left to right
    assert max(map(max, identities(found))) == 2


def test_a_face_that_is_unsure_is_searched_for_but_not_in_each_frame():
    world = World(face_score=0.5)
    found = play(world, [[(100, 200)]] * 50)
    assert identities(found) == [[1]] * 50 and world.searches == 10


def test_a_network_that_does_not_judge_is_told_by_the_search_who_is_gone():
    """It places points whether a face is there or not."""

    class Plain(World):
        def predict(self, *arguments, **options):
            return Predictions(super().predict(*arguments, **options).keypoints, None, None)

        def faces(self, images, found):
            return [[replace(face, errors=None, face_score=None) for face in super().faces(images, found)[0]]]

    found = play(Plain(), [[(100, 200)]] * 10 + [[]] * 60)
    assert identities(found)[10] == [1] and identities(found)[tracking.SEARCH_EVERY] == []


def test_an_unsure_face_is_seen_again_as_the_search_sees_it():
    """The crop that followed it was a bad one: what the search finds there is surer, and counts."""

    class Blurred(World):
        def predict(self, *arguments, **options):
            outputs = super().predict(*arguments, **options)
            return outputs._replace(keypoints=outputs.keypoints + 3, face_scores=np.minimum(outputs.face_scores, 0.5))

    found = play(Blurred(), [[(100, 200)]] * 12)
    off = [float(np.abs(faces[0].keypoints - at((100, 200))).max()) for faces in found]
    assert [i for i, pixels in enumerate(off) if pixels < 0.01] == [0, 5, 10]  # where all of the frame was searched
    assert identities(found) == [[1]] * 12


def test_only_the_largest_is_followed_where_that_is_asked_for():
    world = World(largest=True)
    found = play(world, [[(100, 200)]] * 5 + [[(100, 200), (400, 200)]] * 60)
    assert identities(found) == [[1]] * 65


def test_plain_and_mirrored_predictions_lean_to_opposite_sides():
    """The mean of both is right, and is learned: a tenth more predictions are enough for it."""
    world = World(mirror_offset=np.random.default_rng(0).normal(0, 1.0, (68, 2)))
    found = play(world, [[(100 + i, 200)] for i in range(51)])
    for i, (face,) in enumerate(found[1:], start=1):
        np.testing.assert_allclose(face.keypoints, at((100 + i, 200)), atol=0.05)
    assert world.predictions == 50 + 5 + 1


def test_times_have_to_grow():
    tracker = Tracker(World())
    tracker(IMAGE, 1.0)
    with pytest.raises(ValueError, match=r"at 1\.0 s comes after one at 1\.0 s"):
        tracker(IMAGE, 1.0)
    for time in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="times are finite, and grow"):
            tracker(IMAGE, time)
    tracker(IMAGE)  # a thirtieth later


def test_points_are_steady_unless_asked_otherwise():
    rng = np.random.default_rng(0)
    film = [[(100 + x, 200 + y)] for x, y in rng.normal(0, 0.05, (60, 2))]
    moved = {}
    for smooth in (True, False):
        found = play(world := World(), film, Tracker(world, smooth=smooth))
        moved[smooth] = np.diff([face.keypoints.mean(axis=0) for (face,) in found], 2, axis=0)[10:].std()
    assert moved[True] < moved[False] / 3


def test_offline_points_are_steadier_and_come_at_their_time():
    """A head that sways: what is filtered in both directions neither lags nor leads."""
    sway = 100 + 5 * np.sin(np.pi * np.arange(100) / RATE)
    shaken = sway + np.random.default_rng(0).normal(0, 0.05, 100)
    frames = [Frame(i, i / RATE, IMAGE) for i in range(100)]
    found = play(World(), [[(x, 200)] for x in shaken])
    seen = list(smooth_ahead(zip(frames, found, strict=True)))
    assert [frame.index for frame, _ in seen] == list(range(100))
    assert identities([faces for _, faces in seen]) == [[1]] * 100
    x = np.array([face.keypoints[:, 0].mean() for _, (face,) in seen])
    assert np.diff(x - sway, 2)[10:-10].std() < np.diff(shaken - sway, 2)[10:-10].std() / 3
    fits = [np.abs((x - x.mean())[20:-20] - (np.roll(sway, k) - 100)[20:-20]).mean() for k in (-1, 0, 1)]
    assert fits[1] == min(fits) and fits[1] < 0.25


def test_offline_somebody_who_was_hidden_begins_anew():
    film = [[(100, 200)]] * 30 + [[]] * 10 + [[(115, 200)]] * 30
    frames = [Frame(i, i / RATE, IMAGE) for i in range(len(film))]
    seen = list(smooth_ahead(zip(frames, play(World(), film), strict=True)))
    middles = [faces[0].keypoints[:, 0].mean() if faces else None for _, faces in seen]
    assert middles[29] == pytest.approx(100, abs=0.01) and middles[35] is None
    assert middles[45] == pytest.approx(115, abs=0.01)


def follow_clip(name: str, **options) -> tuple[list[list[int]], int]:
    """The identities of each frame of a real film, where it is, and the number of searches."""
    if not (SHARED / "video" / name).is_file():
        pytest.skip("the clip is not here")
    tracker = Tracker(Landmarker("fast"))
    found = [tracker(frame.image, frame.time) for frame in FilmReader(SHARED / "video" / name, **options)]
    return identities(found), tracker.searches


def test_a_real_film_is_followed():
    """A man before a webcam: always there, always the same, hardly ever searched for."""
    found, searches = follow_clip("cap12.mp4", end=4)
    assert found == [[1]] * 100 and searches <= 4


def test_a_real_film_with_cuts():
    """A stage: three cuts, and a scene in which nobody's face can be seen."""
    found, _ = follow_clip("hamilton.mp4")
    scenes = [{i for faces in found[a:b] for i in faces} for a, b in ((0, 20), (20, 82), (82, 211), (211, 275))]
    assert len(scenes[0]) == 2 and len(scenes[2]) == 1
    assert sum(map(len, scenes)) == len(set().union(*scenes))  # nobody is in two of them


@pytest.mark.parametrize(("levels", "last"), [(18, 1), (22, 2)])
def test_a_film_was_cut_where_its_pixels_differ_by_20_gray_levels(levels, last):
    tracker = Tracker(World([np.array([100.0, 200.0])]), smooth=False)
    assert identities([tracker(IMAGE, 0.0), tracker(IMAGE + np.uint8(levels), 0.1)]) == [[1], [last]]


@pytest.mark.parametrize("start", [0, 600 * RATE])
def test_who_was_away_is_known_again_within_a_side_and_one_more_for_each_second(start):
    """Around where they are expected: who walks on straight goes on so for 0.3 s."""

    def is_known(seconds: float, sides: float, speed: float = 0.0) -> bool:
        way = 100 + speed * SIDE * np.arange(20) / RATE
        away = [[]] * (round(seconds * RATE) - 1)
        film = [[(x, 200)] for x in way] + away + [[(way[-1] + sides * SIDE, 200)]]
        return identities(play(World(), film, start=start))[-1] == [1]

    assert is_known(0.2, 1.1) and not is_known(0.2, 1.3)
    assert is_known(1.0, 1.9) and not is_known(1.0, 2.1)
    for sides, expected in ((1.9, True), (2.1, False), (-1.9, True), (-2.1, False)):
        assert is_known(1.0, 4 * 0.3 + sides, speed=4.0) == expected


def test_who_looks_the_same_behind_a_cut_keeps_their_number():
    """All of the picture brightens as at a flash, twice, and the face grows a little; a stranger there is a new one."""
    rng = np.random.default_rng(0)
    person, stranger = (cv2.resize(rng.uniform(20, 90, (6, 6, 3)), (80, 80)) for _ in range(2))

    def frame(head: np.ndarray, brighter: float) -> np.ndarray:
        image = np.full((400, 800, 3), 30.0)
        image[150:230, 60:140] = head
        return (image * brighter).clip(0, 255).astype(np.uint8)

    world = World(places=[np.array([100.0, 200.0])])
    tracker = Tracker(world, smooth=False)
    frames = [frame(person, 1)] * 5 + [frame(person, 2.5)] * 2 + [frame(person, 1)] * 5 + [frame(stranger, 2.5)] * 5
    found = [tracker(image, i / RATE) for i, image in enumerate(frames)]
    assert identities(found) == [[1]] * 12 + [[2]] * 5


def test_a_picture_of_a_face_is_the_same_in_other_light():
    rng = np.random.default_rng(1)
    image, face = rng.integers(0, 120, (400, 800, 3), np.uint8), Face((0, 0, 1, 1), 1.0, at((300, 200)))
    picture = tracking.picture_of(image, face)
    assert picture @ picture == pytest.approx(1) and picture.sum() == pytest.approx(0)
    assert picture @ tracking.picture_of(image * 2 + 10, face) == pytest.approx(1, abs=0.02)
    outside = Face((0, 0, 1, 1), 1.0, at((-500, 200)))
    assert not tracking.picture_of(image, outside).any() and not tracking.picture_of(IMAGE, face).any()
