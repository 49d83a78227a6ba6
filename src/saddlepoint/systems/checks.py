"""What a game refuses before it begins: players without networks, parts that do not go with them."""

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
    """Refuse players without a network or an optimizer, and networks without a player.

    Args:
        system: its name.
        roles: the networks of each player.
        networks: by role.
        optimizers: by player.

    Raises:
        UserError: naming what is missing or not needed.
    """
    owned = [role for of_player in roles.values() for role in of_player]
    if missing := [player for player in roles if player not in optimizers]:
        raise UserError(f"{system} needs an optimizer for its player '{missing[0]}'", f"optimizers.{missing[0]}")
    if missing := [role for role in owned if role not in networks]:
        problem = f"{system} needs a network '{missing[0]}'"
        raise UserError(problem, f"networks.{missing[0]}", "choose another network")
    if unused := [role for role in networks if role not in owned]:
        raise UserError(f"{system} has no use for a network '{unused[0]}'", "networks", "choose another network")


def check_part(path: str, part: nn.Module, networks: Mapping[str, nn.Module], players: Collection[str]) -> None:
    """Let a part refuse networks that it does not suit, and refuse a regularizer of nobody's.

    Args:
        path: the argument that the part came by, such as ``loss`` or ``regularizers.r1``.
        part: of the game.
        networks: by role.
        players: their names.

    Raises:
        UserError: what does not go together.
    """
    assert isinstance(part, Part)
    with located(path, networks):
        if isinstance(part, Regularizer) and part.player not in players:
            raise UserError(f"there is no player '{part.player}'", "player", choose(part.player, players))
        part.check(networks)


@contextmanager
def located(path: str, networks: Collection[str]) -> Iterator[None]:
    """Put the argument that a part came by before the key of what it refuses; a key of a network stays as it is."""
    try:
        yield
    except UserError as error:
        of_network = error.key is not None and error.key.partition(".")[0] in networks
        raise error if of_network else error.at(f"{path}.{error.key}" if error.key else path) from None
