"""Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498."""

from __future__ import annotations

from typing import Any

from pydantic import NonNegativeFloat
from torch import Tensor

from saddlepoint import ranks
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.turns import Turn


class FeatureMatching(Regularizer):
    """Generated samples are to match the mean features of real ones (section 3.1): ‖E f(x) - E f(G(z))‖₂².

    In the paper it replaces the generator's adversarial loss; here it is added to it, times a weight.

    Args:
        weight: of the distance, beside an adversarial loss of 1.
        player: whose samples are to match.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    batch_coupled = True
    needs_real_in_generator = True

    def __init__(self, weight: NonNegativeFloat = 1.0, player: str = "generator", **knobs: Any) -> None:
        super().__init__(weight, player, **knobs)

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ ‖E f(x) - E f(G(z))‖₂² over the samples of all ranks, a scalar.

        Raises:
            UserError: the turn does not judge real and generated samples.
        """
        self.judged(turn, "real", "fake")
        real, fake = (
            ranks.gather(at_least_float32(turn.outputs[kind].features).flatten(1)) for kind in ("real", "fake")
        )
        return self.weight * (real.detach().mean(0) - fake.mean(0)).square().sum()
