"""Adversarial objectives: pure functions of critic outputs, one class a file; each file is found by itself."""

from typing import Any

from saddlepoint.discovery import parts
from saddlepoint.losses.base import AdversarialLoss

_found = parts(__name__, AdversarialLoss)
globals().update(_found)
__all__ = ["AdversarialLoss", *_found]


def __getattr__(name: str) -> Any:
    """Tell type checkers that there are more names than they see."""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
