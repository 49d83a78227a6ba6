"""Jolicoeur-Martineau 2018, "The relativistic discriminator", arXiv:1807.00734.

With ``kind="bce"`` it is also the relativistic pairing loss of Huang et al. 2024, arXiv:2501.05441, equation 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.types import CriticOutput

Kind = Literal["bce", "ls", "hinge"]
"""What a relativistic loss makes of a difference of scores."""

SURROGATES: Mapping[Kind, Callable[[Tensor], Tensor]] = {
    "bce": lambda d: -logsigmoid(d),
    "ls": lambda d: (1 - d).square(),
    "hinge": lambda d: relu(1 - d),
}
"""s(d), small where the difference d has the sign that the player wants."""


class Relativistic(AdversarialLoss):
    """Is this real sample more realistic than that generated one? Sections 4.1 and 4.2, for pairs (x, G(z)).

    - discriminator: E s(C(x) - C(G(z)))
    - generator: E s(C(G(z)) - C(x))

    with s(d) = -log σ(d) for ``bce``, (1 - d)² for ``ls`` and max(0, 1 - d) for ``hinge``. The paper's general form
    adds a second term that equals the first for these three; one is kept, as in its standard version. Samples are
    paired in the order of the batch; where they differ in number, the first of each.
    """

    needs_real_in_generator = True
    undecided = None

    def __init__(self, kind: Kind = "bce") -> None:
        """Take what is made of a difference: ``bce``, ``ls`` or ``hinge``."""
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
