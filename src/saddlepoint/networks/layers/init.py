"""Initial weights. Call these before spectral norm is applied, since its first estimate reads the weights."""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

Init = Literal["default", "orthogonal", "normal"]
"""Initial weights of a perceptron: PyTorch's, or those of :func:`init_weights`."""

WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def init_dcgan(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02²) and set biases to zero (Radford et al. 2015, arXiv:1511.06434, section 4).

    Gains of batch and instance norm are drawn from N(1, 0.02²), as in the paper's published code. Layer and group norm
    keep their gain of 1.
    """
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, _NormBase) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def init_xavier(layer: nn.Module, gain: float = 1.0) -> None:
    """Draw one layer's weights uniformly with standard deviation gain·√(2 / (fan_in + fan_out)), biases zero."""
    if not isinstance(layer, WEIGHTED):
        return
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def init_weights(network: nn.Module, kind: Init, scale: float) -> None:
    """Draw all weights anew and set biases to zero; ``default`` leaves them as they are.

    Args:
        network: its convolutions and linear layers.
        kind: ``orthogonal`` (Saxe et al. 2014, arXiv:1312.6120) or ``normal``.
        scale: the orthogonal matrices' gain, or the normal law's standard deviation.
    """
    if kind == "default":
        return
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            if kind == "orthogonal":
                nn.init.orthogonal_(module.weight, scale)
            else:
                nn.init.normal_(module.weight, 0.0, scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
