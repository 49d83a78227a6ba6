"""What the discriminator's inputs pass through, one class a file; each file is found by itself."""

from typing import Any

from saddlepoint.augment.base import Augment
from saddlepoint.discovery import parts

_found = parts(__name__, Augment)
globals().update(_found)
__all__ = ["Augment", *_found]


def __getattr__(name: str) -> Any:
    """Tell type checkers that there are more names than they see."""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
