"""Augmentations of the discriminator's inputs, one class per file. Classes are discovered automatically."""

from typing import Any

from saddlepoint.augment.base import Augment
from saddlepoint.discovery import parts

_found = parts(__name__, Augment)
globals().update(_found)
__all__ = ["Augment", *_found]


def __getattr__(name: str) -> Any:
    """Declare the discovered names to type checkers."""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
