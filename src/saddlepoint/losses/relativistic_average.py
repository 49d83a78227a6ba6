"""Jolicoeur-Martineau 2018, "The relativistic discriminator", arXiv:1807.00734."""

from __future__ import annotations

from torch import Tensor

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.losses.relativistic import SURROGATES, Kind
from saddlepoint.types import CriticOutput


class RelativisticAverage(AdversarialLoss):
    """Is this sample more realistic than the other kind is on average? Section 4.3, "relativistic average".

    - discriminator: E s(C(x) - E C(G(z))) + E s(E C(x) - C(G(z)))
    - generator: E s(C(G(z)) - E C(x)) + E s(E C(G(z)) - C(x))

    with s(d) = -log σ(d) for ``bce`` (RaSGAN), (1 - d)² for ``ls`` (RaLSGAN) and max(0, 1 - d) for ``hinge``. The sum
    of both terms is the paper's; its published code halves it. The averages are over the whole batch, on all ranks, and
    over all patches where the critic judges patches.
    """

    needs_real_in_generator = True
    batch_coupled = True
    undecided = None

    def __init__(self, kind: Kind = "bce") -> None:
        """Take what is made of a difference: ``bce``, ``ls`` or ``hinge``."""
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
        """Return what is small where ``better`` lies above the mean of ``worse`` and ``worse`` below that of it."""
        s = SURROGATES[self.kind]
        return s(better - worse.mean()).mean() + s(better.mean() - worse).mean()
