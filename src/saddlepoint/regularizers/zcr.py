"""Zhao et al. 2021, "Improved Consistency Regularization for GANs", arXiv:2002.04724."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from saddlepoint.augment.base import refuse_points
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn, sample_scores


class ZCR(Regularizer):
    """Latent consistency regularization (algorithm 2), with a term for each player.

    With T(z) = z + σε, ε ~ N(0, I):

    - discriminator: λ_dis E (D(G(z)) - D(G(T(z))))², which makes D insensitive to small changes of the latents;
    - generator: -λ_gen E ‖G(z) - G(T(z))‖² / dim, which makes G sensitive to them. Images are clamped to [-1, 1], so
      that the term is bounded for generators without tanh too.

    Args:
        weight: the paper's λ_dis = 5 or λ_gen = 0.5.
        player: the player, which selects the term.
        std: the paper's σ.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    def __init__(
        self,
        weight: Weight = 5.0,
        player: Literal["discriminator", "generator"] = "discriminator",
        std: NonNegativeFloat = 0.03,
        **knobs: Any,
    ) -> None:
        super().__init__(weight, player, **knobs)
        self.std = std
        self.acts_on_logits = player == "discriminator"

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Check that samples are images for the generator's term, which is unbounded for points.

        Raises:
            UserError: they are points, or the network does not exist.
        """
        super().check(networks)
        if self.player == "generator":
            what = "ZCR's term of the generator is bounded only for images"
            refuse_points(networks[self.network], what)

    def penalty(self, turn: Turn) -> Tensor:
        """Return the player's term, a scalar.

        Raises:
            UserError: the turn has no latents or generator, or its samples are pairs.
        """
        generate, fake, latents = self.generator(turn), self.single(turn.fake), turn.latents
        noise = torch.randn(latents.shape, generator=turn.random, device=latents.device, dtype=latents.dtype)
        with torch.set_grad_enabled(self.player == "generator"):
            others = generate(latents + self.std * noise)
        if self.player == "discriminator":
            self.judged(turn, "fake")
            ours, theirs = sample_scores(turn.outputs["fake"]), sample_scores(self.critic(turn)(others))
            return self.weight * (ours - theirs).square().mean()
        ours, theirs = (at_least_float32(images).clamp(-1, 1) for images in (fake, others))
        return -self.weight * (ours - theirs).square().mean()
