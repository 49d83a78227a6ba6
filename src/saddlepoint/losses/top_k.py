"""Top-k training.

Sinha et al. 2020, "Top-k Training of GANs: Improving GAN Performance by Throwing Away Bad Samples", arXiv:2002.06224.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.kinds import Fraction
from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput


class TopK(AdversarialLoss):
    """A wrapper of a loss that trains the generator only on the k samples with the highest scores (section 3).

    For N samples, k = max(γ^epoch, ν) N, rounded up, where an epoch is a number of generator turns. The score of a
    sample is its logit, the mean logit of its patches, or minus its energy. The discriminator's loss is that of the
    wrapped loss.

    Attributes:
        turns: number of turns of the generator so far, a scalar buffer.
    """

    batch_coupled = True
    changes = "generator"

    turns: Tensor

    def __init__(
        self, of: AdversarialLoss, decay: Fraction = 0.99, floor: Fraction = 0.5, every: PositiveInt = 800
    ) -> None:
        """Wrap a loss.

        Args:
            of: the wrapped loss.
            decay: γ, the decay of k per epoch.
            floor: ν, the minimum fraction of the batch that is kept.
            every: number of generator turns in an epoch.

        Raises:
            UserError: the wrapped loss compares generated with real samples.
        """
        super().__init__()
        if of.needs_real_in_generator:
            raise UserError(
                f"TopK needs a loss of single samples, and {type(of).__name__} compares generated with real samples",
                "of",
                "wrap another loss, such as Hinge",
            )
        self.reads, self.undecided = of.reads, of.undecided
        self.of, self.decay, self.floor, self.every = of, decay, floor, every
        self.register_buffer("turns", torch.zeros((), dtype=torch.long))
        self._turns = 0  # a copy on the host, since reading the buffer would wait for the device in every turn
        self.register_load_state_dict_post_hook(_recount)

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that the critic is of the kind that the wrapped loss requires.

        Raises:
            UserError: it is not.
        """
        self.of.check(networks)

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return the wrapped discriminator loss, on all samples."""
        return self.of.discriminator(real, fake)

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return the wrapped generator loss, on the k samples with the highest scores."""
        realism = scores(fake).detach().flatten(1).mean(1) if fake.logits.dim() > 1 else scores(fake).detach()
        if self.of.critic == "energy":
            realism = -realism
        kept = realism.topk(self.kept(len(realism))).indices
        return self.of.generator(CriticOutput(*(None if part is None else part[kept] for part in fake)), real)  # type: ignore[arg-type]

    def kept(self, n: int) -> int:
        """Return k for a batch of n generated samples, in 1 … n."""
        share = max(self.decay ** (self._turns // self.every), self.floor)
        return min(max(math.ceil(share * n), 1), n)

    def observe(self, turn: Turn) -> None:
        """Count a turn of the generator."""
        if "generator" in turn.players:
            self.turns.add_(1)
            self._turns += 1


def _recount(loss: nn.Module, _: object) -> None:
    """Set the host's copy of the number of turns after a state dict has been loaded."""
    assert isinstance(loss, TopK)
    loss._turns = int(loss.turns)
