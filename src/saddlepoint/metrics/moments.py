"""Mean and covariance of a stream of features, computed incrementally."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Moments:
    """Mean and covariance of a stream in float64, by the pairwise update of Chan, Golub and LeVeque (1979).

    Each batch is centred before it is squared, so a large mean causes no loss of precision. Streams can be merged.

    Attributes:
        n: number of rows so far.
        mean: float64 [F].
        scatter: float64 [F, F], the sum of outer products of centred rows.
    """

    def __init__(self, dim: int) -> None:
        self.n = 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)

    def update(self, rows: Tensor) -> None:
        """Add rows [N, F] of any floating type; the sums move to the rows' device unless it lacks float64."""
        if len(rows) == 0:
            return
        rows = (rows.cpu() if rows.device.type == "mps" else rows).double()
        mean = rows.mean(0)
        shift = self._shift(len(rows), mean)
        # One product, in place: with small batches, passes over [F, F] dominate the cost.
        outer = torch.cat([rows - mean, shift[None]])
        self.scatter.addmm_(outer.T, outer)

    def merge(self, other: Moments) -> None:
        """Add the rows of another stream."""
        if other.n == 0:
            return
        shift = self._shift(other.n, other.mean)
        self.scatter.addr_(shift, shift).add_(other.scatter)

    def _shift(self, n: int, mean: Tensor) -> Tensor:
        """Update the mean with that of n more rows; return the vector whose outer product the scatter grows by."""
        self.to(mean.device)
        total = self.n + n
        delta = mean - self.mean
        weight = self.n * n / total
        self.mean = self.mean + delta * (n / total)
        self.n = total
        return delta * math.sqrt(weight)

    def to(self, device: torch.device | str) -> None:
        """Move the sums to ``device``."""
        self.mean, self.scatter = self.mean.to(device), self.scatter.to(device)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance, float64 [F, F]; needs at least two rows."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 samples, not {self.n}")
        return self.scatter / (self.n - 1)
