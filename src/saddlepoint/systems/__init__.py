"""Training algorithms, one per file. Subclasses of ``Game`` that implement ``round()`` are discovered automatically."""

from typing import Any

from saddlepoint.discovery import parts
from saddlepoint.systems.game import Game

_found = {name: system for name, system in parts(__name__, Game).items() if getattr(system, "round") is not Game.round}  # noqa: B009
globals().update(_found)
__all__ = [*_found]


def __getattr__(name: str) -> Any:
    """Declare the discovered names to type checkers."""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
