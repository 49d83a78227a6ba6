"""Relativistic average losses.

Jolicoeur-Martineau 2018, "The relativistic discriminator: a key element missing from standard GAN", arXiv:1807.00734.
"""

from __future__ import annotations

from torch import Tensor

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.losses.relativistic import SURROGATES, Kind
from saddlepoint.types import CriticOutput


class RelativisticAverage(AdversarialLoss):
    """The relativistic average loss: each score C is compared with the mean score of the other kind (section 4.3).

    - discriminator: E s(C(x) - E C(G(z))) + E s(E C(x) - C(G(z)))
    - generator: E s(C(G(z)) - E C(x)) + E s(E C(G(z)) - C(x))

    with s(d) = -log σ(d) for ``bce`` (RaSGAN), (1 - d)² for ``ls`` (RaLSGAN) and max(0, 1 - d) for ``hinge``. As in the
    paper, the terms are added; the published code halves the sum. Means are over the samples of all ranks, and over
    patches for a critic of patches.
    """

    needs_real_in_generator = True
    batch_coupled = True
    undecided = None

    def __init__(self, kind: Kind = "bce") -> None:
        """Set the function s: ``bce``, ``ls`` or ``hinge``."""
        super().__init__()
        self.kind = kind

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return E s(C(x) - E C(G(z))) + E s(E C(x) - C(G(z))), a scalar >= 0."""
        return self._prefer(scores(real), scores(fake))

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return E s(C(G(z)) - E C(x)) + E s(E C(G(z)) - C(x)), a scalar >= 0."""
        assert real is not None
        return self._prefer(scores(fake), scores(real))

    def _prefer(self, better: Tensor, worse: Tensor) -> Tensor:
        """Return E s(better - E worse) + E s(E better - worse), a scalar."""
        s = SURROGATES[self.kind]
        return s(better - worse.mean()).mean() + s(better.mean() - worse).mean()
