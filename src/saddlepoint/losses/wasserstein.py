"""Arjovsky et al. 2017, "Wasserstein GAN", arXiv:1701.07875."""

from __future__ import annotations

from torch import Tensor

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput


class Wasserstein(AdversarialLoss):
    """The Kantorovich-Rubinstein dual of equation 2, where the critic must be kept Lipschitz by a regularizer.

    - discriminator: E D(G(z)) - E D(x), minus the estimate of the Wasserstein-1 distance
    - generator: -E D(G(z))
    """

    undecided = None

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return E D(G(z)) - E D(x), a scalar."""
        return scores(fake).mean() - scores(real).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return -E D(G(z)), a scalar."""
        return -scores(fake).mean()
