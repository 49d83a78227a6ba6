"""Checks on the networks, optimizers and parts of a system."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from saddlepoint.errors import UserError, choose
from saddlepoint.parts import Part
from saddlepoint.regularizers.base import Regularizer


def check_owners(
    system: str,
    roles: Mapping[str, Sequence[str]],
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, Any],
) -> None:
    """Check that every player has its networks and an optimizer, and every network a player.

    Args:
        system: name of the system, for error messages.
        roles: the roles of each player's networks.
        networks: networks by role.
        optimizers: optimizers by player.

    Raises:
        UserError: a network or optimizer is missing, or a network is not used.
    """
    owned = [role for of_player in roles.values() for role in of_player]
    if missing := [player for player in roles if player not in optimizers]:
        raise UserError(f"{system} needs an optimizer for its player '{missing[0]}'", f"optimizers.{missing[0]}")
    if missing := [role for role in owned if role not in networks]:
        problem = f"{system} needs a network '{missing[0]}'"
        raise UserError(problem, f"networks.{missing[0]}", "choose another network")
    if unused := [role for role in networks if role not in owned]:
        raise UserError(f"{system} does not use a network '{unused[0]}'", "networks", "choose another network")


def check_callable(role: str, network: nn.Module) -> None:
    """Check that a network can be called, unlike a container of networks such as those of LAPGAN.

    Raises:
        UserError: it has no forward pass.
    """
    if type(network).forward is nn.Module.forward:
        problem = f"{type(network).__name__} has no forward pass of its own"
        raise UserError(problem, f"networks.{role}", "choose another network")


def check_batch_size(batch_size: int, networks: Mapping[str, nn.Module]) -> None:
    """Check that a batch has the two samples that batch normalization of vectors needs in training.

    Micro-batches and partial batches have at least two samples if ``batch_size`` is at least 2.

    Args:
        batch_size: number of samples per rank and batch.
        networks: networks by role.

    Raises:
        UserError: it is 1, and a network normalizes vectors.
    """
    for role, network in networks.items():
        if batch_size == 1 and any(isinstance(module, nn.BatchNorm1d) for module in network.modules()):
            problem = f"batch normalization of vectors needs two samples, and '{role}' has it"
            raise UserError(problem, "batch_size", "set it to 2 or more")


def check_averaging(decay: float | None, half_life: Any) -> None:
    """Check that at most one rule of averaging is given.

    Raises:
        UserError: there are two.
    """
    if decay is not None and half_life is not None:
        problem = f"mutually exclusive with ema_decay, which is {decay}"
        raise UserError(problem, "ema_half_life", "set one of them to null")


def check_part(path: str, part: nn.Module, networks: Mapping[str, nn.Module], players: Collection[str]) -> None:
    """Check that a part is compatible with the networks, and that a regularizer's player exists.

    Args:
        path: the part's argument name, such as ``loss`` or ``regularizers.r1``.
        part: a loss, regularizer or augment.
        networks: networks by role.
        players: names of the players.

    Raises:
        UserError: the part is incompatible.
    """
    assert isinstance(part, Part)
    with located(path, networks):
        if isinstance(part, Regularizer) and part.player not in players:
            raise UserError(f"there is no player '{part.player}'", "player", choose(part.player, players))
        part.check(networks)


@contextmanager
def located(path: str, networks: Collection[str]) -> Iterator[None]:
    """Prefix the keys of a part's errors with its argument name, except keys of networks, which are complete."""
    try:
        yield
    except UserError as error:
        of_network = error.key is not None and error.key.partition(".")[0] in networks
        raise error if of_network else error.at(f"{path}.{error.key}" if error.key else path) from None
