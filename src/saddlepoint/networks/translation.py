"""Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", arXiv:1703.10593.

The generator of Johnson et al. 2016, arXiv:1603.08155, as in section 7.2: c7s1-64, d128, d256, six or nine times R256,
u128, u64, c7s1-C. As in the published code (junyanz/CycleGAN):

- 7×7 convolutions and residual blocks pad by reflection, the others with zeros;
- upsampling is by fractionally strided 3×3 convolutions;
- the output layer has tanh and no normalization;
- instance normalization has learned gains and biases, unlike in the authors' later PyTorch code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.norms import make_norm
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.networks.layers.shapes import check_image

LARGE = 128
"""Maximum long side, in px, for six residual blocks by default; larger images have nine (section 7.2)."""


class ResidualBlock(nn.Module):
    """x + n(conv(relu(n(conv(x))))) with 3×3 convolutions and instance normalization n."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False),
            make_norm("instance", channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False),
            make_norm("instance", channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, h, w] to the same shape."""
        change: Tensor = self.layers(x)
        return x + change


class TranslationGenerator(nn.Module):
    """An image-to-image generator with residual blocks at a quarter of the image size."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        input_channels: PositiveInt,
        width: PositiveInt = 64,
        blocks: PositiveInt | None = None,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of the output; sides are multiples of 4 and at least 8 px.
            input_channels: number of channels of the input, which has the same size as the output.
            width: channels of the layer closest to the image; the residual blocks have 4 times as many.
            blocks: number of residual blocks. None is six for images up to 128 px and nine for larger ones, as in the
                paper.

        Raises:
            UserError: the shape is not supported.
        """
        super().__init__()
        self.shape, self.input_channels = check_image("translation", shape, multiple=4), input_channels
        outputs, *sides = self.shape
        blocks = blocks or (6 if max(sides) <= LARGE else 9)
        first = nn.Conv2d(input_channels, width, 7, padding=3, padding_mode="reflect", bias=False)
        layers = [first, make_norm("instance", width), nn.ReLU()]
        for channels in (width, 2 * width):
            down = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)
            layers += [down, make_norm("instance", 2 * channels), nn.ReLU()]
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for channels in (2 * width, width):
            up = nn.ConvTranspose2d(2 * channels, channels, 3, stride=2, padding=1, output_padding=1, bias=False)
            layers += [up, make_norm("instance", channels), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.output = nn.Conv2d(width, outputs, 7, padding=3, padding_mode="reflect")
        init_dcgan(self)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map images [N, input_channels, H, W] to images [N, C, H, W] in [-1, 1]; the condition is ignored."""
        return torch.tanh(at_least_float32(self.output(self.trunk(images))))
