"""Penalties on outputs and gradients, and constraints on weights, one class per file; discovered automatically."""

from typing import Any

from saddlepoint.discovery import parts
from saddlepoint.regularizers.base import Regularizer

_found = parts(__name__, Regularizer)
globals().update(_found)
__all__ = ["Regularizer", *_found]


def __getattr__(name: str) -> Any:
    """Declare the discovered names to type checkers."""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
