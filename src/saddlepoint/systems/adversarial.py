"""Base class of systems with one discriminator and an adversarial loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import nn

from saddlepoint import ranks, trees
from saddlepoint.augment.base import Augment
from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.networks.layers.statistics import compares_samples
from saddlepoint.parts import Part
from saddlepoint.systems import checks
from saddlepoint.systems.freezing import freeze_blocks
from saddlepoint.systems.game import Game
from saddlepoint.types import CriticOutput

Judge = Callable[[Any, Any], CriticOutput]
"""Maps samples, a tree of [N, ...], and their condition, such a tree or None, to the critic's output."""


class Adversarial(Game):
    """A game with a ``discriminator``, which has ``discriminator_steps`` turns for each turn of the generator.

    Args:
        networks: networks by role, including ``discriminator``.
        loss: the objectives of the discriminator and the generator.
        augments: augmentations of the discriminator's inputs by name, applied in this order.
        discriminator_steps: turns of the discriminator, each on a new batch, per turn of the generator.
        frozen_blocks: number of the discriminator's first blocks that are not trained; see
            :func:`~saddlepoint.systems.freezing.freeze_blocks`.
        game: see :class:`~saddlepoint.systems.game.Game`.

    Raises:
        UserError: the discriminator cannot be called; or the loss changes only a generator's objective, and there is no
            player of this name.
    """

    discriminator: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        loss: AdversarialLoss,
        augments: Mapping[str, Augment] | None = None,
        discriminator_steps: PositiveInt = 1,
        frozen_blocks: NonNegativeInt = 0,
        **game: Any,
    ) -> None:
        super().__init__(networks, **game)
        checks.check_callable("discriminator", self.discriminator)
        if frozen_blocks:
            freeze_blocks(self.discriminator, frozen_blocks)
            for player in self.players.values():
                player.list_tensors()
        self.loss = loss
        self.augments = nn.ModuleDict(dict(augments or {}))
        self.check_parts({"loss": loss, **{f"augments.{name}": part for name, part in self.augments.items()}})
        if loss.changes == "generator" and "generator" not in self.players:
            problem = f"{type(loss).__name__} changes only the loss of a 'generator', which {type(self).__name__} lacks"
            raise UserError(problem, "loss", "choose the loss that it wraps")
        parts = (loss, *self.regularizers.values(), *self.augments.values())
        for part in parts:
            assert isinstance(part, Part)
            part.check_loss(loss)
        self.needs_real_in_generator = any(part.needs_real_in_generator for part in parts)
        self.discriminator_steps = discriminator_steps
        # With BatchNorm, real and generated samples need separate passes (Radford et al. 2015).
        self.judges_together = not compares_samples(self.discriminator)

    def generator_is_due(self) -> bool:
        """Return whether the discriminator has completed its ``discriminator_steps`` turns."""
        return self.progress.turns["discriminator"] % self.discriminator_steps == 0

    def judge(
        self, real: Any, fake: Any, condition: trees.Tree, critic: Judge | None = None
    ) -> tuple[CriticOutput, CriticOutput]:
        """Return the discriminator's outputs on augmented real and generated samples.

        One forward pass is used for both, unless the discriminator has layers that compare samples, such as BatchNorm.

        Args:
            real: real samples, a tree of [N, ...].
            fake: generated samples, a tree of [N, ...].
            condition: the condition of both, a tree of [N, ...], or None.
            critic: replaces the discriminator.
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
        """Return augmented samples; random numbers are drawn from the turn's generator."""
        if self.augments:
            samples = at_least_float32(samples)
            for augment in self.augments.values():
                samples = augment(samples, self.random)
        return samples

    def of_all_ranks(self, output: CriticOutput) -> CriticOutput:
        """Return the outputs of all ranks if the loss depends on the whole batch, else this rank's."""
        if not self.loss.batch_coupled or ranks.world_size() == 1:
            return output
        return trees.map_tree(ranks.gather, output)
