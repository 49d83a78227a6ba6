"""FID∞: the Fréchet distance that infinitely many samples would have (Chong and Forsyth 2020, arXiv:1911.07023).

The distance of N samples is too large by about c / N, and c depends on the generator (their section 3): at equal N, one
generator's bias is another's lead. So it is taken at several N, a line is fitted over 1 / N, and the line is read at 0.

Only the samples' own number is taken out; the reference stays as large as it is, and so does its part of the bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample, permutation
from saddlepoint.metrics.frechet import FrechetDistance, Gaussian, frechet_distance
from saddlepoint.metrics.moments import Moments

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor

POINTS = 15
"""Numbers of samples at which the distance is taken, evenly spaced, as in the paper."""
SMALLEST_PART = 10
"""The smallest number is a tenth of all: the paper's 5,000 of 50,000."""
LEAST = 2
"""… but never below twice as many as there are features: a singular covariance leaves the line."""


class FrechetInfinity(Metric):
    """The extrapolated distance; on request, for it takes 15 eigenvalue problems and all samples' features."""

    name = "fid_infinity"
    lower_is_better = True
    needs = frozenset({"moments", "pool"})
    reads = FrechetDistance.name

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep the mean and the root of the covariance, as the distance of all samples does."""
        return FrechetDistance().reference(real)

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the intercept; nothing for fewer than :func:`least_samples`."""
        assert sample.pool is not None
        n, dim = sample.pool.shape
        if n < least_samples(dim):
            return []
        rows = sample.pool[permutation(n, self.seed, self.name)]
        numbers, distances = curve(Gaussian(reference["mean"], reference["root"]), rows)
        value = extrapolate(numbers, distances)
        return [Figure(extractor.score_name(self.name), value, n)]


def least_samples(dim: int) -> int:
    """Return how many samples of ``dim`` features a line needs: 8,192 for Inception's 2,048."""
    return 2 * LEAST * dim


def curve(real: Gaussian, rows: Tensor) -> tuple[list[int], list[float]]:
    """Return the numbers of samples and the Fréchet distance of the first so many rows from ``real``.

    Args:
        real: the reference.
        rows: features [N, F] in a random order, N of at least :func:`least_samples`.

    One set lies within the next, so that each row is met once; the line is unbiased all the same.
    """
    n, dim = rows.shape
    numbers = np.linspace(max(n // SMALLEST_PART, LEAST * dim), n, POINTS).round().astype(int).tolist()
    moments, distances, start = Moments(dim), [], 0
    for number in numbers:
        moments.update(rows[start:number])
        distances.append(frechet_distance(real, moments.mean, moments.covariance))
        start = number
    return numbers, distances


def extrapolate(numbers: list[int], distances: list[float]) -> float:
    """Return the intercept of the least-squares line of distances over 1 / N; rounding may take it just below zero.

    >>> round(extrapolate([10, 20, 40], [3.0, 2.5, 2.25]), 9)
    2.0
    """
    _, intercept = np.polyfit(1 / np.asarray(numbers, dtype=np.float64), distances, 1)
    return float(intercept)
