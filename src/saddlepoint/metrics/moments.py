"""Mean and covariance of a stream of features."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Moments:
    """Mean and covariance of a stream in float64, by the pairwise update of Chan, Golub and LeVeque (1979).

    It centres each batch before it squares, so that a large mean costs no digits; two streams merge, whatever their
    order.

    Attributes:
        n: rows seen.
        mean: float64 [F].
        scatter: float64 [F, F], the sum of outer products of centred rows.
    """

    def __init__(self, dim: int) -> None:
        self.n = 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)

    def update(self, rows: Tensor) -> None:
        """Add rows [N, F] of any floating type; the sums stand on the rows' device where it has float64."""
        if len(rows) == 0:
            return
        rows = (rows.cpu() if rows.device.type == "mps" else rows).double()
        mean = rows.mean(0)
        shift = self._shift(len(rows), mean)
        # In one product and in place: for small batches it is the passes over [F, F] that cost.
        outer = torch.cat([rows - mean, shift[None]])
        self.scatter.addmm_(outer.T, outer)

    def merge(self, other: Moments) -> None:
        """Add what another stream has seen."""
        if other.n == 0:
            return
        shift = self._shift(other.n, other.mean)
        self.scatter.addr_(shift, shift).add_(other.scatter)

    def _shift(self, n: int, mean: Tensor) -> Tensor:
        """Take in the mean of n more rows, and return the vector whose square the move adds to the scatter."""
        self.to(mean.device)
        total = self.n + n
        delta = mean - self.mean
        weight = self.n * n / total
        self.mean = self.mean + delta * (n / total)
        self.n = total
        return delta * math.sqrt(weight)

    def to(self, device: torch.device | str) -> None:
        """Hold the sums on ``device``."""
        self.mean, self.scatter = self.mean.to(device), self.scatter.to(device)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance, float64 [F, F]; needs two rows."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 samples, not {self.n}")
        return self.scatter / (self.n - 1)
