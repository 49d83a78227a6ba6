"""Relativistic losses.

Jolicoeur-Martineau 2018, "The relativistic discriminator: a key element missing from standard GAN", arXiv:1807.00734.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput

Kind = Literal["bce", "ls", "hinge"]
"""Functions s(d) of a difference of scores."""

SURROGATES: Mapping[Kind, Callable[[Tensor], Tensor]] = {
    "bce": lambda d: -logsigmoid(d),
    "ls": lambda d: (1 - d).square(),
    "hinge": lambda d: relu(1 - d),
}
"""The functions s(d), which are small if the difference d is positive."""


class Relativistic(AdversarialLoss):
    """The relativistic loss, which compares the critic's scores C of pairs (x, G(z)) (sections 4.1 and 4.2).

    - discriminator: E s(C(x) - C(G(z)))
    - generator: E s(C(G(z)) - C(x))

    with s(d) = -log σ(d) for ``bce``, (1 - d)² for ``ls`` and max(0, 1 - d) for ``hinge``. The paper's general form has
    a second term that equals the first for these functions; it is omitted. Samples are paired in the order of the
    batch; if the numbers of real and generated samples differ, surplus samples are ignored.

    For ``bce`` this is also the relativistic pairing loss of Huang et al. 2024, arXiv:2501.05441, equation 2.
    """

    needs_real_in_generator = True
    undecided = None

    def __init__(self, kind: Kind = "bce") -> None:
        """Set the function s: ``bce``, ``ls`` or ``hinge``."""
        super().__init__()
        self.kind = kind

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return E s(C(x) - C(G(z))), a scalar >= 0."""
        x, y = _paired(real, fake)
        return SURROGATES[self.kind](x - y).mean()

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return E s(C(G(z)) - C(x)), a scalar >= 0."""
        assert real is not None
        x, y = _paired(real, fake)
        return SURROGATES[self.kind](y - x).mean()


def _paired(real: CriticOutput, fake: CriticOutput) -> tuple[Tensor, Tensor]:
    n = min(len(real.logits), len(fake.logits))
    return scores(real)[:n], scores(fake)[:n]
