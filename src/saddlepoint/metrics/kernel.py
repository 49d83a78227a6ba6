"""Kernel Inception Distance (Bińkowski et al. 2018, arXiv:1801.01401, section 4).

The unbiased estimate of MMD² with the kernel k(x, y) = (xᵀy / F + 1)³, averaged over seeded subsets. Unlike that of the
Fréchet distance, its expectation does not depend on the number of samples; the estimate can be slightly negative.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.rows import permutation

ROWS = 2_000
"""Number of rows used of each side: few enough for the kernel matrices to be computed once, and for a checkpoint to
store the real rows."""
SUBSET = 1_000
SUBSETS = 100


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return (xᵀy / F + 1)³ for rows x [N, F] and y [M, F] as float64 [N, M]."""
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def kernel_distances(real: Tensor, fake: Tensor, seed: int = 0, subset: int = SUBSET, subsets: int = SUBSETS) -> Tensor:
    """Return the unbiased MMD² (Gretton et al. 2012, eq. 3) of seeded subsets, float64 [S]; KID is its mean.

    Args:
        real: features [N, F].
        fake: features [M, F].
        seed: seeds the subsets.
        subset: number of rows of each side in a subset, limited to those available; at least 2.
        subsets: number of subsets; 1 where a subset contains all rows of both sides.

    Raises:
        ValueError: one side has fewer than 2 rows.
    """
    size = min(subset, len(real), len(fake))
    if size < 2:
        raise ValueError(f"a kernel distance needs at least 2 samples of each side, got {size}")
    if size == len(real) == len(fake):
        subsets = 1
    # Each subset is a vector of zeros and ones, so the sums over all subsets' kernel matrices are matrix products.
    x, y = (indicators(len(rows), size, subsets, seed, side) for rows, side in ((real, "real"), (fake, "fake")))
    pairs = size * (size - 1)
    value = torch.zeros(subsets, dtype=torch.float64)
    for chosen, rows in ((x, real), (y, fake)):
        kernel = polynomial_kernel(rows, rows)
        value += ((chosen @ kernel * chosen).sum(1) - chosen @ kernel.diagonal()) / pairs
    return value - 2 * (x @ polynomial_kernel(real, fake) * y).sum(1) / size**2


def indicators(n: int, size: int, subsets: int, seed: int, side: str) -> Tensor:
    """Return seeded subsets of ``size`` of n rows as indicator vectors of zeros and ones, float64 [subsets, n]."""
    chosen = torch.zeros(subsets, n, dtype=torch.float64)
    for index in range(subsets):
        chosen[index, permutation(n, seed, f"kid {side} {index}")[:size]] = 1
    return chosen


class KernelDistance(Metric):
    """The kernel distance of any features, from at most 2,000 rows of each side; KID with Inception's."""

    name = "kid"
    needs = frozenset({"pool"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return a seeded choice of real rows."""
        assert real.pool is not None
        return {"rows": real.pool[permutation(len(real.pool), self.seed, "kid rows")[:ROWS]]}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the distance between the kept real rows and a seeded choice of at most 2,000 rows of the sample."""
        assert sample.pool is not None
        fake = sample.pool[permutation(len(sample.pool), self.seed, "kid fake rows")[:ROWS]]
        values = kernel_distances(reference["rows"], fake, self.seed)
        mean, deviation = float(values.mean()), float(values.std(correction=0))
        interval = (mean - deviation, mean + deviation)
        return [Figure(extractor.score_name(self.name), mean, len(fake), len(values), interval)]
