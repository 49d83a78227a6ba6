"""Karras et al. 2018, "Progressive Growing of GANs", arXiv:1710.10196, section 4.1: equalised learning rates."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.utils import parametrize

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.init import WEIGHTED


class EqualizedRate(nn.Module):
    """A parametrization W → c·W with c = √(2 / fan_in), He's constant, in each forward.

    The weights themselves are drawn from N(0, 1). Adam's step does not depend on the gradient's scale, so all layers
    learn at the same rate.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """Return the scaled weight."""
        return weight * self.scale


def apply_equalized_rate(module: nn.Module, spectral_norm: bool = False) -> None:
    """Redraw every convolution and linear layer of ``module`` from N(0, 1), biases zero, and scale it in each forward.

    Args:
        module: a network, changed in place.
        spectral_norm: whether the network is to have spectral normalisation too.

    Raises:
        UserError: it is; it would divide each weight's scale out again.
    """
    if spectral_norm:
        raise UserError(
            "spectral normalisation would divide the scale of equalised weights out again",
            "equalized",
            "turn one of them off",
        )
    for layer in list(module.modules()):
        if isinstance(layer, WEIGHTED):
            fan_in = nn.init._calculate_fan_in_and_fan_out(layer.weight)[0]
            if isinstance(layer, nn.ConvTranspose2d):  # [inputs, outputs, h, w]; a pixel sees 1 / stride² of the taps
                taps = layer.weight[0, 0].numel() / (layer.stride[0] * layer.stride[1])
                fan_in = max(round(layer.in_channels * taps), 1)
            nn.init.normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            parametrize.register_parametrization(layer, "weight", EqualizedRate(math.sqrt(2 / fan_in)))
