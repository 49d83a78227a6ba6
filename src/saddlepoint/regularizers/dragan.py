"""Kodali et al. 2017, "On Convergence and Stability of GANs", arXiv:1705.07215."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.trees import map_tree
from saddlepoint.turns import Turn


class DRAGAN(Regularizer):
    """The gradient penalty on perturbed real samples, λ E (‖∇D(x̂)‖₂ - k)² (algorithm 1).

    Perturbations are those of the published code, with which the paper's figures were made: x̂ = x + α·s·std(X)·u with
    α ~ U[0, 1] for each sample, u ~ U[0, 1] for each value, std over the whole batch and s = ½. The paper has
    x̂ = x + δ, δ ~ N(0, cI), without a value of c. The mean norm is logged as ``gradient_norm_around_data``.

    Args:
        weight: the paper's λ.
        center: the paper's k, the target norm.
        noise: s, the maximum perturbation in standard deviations of the batch.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    acts_on_logits = True
    of_single_samples = True

    def __init__(
        self,
        weight: Weight = 10.0,
        center: NonNegativeFloat = 1.0,
        noise: NonNegativeFloat = 0.5,
        **knobs: Any,
    ) -> None:
        super().__init__(weight, **knobs)
        self.center, self.noise = center, noise

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E (‖∇D(x̂)‖₂ - k)², a scalar.

        Raises:
            UserError: the turn has no real samples or no critic.
        """
        around = map_tree(lambda real: self._perturbed(real, turn.random), self.real(turn))
        norms = torch.linalg.vector_norm(self.critic(turn).gradient(around), dim=1)
        turn.logs["gradient_norm_around_data"] = norms.detach().mean()
        return self.weight * (norms - self.center).square().mean()

    def _perturbed(self, real: Tensor, random: torch.Generator) -> Tensor:
        alpha = torch.empty((len(real), *[1] * (real.dim() - 1)), device=real.device, dtype=real.dtype)
        alpha.uniform_(generator=random)
        noise = torch.empty_like(real).uniform_(generator=random)
        return real + alpha * self.noise * real.std(correction=0) * noise
