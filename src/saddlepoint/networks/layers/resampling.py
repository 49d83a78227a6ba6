"""Convolutions that double or halve the size of an image."""

from __future__ import annotations

from typing import Literal

from torch import nn

Upsampling = Literal["transposed", "nearest", "bilinear"]
"""Kinds of upsampling layers."""

Downsampling = Literal["strided", "average"]
"""Kinds of downsampling layers."""


def make_upsampling(kind: Upsampling, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    """Return a layer that maps [N, inputs, h, w] to [N, outputs, 2h, 2w].

    Args:
        kind: ``transposed`` is a 4×4 fractionally strided convolution (Radford et al. 2015, arXiv:1511.06434).
            ``nearest`` and ``bilinear`` are interpolation followed by a 3×3 convolution (Odena et al. 2016,
            "Deconvolution and checkerboard artifacts", doi:10.23915/distill.00003).
        inputs: number of input channels.
        outputs: number of output channels.
        bias: whether the convolution has a bias.
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
    up = nn.Upsample(scale_factor=2, mode=kind, align_corners=None if kind == "nearest" else False)
    return nn.Sequential(up, nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))


def make_downsampling(kind: Downsampling, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    """Return a layer that maps [N, inputs, 2h, 2w] to [N, outputs, h, w].

    Args:
        kind: ``strided`` is a 4×4 convolution of stride 2; ``average`` is a 3×3 convolution followed by 2×2 average
            pooling.
        inputs: number of input channels.
        outputs: number of output channels.
        bias: whether the convolution has a bias.
    """
    if kind == "strided":
        return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias), nn.AvgPool2d(2))
