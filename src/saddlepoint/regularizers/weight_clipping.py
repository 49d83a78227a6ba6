"""Arjovsky et al. 2017, "Wasserstein GAN", arXiv:1701.07875."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import PositiveFloat
from torch import nn

from saddlepoint.regularizers.base import Regularizer


class WeightClipping(Regularizer):
    """Clips the trained parameters of the critic to [-c, c] after each optimizer step (algorithm 1, line 7).

    Args:
        clip: the paper's c.
        player: player after whose steps parameters are clipped.
        network: role of the network whose parameters are clipped; by default the player's name.
    """

    def __init__(self, clip: PositiveFloat = 0.01, player: str = "discriminator", network: str | None = None) -> None:
        super().__init__(player=player, network=network)
        self.clip = clip

    @torch.no_grad()
    def project(self, networks: Mapping[str, nn.Module]) -> None:
        """Clip the network's parameters that require gradients to [-c, c] in place."""
        parameters = tuple(p for p in networks[self.network].parameters() if p.requires_grad)
        torch._foreach_clamp_min_(parameters, -self.clip)
        torch._foreach_clamp_max_(parameters, self.clip)

    def extra_repr(self) -> str:
        """Return the network and the bound."""
        return f"network={self.network}, clip={self.clip}"
