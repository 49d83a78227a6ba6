"""Zhang et al. 2020, "Consistency Regularization for Generative Adversarial Networks", arXiv:1910.12027."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saddlepoint.augment.base import refuse_points
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.regularizers.consistency import change_of_mind, moved
from saddlepoint.regularizers.input_gradient import samples_of
from saddlepoint.types import Turn


class CR(Regularizer):
    """The critic is to judge a real image as it judges the image moved a little: λ E (D(x) - D(T(x)))² (equation 3).

    T mirrors with probability ½ and shifts by up to some pixels each way (section 3.1), reflecting at the borders.
    """

    acts_on_logits = True

    def __init__(
        self,
        weight: NonNegativeFloat = 10.0,
        player: str = "discriminator",
        interval: PositiveInt = 1,
        shift: NonNegativeInt = 4,
    ) -> None:
        """Take the penalty's settings.

        Args:
            weight: the paper's λ.
            player: whose judgement is regularised.
            interval: turns of that player from one penalty to the next.
            shift: the largest, in pixels; 4 in the paper, for 32 px.
        """
        super().__init__(player, interval, weight)
        self.shift = shift

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse points.

        Raises:
            UserError: the data are points, or there is no such player.
        """
        super().check(networks)
        refuse_points(networks[self.player], "CR shifts and flips images", "take another regularizer")

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ E (D(x) - D(T(x)))² on the turn's real images, a scalar.

        Raises:
            UserError: the turn has no real images.
        """
        real = samples_of(turn, "real", "CR", self.player)
        return self.weight * change_of_mind(turn, self.player, "real", moved(real, turn.random, self.shift))
