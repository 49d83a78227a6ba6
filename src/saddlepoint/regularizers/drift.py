"""Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation".

arXiv:1710.10196.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn


class Drift(Regularizer):
    """The penalty ε E D(x)² on scores of real samples (appendix A.1).

    It keeps the scores of a Wasserstein critic, whose mean the loss does not determine, near zero.

    Args:
        weight: the paper's ε_drift.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    acts_on_logits = True

    def __init__(self, weight: Weight = 0.001, **knobs: Any) -> None:
        super().__init__(weight, **knobs)

    def penalty(self, turn: Turn) -> Tensor:
        """Return ε E D(x)², a scalar.

        Raises:
            UserError: the turn has no scores of real samples.
        """
        self.judged(turn, "real")
        return self.weight * at_least_float32(turn.outputs["real"].logits).square().mean()
