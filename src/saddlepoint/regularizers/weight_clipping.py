"""Arjovsky et al. 2017, "Wasserstein GAN", arXiv:1701.07875."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import PositiveFloat
from torch import nn

from saddlepoint.regularizers.base import Regularizer


class WeightClipping(Regularizer):
    """After every step, w ← clip(w, -c, c) for each of the critic's weights (algorithm 1, line 7).

    Parameters only: running statistics are no weights.
    """

    def __init__(self, clip: PositiveFloat = 0.01, player: str = "discriminator") -> None:
        """Take the paper's c and the network that is clipped."""
        super().__init__(player=player)
        self.clip = clip

    @torch.no_grad()
    def project(self, networks: Mapping[str, nn.Module]) -> None:
        """Clip the player's parameters to [-c, c], in place and all at once."""
        parameters = tuple(networks[self.player].parameters())
        torch._foreach_clamp_min_(parameters, -self.clip)
        torch._foreach_clamp_max_(parameters, self.clip)

    def extra_repr(self) -> str:
        """Show the player and the bound."""
        return f"player={self.player}, clip={self.clip}"
