"""Weights of layers as matrices."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from saddlepoint.networks.layers.modulated import ModulatedConv2d
from saddlepoint.networks.layers.spectral_norm import TRANSPOSED, SpectralNorm

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, ModulatedConv2d, *TRANSPOSED)


def weight_matrix(layer: nn.Module) -> Tensor:
    """Return a layer's weight W as a matrix [outputs, inputs · kernel], differentiable with respect to the parameters.

    With spectral normalization, it is the weight before the division; with an equalized learning rate, the scaled
    weight; of a modulated convolution, the weight before the modulation.
    """
    if isinstance(layer, ModulatedConv2d):
        return (layer.weight * layer.scale).flatten(1)
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if parametrize.is_parametrized(layer, "weight"):
        steps: Any = layer.parametrizations["weight"]  # type: ignore[index]
        weight = steps.original if any(isinstance(step, SpectralNorm) for step in steps) else weight
    return (weight.transpose(0, 1) if isinstance(layer, TRANSPOSED) else weight).flatten(1)
