"""Mode coverage of points on a mixture of Gaussians, as a torchmetrics module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from saddlepoint.metrics.modes import count_modes, coverage_of_counts


class MixtureCoverage(Metric):
    r"""Mode coverage of points on a uniform mixture of isotropic Gaussians (Lin et al. 2018, arXiv:1712.04086).

    Every point is assigned to its nearest mean, and is of high quality within 3σ of it. With c_m points at mode m, of
    which g_m are of high quality, of N in all and M modes:

    .. math::
        \text{modes} = \sum_m 1[g_m > 0], \quad
        \text{high quality} = \tfrac{1}{N} \sum_m g_m, \quad
        \text{reverse KL} = \sum_m \tfrac{c_m}{N} \log \tfrac{M c_m}{N}

    They equal the score cards ``modes``, ``high_quality``, ``reverse_kl`` and ``mixture_kl``.

    Args:
        means: of the modes, [M, D].
        std: σ > 0 of every mode.
        **kwargs: of :class:`torchmetrics.Metric`.

    Raises:
        FloatingPointError: points are not finite.
        ValueError: on :meth:`compute`, there are no points.

    Example:
        >>> import torch
        >>> from saddlepoint.metrics.modules import MixtureCoverage
        >>> coverage = MixtureCoverage(means=torch.tensor([[0.0, 0.0], [10.0, 0.0]]), std=0.1)
        >>> coverage.update(torch.tensor([[0.0, 0.1], [0.2, 0.0], [9.0, 0.0], [0.0, 0.0]]))
        >>> {name: round(float(value), 4) for name, value in coverage.compute().items()}
        {'modes': 1.0, 'high_quality': 0.75, 'reverse_kl': 0.1308, 'mixture_kl': 1.0909}
    """

    is_differentiable = False
    full_state_update = False
    counts: Tensor
    good: Tensor

    def __init__(self, means: Tensor, std: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.means, self.std = means.detach().cpu(), std
        for name in ("counts", "good"):
            self.add_state(name, default=torch.zeros(len(means), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, points: Tensor) -> None:
        """Add generated points, float [N, D]."""
        counts, good = count_modes(points, self.means, self.std)
        self.counts = self.counts + counts.to(self.device)
        self.good = self.good + good.to(self.device)

    def compute(self) -> dict[str, Tensor]:
        """Return ``modes``, ``high_quality``, ``reverse_kl`` and ``mixture_kl``, float64 scalars.

        ``mixture_kl`` is KL in nats between the points' and the mixture's own distribution over the events "within 3σ
        of mode m" and "outside"; it is small only if both the modes and the quality are right.
        """
        if not self.counts.any():
            raise ValueError("needs at least one point")
        found = coverage_of_counts(self.counts.cpu(), self.good.cpu(), self.means.shape[1])
        return {
            name: torch.tensor(float(getattr(found, name)), dtype=torch.float64, device=self.device)
            for name in ("modes", "high_quality", "reverse_kl", "mixture_kl")
        }
