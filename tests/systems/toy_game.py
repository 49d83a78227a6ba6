"""A small game of three players, two of which share a network, and what the tests ask of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.systems.game import Game
from saddlepoint.turns import Turn
from saddlepoint.types import Batch, VectorBatch

RATES = {"autoencoder": 0.1, "critic": 0.2, "generator": 0.05}


class Alone:
    """The attributes of a trainer that a game uses, for one process."""

    world_size, global_rank, precision_plugin = 1, 0, None


class Adversarial(Game):
    """An adversarial autoencoder, in which two players share the encoder (Makhzani et al. 2015)."""

    roles: Mapping[str, Sequence[str]] = {
        "autoencoder": ("encoder", "decoder"),
        "critic": ("critic",),
        "generator": ("encoder",),
    }

    def reconstruction(self, batch: Batch) -> Turn:
        x = batch.samples
        loss = (self.networks["decoder"](self.networks["encoder"](x)) - x).square().mean()
        return Turn(loss, self.networks, self.random, real=x)

    def deception(self, batch: Batch) -> Turn:
        loss = -self.networks["critic"](self.networks["encoder"](batch.samples)).square().mean()
        return Turn(loss, self.networks, self.random)

    def everything(self, batch: Batch) -> Turn:
        return Turn(self.reconstruction(batch).loss + self.deception(batch).loss, self.networks, self.random)


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"encoder": nn.Linear(3, 2), "decoder": nn.Linear(2, 3), "critic": nn.Linear(2, 1)}


def sgd(rate: float, momentum: float = 0.0) -> Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]:
    return partial(torch.optim.SGD, lr=rate, momentum=momentum)


def started(game: Game) -> Any:
    """Return the game after the setup at the start of a run."""
    game.trainer = Alone()  # type: ignore[assignment]
    game.configure_optimizers()
    game.on_fit_start()
    return game


def adversarial(momentum: float = 0.0, **options: Any) -> Any:
    optimizers = {name: sgd(rate, momentum) for name, rate in RATES.items()}
    return started(Adversarial(networks(), optimizers, **options))


BATCH = VectorBatch(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)))


def weights(game: Game) -> dict[str, dict[str, Tensor]]:
    return {role: copy.deepcopy(network.state_dict()) for role, network in game.networks.items()}


def moved(game: Game, before: Mapping[str, Mapping[str, Tensor]]) -> set[str]:
    now = weights(game)
    return {role for role in now if any(not torch.equal(now[role][key], before[role][key]) for key in now[role])}


def plain_gradients(loss: Callable[[Any], Turn], game: Game, role: str) -> list[Tensor]:
    """Return the gradients of a loss by autograd, with nothing frozen."""
    game.random = torch.Generator()
    return list(torch.autograd.grad(loss(BATCH).loss, list(game.networks[role].parameters())))


def largest_difference(game: Game, role: str, before: Mapping[str, Tensor], step: Sequence[Tensor]) -> float:
    """Return the largest difference between the network's weights and ``before`` plus ``step``."""
    names = [name for name, _ in game.networks[role].named_parameters()]
    expected = [before[name] + delta for name, delta in zip(names, step, strict=True)]
    return max(
        float((now - then).detach().abs().max())
        for now, then in zip(game.networks[role].parameters(), expected, strict=True)
    )
