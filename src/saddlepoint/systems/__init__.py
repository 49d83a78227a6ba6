"""Training algorithms: one file each, on the engine of :mod:`saddlepoint.systems.game`, found by themselves."""

from typing import Any

from saddlepoint.discovery import parts
from saddlepoint.systems.game import Game

_found = {name: system for name, system in parts(__name__, Game).items() if getattr(system, "round") is not Game.round}  # noqa: B009
globals().update(_found)
__all__ = [*_found]


def __getattr__(name: str) -> Any:
    """Tell type checkers that there are more names than they see."""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
