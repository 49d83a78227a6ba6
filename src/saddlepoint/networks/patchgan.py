"""Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004: PatchGAN.

Sections 2.2.2 and 6.1.2. With Ck a 4×4 convolution with k channels, normalization and LeakyReLU(0.2), the network for
a receptive field of 70 px is C64-C128-C256-C512, followed by a convolution to one channel. The last two convolutions
have stride 1, as in the published code (phillipi/pix2pix), the others stride 2. The receptive field r is computed from
the output to the input by r ← (r - 1) · stride + 4.

Zhu et al. 2017, arXiv:1703.10593, section 7.2, use the same network with instance normalization, which has learned
gains and biases here, as in their first code (junyanz/CycleGAN). That code pads by 2; here the padding is 1, as in
their later PyTorch code.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.activations import SLOPE
from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.norms import ImageNormKind, absorbs_bias, make_norm
from saddlepoint.networks.layers.precision import ScoreMap
from saddlepoint.networks.layers.shapes import check_image
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.types import CriticOutput

HALVINGS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
"""Number of halvings for each receptive field in px; for 1 px, the convolutions are 1×1."""

WIDEST = 8
"""Maximum number of channels, as a multiple of the width."""


class PatchDiscriminator(nn.Module):
    """A discriminator with one logit per square patch; the features are spatial means of the last hidden layer.

    Images can be conditioned on other images, which are concatenated along the channels.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        condition_channels: NonNegativeInt = 0,
        receptive_field: Literal[1, 16, 34, 70, 142, 286] = 70,
        width: PositiveInt = 64,
        norm: ImageNormKind = "batch",
        spectral_norm: bool = False,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W). With n > 0 halvings the map of logits has size ⌊H / 2ⁿ⌋ - 2 by ⌊W / 2ⁿ⌋ - 2, which must be
                positive.
            condition_channels: number of channels of the condition; 0 for no condition.
            receptive_field: side of a patch in px.
            width: channels of the first layer; they double with each layer, up to 8 · width.
            norm: normalization of every layer but the first and the last.
            spectral_norm: whether to divide every weight by its largest singular value.

        Raises:
            UserError: the shape is not (C, H, W), or the map would be empty.
        """
        super().__init__()
        self.shape, self.condition_channels = check_image("patchgan", shape), condition_channels
        _, height, breadth = self.shape
        short, halvings = min(height, breadth), HALVINGS[receptive_field]
        if halvings and short >> halvings < 3:
            fitting = [str(field) for field, n in HALVINGS.items() if n == 0 or short >> n >= 3]
            raise UserError(
                f"network 'patchgan' with a receptive field of {receptive_field} px has an empty map for images of "
                f"{height}x{breadth} px",
                "receptive_field",
                f"choose from {', '.join(fitting)}",
            )

        size, padding = (4, 1) if halvings else (1, 0)
        strides = [2] * halvings + [1] if halvings else [1, 1]
        channels = [width * min(2**layer, WIDEST) for layer in range(len(strides))]
        inputs = shape[0] + condition_channels
        layers: list[nn.Module] = [nn.Conv2d(inputs, channels[0], size, strides[0], padding), nn.LeakyReLU(SLOPE)]
        for (before, after), stride in zip(pairwise(channels), strides[1:], strict=True):
            layers.append(nn.Conv2d(before, after, size, stride, padding, bias=not absorbs_bias(norm)))
            layers += [make_norm(norm, after), nn.LeakyReLU(SLOPE)]
        self.trunk = nn.Sequential(*layers)
        self.logits = ScoreMap(channels[-1], size, padding)
        init_dcgan(self)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> CriticOutput:
        """Return logits [N, 1, h, w] and features [N, F].

        Args:
            samples: images [N, C, H, W].
            condition: images [N, condition_channels, H, W]; ignored if ``condition_channels`` is 0.

        Raises:
            UserError: the condition is missing.
        """
        if self.condition_channels:
            if condition is None:
                raise UserError("this discriminator is conditional and got no condition")
            samples = torch.cat([condition, samples], dim=1)
        hidden = self.trunk(samples)
        return CriticOutput(self.logits(hidden), hidden.mean((2, 3)))
