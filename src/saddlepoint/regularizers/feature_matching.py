"""Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.types import Turn


class FeatureMatching(Regularizer):
    """Generated samples are to match the mean features of real ones (section 3.1): ‖E f(x) - E f(G(z))‖₂².

    There it takes the place of the generator's adversarial loss; here it is added to it, times a weight.
    """

    batch_coupled = True
    needs_real_in_generator = True

    def __init__(self, weight: NonNegativeFloat = 1.0, player: str = "generator", interval: PositiveInt = 1) -> None:
        """Take the penalty's settings.

        Args:
            weight: of the distance, beside an adversarial loss of 1.
            player: whose samples are to match.
            interval: turns of that player from one penalty to the next.
        """
        super().__init__(player, interval, weight)

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ ‖E f(x) - E f(G(z))‖₂² over the samples of all ranks, a scalar.

        Raises:
            UserError: the turn does not judge real and generated samples.
        """
        if not {"real", "fake"} <= turn.outputs.keys():
            raise UserError(
                f"feature matching needs turns that judge real and generated samples; '{self.player}' has none"
            )
        real, fake = (
            ranks.gather(at_least_float32(turn.outputs[kind].features).flatten(1)) for kind in ("real", "fake")
        )
        return self.weight * (real.detach().mean(0) - fake.mean(0)).square().sum()
