"""Zhao et al. 2021, "Improved Consistency Regularization for GANs", arXiv:2002.04724."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.augment.base import refuse_points
from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.networks.layers.statistics import frozen_statistics
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.regularizers.consistency import change_of_mind
from saddlepoint.types import Turn


class ZCR(Regularizer):
    """Latent consistency (algorithm 2): one for each player, who pull in opposite directions.

    With T(z) = z + σε, ε ~ N(0, I):

    - discriminator: λ_dis E (D(G(z)) - D(G(T(z))))², so that it does not mind a small change of the latent;
    - generator: -λ_gen E ‖G(z) - G(T(z))‖² / dim, so that its samples change with the latent all the same. The squared
      distance is the mean over a sample's values; it is bounded, for images are in [-1, 1].

    The passes leave running statistics as they were.
    """

    def __init__(
        self,
        weight: NonNegativeFloat = 5.0,
        player: Literal["discriminator", "generator"] = "discriminator",
        interval: PositiveInt = 1,
        std: NonNegativeFloat = 0.03,
    ) -> None:
        """Take the penalty's settings.

        Args:
            weight: the paper's λ_dis = 5, or λ_gen = 0.5.
            player: whose half it is.
            interval: turns of that player from one penalty to the next.
            std: the paper's σ.
        """
        super().__init__(player, interval, weight)
        self.std = std
        self.acts_on_logits = player == "discriminator"

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuse points for the generator's half, which nothing bounds there.

        Raises:
            UserError: the generator's samples are points, or there is no such player.
        """
        super().check(networks)
        if self.player == "generator":
            what = "zCR rewards a generator for distances, which are bounded between images alone"
            refuse_points(networks[self.player], what, "take another regularizer")

    def penalty(self, turn: Turn) -> Tensor:
        """Return the player's half, a scalar.

        Raises:
            UserError: the turn has no generated samples.
        """
        if turn.latents is None or turn.fake is None:
            raise UserError(f"zCR needs turns that generate samples; '{self.player}' has none")
        noise = torch.randn(
            turn.latents.shape, generator=turn.random, device=turn.latents.device, dtype=turn.latents.dtype
        )
        generator, nearby = turn.networks["generator"], turn.latents + self.std * noise
        with frozen_statistics(generator), torch.set_grad_enabled(self.player == "generator"):
            others = generator(nearby, turn.labels)
        if self.player == "discriminator":
            return self.weight * change_of_mind(turn, self.player, "fake", others)
        return -self.weight * (at_least_float32(turn.fake) - at_least_float32(others)).square().mean()
