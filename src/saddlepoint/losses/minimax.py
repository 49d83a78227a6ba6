"""Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661: the two-player value function itself."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput


class Minimax(AdversarialLoss):
    """The saturating objective of equation 1, from logits t with D = σ(t) and 1 - σ(t) = σ(-t).

    min_G max_D V = E log D(x) + E log(1 - D(G(z))), so that

    - discriminator: -E log σ(t(x)) - E log σ(-t(G(z)))
    - generator: E log σ(-t(G(z))), whose gradient vanishes where the discriminator is sure (section 3).

    >>> import torch
    >>> undecided = CriticOutput(torch.zeros(4), torch.zeros(4, 1))
    >>> Minimax().discriminator(undecided, undecided)  # log 4, the value at the equilibrium (theorem 1)
    tensor(1.3863)
    """

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return -E log D(x) - E log(1 - D(G(z))), a scalar >= 0."""
        return -logsigmoid(scores(real)).mean() - logsigmoid(-scores(fake)).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return E log(1 - D(G(z))), a scalar <= 0."""
        return logsigmoid(-scores(fake)).mean()
