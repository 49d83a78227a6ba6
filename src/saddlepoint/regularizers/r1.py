"""Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", arXiv:1801.04406."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn


class R1(Regularizer):
    """The zero-centred gradient penalty on real samples, γ/2 E_{p_data} ‖∇D(x)‖₂² (equation 9).

    With ``interval`` > 1 it is the lazy penalty of Karras et al. 2020, arXiv:1912.04958, appendix B.

    Args:
        weight: the paper's γ.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    acts_on_logits = True
    of_single_samples = True

    def __init__(self, weight: Weight = 10.0, **knobs: Any) -> None:
        super().__init__(weight, **knobs)

    def penalty(self, turn: Turn) -> Tensor:
        """Return γ/2 E ‖∇D(x)‖₂² on the turn's real samples, a scalar.

        Raises:
            UserError: the turn has no real samples or no critic.
        """
        return self.at(self.real(turn), turn)

    def at(self, samples: Any, turn: Turn) -> Tensor:
        """Return γ/2 E ‖∇D(x)‖₂² at samples [N, ...], a scalar."""
        gradient = self.critic(turn).gradient(samples)
        return self.weight / 2 * gradient.square().sum(1).mean()
