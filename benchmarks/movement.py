"""What filtering leaves of a face's movement in films: of lips and lids, by frequency, and blinks."""

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from face68.landmarks import LEFT_EYE_OPENING, RIGHT_EYE_OPENING, Face, inter_ocular
from face68.measures import Blinks, measure
from face68.smoothing import share

BANDS = ((2, 4), (4, 7))  # hertz: of words and of syllables
MOUTH = (62, 66)  # the middles of the inner lips, upper and lower
NEAR = 0.2  # seconds from a blink in which it may be seen
LABELS = Path(__file__).with_name("blinks.csv")  # of the shared clips, by looking at every frame: seconds


def mouth_opening(points: np.ndarray) -> np.ndarray:
    """(T,): the distance between the inner lips in distances of the eyes; points (T, 68, 2) px."""
    upper, lower = MOUTH
    return np.linalg.norm(points[:, lower] - points[:, upper], axis=-1) / inter_ocular(points)


def lid_opening(points: np.ndarray) -> np.ndarray:
    """(T,): the mean distance between the lids in distances of the eyes; points (T, 68, 2) px."""
    upper, lower = np.array([*RIGHT_EYE_OPENING[0], *LEFT_EYE_OPENING[0]]).T
    return np.linalg.norm(points[:, lower] - points[:, upper], axis=-1).mean(axis=-1) / inter_ocular(points)


def band(signal: np.ndarray, rate: float, low: float, high: float) -> np.ndarray:
    """A signal (T,) without all but its frequencies from `low` to below `high` hertz; rate: values a second."""
    spectrum, hertz = np.fft.rfft(signal - signal.mean()), np.fft.rfftfreq(len(signal), 1 / rate)
    return np.fft.irfft(np.where((hertz >= low) & (hertz < high), spectrum, 0), len(signal))


def kept(signal: np.ndarray, unfiltered: np.ndarray, judge: np.ndarray) -> float:
    """How much of the movement in an unfiltered signal (T,) is in the filtered one, where no truth is known.

    judge: the same measured by another network, unfiltered. What the two networks see alike is movement: noise of the
    one isn't in the other. So it is an instrumental variable, and 1 means that all movement is there, and in time.
    """
    return float((signal @ judge) / (unfiltered @ judge))


def kept_row(points: np.ndarray, unfiltered: np.ndarray, judge: np.ndarray, rate: float) -> dict:
    """`kept` of mouth and lids in each band; points, unfiltered, judge: (T, 68, 2) px."""
    row = {}
    for name, opening in (("mouth", mouth_opening), ("lids", lid_opening)):
        for low, high in BANDS:
            signals = [band(opening(film), rate, low, high) for film in (points, unfiltered, judge)]
            row[f"kept_{name}_{low}-{high}"] = kept(*signals)
    return row


def slope(signal: np.ndarray, truth: np.ndarray) -> float:
    """By how much a signal (T,) moves where the truth moves by 1."""
    return float(np.polyfit(truth, signal, 1)[0])


def peaks_kept(signal: np.ndarray, truth: np.ndarray) -> float:
    """The mean height of a signal's peaks at the truth's peaks, over both resting levels; NaN without peaks."""
    level, high = np.quantile(truth, 0.1), np.median(truth)
    inner = np.arange(1, len(truth) - 1)
    is_peak = (truth[inner] > truth[inner - 1]) & (truth[inner] >= truth[inner + 1]) & (truth[inner] > high)
    rest = np.quantile(signal, 0.1)
    heights = [(signal[i - 1 : i + 2].max() - rest) / (truth[i] - level) for i in inner[is_peak]]
    return float(np.mean(heights)) if heights else math.nan


# --- Blinks ---------------------------------------------------------------------------------------------------


def blinks_seen(times: np.ndarray, points: np.ndarray) -> list[float]:
    """When `Blinks` sees one begin, s; points (T, 68, 2) px."""
    blinks = Blinks()
    for time, shape in zip(times, points, strict=True):
        blinks.add(float(time), measure(shape).eye_openness)
    return blinks.times


def labelled_blinks(film: str) -> list[tuple[float, float]] | None:
    """When each blink of a shared clip begins and ends, s; None of a film without labels."""
    with LABELS.open(newline="") as file:
        rows = [(float(row["begin"]), float(row["end"])) for row in csv.DictReader(file) if row["film"] == film]
    return rows or None


def drawn_blinks(times: np.ndarray, closed: np.ndarray) -> list[tuple[float, float]]:
    """When each blink begins and ends, s, of how far the lids are closed (T,): 0 … 1."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closed > 0.5, [0]])))
    return [(times[i], times[j - 1]) for i, j in zip(edges[::2], edges[1::2], strict=True)]


def blink_row(seen: Sequence[float], true: Sequence[tuple[float, float]], seconds: float) -> dict:
    """How many blinks there are, the share that was found, and false ones a minute."""
    free, found = list(seen), 0
    for begin, end in true:
        hit = next((time for time in free if begin - NEAR <= time <= end + NEAR), None)
        if hit is not None:
            free.remove(hit)
            found += 1
    share_found = found / len(true) if true else math.nan
    return {"blinks": len(true), "found_blinks": share_found, "false_a_minute": round(60 * len(free) / seconds, 2)}


# --- What others do -------------------------------------------------------------------------------------------


class OneEuro:
    """A face's points by a plain One Euro filter with MediaPipe's constants for face landmarks: 0.05, 80, 1.0.

    Casiez, Roussel & Vogel, 2012. Speeds are in sizes of the face, the mean of its box's sides, a second.
    """

    def __init__(self):
        self._points: np.ndarray | None = None

    def __call__(self, face: Face, time: float) -> Face:
        points = face.keypoints.astype(np.float64)
        if self._points is None:
            self._points, self._speeds = points, np.zeros_like(points)
        else:
            gap, size = time - self._time, max(float(np.ptp(points, axis=0).mean()), 1e-6)
            self._speeds += share(1.0, gap) * ((points - self._last) / gap / size - self._speeds)
            self._points = self._points + share(0.05 + 80 * np.abs(self._speeds), gap) * (points - self._points)
        self._last, self._time = points, time
        return replace(face, keypoints=self._points.astype(np.float32))
