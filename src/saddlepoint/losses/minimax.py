"""Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661: the minimax loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput


class Minimax(AdversarialLoss):
    """The saturating loss min_G max_D E log D(x) + E log(1 - D(G(z))) (equation 1), with D = σ(t) for logits t.

    - discriminator: -E log σ(t(x)) - E log σ(-t(G(z)))
    - generator: E log σ(-t(G(z))), whose gradient vanishes if D rejects generated samples with confidence (section 3)

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
