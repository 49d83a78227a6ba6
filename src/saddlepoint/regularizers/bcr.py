"""Zhao et al. 2021, "Improved Consistency Regularization for GANs", arXiv:2002.04724."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saddlepoint.augment.base import refuse_points
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.regularizers.consistency import change_of_mind, moved
from saddlepoint.regularizers.input_gradient import samples_of
from saddlepoint.types import Turn


class BCR(Regularizer):
    """Balanced consistency, of real and generated images alike (algorithm 1).

    λ_real E (D(x) - D(T(x)))² + λ_fake E (D(G(z)) - D(T(G(z))))², with the T of
    :class:`~saddlepoint.regularizers.cr.CR`.
    """

    acts_on_logits = True

    def __init__(
        self,
        weight: NonNegativeFloat = 10.0,
        fake_weight: NonNegativeFloat = 10.0,
        player: str = "discriminator",
        interval: PositiveInt = 1,
        shift: NonNegativeInt = 4,
    ) -> None:
        """Take the penalty's settings.

        Args:
            weight: the paper's λ_real.
            fake_weight: the paper's λ_fake.
            player: whose judgement is regularised.
            interval: turns of that player from one penalty to the next.
            shift: the largest, in pixels; 4 in the paper, for 32 px.
        """
        super().__init__(player, interval, weight)
        self.fake_weight, self.shift = fake_weight, shift

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse points.

        Raises:
            UserError: the data are points, or there is no such player.
        """
        super().check(networks)
        refuse_points(networks[self.player], "bCR shifts and flips images", "take another regularizer")

    def penalty(self, turn: Turn) -> Tensor:
        """Return both terms, a scalar.

        Raises:
            UserError: the turn has no real or no generated images.
        """
        real, fake = (samples_of(turn, kind, "bCR", self.player) for kind in ("real", "fake"))
        on_real = change_of_mind(turn, self.player, "real", moved(real, turn.random, self.shift))
        on_fake = change_of_mind(turn, self.player, "fake", moved(fake, turn.random, self.shift))
        return self.weight * on_real + self.fake_weight * on_fake
