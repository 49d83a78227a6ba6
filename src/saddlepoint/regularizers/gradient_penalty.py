"""Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", arXiv:1704.00028."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from saddlepoint import trees
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn


class GradientPenalty(Regularizer):
    """The two-sided gradient penalty λ E(‖∇D(x̂)‖₂ - 1)² (equation 3).

    x̂ = εx + (1-ε)G(z) with ε ~ U[0, 1] for each pair of a real and a generated sample (algorithm 1, lines 4 and 6).
    The norm is over all values of a sample. The mean norm, which should approach 1, is logged as ``gradient_norm``.

    Args:
        weight: the paper's λ.
        center: the target norm.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    acts_on_logits = True
    of_single_samples = True

    def __init__(self, weight: Weight = 10.0, center: NonNegativeFloat = 1.0, **knobs: Any) -> None:
        super().__init__(weight, **knobs)
        self.center = center

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E(‖∇D(x̂)‖₂ - center)², a scalar.

        Raises:
            UserError: the turn has no real or no generated samples, or no critic.
        """
        gradient = self.critic(turn).gradient(self.interpolates(turn))
        # vector_norm has the subgradient 0 at 0, not NaN, so no epsilon is needed.
        norms = torch.linalg.vector_norm(gradient, dim=1)
        turn.logs["gradient_norm"] = norms.detach().mean()
        return self.weight * (norms - self.center).square().mean()

    def interpolates(self, turn: Turn) -> Any:
        """Return x̂, [N, ...]; if the numbers of real and generated samples differ, surplus samples are ignored."""
        real, fake = self.real(turn), self.fake(turn)
        n = min(trees.length(real), trees.length(fake))
        first = next(trees.leaves(real))
        epsilon = torch.rand((n,), generator=turn.random, device=first.device, dtype=first.dtype)

        def between(x: Tensor, y: Tensor) -> Tensor:
            return torch.lerp(y, x, epsilon.view(n, *[1] * (x.dim() - 1)).to(x.dtype))

        return trees.map_tree(between, trees.take(real, slice(n)), trees.take(fake, slice(n)))
