"""Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.regularizers.base import Regularizer
from saddlepoint.schedules import Weight
from saddlepoint.turns import Turn


class HistoricalAveraging(Regularizer):
    """The squared distance of weights from their average over time, λ ‖θ - 1/t Σ_{i=1}^t θ[i]‖² (section 3.3).

    The average is over all turns of the player so far. The penalty is 0 in the first turn.

    Args:
        weight: λ, for which the paper gives no value.
        player: player to whose loss the penalty is added. For both players, use two instances.
        knobs: see :class:`~saddlepoint.regularizers.base.Regularizer`.
    """

    turns: Tensor

    def __init__(self, weight: Weight = 1.0, player: str = "generator", **knobs: Any) -> None:
        super().__init__(weight, player, **knobs)
        self.register_buffer("turns", torch.zeros(()))

    def check(self, networks: Mapping[str, nn.Module]) -> None:
        """Register buffers for the averages of the network's weights.

        Raises:
            UserError: the network does not exist.
        """
        super().check(networks)
        for index, parameter in enumerate(networks[self.network].parameters()):
            self.register_buffer(f"average_{index}", torch.zeros_like(parameter))

    def penalty(self, turn: Turn) -> Tensor:
        """Return λ ‖θ - average‖², a scalar; 0 in the player's first turn."""
        distances = [
            (parameter - self.get_buffer(f"average_{index}")).square().sum()
            for index, parameter in enumerate(turn.networks[self.network].parameters())
        ]
        return self.weight * (self.turns > 0) * torch.stack(distances).sum()

    def observe(self, turn: Turn) -> None:
        """Update the average with the weights after the player's step."""
        if self.player in turn.players:
            self.turns += 1
            for index, parameter in enumerate(turn.networks[self.network].parameters()):
                average = self.get_buffer(f"average_{index}")
                average += (parameter - average) / self.turns
