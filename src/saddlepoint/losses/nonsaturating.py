"""Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661: the heuristic that is used in practice."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput, Fraction


class NonSaturating(AdversarialLoss):
    """The discriminator of equation 1 and, for the generator, max log D(G(z)) (section 3), from logits t.

    - discriminator: -E[(1-s) log σ(t(x)) + s log σ(-t(x))] - E log σ(-t(G(z)))
    - generator: -E log σ(t(G(z)))

    The smoothing s is one-sided: the target of real samples is 1 - s, that of generated ones stays 0 (Salimans et al.
    2016, "Improved Techniques for Training GANs", arXiv:1606.03498, section 3.4).
    """

    def __init__(self, label_smoothing: Fraction = 0.0) -> None:
        """Take how much is taken off the real target, s in [0, 1]; Salimans et al. use 0.1."""
        super().__init__()
        self.label_smoothing = label_smoothing

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return the cross-entropy of real (target 1 - s) and generated (target 0) samples, a scalar >= 0."""
        t, s = scores(real), self.label_smoothing
        on_real = logsigmoid(t) if s == 0 else (1 - s) * logsigmoid(t) + s * logsigmoid(-t)
        return -on_real.mean() - logsigmoid(-scores(fake)).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return -E log D(G(z)), a scalar >= 0."""
        return -logsigmoid(scores(fake)).mean()
