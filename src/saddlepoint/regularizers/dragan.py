"""Kodali et al. 2017, "On Convergence and Stability of GANs", arXiv:1705.07215."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.regularizers.base import Regularizer
from saddlepoint.regularizers.input_gradient import input_gradient, refuse_batch_norm, samples_of
from saddlepoint.types import Turn


class DRAGAN(Regularizer):
    """The gradient penalty around the data, λ E (‖∇D(x̂)‖₂ - k)² (algorithm 1).

    The noise is that of the paper's published code, which its figures come from: x̂ = x + α·s·std(X)·u with one
    α ~ U[0, 1] a sample, u ~ U[0, 1] for each value and std over the whole batch; s = ½. The paper's text has
    x̂ = x + δ, δ ~ N(0, cI), with a c whose unit it does not say. The forward pass is the penalty's own (see
    :func:`~saddlepoint.regularizers.input_gradient.input_gradient`). The mean norm goes to
    ``turn.logs["gradient_norm_around_data"]``.
    """

    acts_on_logits = True

    def __init__(
        self,
        weight: NonNegativeFloat = 10.0,
        player: str = "discriminator",
        interval: PositiveInt = 1,
        center: NonNegativeFloat = 1.0,
        noise: NonNegativeFloat = 0.5,
    ) -> None:
        """Take the penalty's settings.

        Args:
            weight: the paper's λ.
            player: whose gradient is penalised.
            interval: turns of that player from one penalty to the next.
            center: the paper's k, the norm that is asked for.
            noise: s, the largest perturbation in standard deviations of the batch.
        """
        super().__init__(player, interval, weight)
        self.center, self.noise = center, noise

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse BatchNorm in the critic.

        Raises:
            UserError: the critic has BatchNorm, under which ∇D(x̂) is not x̂'s own, or there is no such player.
        """
        super().check(networks)
        refuse_batch_norm(networks[self.player], "DRAGAN's penalty", self.player)

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E (‖∇D(x̂)‖₂ - k)², a scalar.

        Raises:
            UserError: the turn has no real samples.
        """
        gradient = input_gradient(turn, self.player, self._perturbed(turn))
        norms = torch.linalg.vector_norm(gradient, dim=1)
        turn.logs["gradient_norm_around_data"] = norms.detach().mean()
        return self.weight * (norms - self.center).square().mean()

    def _perturbed(self, turn: Turn) -> Tensor:
        real = samples_of(turn, "real", "DRAGAN's penalty", self.player)
        alpha = torch.empty((len(real), *[1] * (real.dim() - 1)), device=real.device, dtype=real.dtype)
        alpha.uniform_(generator=turn.random)
        noise = torch.empty_like(real).uniform_(generator=turn.random)
        return real + alpha * self.noise * real.std(correction=0) * noise
