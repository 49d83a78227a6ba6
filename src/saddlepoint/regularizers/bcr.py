"""Zhao et al. 2021, "Improved Consistency Regularization for GANs", arXiv:2002.04724."""

from __future__ import annotations

from typing import Any

from pydantic import NonNegativeFloat
from torch import Tensor

from saddlepoint.regularizers.cr import CR
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn


class BCR(CR):
    """Balanced consistency regularization of real and generated images (algorithm 1).

    λ_real E (D(x) - D(T(x)))² + λ_fake E (D(G(z)) - D(T(G(z))))², with T as in
    :class:`~saddlepoint.regularizers.cr.CR`.

    Args:
        weight: the paper's λ_real.
        fake_weight: the paper's λ_fake.
        knobs: see :class:`~saddlepoint.regularizers.cr.CR`.
    """

    def __init__(self, weight: Weight = 10.0, fake_weight: NonNegativeFloat = 10.0, **knobs: Any) -> None:
        super().__init__(weight, **knobs)
        self.fake_weight = fake_weight

    def penalty(self, turn: Turn) -> Tensor:
        """Return the sum of both terms, a scalar.

        Raises:
            UserError: the turn lacks D's outputs on real and generated images, or D is conditioned on images.
        """
        real, fake = self.single(self.real(turn)), self.single(self.fake(turn))
        on_real = self.change(turn, "real", self.moved(real, turn.random))
        on_fake = self.change(turn, "fake", self.moved(fake, turn.random))
        return self.weight * on_real + self.fake_weight * on_fake
