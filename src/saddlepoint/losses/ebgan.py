"""Zhao et al. 2017, "Energy-based Generative Adversarial Network", arXiv:1609.03126."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor
from torch.nn.functional import relu

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput


class EBGAN(AdversarialLoss):
    """Hinge losses of energies with margin m (equations 1 and 2).

    - discriminator: E D(x) + E max(0, m - D(G(z)))
    - generator: E D(G(z))

    For the pulling-away term of section 2.4, see :class:`saddlepoint.regularizers.PullingAway`.
    """

    critic = "energy"

    def __init__(self, margin: PositiveFloat = 10.0) -> None:
        """Set the margin m, in units of the energy."""
        super().__init__()
        self.margin = margin

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return E D(x) + E max(0, m - D(G(z))), a scalar >= 0."""
        return scores(real).mean() + relu(self.margin - scores(fake)).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return E D(G(z)), a scalar >= 0."""
        return scores(fake).mean()
