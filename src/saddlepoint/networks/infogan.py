"""Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing", arXiv:1606.03657.

The networks for MNIST (appendix C.1), with as many halvings as an image's size asks for. Where paper and published code
(openai/InfoGAN) differ:

- each norm stands before its activation, as in the code; the paper lists it after;
- LeakyReLU has the paper's slope of 0.1; the code's is 0.01;
- linear layers and convolutions right before a norm have no bias, which would do nothing; the code has them.

The code's images are in [0, 1] and end in a sigmoid. In [-1, 1] that is 2 σ(a) - 1 = tanh(a / 2), as here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks.dcgan import WIDEST
from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.precision import FullPrecision, ScoreLayer, at_least_float32
from saddlepoint.networks.layers.resampling import make_downsampling, make_upsampling
from saddlepoint.networks.layers.shapes import image_pyramid
from saddlepoint.types import CriticOutput

LEAK = 0.1
"""LeakyReLU's slope for negative inputs (appendix C)."""


class CodeLogits(NamedTuple):
    """The parameters of Q(c|x).

    Attributes:
        categorical: the logits of each categorical code's softmax, [N, K] each.
        mean: of the continuous codes' Gaussian, [N, C].
        log_variance: its log σ², [N, C].
    """

    categorical: tuple[Tensor, ...]
    mean: Tensor
    log_variance: Tensor


class InfoGANGenerator(nn.Module):
    """Noise and codes through two linear layers to a base, then fractionally strided convolutions.

    Norm and ReLU on every layer but the output. As in the code, each unit of the base has statistics of its own: those
    of a channel's pixels are not pooled.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        width: PositiveInt = 64,
        units: PositiveInt = 1024,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: Z, noise and codes together; the paper's 74 are 62 of noise, 10 categories and 2 uniform codes.
            width: channels of the layer next to the image; they double a level, up to 8 · width.
            units: of the first linear layer.

        Raises:
            UserError: the shape cannot be built.
        """
        super().__init__()
        pyramid = image_pyramid("infogan", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        channels = _channels(width, pyramid.levels)[::-1]
        base = (channels[0], pyramid.height, pyramid.width)
        values = channels[0] * pyramid.height * pyramid.width
        layers: list[nn.Module] = []
        for inputs, outputs in ((latent_dim, units), (units, values)):
            layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
        layers.append(nn.Unflatten(1, base))
        for inputs, outputs in pairwise(channels):
            layers += [make_upsampling("transposed", inputs, outputs, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.output = make_upsampling("transposed", channels[-1], pyramid.channels)
        init_dcgan(self)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W] in [-1, 1]; a condition is not used, classes are codes."""
        return torch.tanh(at_least_float32(self.output(self.trunk(latents))) / 2)


class InfoGANDiscriminator(nn.Module):
    """Strided convolutions and a linear layer, the trunk that :class:`RecognitionHead` shares; then a logit.

    Norm on every layer of the trunk but the first, and LeakyReLU on all.
    """

    def __init__(self, shape: Sequence[PositiveInt], width: PositiveInt = 64, units: PositiveInt = 1024) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels of the layer next to the image; they double a level, up to 8 · width.
            units: of the linear layer, F.

        Raises:
            UserError: the shape cannot be built.
        """
        super().__init__()
        pyramid = image_pyramid("infogan", shape)
        self.shape = tuple(shape)
        channels = _channels(width, pyramid.levels)
        layers: list[nn.Module] = [make_downsampling("strided", pyramid.channels, channels[0]), nn.LeakyReLU(LEAK)]
        for inputs, outputs in pairwise(channels):
            layers += [make_downsampling("strided", inputs, outputs, bias=False), nn.BatchNorm2d(outputs)]
            layers.append(nn.LeakyReLU(LEAK))
        values = channels[-1] * pyramid.height * pyramid.width
        layers += [nn.Flatten(), nn.Linear(values, units, bias=False), nn.BatchNorm1d(units), nn.LeakyReLU(LEAK)]
        self.trunk = nn.Sequential(*layers)
        self.logits = ScoreLayer(units)
        init_dcgan(self)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> CriticOutput:
        """Judge images [N, C, H, W]: logits [N] and features [N, F], the trunk's; a condition is not used."""
        features = self.trunk(samples)
        return CriticOutput(self.logits(features), features)


class RecognitionHead(nn.Module):
    """Q(c|x) on the discriminator's features: a linear layer with norm and LeakyReLU, then a linear one."""

    def __init__(
        self,
        features: PositiveInt,
        categories: Sequence[PositiveInt] = (10,),
        continuous: NonNegativeInt = 2,
        hidden: PositiveInt = 128,
    ) -> None:
        """Build the network.

        Args:
            features: F of the discriminator.
            categories: number of categories K of each categorical code.
            continuous: number of continuous codes C.
            hidden: units of the hidden layer.

        Raises:
            UserError: there are no codes.
        """
        super().__init__()
        if not categories and not continuous:
            raise UserError("there are no codes to recognise", "categories", "give categories or continuous codes")
        self.features, self.categories, self.continuous = features, tuple(categories), continuous
        self.trunk = nn.Sequential(nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.LeakyReLU(LEAK))
        self.codes = FullPrecision(hidden, sum(categories) + 2 * continuous)
        init_dcgan(self)

    def forward(self, features: Tensor, condition: Tensor | None = None) -> CodeLogits:
        """Map features [N, F] to the parameters of Q(c|x); a condition is not used."""
        parts = self.codes(self.trunk(features)).split([*self.categories, self.continuous, self.continuous], dim=1)
        return CodeLogits(tuple(parts[:-2]), parts[-2], parts[-1])


def _channels(width: int, levels: int) -> list[int]:
    """Return the channels of each convolution, from the image down: width, 2·width, … up to 8·width."""
    return [width * min(2**level, WIDEST) for level in range(levels)]
