"""Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", arXiv:1704.00028."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.regularizers.base import Regularizer
from saddlepoint.regularizers.input_gradient import input_gradient, refuse_batch_norm, samples_of
from saddlepoint.types import Turn


class GradientPenalty(Regularizer):
    """The two-sided penalty λ E(‖∇D(x̂)‖₂ - 1)² of equation 3.

    x̂ = εx + (1-ε)G(z) with one ε ~ U[0, 1] a sample (algorithm 1, lines 4 and 6), between the real and the generated
    sample of the same index, and the norm is over all of a sample's values. The forward pass is its own (see
    :func:`~saddlepoint.regularizers.input_gradient.input_gradient`). The mean norm, which should approach 1, goes to
    ``turn.logs["gradient_norm"]``.
    """

    acts_on_logits = True

    def __init__(
        self,
        weight: NonNegativeFloat = 10.0,
        player: str = "discriminator",
        interval: PositiveInt = 1,
        center: NonNegativeFloat = 1.0,
    ) -> None:
        """Take the penalty's settings.

        Args:
            weight: the paper's λ.
            player: whose gradient is penalised.
            interval: turns of that player from one penalty to the next.
            center: the norm that is asked for.
        """
        super().__init__(player, interval, weight)
        self.center = center

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse BatchNorm in the critic.

        Raises:
            UserError: the critic has BatchNorm, under which one sample's score depends on the others (section 4, "No
                critic batch normalization"), or there is no such player.
        """
        super().check(networks)
        refuse_batch_norm(networks[self.player], "the gradient penalty", self.player)

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E(‖∇D(x̂)‖₂ - center)², a scalar.

        Where real and generated samples differ in number, the first of each are paired.

        Raises:
            UserError: the turn has no real or no generated samples.
        """
        gradient = input_gradient(turn, self.player, self._interpolates(turn))
        # Its derivative at a zero gradient is 0 (a subgradient), not NaN: no epsilon under the root is needed.
        norms = torch.linalg.vector_norm(gradient, dim=1)
        turn.logs["gradient_norm"] = norms.detach().mean()
        return self.weight * (norms - self.center).square().mean()

    def _interpolates(self, turn: Turn) -> Tensor:
        real, fake = (samples_of(turn, kind, "the gradient penalty", self.player) for kind in ("real", "fake"))
        n = min(len(real), len(fake))
        real, fake = real[:n], fake[:n]
        epsilon = torch.rand((n, *[1] * (real.dim() - 1)), generator=turn.random, device=real.device, dtype=real.dtype)
        return torch.lerp(fake, real, epsilon)
