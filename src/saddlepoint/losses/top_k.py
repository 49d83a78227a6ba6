"""Sinha et al. 2020, "Top-k Training of GANs", arXiv:2002.06224."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss, scores
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput, Fraction


class TopK(AdversarialLoss):
    """Another objective, whose generator learns from its k most realistic samples of a batch alone (section 3).

    The discriminator's loss is the other objective's. k falls from the whole batch: k = max(γ^epoch, ν) N, rounded up,
    with an epoch counted in the generator's turns. A sample's realism is its score, the mean of its
    patches' where there are some, or minus its energy.

    Attributes:
        turns: how many turns the generator has had, a scalar buffer.
    """

    batch_coupled = True
    changes = "generator"

    turns: Tensor

    def __init__(
        self, of: AdversarialLoss, decay: Fraction = 0.99, floor: Fraction = 0.5, every: PositiveInt = 800
    ) -> None:
        """Wrap an objective.

        Args:
            of: the objective.
            decay: γ, the factor of k an epoch.
            floor: ν, the least share of the batch that is kept.
            every: the generator's turns in an epoch.

        Raises:
            UserError: the objective compares generated with real samples, so that some of them make no objective.
        """
        super().__init__()
        if of.needs_real_in_generator:
            raise UserError(
                f"TopK keeps single generated samples, and {type(of).__name__} compares them with real ones",
                "of",
                "wrap another objective, such as Hinge",
            )
        self.reads, self.undecided = of.reads, of.undecided
        self.of, self.decay, self.floor, self.every = of, decay, floor, every
        self.register_buffer("turns", torch.zeros((), dtype=torch.long))
        self._turns = 0  # the same on the host: to read the buffer would be to wait for the device in every turn
        self.register_load_state_dict_post_hook(_recount)

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse what the wrapped objective refuses.

        Raises:
            UserError: the critic is of the wrong kind for it.
        """
        self.of.check(networks)

    def discriminator(self, real: CriticOutput, fake: CriticOutput) -> Tensor:
        """Return the wrapped objective's loss of all samples."""
        return self.of.discriminator(real, fake)

    def generator(self, fake: CriticOutput, real: CriticOutput | None = None) -> Tensor:
        """Return the wrapped objective's loss of the k most realistic samples."""
        realism = scores(fake).detach().flatten(1).mean(1) if fake.logits.dim() > 1 else scores(fake).detach()
        if self.of.critic == "energy":
            realism = -realism
        kept = realism.topk(self.kept(len(realism))).indices
        return self.of.generator(CriticOutput(*(None if part is None else part[kept] for part in fake)), real)  # type: ignore[arg-type]

    def kept(self, n: int) -> int:
        """Return k for a batch of n generated samples, 1 to n."""
        share = max(self.decay ** (self._turns // self.every), self.floor)
        return min(max(math.ceil(share * n), 1), n)

    def observe(self, turn: Turn) -> None:
        """Count the generator's turns."""
        if "generator" in turn.players:
            self.turns.add_(1)
            self._turns += 1


def _recount(loss: nn.Module, _: object) -> None:
    """Take the number of turns from the buffer that a checkpoint has filled."""
    assert isinstance(loss, TopK)
    loss._turns = int(loss.turns)
