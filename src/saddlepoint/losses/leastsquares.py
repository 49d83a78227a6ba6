"""Mao et al. 2017, "Least Squares Generative Adversarial Networks", arXiv:1611.04076."""

from __future__ import annotations

from torch import Tensor

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput


class LeastSquares(AdversarialLoss):
    """The least-squares loss (equation 2).

    - discriminator: ½ E(D(x) - b)² + ½ E(D(G(z)) - a)²
    - generator: ½ E(D(G(z)) - c)²
    """

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0) -> None:
        """Set the targets of section 3.3.

        The default is the paper's 0-1 coding. With b - c = 1 and b - a = 2, such as a=-1, b=1, c=0, the loss minimizes
        Pearson's χ² divergence.

        Args:
            a: the discriminator's target for generated samples.
            b: the discriminator's target for real samples.
            c: the generator's target for generated samples.
        """
        super().__init__()
        self.a, self.b, self.c = a, b, c
        self.undecided = (a + b) / 2

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return ½ E(D(x) - b)² + ½ E(D(G(z)) - a)², a scalar >= 0."""
        return 0.5 * (scores(real) - self.b).square().mean() + 0.5 * (scores(fake) - self.a).square().mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return ½ E(D(G(z)) - c)², a scalar >= 0."""
        return 0.5 * (scores(fake) - self.c).square().mean()
