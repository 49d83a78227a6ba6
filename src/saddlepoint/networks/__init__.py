"""Generators, discriminators, encoders, decoders and heads as plain modules, one family a file, found by name."""

from typing import Any

from torch import nn

from saddlepoint.discovery import parts

_found = parts(__name__, nn.Module, ("Generator", "Discriminator", "Encoder", "Decoder", "Head"))
globals().update(_found)
__all__ = [*_found]


def __getattr__(name: str) -> Any:
    """Tell type checkers that there are more names than they see."""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
