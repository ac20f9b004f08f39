"""Schemes of points as data: their names, regions, mirror pairs, eyes. Here are the class, which scheme.json and other
files hold, and the schemes of public data sets besides iBUG's 68, which landmarks.py has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

MOST_POINTS = 500  # of a scheme
MAPPED = 68  # the number of iBUG's points
# What divides errors: the lengths that `landmarks.unit_length` takes of a scheme.
INTER_OCULAR, PAIR, INTER_PUPIL, DIAGONAL, PIXELS = "inter-ocular", "pair", "inter-pupil", "diagonal", "100 px"


@dataclass(frozen=True, eq=False)
class Scheme:
    """A set of N points, as data: what code needs to know of them.

    name: of the scheme. points: the points' names.
    regions: indices of points by the name of their region; each point is in one.
    lines: of a drawing: (region, its points in drawing order, whether the last one joins the first).
    mirror: (N,) indices; `mirrored_keypoints[mirror]` renumbers the points. None: unknown, so nothing is mirrored.
    normaliser: the two points whose distance divides errors.
    eyes: points whose means are the middles of the right and of the left eye: they say what is level. None: the object
        is taken as level.
    mouth: points whose mean is below the eyes, at a right angle to them.
    ibug68: (68,) indices of the points that stand for iBUG's 68; None: they don't.
    """

    name: str
    points: tuple[str, ...]
    regions: dict[str, tuple[int, ...]]
    lines: tuple[tuple[str, tuple[int, ...], bool], ...] = ()
    mirror: np.ndarray | None = None
    normaliser: tuple[int, ...] | None = None
    eyes: tuple[tuple[int, ...], ...] | None = None
    mouth: tuple[int, ...] | None = None
    ibug68: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.points)

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Scheme):
            return self is other
        return self.points == other.points and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.points)

    @property
    def has_extent(self) -> bool:
        """Whether a box around the points frames the object. One point has none: then the whole picture does."""
        return len(self) > 1

    @property
    def norm(self) -> str:
        """The name of the length that divides errors, see `landmarks.unit_length`."""
        if self.normaliser:
            return INTER_OCULAR if self.eyes else PAIR
        return INTER_PUPIL if self.eyes else DIAGONAL if self.has_extent else PIXELS

    @property
    def gaps(self) -> str:
        """What goes without the facts that the scheme doesn't state, in words; "" if it states all."""
        gaps = ["no mirror pairs, so nothing is mirrored"] if self.mirror is None else []
        if self.norm in (DIAGONAL, PIXELS):
            length = "the diagonal of the points' box" if self.has_extent else "100 px"
            gaps.append(f"no normaliser, so errors are divided by {length}")
        return "; ".join(gaps)

    def to_dict(self) -> dict:
        """Plain values, as `from_dict` reads them; points by their numbers."""
        values = {
            "name": self.name,
            "points": list(self.points),
            "regions": {name: list(points) for name, points in self.regions.items()},
            "lines": [[*points, points[0]] if closed else list(points) for _, points, closed in self.lines],
            "mirror": None if self.mirror is None else [[i, int(j)] for i, j in enumerate(self.mirror) if i < j],
            "normaliser": self.normaliser and list(self.normaliser),
            "eyes": self.eyes and [list(eye) for eye in self.eyes],
            "mouth": self.mouth and list(self.mouth),
            "ibug68": None if self.ibug68 is None else self.ibug68.tolist(),
        }
        return {key: value for key, value in values.items() if value is not None}

    @staticmethod
    def from_dict(data: dict) -> "Scheme":
        """A scheme from plain values, as scheme.json has them, see docs/schemes.md. "points", their names or their
        number, is needed; elsewhere a point is named by its name or by its number, from 0.

        Raises:
            ValueError: it makes no sense, with the reason.
        """
        keys = [field.name for field in fields(Scheme)]
        if not isinstance(data, dict) or "points" not in data or not data.keys() <= {*keys}:
            raise ValueError(f'expected {{"points": …}} with some of {", ".join(keys)} and nothing else')
        names = _names(data)
        regions = _regions(data, names)
        region_of = {i: region for region, points in regions.items() for i in points}
        lines = [_indices(line, names, "lines") for line in _sequence(data, "lines") or ()]
        closed = [len(line) > 2 and line[0] == line[-1] for line in lines]
        pairs, eyes = _sequence(data, "mirror"), _sequence(data, "eyes")
        if eyes is not None and len(eyes) != 2:
            raise ValueError("eyes: expected the points of the right eye and those of the left one")
        normaliser, mouth, ibug68 = (
            None if data.get(key) is None else _indices(data[key], names, key, count)
            for key, count in (("normaliser", 2), ("mouth", None), ("ibug68", MAPPED))
        )
        if normaliser and len(set(normaliser)) < 2:
            raise ValueError("normaliser: expected two different points")
        return Scheme(
            str(data.get("name", f"{len(names)} points")),
            names,
            regions,
            tuple(
                (region_of[i[0]], i[:-1] if is_closed else i, is_closed)
                for i, is_closed in zip(lines, closed, strict=True)
            ),
            None if pairs is None else _mirror([_indices(pair, names, "mirror", 2) for pair in pairs], names),
            normaliser,
            eyes and tuple(_indices(eye, names, "eyes") for eye in eyes),
            mouth,
            None if ibug68 is None else np.array(ibug68),
        )


def _names(data: dict) -> tuple[str, ...]:
    """The points' names: given, or made from their number and the regions."""
    points = data["points"]
    if type(points) is int and 0 < points <= MOST_POINTS:
        regions = data.get("regions") if isinstance(data.get("regions"), dict) else {}
        region_of = {i: region for region, of in regions.items() if isinstance(of, list) for i in of if type(i) is int}
        return tuple(f"{region_of.get(i, 'point')}_{i}" for i in range(points))
    if not isinstance(points, list) or not all(isinstance(name, str) and name for name in points):
        raise ValueError(f"points: expected their names, or their number from 1 to {MOST_POINTS}")
    if not 0 < len(points) <= MOST_POINTS:
        raise ValueError(f"points: there are {len(points)}; 1 to {MOST_POINTS} are possible")
    if twice := [name for i, name in enumerate(points) if name in points[:i]]:
        raise ValueError(f"points: {twice[0]!r} is there twice")
    return tuple(points)


def _regions(data: dict, names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Points by region; those in none are the region "points"."""
    given = data.get("regions") or {}
    if not isinstance(given, dict):
        raise ValueError('regions: expected {"name": [points]}')
    regions = {region: _indices(points, names, f"region {region}") for region, points in given.items()}
    placed = [i for points in regions.values() for i in points]
    if twice := [names[i] for k, i in enumerate(placed) if i in placed[:k]]:
        raise ValueError(f"regions: {twice[0]!r} is in two of them")
    if rest := tuple(i for i in range(len(names)) if i not in placed):
        regions["points"] = (*regions.get("points", ()), *rest)
    return regions


def _indices(points: object, names: tuple[str, ...], what: str, count: int | None = None) -> tuple[int, ...]:
    """The numbers of points that are given by number or name."""
    if not isinstance(points, list) or not points or (count and len(points) != count):
        raise ValueError(f"{what}: expected a list of {count or 'some'} points")
    numbers = []
    for point in points:
        if type(point) is int and 0 <= point < len(names):
            numbers.append(point)
        elif isinstance(point, str) and point in names:
            numbers.append(names.index(point))
        else:
            raise ValueError(f"{what}: {point!r} is no point; they are 0 to {len(names) - 1}, or by name {names[0]}, …")
    return tuple(numbers)


def _sequence(data: dict, key: str) -> list | None:
    if not isinstance(data.get(key), list | None):
        raise ValueError(f"{key}: expected a list of lists of points")
    return data.get(key)


def _mirror(pairs: Sequence[tuple[int, ...]], names: tuple[str, ...]) -> np.ndarray:
    """The permutation (N,) that exchanges the points of each pair and leaves the others: an involution."""
    mirror, paired = np.arange(len(names)), set()
    for pair in pairs:
        if again := paired & {*pair}:
            raise ValueError(f"mirror: {names[min(again)]!r} is in two pairs; a point has one partner")
        paired |= {*pair}
        mirror[list(pair)] = pair[::-1]
    return mirror


# --- Public data sets -------------------------------------------------------------------------------------------------


def _run(first: int, last: int, step: int = 1) -> list[int]:
    """The numbers from the first to the last."""
    return [*range(first, last + (1 if step > 0 else -1), step)]


def _across(right: Sequence[int], left: Sequence[int]) -> list[list[int]]:
    """Mirror pairs: each point of the right half with that of the left half."""
    return [list(pair) for pair in zip(right, left, strict=True)]


def _closed(points: list[int]) -> list[int]:
    return [*points, points[0]]


# Jaw, brows and bridge are alike in WFLW and LaPa.
_JAW33 = _across(_run(0, 15), _run(32, 17, -1))
_BROWS18 = _across(_run(33, 41), [*_run(46, 42, -1), *_run(50, 47, -1)])
_JAW_TO_BRIDGE = {"jaw": _run(0, 32), "brows": _run(33, 50)}
_LINES_TO_BRIDGE = [_run(0, 32), _closed(_run(33, 41)), _closed(_run(42, 50)), _run(51, 54)]
_IBUG_TO_BRIDGE = [*_run(0, 32, 2), *_run(33, 37), *_run(42, 46), *_run(51, 54)]

# Wu et al., "Look at Boundary: A Boundary-Aware Face Alignment Algorithm", CVPR 2018.
WFLW98 = Scheme.from_dict(
    {
        "name": "wflw98",
        "points": 98,
        "regions": _JAW_TO_BRIDGE | {"nose": _run(51, 59), "eyes": [*_run(60, 75), 96, 97], "mouth": _run(76, 95)},
        "lines": [
            *_LINES_TO_BRIDGE,
            _run(55, 59),
            *(_closed(_run(*ends)) for ends in ((60, 67), (68, 75), (76, 87), (88, 95))),
        ],
        "mirror": [
            *_JAW33,
            *_BROWS18,
            *_across([55, 56], [59, 58]),
            *_across([*_run(60, 67), 96], [*_run(72, 68, -1), 75, 74, 73, 97]),
            *_across([76, 77, 78, 87, 86], [82, 81, 80, 83, 84]),
            *_across([88, 89, 95], [92, 91, 93]),
        ],
        "normaliser": [60, 72],
        "eyes": [_run(60, 67), _run(68, 75)],
        "mouth": [76, 82],
        "ibug68": [
            *_IBUG_TO_BRIDGE,
            *_run(55, 59),
            *[60, 61, 63, 64, 65, 67],
            *[68, 69, 71, 72, 73, 75],
            *_run(76, 95),
        ],
    }
)

# Burgos-Artizzu et al., "Robust face landmark estimation under occlusion", ICCV 2013.
COFW29 = Scheme.from_dict(
    {
        "name": "cofw29",
        "points": 29,
        "regions": {
            "brows": _run(0, 7),
            "eyes": _run(8, 17),
            "nose": _run(18, 21),
            "mouth": _run(22, 27),
            "jaw": [28],
        },
        "lines": [
            *([0, 4, 2, 5, 0], [3, 6, 1, 7, 3]),
            *([8, 12, 10, 13, 8], [11, 14, 9, 15, 11]),
            [18, 21, 19, 20, 18],
            *([22, 24, 23, 27, 22], [22, 25, 23, 26, 22]),
        ],
        "mirror": [[0, 1], [2, 3], [4, 6], [5, 7], [8, 9], [10, 11], [12, 14], [13, 15], [16, 17], [18, 19], [22, 23]],
        "normaliser": [8, 9],
        "eyes": [[8, 10, 12, 13], [9, 11, 14, 15]],
        "mouth": [22, 23],
    }
)

# Liu et al., "A New Dataset and Boundary-Attention Semantic Segmentation for Face Parsing", AAAI 2020.
LAPA106 = Scheme.from_dict(
    {
        "name": "lapa106",
        "points": 106,
        "regions": _JAW_TO_BRIDGE | {"nose": _run(51, 65), "eyes": [*_run(66, 83), 104, 105], "mouth": _run(84, 103)},
        "lines": [
            *_LINES_TO_BRIDGE,
            _run(55, 65),
            *(_closed(_run(*ends)) for ends in ((66, 73), (75, 82), (84, 95), (96, 103))),
        ],
        "mirror": [
            *_JAW33,
            *_BROWS18,
            *_across(_run(55, 59), _run(65, 61, -1)),
            *_across([*_run(66, 74), 104], [*_run(79, 75, -1), 82, 81, 80, 83, 105]),
            *_across([84, 85, 86, 95, 94], [90, 89, 88, 91, 92]),
            *_across([96, 97, 103], [100, 99, 101]),
        ],
        "normaliser": [66, 79],
        "eyes": [_run(66, 73), _run(75, 82)],
        "mouth": [84, 90],
        "ibug68": [
            *_IBUG_TO_BRIDGE,
            *_run(58, 62),
            *[66, 67, 69, 70, 71, 73],
            *[75, 76, 78, 79, 80, 82],
            *_run(84, 103),
        ],
    }
)

# Zhang et al., "Facial Landmark Detection by Deep Multi-task Learning", ECCV 2014.
MTFL5 = Scheme.from_dict(
    {
        "name": "mtfl5",
        "points": ["right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner"],
        "regions": {"eyes": [0, 1], "nose": [2], "mouth": [3, 4]},
        "lines": [[0, 2, 1], [3, 4]],
        "mirror": [[0, 1], [3, 4]],
        "eyes": [[0], [1]],
        "mouth": [3, 4],
    }
)

OTHERS = (WFLW98, COFW29, LAPA106, MTFL5)
