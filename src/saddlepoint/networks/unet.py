"""Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004: the U-Net.

Section 6.1.1. With Ck a 4×4 convolution of stride 2 with k channels, normalization and activation, and CDk the same
with dropout of 0.5, the network for 256 px is

    encoder: C64-C128-C256-C512-C512-C512-C512-C512         LeakyReLU 0.2
    decoder: CD512-CD512-CD512-C512-C256-C128-C64, output   ReLU, tanh; fractionally strided

Each decoder layer but the first also takes the encoder's feature maps of the same size as input. Where the paper and
its published code (phillipi/pix2pix) differ, this module follows the code:

- the encoder's last layer has no normalization, which would map a single pixel to zero; neither has the first;
- activations precede convolutions, so the encoder's feature maps pass through the decoder's ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.activations import SLOPE
from saddlepoint.networks.layers.dropout import NoiseDropout
from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.norms import ImageNormKind, absorbs_bias, make_norm
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.networks.layers.resampling import make_downsampling, make_upsampling
from saddlepoint.networks.layers.shapes import check_image

WIDEST = 8
"""Maximum number of channels, as a multiple of the width."""

NOISY = 3
"""Number of decoder layers with dropout, starting at the innermost."""


class UNetGenerator(nn.Module):
    """An image-to-image generator: encoder and decoder with skip connections between layers of the same size.

    Images are halved as long as both sides are even: 256 px eight times and 64 px six times, down to one pixel, but
    28 px only twice. Dropout, in training and in evaluation mode, is the only source of noise (section 3.1; see
    :class:`~saddlepoint.networks.layers.dropout.NoiseDropout`). In evaluation mode, batch normalization uses running
    statistics, whereas the authors use the statistics of the test batch.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        input_channels: PositiveInt,
        width: PositiveInt = 64,
        norm: ImageNormKind = "batch",
        noise: Literal["dropout", "none"] = "dropout",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of the output; sides are multiples of 4 and at least 8 px.
            input_channels: number of channels of the input, which has the same size as the output.
            width: channels of the layer closest to the image; they double with each level, up to 8 · width.
            norm: normalization of every layer but the encoder's first and last layer and the output layer.
            noise: ``dropout`` in up to three innermost layers of the decoder; ``none`` for a deterministic network.

        Raises:
            UserError: the shape is not supported.
        """
        super().__init__()
        self.shape, self.input_channels = check_image("unet", shape, multiple=4), input_channels
        outputs, height, breadth = self.shape
        channels = [width * min(2**level, WIDEST) for level in range(_halvings(height, breadth))]
        bias = not absorbs_bias(norm)
        self.encoder = nn.ModuleList([make_downsampling("strided", input_channels, channels[0])])
        for level, (above, below) in enumerate(pairwise(channels), start=2):
            innermost = level == len(channels)
            convolution = make_downsampling("strided", above, below, bias=innermost or bias)
            after = nn.Identity() if innermost else make_norm(norm, below)
            self.encoder.append(nn.Sequential(nn.LeakyReLU(SLOPE), convolution, after))
        self.decoder = nn.ModuleList()
        for index, (below, above) in enumerate(pairwise(channels[::-1])):
            inputs = below if index == 0 else 2 * below
            layers = [nn.ReLU(), make_upsampling("transposed", inputs, above, bias), make_norm(norm, above)]
            if noise == "dropout" and index < NOISY:
                layers.append(NoiseDropout(0.5))
            self.decoder.append(nn.Sequential(*layers))
        self.output = nn.Sequential(nn.ReLU(), make_upsampling("transposed", 2 * channels[0], outputs))
        init_dcgan(self)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map images [N, input_channels, H, W] to images [N, C, H, W] in [-1, 1]; the condition is ignored."""
        hidden, skips = images, []
        for layer in self.encoder:
            hidden = layer(hidden)
            skips.append(hidden)
        skips.pop()
        for layer in self.decoder:
            hidden = torch.cat([layer(hidden), skips.pop()], dim=1)
        return torch.tanh(at_least_float32(self.output(hidden)))


def _halvings(height: int, width: int) -> int:
    """Return the number of times that both sides can be divided by two."""
    common = height | width
    return (common & -common).bit_length() - 1
