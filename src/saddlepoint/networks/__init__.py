"""Generators, discriminators, encoders, decoders and heads, one family per file. Classes are found by their names."""

from typing import Any

from torch import nn

from saddlepoint.discovery import parts

_found = parts(__name__, nn.Module, ("Generator", "Discriminator", "Encoder", "Decoder", "Head"))
globals().update(_found)
__all__ = [*_found]


def __getattr__(name: str) -> Any:
    """Declare the discovered names to type checkers."""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
