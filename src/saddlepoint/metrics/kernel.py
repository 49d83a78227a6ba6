"""Kernel Inception Distance (Bińkowski et al. 2018, arXiv:1801.01401, section 4).

The unbiased estimate of MMD² under k(x, y) = (xᵀy / F + 1)³, averaged over seeded subsets. Unlike the Fréchet distance
its expectation does not depend on the number of samples, so it may fall slightly below zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample, permutation

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor

ROWS = 2_000
"""Rows kept of either side: the kernel matrices are computed once, and a checkpoint can carry the real ones."""
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
        seed: keys the subsets.
        subset: rows of each side in a subset, cut to what there is; at least 2 must remain.
        subsets: how many; one where a subset takes all rows of both sides.
    """
    size = min(subset, len(real), len(fake))
    if size < 2:
        raise ValueError(f"a kernel distance needs at least 2 samples of either side, not {size}")
    if size == len(real) == len(fake):
        subsets = 1
    # A subset is a row of zeros and ones, so that the sums over all subsets' kernel matrices are matrix products.
    x, y = (indicators(len(rows), size, subsets, seed, side) for rows, side in ((real, "real"), (fake, "fake")))
    pairs = size * (size - 1)
    value = torch.zeros(subsets, dtype=torch.float64)
    for chosen, rows in ((x, real), (y, fake)):
        kernel = polynomial_kernel(rows, rows)
        value += ((chosen @ kernel * chosen).sum(1) - chosen @ kernel.diagonal()) / pairs
    return value - 2 * (x @ polynomial_kernel(real, fake) * y).sum(1) / size**2


def indicators(n: int, size: int, subsets: int, seed: int, side: str) -> Tensor:
    """Return seeded subsets of ``size`` of n rows as float64 [subsets, n] of zeros and ones."""
    chosen = torch.zeros(subsets, n, dtype=torch.float64)
    for index in range(subsets):
        chosen[index, permutation(n, seed, f"kid {side} {index}")[:size]] = 1
    return chosen


class KernelDistance(Metric):
    """KID and its kin on other features, on at most 2,000 rows of either side."""

    name = "kid"
    lower_is_better = True
    needs = frozenset({"pool"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep a seeded choice of real rows."""
        assert real.pool is not None
        return {"rows": real.pool[permutation(len(real.pool), self.seed, "kid rows")[:ROWS]]}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the distance from the kept real rows, on the same number of seeded rows of the sample at most."""
        assert sample.pool is not None
        fake = sample.pool[permutation(len(sample.pool), self.seed, "kid fake rows")[:ROWS]]
        values = kernel_distances(reference["rows"], fake, self.seed)
        mean, deviation = float(values.mean()), float(values.std(correction=0))
        interval = (mean - deviation, mean + deviation)
        return [Figure(extractor.score_name(self.name), mean, len(fake), len(values), interval)]
