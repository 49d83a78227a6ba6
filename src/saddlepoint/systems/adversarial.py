"""What systems with an adversarial loss share: judging real and generated samples by a discriminator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import PositiveInt
from torch import nn

from saddlepoint import ranks, trees
from saddlepoint.augment.base import Augment
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.networks.layers.statistics import compares_samples
from saddlepoint.parts import Part
from saddlepoint.systems.game import Game
from saddlepoint.types import CriticOutput

Judge = Callable[[Any, Any], CriticOutput]
"""Samples, a tree of [N, ...], and their condition, likewise or None, to what is said of them."""


class Adversarial(Game):
    """A game with a ``discriminator`` that has ``discriminator_steps`` turns for each turn of what it judges.

    Args:
        networks: by role, a ``discriminator`` among them.
        loss: the objectives of both sides.
        augments: what the discriminator's inputs pass through, by name, in this order.
        discriminator_steps: the discriminator's turns, each on a batch of its own, for each of the other side's.
        game: see :class:`~saddlepoint.systems.game.Game`.
    """

    discriminator: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        loss: AdversarialLoss,
        augments: Mapping[str, Augment] | None = None,
        discriminator_steps: PositiveInt = 1,
        **game: Any,
    ) -> None:
        super().__init__(networks, **game)
        self.loss = loss
        self.augments = nn.ModuleDict(dict(augments or {}))
        self.check_parts({"loss": loss, **{f"augments.{name}": part for name, part in self.augments.items()}})
        parts = (loss, *self.regularizers.values(), *self.augments.values())
        for part in parts:
            assert isinstance(part, Part)
            part.check_loss(loss)
        self.needs_real_in_generator = any(part.needs_real_in_generator for part in parts)
        self.discriminator_steps = discriminator_steps
        # BatchNorm must see real and fake apart (Radford et al. 2015); any other critic judges both in one pass.
        self.judges_together = not compares_samples(self.discriminator)

    def generator_is_due(self) -> bool:
        """Whether the discriminator has had its turns."""
        return self.progress.turns["discriminator"] % self.discriminator_steps == 0

    def judge(
        self, real: Any, fake: Any, condition: trees.Tree, critic: Judge | None = None
    ) -> tuple[CriticOutput, CriticOutput]:
        """Pass real and fake through the augments and the discriminator: together where its layers allow.

        Args:
            real: a tree of [N, ...].
            fake: likewise.
            condition: of both, a tree of [N, ...], or None.
            critic: judges in the discriminator's place.
        """
        critic = critic or self.discriminator
        real, fake = self.augment(real), self.augment(fake)
        if not self.judges_together:
            return critic(real, condition), critic(fake, condition)
        joined = trees.map_tree(lambda x, y: torch.cat([x, y.to(x.dtype)]), real, fake)
        both = critic(joined, trees.concatenate(condition, condition))
        n = trees.length(real)
        return trees.take(both, slice(n)), trees.take(both, slice(n, None))

    def augment(self, samples: Any) -> Any:
        """Pass samples through the augments, with fresh draws of this turn's randomness."""
        if self.augments:
            samples = at_least_float32(samples)
            for augment in self.augments.values():
                samples = augment(samples, self.random)
        return samples

    def of_all_ranks(self, output: CriticOutput) -> CriticOutput:
        """Gather what a loss that compares the samples of a batch must see at once."""
        if not self.loss.batch_coupled or ranks.world_size() == 1:
            return output
        return trees.map_tree(ranks.gather, output)
