"""The InfoGAN networks for MNIST (appendix C.1), extended to other image sizes.

Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial
Nets", arXiv:1606.03657. The paper and its published code (openai/InfoGAN) differ in these points:

- normalization precedes the activation, as in the code; it follows the activation in the paper;
- LeakyReLU has a slope of 0.1, as in the paper; it is 0.01 in the code;
- layers followed by batch normalization have no bias, which would have no effect; they have one in the code.

The code's images are in [0, 1], with a sigmoid output. For images in [-1, 1] it becomes 2 σ(a) - 1 = tanh(a / 2).
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
        categorical: logits of each categorical code, [N, K] each.
        mean: mean of the continuous codes, [N, C].
        log_variance: log σ² of the continuous codes, [N, C].
    """

    categorical: tuple[Tensor, ...]
    mean: Tensor
    log_variance: Tensor


class InfoGANGenerator(nn.Module):
    """Two linear layers followed by fractionally strided convolutions.

    Batch normalization and ReLU on every layer but the output. As in the published code, the second linear layer has
    separate statistics for each unit rather than for each channel of the feature maps.
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
            latent_dim: dimension Z of the latents, that is, of noise and codes; 74 in the paper, of which 62 are noise,
                10 a categorical code and 2 continuous codes.
            width: channels of the layer closest to the image; they double with each level, up to 8 · width.
            units: number of units of the first linear layer.

        Raises:
            UserError: the shape is not supported.
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
        """Map latents [N, Z] to images [N, C, H, W] in [-1, 1]; the condition is ignored."""
        return torch.tanh(at_least_float32(self.output(self.trunk(latents))) / 2)


class InfoGANDiscriminator(nn.Module):
    """Strided convolutions, a linear layer whose activations are the features, and a linear layer to a logit.

    Batch normalization on every layer but the first and the last; LeakyReLU on every layer but the last.
    :class:`RecognitionHead` takes the features as input.
    """

    def __init__(self, shape: Sequence[PositiveInt], width: PositiveInt = 64, units: PositiveInt = 1024) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels of the layer closest to the image; they double with each level, up to 8 · width.
            units: number of features F.

        Raises:
            UserError: the shape is not supported.
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
        """Return logits [N] and features [N, F] of images [N, C, H, W]; the condition is ignored."""
        features = self.trunk(samples)
        return CriticOutput(self.logits(features), features)


class RecognitionHead(nn.Module):
    """Q(c|x): a hidden layer with batch normalization and LeakyReLU, then a linear layer, on the critic's features."""

    def __init__(
        self,
        features: PositiveInt,
        categories: Sequence[PositiveInt] = (10,),
        continuous: NonNegativeInt = 2,
        hidden: PositiveInt = 128,
    ) -> None:
        """Build the network.

        Args:
            features: number of features F of the discriminator.
            categories: number of categories K of each categorical code.
            continuous: number of continuous codes C.
            hidden: number of units of the hidden layer.

        Raises:
            UserError: there are no codes.
        """
        super().__init__()
        if not categories and not continuous:
            raise UserError("needs at least one code", "categories", "set categories or continuous")
        self.features, self.categories, self.continuous = features, tuple(categories), continuous
        self.trunk = nn.Sequential(nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.LeakyReLU(LEAK))
        self.codes = FullPrecision(hidden, sum(categories) + 2 * continuous)
        init_dcgan(self)

    def forward(self, features: Tensor, condition: Tensor | None = None) -> CodeLogits:
        """Map features [N, F] to the parameters of Q(c|x); the condition is ignored."""
        parts = self.codes(self.trunk(features)).split([*self.categories, self.continuous, self.continuous], dim=1)
        return CodeLogits(tuple(parts[:-2]), parts[-2], parts[-1])


def _channels(width: int, levels: int) -> list[int]:
    """Return the channels of each convolution, starting at the image: width, 2·width, … up to 8·width."""
    return [width * min(2**level, WIDEST) for level in range(levels)]
