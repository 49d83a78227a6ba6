"""Equalized learning rates.

Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", arXiv:1710.10196,
section 4.1.
"""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils import parametrize

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.conditioning import STYLE_STD, AdaIN
from saddlepoint.networks.layers.init import WEIGHTED


class EqualizedRate(nn.Module):
    """A parametrization W → c·W, such as with He's constant c = √(2 / fan_in) for weights W drawn from N(0, 1).

    Since Adam's step is independent of the gradient's scale, the effective learning rate is the same in all layers.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """Return the scaled weight or bias."""
        return weight * self.scale


Layer = TypeVar("Layer", bound=nn.Linear | nn.Conv2d | nn.ConvTranspose2d)


def equalize(layer: Layer, gain: float = math.sqrt(2), multiplier: float = 1.0, bias: float = 0.0) -> Layer:
    """Apply :class:`EqualizedRate` to a layer, in place, and return it.

    The layer's weight is W·gain·m / √fan_in with W ~ N(0, 1/m²), and its bias is b·m. So the multiplier m of the
    learning rate does not change the initial values.

    Args:
        layer: a convolution or a linear layer.
        gain: √2 is He's constant for ReLU; 1 keeps the variance in a layer without activation.
        multiplier: factor m of the effective learning rate.
        bias: initial value of the bias.
    """
    fan_in = layer.weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):  # an output depends on 1 / stride² of the kernel
        taps = layer.weight[0, 0].numel() / (layer.stride[0] * layer.stride[1])
        fan_in = max(round(layer.in_channels * taps), 1)
    nn.init.normal_(layer.weight, 0.0, 1 / multiplier)
    parametrize.register_parametrization(layer, "weight", EqualizedRate(gain * multiplier / math.sqrt(fan_in)))
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias / multiplier)
        if multiplier != 1:
            parametrize.register_parametrization(layer, "bias", EqualizedRate(multiplier))
    return layer


def apply_equalized_rate(module: nn.Module, spectral_norm: bool = False) -> None:
    """Apply :class:`EqualizedRate` to every convolution and linear layer, in place.

    Weights are redrawn from N(0, 1) and biases are set to zero. Layers of :class:`AdaIN` keep their initial scale.

    Args:
        module: a network.
        spectral_norm: whether the network also has spectral normalization.

    Raises:
        UserError: it has, which would cancel the scale of the weights.
    """
    if spectral_norm:
        raise UserError(
            "equalized learning rates and spectral normalization are mutually exclusive",
            "equalized",
            "turn one of them off",
        )
    styles = {layer.affine for layer in module.modules() if isinstance(layer, AdaIN)}
    for layer in list(module.modules()):
        if isinstance(layer, WEIGHTED):
            equalize(layer, STYLE_STD * math.sqrt(layer.weight[0].numel()) if layer in styles else math.sqrt(2))
