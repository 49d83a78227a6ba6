"""Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661: the non-saturating loss."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import logsigmoid

from saddlepoint.kinds import Fraction
from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput


class NonSaturating(AdversarialLoss):
    """The discriminator's loss of equation 1, and -log D(G(z)) for the generator (section 3), with D = σ(t).

    - discriminator: -E[(1-s) log σ(t(x)) + s log σ(-t(x))] - E log σ(-t(G(z)))
    - generator: -E log σ(t(G(z)))

    Label smoothing is one-sided: the target is 1 - s for real and 0 for generated samples (Salimans et al. 2016,
    "Improved Techniques for Training GANs", arXiv:1606.03498, section 3.4).
    """

    def __init__(self, label_smoothing: Fraction = 0.0) -> None:
        """Set the label smoothing s in [0, 1], 0.1 in Salimans et al."""
        super().__init__()
        self.label_smoothing = s = label_smoothing
        # Where p_data = p_g, D's optimum is (1 - s) / 2.
        self.undecided = None if s == 1 else math.log((1 - s) / (1 + s))

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return the cross-entropy of real (target 1 - s) and generated (target 0) samples, a scalar >= 0."""
        t, s = scores(real), self.label_smoothing
        on_real = logsigmoid(t) if s == 0 else (1 - s) * logsigmoid(t) + s * logsigmoid(-t)
        return -on_real.mean() - logsigmoid(-scores(fake)).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return -E log D(G(z)), a scalar >= 0."""
        return -logsigmoid(scores(fake)).mean()
