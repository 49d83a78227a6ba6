"""Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004: the U-Net.

Section 6.1.1. With Ck a 4×4 convolution of stride 2, norm and activation, and CDk the same with dropout of 0.5:

    encoder: C64-C128-C256-C512-C512-C512-C512-C512         LeakyReLU 0.2
    decoder: CD512-CD512-CD512-C512-C256-C128-C64, output   ReLU, tanh; fractionally strided

for 256 px. Each decoder layer but the first also takes the encoder's maps of its size. Where paper and published code
(phillipi/pix2pix) differ, the code is followed:

- the innermost layer of the encoder has no norm, like its first: over one pixel of one image a norm returns zero;
- activations stand before convolutions, so that an encoder's maps enter the decoder through its ReLU.
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
"""Channels double a level up to this many times the width."""

NOISY = 3
"""Decoder layers with dropout, from the innermost on."""


class UNetGenerator(nn.Module):
    """Images to images by an encoder, a decoder, and skip connections between layers of the same size.

    Images are halved as often as both sides divide by two: 256 px eight times and 64 px six times, down to one pixel,
    but 28 px twice. Dropout is the only noise, in training and in evaluation (section 3.1; see
    :class:`~saddlepoint.networks.layers.dropout.NoiseDropout`), so that an input has many outputs. The authors also
    normalise by the statistics of the test batch; here batch norm uses its running ones in evaluation mode.
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
            shape: (C, H, W) of the output, whose sides are multiples of 4, 8 px or more.
            input_channels: of the input, whose size is the output's.
            width: channels of the layer next to the image; they double a level, up to 8 · width.
            norm: of every layer but the encoder's first and last and the output.
            noise: ``dropout`` in the three innermost layers of the decoder, or as many as there are besides the output;
                ``none``: the network is deterministic.

        Raises:
            UserError: the shape cannot be built.
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
        """Map images [N, input_channels, H, W] to images [N, C, H, W] in [-1, 1]; a condition is not used."""
        hidden, skips = images, []
        for layer in self.encoder:
            hidden = layer(hidden)
            skips.append(hidden)
        skips.pop()
        for layer in self.decoder:
            hidden = torch.cat([layer(hidden), skips.pop()], dim=1)
        return torch.tanh(at_least_float32(self.output(hidden)))


def _halvings(height: int, width: int) -> int:
    """Return how often both sides can be divided by two."""
    common = height | width
    return (common & -common).bit_length() - 1
