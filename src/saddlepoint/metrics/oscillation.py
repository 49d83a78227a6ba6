"""Fisher's test for a periodic component in a noisy series such as a loss (Fisher 1929, Proc. R. Soc. A 125)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST = 16
"""Number of values that the test needs."""
TREND = 2
"""Degree of the polynomial trend that is subtracted first."""


class Oscillation(NamedTuple):
    """The result of :func:`oscillation`.

    Attributes:
        swing: amplitude of the strongest frequency, in the unit of the values.
        period: of that frequency, in the unit of the positions.
        share: the fraction of the detrended variance that it explains, in [0, 1]: Fisher's g.
        p_value: the probability that white noise has a component at least this strong.
    """

    swing: float
    period: float
    share: float
    p_value: float


def oscillation(values: NDArray[np.float64], positions: NDArray[np.float64]) -> Oscillation | None:
    """Return the strongest frequency of equally spaced values, and the significance of Fisher's test.

    Args:
        values: of a loss, [N].
        positions: of the values, ascending, [N]; equally spaced except for the last.

    Returns:
        None for fewer than 16 values, or for constant values.
    """
    n = len(values)
    if n < LEAST:
        return None
    steps = np.arange(n, dtype=np.float64)
    rest = values - np.polyval(np.polyfit(steps, values, TREND), steps)
    power = np.abs(np.fft.rfft(rest))[1 : (n - 1) // 2 + 1] ** 2
    if power.sum() <= 1e-20 * (1 + np.square(values).sum()):
        return None
    best = int(power.argmax())
    share = float(power[best] / power.sum())
    step = float(np.median(np.diff(positions)))
    return Oscillation(2 * math.sqrt(float(power[best])) / n, n * step / (best + 1), share, _p_value(share, len(power)))


def _p_value(share: float, frequencies: int) -> float:
    """Return P(g > share) for white noise by Fisher's alternating sum, over its numerically relevant terms."""
    first = frequencies * (1 - share) ** (frequencies - 1)
    if first > 5:
        return 1.0  # above 0.99
    terms = [
        (-1) ** (k - 1) * math.comb(frequencies, k) * (1 - k * share) ** (frequencies - 1)
        for k in range(1, min(frequencies, int(1 / share), 20) + 1)
    ]
    return min(max(sum(terms), 0.0), 1.0)
