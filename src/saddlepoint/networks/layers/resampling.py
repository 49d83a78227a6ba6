"""Convolutions that double or halve the side of an image, by kind."""

from __future__ import annotations

from typing import Literal

from torch import nn

Upsampling = Literal["transposed", "nearest", "bilinear"]
"""How a generator doubles the side."""

Downsampling = Literal["strided", "average"]
"""How a discriminator halves it."""


def make_upsampling(kind: Upsampling, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    """Return a layer that maps [N, inputs, h, w] to [N, outputs, 2h, 2w].

    Args:
        kind: ``transposed``: a 4×4 fractionally strided convolution (Radford et al. 2015, arXiv:1511.06434);
            ``nearest`` and ``bilinear``: copied or interpolated pixels, then a 3×3 convolution (Odena et al. 2016,
            "Deconvolution and checkerboard artifacts", doi:10.23915/distill.00003).
        inputs: channels.
        outputs: channels.
        bias: of the convolution.
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
    up = nn.Upsample(scale_factor=2, mode=kind, align_corners=None if kind == "nearest" else False)
    return nn.Sequential(up, nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))


def make_downsampling(kind: Downsampling, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    """Return a layer that maps [N, inputs, 2h, 2w] to [N, outputs, h, w].

    Args:
        kind: ``strided``: a 4×4 convolution of stride 2; ``average``: a 3×3 convolution, then the mean of 2×2 pixels.
        inputs: channels.
        outputs: channels.
        bias: of the convolution.
    """
    if kind == "strided":
        return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias), nn.AvgPool2d(2))
