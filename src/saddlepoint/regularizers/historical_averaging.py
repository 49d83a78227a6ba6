"""Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.regularizers.base import Regularizer
from saddlepoint.types import Turn


class HistoricalAveraging(Regularizer):
    """A player's weights are held near their average over its past: λ ‖θ - 1/t Σ_{i=1}^t θ[i]‖² (section 3.3).

    The average counts every turn of the player alike and is zero turns long at first, when there is no penalty.
    """

    turns: Tensor

    def __init__(self, weight: NonNegativeFloat = 1.0, player: str = "generator", interval: PositiveInt = 1) -> None:
        """Take the penalty's settings.

        Args:
            weight: λ; the paper says none.
            player: whose weights are held; for both, add it once more under another name.
            interval: turns of that player from one penalty to the next.
        """
        super().__init__(player, interval, weight)
        self.register_buffer("turns", torch.zeros(()))

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Make room for the average of each of the player's weights.

        Raises:
            UserError: there is no such player.
        """
        super().check(networks)
        for index, parameter in enumerate(networks[self.player].parameters()):
            self.register_buffer(f"average_{index}", torch.zeros_like(parameter))

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ ‖θ - average‖², a scalar; 0 in the player's first turn."""
        distances = [
            (parameter - self.get_buffer(f"average_{index}")).square().sum()
            for index, parameter in enumerate(turn.networks[self.player].parameters())
        ]
        return self.weight * (self.turns > 0) * torch.stack(distances).sum()

    def observe(self, turn: Turn) -> None:
        """Take the weights that the player's step has led to into the average."""
        if turn.player == self.player:
            self.turns += 1
            for index, parameter in enumerate(turn.networks[self.player].parameters()):
                average = self.get_buffer(f"average_{index}")
                average += (parameter - average) / self.turns
