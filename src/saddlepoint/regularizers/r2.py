"""Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", arXiv:1801.04406."""

from __future__ import annotations

from torch import Tensor

from saddlepoint.regularizers.r1 import R1
from saddlepoint.turns import Turn


class R2(R1):
    """The zero-centred gradient penalty on generated samples, γ/2 E_{p_G} ‖∇D(x)‖₂² (equation 10).

    See :class:`~saddlepoint.regularizers.r1.R1` for the arguments.
    """

    def penalty(self, turn: Turn) -> Tensor:
        """Return γ/2 E ‖∇D(x)‖₂² on the turn's generated samples, a scalar.

        Raises:
            UserError: the turn has no generated samples or no critic.
        """
        return self.at(self.fake(turn), turn)
