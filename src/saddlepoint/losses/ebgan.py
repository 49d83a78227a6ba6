"""Zhao et al. 2017, "Energy-based Generative Adversarial Network", arXiv:1609.03126."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor
from torch.nn.functional import relu

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput


class EBGAN(AdversarialLoss):
    """The discriminator is an energy: low on data, at least the margin m on generated samples. Equations 1 and 2.

    - discriminator: E D(x) + E max(0, m - D(G(z)))
    - generator: E D(G(z))

    The pulling-away term of section 2.4 is ``regularizer=[pulling_away]``.
    """

    critic = "energy"

    def __init__(self, margin: PositiveFloat = 10.0) -> None:
        """Take the margin m, in units of the energy."""
        super().__init__()
        self.margin = margin

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return E D(x) + E max(0, m - D(G(z))), a scalar >= 0."""
        return scores(real).mean() + relu(self.margin - scores(fake)).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return E D(G(z)), a scalar >= 0."""
        return scores(fake).mean()
