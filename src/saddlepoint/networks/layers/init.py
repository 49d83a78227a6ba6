"""Initialization of weights. It must precede spectral normalization, whose initial estimate depends on the weights."""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

Init = Literal["default", "orthogonal", "normal"]
"""Initialization of a multilayer perceptron: PyTorch's default, or see :func:`init_weights`."""

WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm1d, nn.InstanceNorm2d)


def init_dcgan(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02²) and set biases to zero (Radford et al. 2015, arXiv:1511.06434, section 4).

    Gains of batch and instance normalization are drawn from N(1, 0.02²), as in the paper's published code. Gains of
    layer and group normalization remain 1.
    """
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, NORMS) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def init_xavier(layer: nn.Module, gain: float = 1.0) -> None:
    """Apply Xavier initialization to a layer: uniform with standard deviation gain·√(2 / (fan_in + fan_out)).

    Biases are set to zero. Modules other than convolutions and linear layers are not changed.
    """
    if not isinstance(layer, WEIGHTED):
        return
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def init_fan_in(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> None:
    """Draw weights from N(0, gain² / fan_in), which is He's initialization for a gain of √2; set biases to zero."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def init_transformer(layer: nn.Module) -> None:
    """Draw the weight of a linear layer from a truncated normal distribution of standard deviation 0.02; zero its bias.

    As in the published code of Touvron et al. 2021, "Training data-efficient image transformers & distillation through
    attention", arXiv:2012.12877. Other modules are not changed.
    """
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def init_weights(network: nn.Module, kind: Init, scale: float) -> None:
    """Initialize the weights of convolutions and linear layers, and set their biases to zero.

    Args:
        network: the network.
        kind: ``orthogonal`` (Saxe et al. 2014, arXiv:1312.6120), ``normal``, or ``default``, which changes nothing.
        scale: gain of the orthogonal matrices, or standard deviation of the normal distribution.
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
