"""Points that don't shake: the One Euro filter for what is seen now, and one without lag for what is all there."""

import math

import numpy as np

# Of faces whose speeds are in distances of the eyes a second. Chosen on drawn films and real clips, see the README.
MIN_CUTOFF, BETA, SPEED_CUTOFF = 1.0, 10.0, 1.0


class OneEuro:
    """A low-pass filter, slow for what rests and fast for what moves (Casiez, Roussel & Vogel, 2012, "1 € Filter").

    The cut-off frequency is `min_cutoff` + `beta` × speed, in hertz; the speed is itself filtered, at `speed_cutoff`.
    """

    def __init__(self, min_cutoff: float = MIN_CUTOFF, beta: float = BETA, speed_cutoff: float = SPEED_CUTOFF):
        self.min_cutoff, self.beta, self.speed_cutoff = min_cutoff, beta, speed_cutoff
        self._time: float | None = None

    def __call__(self, values: np.ndarray, time: float, scale: float) -> np.ndarray:
        """The filtered values.

        values: (N, 2). time: seconds, growing. scale: what speeds are divided by, in the unit of the values.
        """
        values = np.asarray(values, np.float64)
        if self._time is None:
            self._values, self._speeds = values, np.zeros(len(values))
        else:
            gap = time - self._time
            speeds = np.linalg.norm(values - self._values, axis=1) / gap / scale
            self._speeds = self._speeds + share(self.speed_cutoff, gap) * (speeds - self._speeds)
            shares = share(self.min_cutoff + self.beta * self._speeds, gap)
            self._values = self._values + shares[:, None] * (values - self._values)
        self._time = time
        return self._values.astype(np.float32)


def share(cutoff, gap: float):
    """How much of a new value counts in a low-pass filter of a cut-off in hertz, `gap` seconds after the last one."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * gap))
