"""Ramps: their values, and the numbers of optimizers, regularizers and averages that follow them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_game import BATCH, adversarial, networks, started

from saddlepoint.errors import UserError
from saddlepoint.regularizers import Orthogonal, Regularizer
from saddlepoint.schedules import Ramp, value_at
from saddlepoint.systems import ema
from saddlepoint.systems.game import Game
from saddlepoint.systems.progress import Budget
from saddlepoint.turns import Turn
from saddlepoint.types import VectorBatch


@pytest.mark.parametrize("shape", ["linear", "cosine"])
@pytest.mark.parametrize(("start", "end"), [(2e-4, 5e-5), (0.05, 0.005), (0.9, 0.99), (0.0, 5e6)])
def test_a_ramp_at_its_start_half_and_end(start: float, end: float, shape: Any) -> None:
    ramp = Ramp(start, end, images=1000, shape=shape)
    assert ramp.at(0, 0.7) == start
    assert ramp.at(500, 0.7) == pytest.approx((start + end) / 2, rel=1e-12)
    assert ramp.at(1000, 0.7) == ramp.at(10**9, 0.7) == end
    quarter = {"linear": 0.75, "cosine": (1 + math.sqrt(0.5)) / 2}[shape]
    assert ramp.at(250, 0.7) == pytest.approx(end + (start - end) * quarter, rel=1e-12)
    assert value_at(Ramp(start, end, shape=shape), 999, used=0.5) == pytest.approx((start + end) / 2, rel=1e-12)


class Recorded(Regularizer):
    """A penalty of zero, which records its weight in each turn."""

    def penalty(self, turn: Turn) -> Tensor:
        turn.logs["weight"] = torch.tensor(self.weight)
        return super().penalty(turn)


class Critic(Game):
    """A game of one critic."""

    roles: Mapping[str, tuple[str, ...]] = {"critic": ("critic",)}
    averaged = ("critic",)

    def loss(self, batch: Any) -> Turn:
        return Turn(self.networks["critic"](batch.samples).square().mean(), self.networks, self.random)

    def round(self, batch: Any) -> None:
        self.turn("critic", loss=self.loss, batch=batch)
        self.count_generator_update()


def critic(optimizer: Callable[..., Any], **options: Any) -> Any:
    torch.manual_seed(0)
    return started(Critic({"critic": nn.Linear(3, 1)}, {"critic": optimizer}, **options))


def test_optimizers_and_penalties_follow_their_ramps() -> None:
    adam = partial(
        torch.optim.Adam, lr=Ramp(0.1, 0.02, images=12), betas=[0.0, Ramp(0.9, 0.99, images=12, shape="cosine")]
    )
    weight = Ramp(3.0, 1.0)  # over the budget
    game = critic(adam, regularizers={"r": Recorded(weight, player="critic")}, budget=Budget(images=24))
    found = []
    for _ in range(4):
        game.training_step(BATCH, 0)  # 6 images
        (group,) = game.raw_optimizers[0].param_groups
        found.append((group["lr"], *group["betas"], float(game.logs["critic/weight"])))
    expected = [(0.1, 0, 0.9, 3.0), (0.06, 0, 0.945, 2.5), (0.02, 0, 0.99, 2.0), (0.02, 0, 0.99, 1.5)]
    assert found == [pytest.approx(row) for row in expected]


def test_a_ramped_step_is_that_of_an_optimizer_with_these_numbers() -> None:
    game = critic(partial(torch.optim.SGD, lr=Ramp(0.5, 0.1, images=12)))
    twin = nn.Linear(3, 1)
    twin.load_state_dict(game.critic.state_dict())
    for rate in (0.5, 0.3, 0.1, 0.1):
        game.training_step(BATCH, 0)
        loss = twin(BATCH.samples).square().mean()
        for parameter, gradient in zip(
            twin.parameters(), torch.autograd.grad(loss, list(twin.parameters())), strict=True
        ):
            parameter.data -= rate * gradient
    torch.testing.assert_close(game.critic.state_dict(), twin.state_dict())


def test_the_schedule_over_the_budget_multiplies_a_ramp() -> None:
    sgd = partial(torch.optim.SGD, lr=Ramp(0.4, 0.2, images=12))
    game = critic(sgd, schedule="linear", budget=Budget(images=24))
    rates = []
    for _ in range(3):
        game.training_step(BATCH, 0)
        rates.append(game.raw_optimizers[0].param_groups[0]["lr"])
    assert rates == pytest.approx([0.4, 0.3 * 0.75, 0.2 * 0.5])


def test_each_player_has_its_own_ramps() -> None:
    game = adversarial()
    game = type(game)(
        networks(),
        {name: partial(torch.optim.SGD, lr=Ramp(rate, 0.0)) for name, rate in (("autoencoder", 0.4), ("critic", 0.2))}
        | {"generator": partial(torch.optim.SGD, lr=0.3)},
        budget=Budget(images=12),
    )
    started(game)
    game.progress.images_seen = 6
    game.turn("critic", loss=game.deception, batch=BATCH)
    assert [optimizer.param_groups[0]["lr"] for optimizer in game.raw_optimizers] == [0.4, 0.1, 0.3]


def test_an_average_by_half_life_halves_a_weights_share() -> None:
    """With a constant half-life of H images, the weights of H images ago have half of the share of the present ones."""
    game = critic(partial(torch.optim.SGD, lr=0.1), ema_decay=None, ema_half_life=24.0)
    expected = game.critic.weight.detach().clone()
    sizes = (6, 6, 3, 6)
    for size in sizes:
        game.training_step(VectorBatch(BATCH.samples[:size]), 0)
        share = 2 ** (-size / 24)
        expected = share * expected + (1 - share) * game.critic.weight.detach()
    torch.testing.assert_close(game.averages["critic"].weight, expected)
    assert ema.of_half_life(24, 6) ** 4 == pytest.approx(0.5)


def test_an_average_whose_half_life_begins_at_zero_begins_as_a_copy() -> None:
    game = critic(partial(torch.optim.SGD, lr=0.1), ema_half_life=Ramp(0, 100, images=12))
    game.training_step(BATCH, 0)
    torch.testing.assert_close(game.averages["critic"].weight, game.critic.weight, rtol=0, atol=0)
    before = game.critic.weight.detach().clone()
    game.training_step(BATCH, 0)
    share = 2 ** (-6 / 50)
    torch.testing.assert_close(game.averages["critic"].weight, share * before + (1 - share) * game.critic.weight)


def test_the_half_life_counts_the_images_of_all_rounds_since_the_last_update() -> None:
    class Late(Critic):
        def round(self, batch: Any) -> None:
            self.turn("critic", loss=self.loss, batch=batch)
            if self.progress.rounds % 2:
                self.count_generator_update()

    game: Any = started(
        Late({"critic": nn.Linear(3, 1)}, {"critic": partial(torch.optim.SGD, lr=0.1)}, ema_half_life=12)
    )
    expected = game.critic.weight.detach().clone()
    for _ in range(2):
        game.training_step(BATCH, 0)
        game.training_step(BATCH, 0)
        expected = (expected + game.critic.weight.detach()) / 2
    torch.testing.assert_close(game.averages["critic"].weight, expected)


def test_two_rules_of_averaging_are_refused() -> None:
    with pytest.raises(UserError, match="mutually exclusive") as refused:
        critic(partial(torch.optim.SGD, lr=0.1), ema_decay=0.9, ema_half_life=10.0)
    assert refused.value.key == "ema_half_life"
    assert critic(partial(torch.optim.SGD, lr=0.1), regularizers={"o": Orthogonal(player="critic")}).averages == {}
