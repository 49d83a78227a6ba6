"""Adversarial losses, one class per file. Classes are discovered automatically."""

from typing import Any

from saddlepoint.discovery import parts
from saddlepoint.losses.base import AdversarialLoss

_found = parts(__name__, AdversarialLoss)
globals().update(_found)
__all__ = ["AdversarialLoss", *_found]


def __getattr__(name: str) -> Any:
    """Declare the discovered names to type checkers."""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
