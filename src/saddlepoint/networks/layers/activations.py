"""Activation functions by name."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

SLOPE = 0.2
"""Default negative slope of LeakyReLU (Radford et al. 2015, arXiv:1511.06434, section 4)."""

Activation = Literal["relu", "leaky_relu", "tanh", "maxout"]
"""Activations of multilayer perceptrons."""


class Maxout(nn.Module):
    """Maximum over groups of ``pieces`` inputs, [N, units·pieces] → [N, units] (Goodfellow et al. 2013, equation 1)."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, units·pieces] to [N, units]."""
        return x.unflatten(1, (-1, self.pieces)).amax(2)

    def extra_repr(self) -> str:
        """Show the number of pieces."""
        return f"pieces={self.pieces}"


class ScaledLeakyReLU(nn.Module):
    """√2 · LeakyReLU(x), which approximately keeps the second moment of normal inputs (slope 0.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, ...] to the same shape."""
        return leaky_relu(x, SLOPE) * math.sqrt(2)


def make_activation(kind: Activation, pieces: int = 1) -> nn.Module:
    """Return the activation of a kind; ``pieces`` is used only by maxout."""
    if kind == "maxout":
        return Maxout(pieces)
    if kind == "tanh":
        return nn.Tanh()
    return nn.ReLU() if kind == "relu" else nn.LeakyReLU(SLOPE)
