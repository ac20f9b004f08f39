"""How good keypoints are: NME, failure rate, AUC and the cumulative error curve. NumPy only.

Every error is a fraction (0.05 is 5%) of a distance in the labels, its normaliser, see `NORMS`. The default is that of
the points' scheme, of iBUG's 68 the distance between the outer eye corners (points 36 and 45), called inter-ocular
(Sagonas et al., "300 Faces in-the-Wild Challenge", 2013/2016).
"""

import itertools
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from face68 import geometry
from face68.landmarks import IBUG68, Face, extent, inter_pupil, unit_length
from face68.measures import filled, measure
from face68.schemes import DIAGONAL, INTER_OCULAR, INTER_PUPIL, PAIR, PIXELS, Scheme

FAILURE = 0.08  # a face whose NME is above this counts as failed, and the AUC ends here
THRESHOLDS = (FAILURE, 0.1)  # those that the field reports
MISSED = 0.3  # the error of each point of a missed face, in inter-ocular distances
YAWS, ROLLS = (-45, -30, -15, 15, 30, 45), (-20, -7, 7, 20)  # degrees at which `errors_by` cuts the faces


# --- What errors are divided by -------------------------------------------------------------------------------


def box_side(keypoints: np.ndarray) -> np.ndarray:
    """The root of the area of the points' box (Bulat & Tzimiropoulos, 2017): (..., 68, 2) → (...)."""
    return np.sqrt(extent(keypoints).prod(axis=-1))


def box_diagonal(keypoints: np.ndarray) -> np.ndarray:
    """The diagonal of the points' box (Zafeiriou et al., "The Menpo challenge", 2017): (..., 68, 2) → (...)."""
    return np.linalg.norm(extent(keypoints), axis=-1)


BOX = "box"
NORMS = {INTER_OCULAR: unit_length, INTER_PUPIL: inter_pupil, BOX: box_side, DIAGONAL: box_diagonal}
MEANINGS = {
    INTER_OCULAR: "the distance of the outer eye corners (points 36 and 45)",
    INTER_PUPIL: "the distance of the eyes’ middles (means of points 36 to 41 and 42 to 47)",
    BOX: "the root of the area of the labels’ box",
    DIAGONAL: "the diagonal of the labels’ box",
}


def norms_of(scheme: Scheme) -> list[str]:
    """The names of the lengths that can divide the errors of a scheme's points: of its own first, then of `NORMS`."""
    eyes = [INTER_PUPIL] if scheme.eyes else []
    return list(dict.fromkeys([scheme.norm, *eyes, *([BOX, DIAGONAL] if scheme.has_extent else [])]))


def normaliser(truth: np.ndarray, norm: str | None = None, scheme: Scheme = IBUG68) -> np.ndarray:
    """The length of `norms_of` the scheme, in the truth's unit, (N, 68, 2) → (N,); None: the scheme's own."""
    if norm is None or norm == scheme.norm:
        return unit_length(truth, scheme)
    return inter_pupil(truth, scheme) if norm == INTER_PUPIL else NORMS[norm](truth)


def meaning(norm: str, scheme: Scheme) -> str:
    """What a norm is, in words."""
    if scheme == IBUG68:
        return MEANINGS[norm]
    points = " and ".join(scheme.points[i] for i in scheme.normaliser or ())
    own = {INTER_OCULAR: f"the distance of {points}", PAIR: f"the distance of {points}", PIXELS: "100 px"}
    return own.get(norm, MEANINGS.get(norm, "")).partition(" (")[0]


# --- Errors ---------------------------------------------------------------------------------------------------


def point_errors(predicted: np.ndarray, truth: np.ndarray, norm: str | None = None, scheme=IBUG68) -> np.ndarray:
    """Distance of each point from the truth, divided by its `normaliser`: (N, 68, 2) ×2 → (N, 68)."""
    return np.linalg.norm(predicted - truth, axis=-1) / normaliser(truth, norm, scheme)[..., None]


def nme(predicted: np.ndarray, truth: np.ndarray, norm: str | None = None, scheme: Scheme = IBUG68) -> np.ndarray:
    """Normalised mean error of each face: (N, 68, 2) ×2 → (N,). Points whose truth is NaN don't count."""
    errors = point_errors(predicted, truth, norm, scheme)
    return mean_of_known(errors, ~np.isnan(truth).any(axis=-1))


def mean_of_known(errors: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """The mean error of each face's known points: (N, 68) ×2 → (N,)."""
    return np.where(is_known, errors, 0).sum(axis=-1) / is_known.sum(axis=-1)


def all_point_errors(predicted: np.ndarray, truth: np.ndarray, norm: str | None = None, scheme=IBUG68) -> np.ndarray:
    """`point_errors` of all faces: in those that were missed, whose points are NaN, each is off by MISSED, of the
    normaliser where the scheme's own isn't known. NaN where the truth is.
    """
    errors, is_known = point_errors(predicted, truth, norm, scheme), ~np.isnan(truth).any(axis=-1)
    eyes, divisor = unit_length(truth, scheme), normaliser(truth, norm, scheme)
    missed = MISSED * np.where(np.isnan(eyes), 1.0, eyes / divisor)
    return np.where(np.isnan(errors) & is_known, missed[..., None], errors)


def failure_rate(errors: np.ndarray, threshold: float = FAILURE) -> float:
    """Share of faces whose NME is above the threshold."""
    return float(np.mean(np.asarray(errors) > threshold))


def cumulative_errors(errors: np.ndarray, threshold: float = FAILURE, steps: int = 801):
    """The cumulative error distribution (CED): thresholds 0 … `threshold` and the share of faces at or below each."""
    thresholds = np.linspace(0, threshold, steps)
    return thresholds, np.searchsorted(np.sort(errors), thresholds, side="right") / len(errors)


def auc(errors: np.ndarray, threshold: float = FAILURE) -> float:
    """Area under the CED from 0 to the threshold, divided by the threshold: 1 is perfect. Exact, no step size.

    The curve is a staircase that rises by 1/N at each error, so an error e adds (threshold - e) / N.
    """
    return float(np.clip(threshold - np.asarray(errors, dtype=np.float64), 0, None).mean() / threshold)


def region_errors(errors: np.ndarray, scheme: Scheme = IBUG68) -> dict[str, np.ndarray]:
    """Each face's mean error of the points of each region, (N,), of `point_errors`, (N, 68); NaN: all are hidden."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of those
        return {name: np.nanmean(errors[:, list(points)], axis=1) for name, points in scheme.regions.items()}


def bootstrap(
    statistic: Callable[..., np.ndarray], terms: Sequence[np.ndarray], groups, samples: int = 2000, seed: int = 0
) -> np.ndarray:
    """A statistic of the sums of terms over faces, with its 95% interval by bootstrap over groups (Efron, 1979).

    People are drawn, not their images: images of one person resemble each other, so drawing single images would make
    the interval too narrow.

    statistic: takes the sum of each term, any shape (…,), and gives values of that shape, or several of it stacked.
    terms: arrays (N,), a number a face; groups: (N,), whose face each one is.

    Returns:
        (…, 3): the statistic, and the ends of its interval.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.stack([np.bincount(group, weights=term) for term in terms])  # (terms, groups)
    drawn = np.random.default_rng(seed).integers(sums.shape[1], size=(samples, sums.shape[1]))
    low, high = np.quantile(statistic(*sums[:, drawn].sum(axis=2)), [0.025, 0.975], axis=-1)
    return np.stack([statistic(*sums.sum(axis=1)), low, high], axis=-1)


def bootstrap_interval(values: np.ndarray, groups, samples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95% interval of the mean of values (N,), see `bootstrap`."""
    _, low, high = bootstrap(np.divide, (values, np.ones(len(values))), groups, samples, seed)
    return float(low), float(high)


def bootstrap_median(values: np.ndarray, groups, samples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95% interval of the median of values (N,), by bootstrap over groups (N,) as in `bootstrap`.

    The median is the lower one where values are an even number.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    count, order = group.max() + 1, np.argsort(values)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=samples)  # times each group
    below = np.cumsum(drawn[:, group[order]], axis=1)  # (samples, N): drawn values up to each one
    middle = np.argmax(2 * below >= below[:, -1:], axis=1)
    low, high = np.quantile(np.asarray(values)[order][middle], [0.025, 0.975])
    return float(low), float(high)


def errors_by(values: np.ndarray, cuts: Sequence[float], errors: np.ndarray, people) -> list[dict]:
    """The mean error of the faces in each range of a value, with its 95% interval by bootstrap over people.

    values, errors, people: of each face, (N,); values that aren't finite belong nowhere. cuts: where a range ends and
    the next one begins, ascending. Ranges without faces are left out; of one person alone there is no interval.

    Returns:
        from (included; None: no end), to, faces, nme, interval (None, or its ends) of each range.
    """
    ranges = np.searchsorted(cuts, values, side="right")
    groups = []
    for i, (low, high) in enumerate(zip((None, *cuts), (*cuts, None), strict=True)):
        rows = np.flatnonzero((ranges == i) & np.isfinite(values))
        if len(rows):
            whose = np.asarray(people)[rows]
            interval = bootstrap_interval(errors[rows], whose) if len(set(whose)) > 1 else None
            mean = float(errors[rows].mean())
            groups.append({"from": low, "to": high, "faces": len(rows), "nme": mean, "interval": interval})
    return groups


def errors_by_look(truth: np.ndarray, errors: np.ndarray, people, scheme=IBUG68) -> dict[str, list[dict]]:
    """`errors_by` "size", "yaw" and "roll" of faces with labels (N, 68, 2) px and errors (N,).

    The size is the scheme's `unit_length` in px, cut at its quartiles; yaw and roll are degrees, see
    face68/measures.py, of a scheme that maps to iBUG's 68 points.
    """
    eyes = unit_length(truth, scheme)
    quartiles = sorted({round(float(value)) for value in np.nanquantile(eyes, [0.25, 0.5, 0.75])})
    looks = {"size": (eyes, quartiles)}
    if scheme.ibug68 is not None:
        truth = truth[:, scheme.ibug68]
        known = ~np.isnan(truth).any(axis=2)
        poses = [measure(filled(*of_face)) for of_face in zip(truth, known, strict=True)]
        yaw, roll = (np.array([getattr(pose, name) for pose in poses]) for name in ("yaw", "roll"))
        looks |= {"yaw": (yaw, YAWS), "roll": (roll, ROLLS)}
    return {name: errors_by(values, cuts, errors, people) for name, (values, cuts) in looks.items()}


STEEPEST = 3.0  # of calibrations; those of the shipped networks are 1.5 to 1.8


def fit_calibration(log_errors: np.ndarray, distances: np.ndarray, bins: int = 20) -> tuple[float, float]:
    """Offset and slope that turn a network's log errors into true ones on average.

    log_errors: any shape, natural logarithms of expected distances; distances: the measured ones, in the same unit.
    A line is fitted to the means of a `calibration_table`, its slope limited to 0 … STEEPEST: where a network expects
    nearly the same error of all points, the fit follows noise, and a steep line would expect 1e-24 px of other points.
    """
    expected, measured = np.log(calibration_table(np.exp(log_errors), distances, bins)).T
    centred = expected - expected.mean()
    slope = np.clip(centred @ measured / max(centred @ centred, 1e-12), 0, STEEPEST)
    return float(measured.mean() - slope * expected.mean()), float(slope)


def fit_scatter(expected: np.ndarray, measured: np.ndarray, bins: int = 20) -> tuple[float, float]:
    """Factor f and scatter s, neither negative, with which √((f e)² + s²) of expected errors e fits measured ones.

    Least squares over the relative differences of squares in a `calibration_table`.

    expected, measured: of any one shape, in one unit, which is the scatter's too.
    """
    table = calibration_table(expected, measured, bins) ** 2
    terms = np.column_stack([table[:, 0], np.ones(len(table))]) / table[:, 1:]
    best = np.linalg.lstsq(terms, np.ones(len(table)), rcond=None)[0]
    if best.min() < 0:  # then one of the two alone is better
        alone = terms.sum(axis=0) / (terms**2).sum(axis=0)
        lost = ((alone * terms - 1) ** 2).sum(axis=0)
        best = np.where(lost == lost.min(), alone, 0.0)
    factor, scatter = np.sqrt(best).tolist()
    return factor, scatter


def calibration_table(expected: np.ndarray, measured: np.ndarray, bins: int = 10) -> np.ndarray:
    """Points sorted by their expected error and cut into `bins` equal parts, or as many as there are points: each
    part's means, (bins, 2).
    """
    bins = min(bins, np.size(expected))
    order = np.argsort(expected, axis=None)
    parts = [np.array_split(np.ravel(values)[order], bins) for values in (expected, measured)]
    return np.array([[part.mean() for part in column] for column in parts], dtype=np.float64).T


def average_precision(scores: np.ndarray, is_true: np.ndarray, count: int) -> float:
    """Area under the curve of precision over recall, 0 … 1, of N detections of `count` faces.

    The precision at a recall is the highest at that or more, as in PASCAL VOC since 2010 (Everingham et al., 2015).

    scores, is_true: (N,).
    """
    true = np.asarray(is_true, dtype=bool)[np.argsort(-np.asarray(scores), kind="stable")]
    precision = np.cumsum(true) / np.arange(1, len(true) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float(highest[true].sum() / max(1, count))


def nearest_free(distances: np.ndarray) -> np.ndarray:
    """Greedy matching: each of N detections takes the nearest of K faces that is still free, (N,); -1: there is none.

    distances: (N, K), infinite where a detection can't be of a face.
    """
    distances, nearest = distances.copy(), np.full(len(distances), -1)
    for i, row in enumerate(distances):  # a view: a face that was taken is infinitely far from the next detections
        if np.isfinite(row).any():
            nearest[i] = row.argmin()
            distances[:, nearest[i]] = np.inf
    return nearest


def fit_logistic(logits: np.ndarray, is_true: np.ndarray, steps: int = 20) -> tuple[float, float]:
    """Offset and slope that calibrate logits (N,) to probabilities (Platt, 1999), by Newton's method.

    A weak prior, a true and a false case at the lowest logit and at the highest, keeps both finite.
    """
    logits, is_true = np.asarray(logits, np.float64), np.asarray(is_true, np.float64)
    ends = [logits.min(), logits.max()] if len(logits) else [0.0, 0.0]
    x = np.column_stack([np.ones(len(logits) + 4), np.concatenate([logits, ends, ends])])
    y = np.concatenate([is_true, [0.0, 0.0, 1.0, 1.0]])
    line = np.array([0.0, 1.0])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-(x @ line).clip(-30, 30)))
        hessian = x.T @ (x * (p * (1 - p))[:, None]) + 1e-6 * np.eye(2)
        line = line + np.linalg.solve(hessian, x.T @ (y - p))
    return float(line[0]), float(line[1])


def summary(predicted: np.ndarray, truth: np.ndarray, people, norm=None, thresholds=THRESHOLDS, scheme=IBUG68) -> dict:
    """All that evaluate.py reports for predictions (N, 68, 2), NaN where a face was missed, see `all_point_errors`.

    truth: (N, 68, 2), NaN for hidden points, which don't count; people: whose face each one is, (N,); norm: one of
    `norms_of` the scheme, which divides every error, and which each face has.
    """
    by_point = all_point_errors(predicted, truth, norm, scheme)  # (N, 68)
    errors, people = np.nanmean(by_point, axis=1), np.asarray(people)
    regions = {}
    for name, values in region_errors(by_point, scheme).items():
        rows = np.isfinite(values)
        regions[name] = values[rows], people[rows]
    figures = {
        "faces": len(errors),
        "people": len(set(people)),
        "missed": int(np.isnan(predicted).any(axis=(1, 2)).sum()),
        "normaliser": norm or scheme.norm,
        "normaliser_meaning": meaning(norm or scheme.norm, scheme),
        "scheme_normaliser": scheme.norm,
        "nme": float(errors.mean()),
        "nme_95_interval_over_people": bootstrap_interval(errors, people),
        "nme_median": float(np.median(errors)),
        "nme_median_95_interval": bootstrap_median(errors, people),
        "thresholds": list(thresholds),
    }
    for threshold in thresholds:
        failed, areas = errors > threshold, np.clip(1 - errors / threshold, 0, None)  # whose mean is the AUC, see `auc`
        figures |= {
            at("failure_rate", threshold): failure_rate(errors, threshold),
            f"{at('failure_rate', threshold)}_95_interval": bootstrap_interval(failed, people),
            at("auc", threshold): auc(errors, threshold),
            f"{at('auc', threshold)}_95_interval": bootstrap_interval(areas, people),
        }
    return figures | {
        "nme_by_region": {name: float(values.mean()) for name, (values, _) in regions.items()},
        "nme_by_region_95_intervals": {name: bootstrap_interval(*region) for name, region in regions.items()},
        "nme_by_point": np.nanmean(by_point, axis=0).tolist(),
        "nme_by_look": errors_by_look(truth, errors, people, scheme),
    }


def at(figure: str, threshold: float) -> str:
    """The name that a figure at a threshold has in `summary`: "auc" at 0.08 is "auc_at_8_percent"."""
    return f"{figure}_at_{100 * threshold:g}_percent"


def differences(errors: dict[str, np.ndarray], people) -> list[dict]:
    """By how much any two differ on the same faces, with the 95% interval by paired bootstrap over people.

    Each face's difference is taken first (see `bootstrap`), so a face that is hard for both counts for neither. Each
    interval is of one pair alone: of twenty pairs of equals, one counts as different by chance.

    errors: NME of each face (N,), by name; people: whose face each one is, (N,).

    Returns:
        of, minus: the two names; difference: of their means; interval: its ends, None of one person alone;
        more_than_noise: whether 0 lies outside of it.
    """
    pairs = []
    for a, b in itertools.combinations(errors, 2):
        values = errors[a] - errors[b]
        interval = bootstrap_interval(values, people) if len(set(people)) > 1 else None
        differs = interval is not None and (interval[0] > 0 or interval[1] < 0)
        pairs.append({"of": a, "minus": b, "difference": float(values.mean()), "interval": interval})
        pairs[-1]["more_than_noise"] = differs
    return pairs


def labelled_face(faces: Sequence[Face], points: np.ndarray) -> Face | None:
    """The surest of the faces at labelled points (68, 2) px; None: it was missed.

    Its box or its points are near the labels: a detector frames a turned face badly.
    """
    near = [face for face in faces if is_near(face.box, points) or is_near(geometry.box_of(face.keypoints), points)]
    return max(near, key=lambda face: face.score or 0.0, default=None)


def is_near(box, points: np.ndarray) -> bool:
    """Whether a box (x0, y0, x1, y1) is about that of points (68, 2): its centre no further away than 0.4 of the true
    side, its own side 0.5 to 2 times as long. About a single point, which has no extent, is any box.
    """
    box, true = np.asarray(box), geometry.box_of(points)
    side = max(true[2:] - true[:2])
    if len(points) == 1:
        return True
    off = np.abs((box[:2] + box[2:]) / 2 - (true[:2] + true[2:]) / 2).max()
    return bool(off < 0.4 * side and 0.5 * side < box[2] - box[0] < 2 * side)
