"""Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional GANs", arXiv:1511.06434."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.activations import SLOPE
from saddlepoint.networks.layers.conditioning import (
    ConditionalSequential,
    CriticLabels,
    DiscriminatorConditioning,
    GeneratorConditioning,
    GeneratorLabels,
)
from saddlepoint.networks.layers.equalized import apply_equalized_rate
from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.minibatch import MinibatchKind, MinibatchStdDev, make_minibatch, make_packing
from saddlepoint.networks.layers.norms import NormKind, absorbs_bias, make_norm
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.resampling import Downsampling, Upsampling, make_downsampling, make_upsampling
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
        conditioning: GeneratorConditioning = "none",
        num_classes: NonNegativeInt = 0,
        upsampling: Upsampling = "transposed",
        equalized: bool = False,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: Z; the paper's is 100.
            width: channels of the layer next to the image; they double a level, up to 8 · width. None is as many as the
                image's short side has pixels, 32 or more; 64 below 16 px. The paper's is 128, for 64 px.
            norm: of every layer but the output.
            conditioning: how labels enter (see :class:`saddlepoint.networks.layers.conditioning.GeneratorLabels`).
            num_classes: of the data; read with conditioning alone.
            upsampling: how layers double the side.
            equalized: scale weights as they run, for equal learning rates.

        Raises:
            UserError: the shape cannot be built, or there are no labels to be conditioned on.
        """
        super().__init__()
        pyramid = image_pyramid("dcgan", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.labels = GeneratorLabels(conditioning, num_classes, latent_dim)
        self.num_classes = self.labels.num_classes
        channels = _channels(width, shape, pyramid.levels)[::-1]
        bias = not self.labels.absorbs_bias(norm)
        self.base = (channels[0], pyramid.height, pyramid.width)
        self.project = nn.Linear(self.labels.inputs, channels[0] * pyramid.height * pyramid.width, bias=bias)
        layers: list[nn.Module] = [self.labels.make_norm(norm, channels[0]), nn.ReLU(inplace=True)]
        for inputs, outputs in pairwise(channels):
            if pyramid.levels == 1:
                layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
            else:
                layers.append(make_upsampling(upsampling, inputs, outputs, bias))
            layers += [self.labels.make_norm(norm, outputs), nn.ReLU(inplace=True)]
        self.trunk = ConditionalSequential(*layers)
        self.output = make_upsampling(upsampling, channels[-1], pyramid.channels)
        init_dcgan(self)
        if equalized:
            apply_equalized_rate(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z], and labels, long [N], if it is conditional, to images [N, C, H, W] in [-1, 1]."""
        inputs, condition = self.labels(latents, labels)
        hidden = self.trunk(self.project(inputs).unflatten(1, self.base), condition)
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
        conditioning: DiscriminatorConditioning = "none",
        num_classes: NonNegativeInt = 0,
        downsampling: Downsampling = "strided",
        equalized: bool = False,
        minibatch: MinibatchKind = "none",
        packing: PositiveInt = 1,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels of the layer next to the image; they double a level, up to 8 · width. None: as for G.
            norm: of every layer but the first.
            spectral_norm: normalise every weight by its largest singular value.
            conditioning: what labels do (see :class:`saddlepoint.networks.layers.conditioning.CriticLabels`).
            num_classes: of the data; read with conditioning alone.
            downsampling: how layers halve the side.
            equalized: scale weights as they run, for equal learning rates.
            minibatch: how samples of a batch are compared: ``discrimination`` of the features, or their standard
                deviation, one more map before the last convolution.
            packing: samples that are judged together, PacGAN's m.

        Raises:
            UserError: the shape cannot be built, there are no labels to be conditioned on, or two options exclude each
                other.
        """
        super().__init__()
        pyramid = image_pyramid("dcgan", shape)
        self.shape = tuple(shape)
        self.labels, self.pack = CriticLabels(conditioning, num_classes, packing), make_packing(packing)
        channels = _channels(width, shape, pyramid.levels)
        planes = packing * (pyramid.channels + self.labels.planes)
        layers: list[nn.Module] = [make_downsampling(downsampling, planes, channels[0])]
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        bias = not absorbs_bias(norm)
        for level, (inputs, outputs) in enumerate(pairwise(channels), start=2):
            if minibatch == "stddev" and level == len(channels):
                layers.append(MinibatchStdDev())
                inputs += 1
            if pyramid.levels == 1:
                layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
            else:
                layers.append(make_downsampling(downsampling, inputs, outputs, bias))
            layers += [make_norm(norm, outputs), nn.LeakyReLU(SLOPE, inplace=True)]
        self.trunk = nn.Sequential(*layers)
        base = channels[-1] * pyramid.height * pyramid.width
        self.compare, features = make_minibatch("none" if minibatch == "stddev" else minibatch, base)
        self.logits = ScoreLayer(features)
        self.labels.build(features)
        init_dcgan(self)
        if equalized:
            apply_equalized_rate(self, spectral_norm)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Judge images [N, C, H, W]: logits [N] and features [N, F], the flattened base; [N // m] of packs of m."""
        hidden = self.trunk(self.pack(self.labels.join(samples, labels)))
        features = self.compare(hidden.flatten(1))
        output: CriticOutput = self.labels(self.logits(features), features, labels)
        return output


def _channels(width: int | None, shape: Sequence[int], levels: int) -> list[int]:
    """Return the channels of each layer, from the image down: width, 2·width, … up to 8·width.

    There are two at least: an image of 8 to 14 px is halved once, which alone would make a discriminator without norm,
    hardly deeper than a linear one. Its second layer keeps the side.
    """
    side = min(shape[1:])
    width = width or (64 if side < 16 else max(32, side))
    return [width * min(2**level, WIDEST) for level in range(max(levels, 2))]
