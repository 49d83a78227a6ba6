"""Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", arXiv:1801.04406."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.regularizers.base import Regularizer
from saddlepoint.regularizers.input_gradient import input_gradient, refuse_batch_norm, samples_of
from saddlepoint.types import Turn

Kind = Literal["real", "fake"]


class R1(Regularizer):
    """The zero-centred gradient penalty on real samples, γ/2 E_{p_data} ‖∇D(x)‖₂² (equation 9).

    With an interval above 1 it is the lazy penalty of Karras et al. 2020, arXiv:1912.04958, appendix B. The forward
    pass is its own (see :func:`~saddlepoint.regularizers.input_gradient.input_gradient`).

    Attributes:
        of: the samples at which the gradient is taken.
    """

    acts_on_logits = True

    of: ClassVar[Kind] = "real"

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
        refuse_batch_norm(networks[self.player], type(self).__name__, self.player)

    def penalty(self, turn: Turn) -> Tensor:
        """Return γ/2 E ‖∇D(x)‖₂² on the turn's samples of that kind, a scalar.

        Raises:
            UserError: the turn has no such samples.
        """
        gradient = input_gradient(turn, self.player, samples_of(turn, self.of, type(self).__name__, self.player))
        return self.weight / 2 * gradient.square().sum(1).mean()
