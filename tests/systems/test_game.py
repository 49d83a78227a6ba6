"""Players and turns: updated weights, gradients, optimizers, penalties, and keys of random draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from toy_game import (
    BATCH,
    RATES,
    Adversarial,
    adversarial,
    largest_difference,
    moved,
    networks,
    plain_gradients,
    sgd,
    started,
    weights,
)

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.regularizers import R1, Orthogonal, Regularizer
from saddlepoint.systems.game import Game
from saddlepoint.systems.stepping import NonFiniteError
from saddlepoint.turns import Turn
from saddlepoint.types import Batch


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (("autoencoder",), {"encoder", "decoder"}),
        (("critic",), {"critic"}),
        (("generator",), {"encoder"}),
        (("autoencoder", "critic"), {"encoder", "decoder", "critic"}),
        (("critic", "generator"), {"encoder", "critic"}),
    ],
)
def test_a_turn_updates_the_networks_of_its_players_by_their_own_optimizers(
    names: tuple[str, ...], roles: set[str]
) -> None:
    """The loss depends on all networks, so the others would change if they were not frozen."""
    game = adversarial()
    gradients = {role: plain_gradients(game.everything, game, role) for role in game.networks}
    before = weights(game)
    game.turn(*names, loss=game.everything, batch=BATCH)
    assert moved(game, before) == roles
    for name in names:
        for role in game.roles[name]:
            step = [-RATES[name] * gradient for gradient in gradients[role]]
            assert largest_difference(game, role, before[role], step) < 1e-7
    still = [p for role in game.networks.keys() - roles for p in game.networks[role].parameters()]
    assert all(parameter.grad is None for parameter in still)
    assert all(parameter.requires_grad for parameter in game.parameters())
    assert game.progress.turns == dict.fromkeys(names, 1)


def test_a_shared_network_has_one_optimizer_per_player() -> None:
    """The momentum of each optimizer includes only the gradients of its player's turns."""
    game = adversarial(momentum=0.9)
    velocity: dict[str, list[Tensor]] = {}
    losses = {"autoencoder": game.reconstruction, "generator": game.deception, "critic": game.deception}
    for name in ("autoencoder", "generator", "critic", "autoencoder", "generator"):
        gradients, before = plain_gradients(losses[name], game, "encoder"), weights(game)
        game.turn(name, loss=losses[name], batch=BATCH)
        if name == "critic":
            assert moved(game, before) == {"critic"}
            continue
        old = velocity.get(name, [torch.zeros_like(gradient) for gradient in gradients])
        velocity[name] = [0.9 * v + g for v, g in zip(old, gradients, strict=True)]
        step = [-RATES[name] * v for v in velocity[name]]
        assert largest_difference(game, "encoder", before["encoder"], step) < 1e-7
        assert moved(game, before) == set(game.roles[name])
    assert game.progress.turns == {"autoencoder": 2, "generator": 2, "critic": 1}


def test_players_that_share_a_network_cannot_take_a_joint_turn() -> None:
    game = adversarial()
    before = weights(game)
    with pytest.raises(
        ValueError, match="players autoencoder, generator share a network, which one turn would update twice"
    ):
        game.turn("autoencoder", "generator", loss=game.everything, batch=BATCH)
    assert moved(game, before) == set()
    assert game.progress.turns == {}
    assert all(parameter.requires_grad for parameter in game.parameters())


def test_all_weights_are_trainable_again_after_an_error() -> None:
    game = adversarial()
    with pytest.raises(ZeroDivisionError):
        game.turn("critic", loss=lambda batch: 1 / 0, batch=BATCH)  # type: ignore[arg-type, return-value]
    assert all(parameter.requires_grad for parameter in game.parameters())
    assert game.progress.turns == {}


def test_no_weights_are_updated_if_the_gradient_of_one_player_is_not_finite() -> None:
    game = adversarial()

    def faulty(batch: Batch) -> Turn:
        record = game.everything(batch)
        record.loss = record.loss + (game.networks["critic"].bias * 0).sqrt().sum()  # 0 times an infinite derivative
        return record

    before = weights(game)
    with pytest.raises(NonFiniteError, match=r"the autoencoder\+critic's loss or gradient is not finite"):
        game.turn("autoencoder", "critic", loss=faulty, batch=BATCH)
    assert moved(game, before) == set()


class Levels(Game):
    """A game with one player and one network per level."""

    def __init__(self, networks: Mapping[str, nn.Module], levels: int, **options: Any) -> None:
        self.roles = {f"level_{i}": (f"net_{i}", "shared") for i in range(levels)}
        self.averaged = [f"net_{i}" for i in range(levels)]
        super().__init__(networks, **options)

    def loss(self, batch: Batch) -> Turn:
        return Turn(sum(network(batch.samples).square().mean() for network in self.networks.values()), {}, self.random)


@pytest.mark.parametrize("levels", [1, 3])
def test_roles_may_depend_on_arguments(levels: int) -> None:
    torch.manual_seed(0)
    nets: dict[str, nn.Module] = {f"net_{i}": nn.Linear(3, 1) for i in range(levels)} | {"shared": nn.Linear(3, 1)}
    optimizers = {f"level_{i}": sgd(0.1) for i in range(levels)}
    game = started(Levels(nets, levels, optimizers=optimizers, ema_decay=0.5))
    assert list(game.players) == list(optimizers)
    assert len(game.raw_optimizers) == levels
    assert list(game.averages) == [f"net_{i}" for i in range(levels)]
    assert "roles" not in vars(Levels)
    last = levels - 1
    before = weights(game)
    game.turn(f"level_{last}", loss=game.loss, batch=BATCH)
    assert moved(game, before) == {f"net_{last}", "shared"}
    with pytest.raises(UserError) as raised:
        Levels({"net_0": nn.Linear(3, 1), "shared": nn.Linear(3, 1)}, 2, optimizers={**optimizers, "level_1": sgd(1.0)})
    assert raised.value.key == "networks.net_1"


@pytest.mark.parametrize(
    ("change", "key", "problem"),
    [
        ({"optimizers": {"autoencoder": sgd(0.1), "critic": sgd(0.1)}}, "optimizers.generator", "player 'generator'"),
        ({"networks": {"encoder": nn.Linear(1, 1), "critic": nn.Linear(1, 1)}}, "networks.decoder", "'decoder'"),
        ({"networks": {**networks(), "other": nn.Linear(1, 1)}}, "networks", "does not use a network 'other'"),
        ({"regularizers": {"r": R1(player="critc")}}, "regularizers.r.player", "no player 'critc'; .*'critic'?"),
        ({"regularizers": {"r": Orthogonal(player="generator")}}, "regularizers.r.network", "no network 'generator'"),
        ({"regularizers": {"r": Orthogonal(player="critic", network="encodr")}}, "regularizers.r.network", "'encodr'"),
        ({"regularizers": {"r": R1(player="critic")}, "networks": {**networks(), "critic": nn.BatchNorm1d(2)}},
         "regularizers.r", "R1 penalizes gradients of single samples"),
    ],
)  # fmt: skip
def test_incompatible_arguments_raise_an_error_with_their_key(change: dict[str, Any], key: str, problem: str) -> None:
    options = {"networks": networks(), "optimizers": {name: sgd(0.1) for name in RATES}, **change}
    with pytest.raises(UserError, match=problem) as raised:
        Adversarial(**options)
    assert raised.value.key == key


def test_the_gradient_of_each_player_is_clipped_separately() -> None:
    game = adversarial()
    gradients = {role: plain_gradients(game.everything, game, role) for role in game.networks}
    own = {"autoencoder": [*gradients["encoder"], *gradients["decoder"]], "critic": gradients["critic"]}
    norms = {name: float(torch.cat([g.flatten() for g in parts]).norm()) for name, parts in own.items()}
    low, high = sorted(norms.values())
    assert high > 1.2 * low
    clipped = adversarial(gradient_clip=(low + high) / 2)  # one of the two is clipped
    before = weights(clipped)
    clipped.turn("autoencoder", "critic", loss=clipped.everything, batch=BATCH)
    for name in own:
        factor = min(1.0, (low + high) / 2 / norms[name])
        for role in clipped.roles[name]:
            step = [-RATES[name] * factor * gradient for gradient in gradients[role]]
            assert largest_difference(clipped, role, before[role], step) < 1e-6
        assert clipped.logs[f"{name}/weight_gradient_norm"].item() == pytest.approx(norms[name], rel=1e-5)


def test_draws_are_keyed_by_the_names_of_players_and_the_turns_of_the_first() -> None:
    game = adversarial(seed=5)
    drawn: list[Tensor] = []

    def loss(batch: Batch) -> Turn:
        drawn.append(
            torch.cat([torch.rand(2, generator=game.random), torch.rand(2)])
        )  # the default generator is that of dropout
        return game.everything(batch)

    turns = [("critic",), ("autoencoder", "critic"), ("critic", "autoencoder"), ("autoencoder", "critic"), ("critic",)]
    keys = [
        ("critic", 0),
        ("autoencoder+critic", 0),
        ("critic+autoencoder", 2),
        ("autoencoder+critic", 2),
        ("critic", 4),
    ]
    for names, key in zip(turns, keys, strict=True):
        game.turn(*names, loss=loss, batch=BATCH)
        expected = torch.rand(4, generator=randomness.generator("cpu", 5, key[0], 0, key[1]))
        assert torch.equal(drawn[-1], expected)


def test_the_record_has_the_players_and_values_are_logged_under_the_first() -> None:
    class Witness(Regularizer):
        seen: ClassVar[list[tuple[Sequence[str], Mapping[str, int]]]] = []

        def observe(self, turn: Turn) -> None:
            self.seen.append((turn.players, dict(turn.turns)))
            turn.logs["seen"] = torch.tensor(float(len(self.seen)))

    game = adversarial(regularizers={"witness": Witness(player="critic")})
    for names in (("critic",), ("autoencoder", "critic"), ("generator",)):
        game.turn(*names, loss=game.everything, batch=BATCH)
    assert Witness.seen == [
        (("critic",), {"critic": 0}),
        (("autoencoder", "critic"), {"autoencoder": 0, "critic": 1}),
        (("generator",), {"generator": 0}),
    ]
    assert {key for key in game.logs if key.endswith("/seen")} == {"critic/seen", "autoencoder/seen", "generator/seen"}
    assert game.logs["autoencoder/seen"] == 2
    assert "autoencoder/loss" in game.logs


def test_a_game_without_round_raises_not_implemented_error() -> None:
    with pytest.raises(NotImplementedError, match=r"Adversarial must implement round\(\)"):
        adversarial().training_step(BATCH, 0)
