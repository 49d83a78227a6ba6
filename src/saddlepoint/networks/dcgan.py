"""Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional GANs", arXiv:1511.06434."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.activations import SLOPE
from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.norms import NormKind, absorbs_bias, make_norm
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import image_pyramid
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.types import CriticOutput

WIDEST = 8
"""Channels double a level up to this many times the width: figure 1 goes from 128 at 32 px to 1024 at 4 px."""


class DCGANGenerator(nn.Module):
    """Latents projected to a small base, then fractionally strided convolutions, each doubling the side (figure 1).

    No pooling and no dense hidden layer; norm and ReLU on every layer but the output, which is tanh (section 3). The
    paper's 5×5 kernels are 4×4 here, which stride 2 divides evenly, so that no pixel sees more taps than its neighbour.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        width: PositiveInt | None = None,
        norm: NormKind = "batch",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: Z; the paper's is 100.
            width: channels of the layer next to the image; they double a level, up to 8 · width. None is as many as the
                image's short side has pixels, 32 or more; 64 below 16 px. The paper's is 128, for 64 px.
            norm: of every layer but the output.

        Raises:
            UserError: the shape cannot be built.
        """
        super().__init__()
        pyramid = image_pyramid("dcgan", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        channels = _channels(width, shape, pyramid.levels)[::-1]
        bias = not absorbs_bias(norm)
        self.base = (channels[0], pyramid.height, pyramid.width)
        self.project = nn.Linear(latent_dim, channels[0] * pyramid.height * pyramid.width, bias=bias)
        layers: list[nn.Module] = [make_norm(norm, channels[0]), nn.ReLU(inplace=True)]
        for inputs, outputs in pairwise(channels):
            if pyramid.levels == 1:
                layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
            else:
                layers.append(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias))
            layers += [make_norm(norm, outputs), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.output = nn.ConvTranspose2d(channels[-1], pyramid.channels, 4, stride=2, padding=1)
        init_dcgan(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W] in [-1, 1]; labels are not used."""
        hidden = self.trunk(self.project(latents).unflatten(1, self.base))
        return torch.tanh(at_least_float32(self.output(hidden)))


class DCGANDiscriminator(nn.Module):
    """Strided convolutions, each halving the side, with LeakyReLU; the last one's activations are the features.

    No pooling and no dense hidden layer; norm on every layer but the one that sees the image (section 3).
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt | None = None,
        norm: NormKind = "batch",
        spectral_norm: bool = False,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels of the layer next to the image; they double a level, up to 8 · width. None: as for G.
            norm: of every layer but the first.
            spectral_norm: normalise every weight by its largest singular value.

        Raises:
            UserError: the shape cannot be built.
        """
        super().__init__()
        pyramid = image_pyramid("dcgan", shape)
        self.shape = tuple(shape)
        channels = _channels(width, shape, pyramid.levels)
        layers: list[nn.Module] = [nn.Conv2d(pyramid.channels, channels[0], 4, stride=2, padding=1)]
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        size, stride = (3, 1) if pyramid.levels == 1 else (4, 2)
        for inputs, outputs in pairwise(channels):
            layers.append(nn.Conv2d(inputs, outputs, size, stride, padding=1, bias=not absorbs_bias(norm)))
            layers += [make_norm(norm, outputs), nn.LeakyReLU(SLOPE, inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.logits = ScoreLayer(channels[-1] * pyramid.height * pyramid.width)
        init_dcgan(self)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Judge images [N, C, H, W]: logits [N] and features [N, F], the flattened base; labels are not used."""
        features = self.trunk(samples).flatten(1)
        return CriticOutput(self.logits(features), features)


def _channels(width: int | None, shape: Sequence[int], levels: int) -> list[int]:
    """Return the channels of each layer, from the image down: width, 2·width, … up to 8·width.

    There are two at least: an image of 8 to 14 px is halved once, which alone would make a discriminator without norm,
    hardly deeper than a linear one. Its second layer keeps the side.
    """
    side = min(shape[1:])
    width = width or (64 if side < 16 else max(32, side))
    return [width * min(2**level, WIDEST) for level in range(max(levels, 2))]
