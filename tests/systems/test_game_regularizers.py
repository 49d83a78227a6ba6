"""Regularizers in turns: their intervals, players and networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_game import (
    BATCH,
    RATES,
    adversarial,
    moved,
    weights,
)

from saddlepoint.regularizers import HistoricalAveraging, Orthogonal, Regularizer, WeightClipping
from saddlepoint.systems.game import Game
from saddlepoint.turns import Turn
from saddlepoint.types import Batch


class Sum(Regularizer):
    """The sum of a network's weights; its gradient is 1."""

    def penalty(self, turn: Turn) -> Tensor:
        return self.weight * torch.stack([p.sum() for p in turn.networks[self.network].parameters()]).sum()


def nothing(game: Game) -> Callable[[Batch], Turn]:
    """Return a loss with zero gradients, so that only penalties change the weights."""

    def loss(batch: Batch) -> Turn:
        total = torch.stack([p.sum() for network in game.networks.values() for p in network.parameters()]).sum()
        return Turn(0 * total, game.networks, game.random, real=batch.samples)

    return loss


def test_intervals_count_the_turns_of_the_regularizers_player() -> None:
    """In joint turns and in turns of one player; penalties are multiplied by their interval."""
    parts = {
        "often": Sum(weight=1.0, player="critic", interval=2),
        "seldom": Sum(weight=10.0, player="autoencoder", network="decoder", interval=3),
    }
    game = adversarial(regularizers=parts)
    turns = [("critic",), ("autoencoder", "critic"), ("generator",), ("critic",), ("autoencoder",), ("autoencoder",)]
    turns += [("autoencoder", "critic"), ("autoencoder", "critic")]
    taken = {"critic": 0, "autoencoder": 0}
    for names in turns:
        before = weights(game)
        game.turn(*names, loss=nothing(game), batch=BATCH)
        expected = {}
        for name, role, interval, weight in (("critic", "critic", 2, 1.0), ("autoencoder", "decoder", 3, 10.0)):
            if name in names:
                if taken[name] % interval == 0:
                    expected[role] = -RATES[name] * interval * weight
                taken[name] += 1
        assert moved(game, before) == expected.keys()
        for role, step in expected.items():
            for key, value in game.networks[role].named_parameters():
                torch.testing.assert_close(value.detach() - before[role][key], torch.full_like(value, step))
    assert taken == {"critic": 5, "autoencoder": 5}
    assert {name: game.progress.turns[name] for name in taken} == taken


def test_a_penalty_is_added_in_turns_of_its_player_and_acts_on_its_network() -> None:
    """The generator shares the encoder, but has no penalty."""
    game = adversarial(regularizers={"sum": Sum(weight=1.0, player="autoencoder", network="encoder")})
    for name, roles in (("generator", set()), ("critic", set()), ("autoencoder", {"encoder"})):
        before = weights(game)
        game.turn(name, loss=nothing(game), batch=BATCH)
        assert moved(game, before) == roles
        assert (f"{name}/sum" in game.logs) == (name == "autoencoder")


def test_regularizers_of_weights_act_on_their_network() -> None:
    orthogonal, history = (
        Orthogonal(weight=1.0, player="generator", network="encoder"),
        HistoricalAveraging(weight=1.0, player="generator", network="encoder"),
    )
    clipping = WeightClipping(0.01, player="generator", network="encoder")
    game = adversarial(regularizers={"orthogonal": orthogonal, "history": history, "clipping": clipping})
    w = game.networks["encoder"].weight.detach().numpy().astype(float)
    game.turn("critic", loss=nothing(game), batch=BATCH)
    game.turn("autoencoder", loss=nothing(game), batch=BATCH)
    assert history.turns == 0
    assert np.abs(game.networks["encoder"].weight.detach().numpy()).max() > 0.01
    game.turn("generator", loss=nothing(game), batch=BATCH)
    off_diagonal = w @ w.T - np.diag(np.diag(w @ w.T))
    assert game.logs["generator/orthogonal"].item() == pytest.approx((off_diagonal**2).sum(), rel=1e-5)
    assert max(p.abs().max().item() for p in game.networks["encoder"].parameters()) <= 0.01
    assert max(p.abs().max().item() for p in game.networks["decoder"].parameters()) > 0.01
    assert history.turns == 1
    assert torch.equal(history.get_buffer("average_0"), game.networks["encoder"].weight)
