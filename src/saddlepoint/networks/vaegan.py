"""Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric", arXiv:1512.09300.

The networks of the published code (andersbll/autoencoding_beyond_pixels), with 5×5 convolutions. For 64 px, they are

    Enc(x)  three strided convolutions of 64, 128 and 256 channels, 1024 units, μ and log σ²
    Dec(z)  256 maps, three fractionally strided convolutions of 256, 128 and 32 channels, a convolution, tanh
    Dis(x)  a convolution of 32 channels, three strided ones of 128, 256 and 256, 512 units, a logit

with batch normalization and ReLU on every layer but the first of Dis and the outputs. Here they are extended to other
sizes and have as many strided convolutions as it takes to reach a base of 4 to 7 px, which is one more for 64 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.precision import FullPrecision, ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import image_pyramid
from saddlepoint.networks.vae import GaussianCode
from saddlepoint.types import CriticOutput


class VAEGANEncoder(nn.Module):
    """An encoder from images to the mean and log variance of q(z|x)."""

    def __init__(
        self, shape: Sequence[PositiveInt], latent_dim: PositiveInt, width: PositiveInt = 64, units: PositiveInt = 1024
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents.
            width: channels of the layer closest to the image; they double with each level, up to 4 · width.
            units: number of units of the linear layer.

        Raises:
            UserError: the shape is not supported.
        """
        super().__init__()
        pyramid = image_pyramid("vaegan", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        channels = [pyramid.channels, *(width * min(2**level, 4) for level in range(pyramid.levels))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [_strided(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
        values = channels[-1] * pyramid.height * pyramid.width
        self.trunk = nn.Sequential(*layers, nn.Flatten(), *_units(values, units))
        self.mean, self.log_variance = FullPrecision(units, latent_dim), FullPrecision(units, latent_dim)
        init_dcgan(self)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> GaussianCode:
        """Map images [N, C, H, W] to means [N, Z] and log variances [N, Z]; the condition is ignored."""
        hidden = self.trunk(samples)
        return GaussianCode(self.mean(hidden), self.log_variance(hidden))


class VAEGANDecoder(nn.Module):
    """A decoder from latents to images, which is also the generator of the GAN."""

    def __init__(self, shape: Sequence[PositiveInt], latent_dim: PositiveInt, width: PositiveInt = 64) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents.
            width: a quarter of the channels of the base; the last three layers have 4, 2 and ½ times the width.

        Raises:
            UserError: the shape is not supported.
        """
        super().__init__()
        pyramid = image_pyramid("vaegan", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        base = (4 * width, pyramid.height, pyramid.width)
        channels = [*[4 * width] * (pyramid.levels - 1), 2 * width][-pyramid.levels + 1 :] if pyramid.levels > 1 else []
        layers: list[nn.Module] = [*_units(latent_dim, 4 * width * pyramid.height * pyramid.width)]
        layers.append(nn.Unflatten(1, base))
        for inputs, outputs in pairwise([4 * width, *channels, _narrow(width)]):
            layers += [nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.output = nn.Conv2d(_narrow(width), pyramid.channels, 5, padding=2)
        init_dcgan(self)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W] in [-1, 1]; the condition is ignored."""
        return torch.tanh(at_least_float32(self.output(self.trunk(latents))))


class VAEGANDiscriminator(nn.Module):
    """A discriminator whose features are Dis_l, the output of its l-th strided convolution.

    As in the published code, l is the convolution with maps of 8 to 15 px (the third for 64 px, the second for 32 px),
    and its output is taken before batch normalization.
    """

    def __init__(self, shape: Sequence[PositiveInt], width: PositiveInt = 64, units: PositiveInt = 512) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: the first convolution has half as many channels, the strided ones have 2, 4, 4, … times as many.
            units: number of units of the linear layer.

        Raises:
            UserError: the shape is not supported.
        """
        super().__init__()
        pyramid = image_pyramid("vaegan", shape)
        self.shape = tuple(shape)
        channels = [_narrow(width), *(width * min(2 ** (level + 1), 4) for level in range(pyramid.levels))]
        level = max(pyramid.levels - 1, 1)  # images of 8 to 14 px are halved only once
        first = [nn.Conv2d(pyramid.channels, channels[0], 5, padding=2), nn.ReLU()]
        before: list[nn.Module] = []
        after: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(channels), start=1):
            layers = before if index <= level else after
            layers += [_strided(inputs, outputs)]
            (after if index == level else layers).extend([nn.BatchNorm2d(outputs), nn.ReLU()])
        values = channels[-1] * pyramid.height * pyramid.width
        self.layer = nn.Sequential(*first, *before)
        self.trunk = nn.Sequential(*after, nn.Flatten(), *_units(values, units))
        self.logits = ScoreLayer(units)
        init_dcgan(self)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and the features Dis_l(x), [N, F], of images [N, C, H, W]; the condition is ignored."""
        layer = self.layer(samples)
        return CriticOutput(self.logits(self.trunk(layer)), layer.flatten(1))


def _narrow(width: int) -> int:
    """Return the channels of the convolutions at full resolution."""
    return max(width // 2, 1)


def _strided(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 5, stride=2, padding=2, bias=False)


def _units(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()
