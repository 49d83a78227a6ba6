"""Sets the numbers that change during training: learning rates over the budget, and ramps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from torch.optim import Optimizer

from saddlepoint.kinds import ScheduleName
from saddlepoint.parts import Part
from saddlepoint.schedules import SCHEDULES, constant, value_at
from saddlepoint.systems.players import Player


class Schedules:
    """The schedules of a game: of the learning rates, and the ramps in optimizers and parts.

    Args:
        learning_rate: factor of all learning rates over the budget.
        players: the players.
        optimizers: their optimizers, in the same order.
        modules: modules, among which are the parts.
    """

    def __init__(
        self,
        learning_rate: ScheduleName,
        players: Iterable[Player],
        optimizers: Sequence[Optimizer],
        modules: Iterable[nn.Module],
    ) -> None:
        self.factor = SCHEDULES[learning_rate]
        self.optimizers = optimizers
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        self.of_optimizers = [player.ramps() for player in players]
        ramps = [(part, name, ramp) for part in modules if isinstance(part, Part) for name, ramp in part.ramps.items()]
        self.of_parts = ramps
        self.change = self.factor is not constant or bool(ramps) or any(self.of_optimizers)

    def apply(self, players: Iterable[Player], images_seen: int, used: float) -> None:
        """Set the values of a turn.

        Args:
            players: the players of the turn.
            images_seen: number of training images so far.
            used: used fraction of the budget.
        """
        for part, name, ramp in self.of_parts:
            setattr(part, name, ramp.at(images_seen, used))
        for player in players:
            groups, rates = self.optimizers[player.index].param_groups, self.rates[player.index]
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
                for key, value in self.of_optimizers[player.index].items():
                    group[key] = value_at(value, images_seen, used)
                if self.factor is not constant:
                    group["lr"] *= self.factor(used)
