"""Arjovsky et al. 2017, "Wasserstein GAN", arXiv:1701.07875."""

from __future__ import annotations

from torch import Tensor

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput


class Wasserstein(AdversarialLoss):
    """The Wasserstein loss (equation 2). A regularizer must enforce the Lipschitz constraint on the critic.

    - discriminator: E D(G(z)) - E D(x), minus an estimate of the Wasserstein-1 distance
    - generator: -E D(G(z))
    """

    undecided = None

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return E D(G(z)) - E D(x), a scalar."""
        return scores(fake).mean() - scores(real).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return -E D(G(z)), a scalar."""
        return -scores(fake).mean()
