"""Kernel Inception Distance (Bińkowski et al. 2018, arXiv:1801.01401, section 4).

The unbiased estimate of MMD² with the kernel k(x, y) = (xᵀy / F + 1)³, averaged over subsets as in the authors' code
and in torch-fidelity: 100 subsets of 1,000 rows of each side, each drawn without replacement from all rows. Unlike that
of the Fréchet distance, its expectation does not depend on the number of samples; it can be slightly negative.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.float32 import full_float32
from saddlepoint.metrics.rows import permutation

SUBSET = 1_000
SUBSETS = 100
BLOCK = 1_024
"""Rows whose kernel values are in memory at once."""


def kernel_distances(
    real: Tensor,
    fake: Tensor,
    seed: int = 0,
    subset: int = SUBSET,
    subsets: int = SUBSETS,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return the unbiased MMD² of seeded subsets, float64 [S]; KID is its mean.

    Args:
        real: features [N, F], floating.
        fake: features [M, F] of the same type.
        seed: seeds the subsets.
        subset: number of rows of each side in a subset, limited to those available; at least 2.
        subsets: number of subsets; 1 where a subset contains all rows of both sides.
        device: where the kernel is computed.

    Raises:
        ValueError: one side has fewer than 2 rows.
    """
    size = min(subset, len(real), len(fake))
    if size < 2:
        raise ValueError(f"a kernel distance needs at least 2 samples of each side, got {size}")
    if size == len(real) == len(fake):
        subsets = 1
    of_real, of_fake = (
        torch.stack([permutation(len(rows), seed, f"kid {side} {index}")[:size] for index in range(subsets)])
        for rows, side in ((real, "real"), (fake, "fake"))
    )
    return subset_distances(real, fake, of_real, of_fake, device)


def subset_distances(
    real: Tensor, fake: Tensor, of_real: Tensor, of_fake: Tensor, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the unbiased MMD² (Gretton et al. 2012, eq. 3) of the given subsets, float64 [S].

    Args:
        real: features [N, F], floating.
        fake: features [M, F] of the same type.
        of_real: indices of the real rows in each subset, long [S, m], m > 1.
        of_fake: likewise of the fake rows.
        device: where the kernel is computed.
    """
    device = torch.device(device)
    if device.type == "mps":  # it has no float64
        device = torch.device("cpu")
    x, y, i, j = (tensor.to(device) for tensor in (real, fake, of_real, of_fake))
    size = i.shape[1]
    with full_float32(device):
        within = [kernel_sums(rows, rows, own, own) - diagonals(rows)[own].sum(1) for rows, own in ((x, i), (y, j))]
        across = kernel_sums(x, y, i, j)
    return ((within[0] + within[1]) / (size * (size - 1)) - 2 * across / size**2).cpu()


def kernel_sums(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Return Σ k(x_a, y_b) over all a in i[s] and b in j[s], float64 [S].

    Args:
        x: [N, F].
        y: [M, F].
        i: row indices without repetition in each subset, long [S, m].
        j: likewise of y.
    """
    if len(x) * len(y) > len(i) * i.shape[1] * j.shape[1]:
        return torch.stack([polynomial_kernel(x[a], y[b]).sum(dtype=torch.float64) for a, b in zip(i, j, strict=True)])
    # Subsets overlap so much that it is faster to compute the kernel of all pairs once. As vectors of zeros and ones,
    # subsets select sums of its rows by a matrix product.
    rows, columns = (x.new_zeros(len(k), len(z)).scatter_(1, k, 1) for k, z in ((i, x), (j, y)))
    total = torch.zeros(len(i), dtype=torch.float64, device=x.device)
    for chosen, block in zip(rows.split(BLOCK, 1), x.split(BLOCK), strict=True):
        total += (chosen @ polynomial_kernel(block, y)).mul_(columns).sum(1, dtype=torch.float64)
    return total


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return (xᵀy / F + 1)³ for rows x [N, F] and y [M, F], [N, M]."""
    return torch.addmm(x.new_ones(()), x, y.T, alpha=1 / x.shape[1]).pow_(3)


def diagonals(rows: Tensor) -> Tensor:
    """Return k(x, x) for each row, float64 [N]."""
    return (rows.double().square().mean(1) + 1) ** 3


class KernelDistance(Metric):
    """The kernel distance of any features; KID with Inception's. Subsets are of all samples and all train images."""

    name = "kid"
    needs = frozenset({"pool", "train_pool"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the training images' features."""
        assert real.train_pool is not None
        return {"rows": real.train_pool}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the mean over the subsets, and beside it the size of the subsets and the number of real rows."""
        assert sample.pool is not None
        rows = reference["rows"]
        values = kernel_distances(rows, sample.pool, self.seed, device=extractor.device)
        mean, deviation = float(values.mean()), float(values.std(correction=0))
        interval = (mean - deviation, mean + deviation)
        beside = {"subset": float(min(SUBSET, len(rows), len(sample.pool))), "real_rows": float(len(rows))}
        return [Figure(extractor.score_name(self.name), mean, len(sample.pool), len(values), interval, beside=beside)]
