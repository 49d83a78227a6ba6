"""Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from saddlepoint import ranks
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn


class FeatureMatching(Regularizer):
    """The squared distance of the mean features of real and generated samples, ‖E f(x) - E f(G(z))‖₂² (section 3.1).

    In the paper it replaces the generator's adversarial loss; here it is added to it.

    Args:
        weight: weight of the distance, relative to the adversarial loss.
        player: player to whose loss the distance is added.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    batch_coupled = True
    needs_real_in_generator = True

    def __init__(self, weight: Weight = 1.0, player: str = "generator", **knobs: Any) -> None:
        super().__init__(weight, player, **knobs)

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ ‖E f(x) - E f(G(z))‖₂² over the samples of all ranks, a scalar.

        Raises:
            UserError: the turn lacks the critic's outputs on real and generated samples.
        """
        self.judged(turn, "real", "fake")
        real, fake = (
            ranks.gather(at_least_float32(turn.outputs[kind].features).flatten(1)) for kind in ("real", "fake")
        )
        return self.weight * (real.detach().mean(0) - fake.mean(0)).square().sum()
