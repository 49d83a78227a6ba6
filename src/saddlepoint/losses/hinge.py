"""Lim & Ye 2017, "Geometric GAN", arXiv:1705.02894, as in Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput


class Hinge(AdversarialLoss):
    """The hinge loss, with a margin of 1.

    - discriminator: E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))
    - generator: -E D(G(z))
    """

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), a scalar >= 0."""
        return relu(1 - scores(real)).mean() + relu(1 + scores(fake)).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return -E D(G(z)), a scalar."""
        return -scores(fake).mean()
