"""FID∞: the Fréchet distance extrapolated to infinitely many samples (Chong and Forsyth 2020, arXiv:1911.07023).

The distance computed from N samples is biased upwards by about c / N, where c depends on the generator (their section
3), so at equal N the bias can change the ranking of two generators. The distance is computed for several N, a line is
fitted over 1 / N, and its intercept is the score.

This removes the bias due to the number of samples only; the bias due to the size of the reference remains.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.frechet import FrechetDistance, Gaussian, frechet_distance
from saddlepoint.metrics.moments import Moments
from saddlepoint.metrics.rows import permutation

POINTS = 15
"""Number of sample sizes that the distance is computed for; they are evenly spaced, as in the paper."""
SMALLEST_PART = 10
"""The smallest size is 1 / 10 of all samples, as in the paper (5,000 of 50,000), or ``LEAST`` times the number of
features if that is more."""
LEAST = 2
"""Lower limit of the smallest size, in units of the number of features: with a singular covariance the distance is not
linear in 1 / N."""


class FrechetInfinity(Metric):
    """The extrapolated distance; not a default metric, since it takes 15 eigenvalue problems and all features."""

    name = "fid_infinity"
    needs = frozenset({"moments", "pool"})
    reads = FrechetDistance.name

    def least_samples(self, dim: int) -> int:
        """Return the number of samples that a fit needs."""
        return least_samples(dim)

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the mean and the root of the covariance, as the Fréchet distance does."""
        return FrechetDistance().reference(real)

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the intercept; nothing for fewer samples than :func:`least_samples`."""
        assert sample.pool is not None
        n, dim = sample.pool.shape
        if n < least_samples(dim):
            return []
        rows = sample.pool[permutation(n, self.seed, self.name)]
        numbers, distances = curve(Gaussian(reference["mean"], reference["root"]), rows)
        value = extrapolate(numbers, distances)
        return [Figure(extractor.score_name(self.name), value, n)]


def least_samples(dim: int) -> int:
    """Return the number of samples of ``dim`` features that a fit needs: 8,192 for Inception's 2,048."""
    return 2 * LEAST * dim


def curve(real: Gaussian, rows: Tensor) -> tuple[list[int], list[float]]:
    """Return increasing sample sizes, and for each the Fréchet distance of that many first rows from ``real``.

    The sizes are evenly spaced between max(N / 10, 2 F) and N. The sets are nested, so each row is processed once; the
    fit remains unbiased.

    Args:
        real: the reference.
        rows: features [N, F] in a random order; N is at least :func:`least_samples`.
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
    """Return the intercept of the least-squares line of distances over 1 / N; rounding can make it slightly negative.

    >>> round(extrapolate([10, 20, 40], [3.0, 2.5, 2.25]), 9)
    2.0
    """
    _, intercept = np.polyfit(1 / np.asarray(numbers, dtype=np.float64), distances, 1)
    return float(intercept)
