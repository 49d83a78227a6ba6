"""Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", arXiv:1801.04406."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.regularizers.base import Regularizer
from saddlepoint.regularizers.input_gradient import input_gradient, refuse_batch_norm, samples_of
from saddlepoint.types import Turn


class R2(Regularizer):
    """The zero-centred gradient penalty on generated samples, γ/2 E_{p_G} ‖∇D(x)‖₂² (equation 10).

    With an interval above 1 it is lazy, as :class:`~saddlepoint.regularizers.r1.R1` is.
    """

    def __init__(
        self, weight: NonNegativeFloat = 10.0, player: str = "discriminator", interval: PositiveInt = 1
    ) -> None:
        """Take the penalty's settings.

        Args:
            weight: the paper's γ.
            player: whose gradient is penalised.
            interval: turns of that player from one penalty to the next.
        """
        super().__init__(player, interval, weight)

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse BatchNorm in the critic.

        Raises:
            UserError: the critic has BatchNorm, under which ∇D(x) is not x's own, or there is no such player.
        """
        super().check(networks)
        refuse_batch_norm(networks[self.player], "R2", self.player)

    def penalty(self, turn: Turn) -> Tensor:
        """Return γ/2 E ‖∇D(G(z))‖₂² on the turn's generated samples, a scalar.

        Raises:
            UserError: the turn has no generated samples.
        """
        gradient = input_gradient(turn, self.player, samples_of(turn, "fake", "R2", self.player))
        return self.weight / 2 * gradient.square().sum(1).mean()
