"""DCGAN.

Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
arXiv:1511.06434.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saddlepoint.kinds import DiscriminatorConditioning, GeneratorConditioning, MinibatchKind, NormKind
from saddlepoint.networks.layers.activations import SLOPE
from saddlepoint.networks.layers.attention import Attention, attention_at, choose_sides, quarter
from saddlepoint.networks.layers.conditioning import (
    ConditionalSequential,
    CriticLabels,
    GeneratorLabels,
)
from saddlepoint.networks.layers.equalized import apply_equalized_rate
from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.minibatch import MinibatchStdDev, make_minibatch, make_packing
from saddlepoint.networks.layers.norms import absorbs_bias, make_norm
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.resampling import Downsampling, Upsampling, make_downsampling, make_upsampling
from saddlepoint.networks.layers.shapes import image_pyramid
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.types import CriticOutput

WIDEST = 8
"""Maximum number of channels, as a multiple of the width; figure 1 has 128 at 32 px and 1024 at 4 px."""


class DCGANGenerator(nn.Module):
    """A linear projection of latents followed by fractionally strided convolutions, each doubling the size (figure 1).

    Normalization and ReLU on every layer but the output, which has tanh (section 3). Kernels are 4×4 instead of 5×5,
    so that their size is a multiple of the stride of 2 and every output pixel depends on equally many inputs.
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
        spectral_norm: bool = False,
        attention: Attention = (),
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents; 100 in the paper.
            width: channels of the layer closest to the image; they double with each level, up to 8 · width. None is the
                short side in px, but at least 32, or 64 below 16 px. It is 128 in the paper, for 64 px.
            norm: normalization of every layer but the output.
            conditioning: how labels are used (see :class:`saddlepoint.networks.layers.conditioning.GeneratorLabels`).
            num_classes: number of classes of the data; ignored without conditioning.
            upsampling: kind of upsampling layers.
            equalized: whether to use equalized learning rates.
            spectral_norm: whether to divide every weight by its largest singular value.
            attention: short sides in px of the feature maps that are followed by
                :class:`~saddlepoint.networks.layers.attention.SelfAttention`, without the image; ``auto``: a quarter of
                the image's side.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
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
        sides = [min(self.base[1:]) << level * (pyramid.levels > 1) for level in range(len(channels))]
        attention = choose_sides(attention, sides[1:], quarter(shape, sides[1:]))
        for side, (inputs, outputs) in zip(sides[1:], pairwise(channels), strict=True):
            if pyramid.levels == 1:
                layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
            else:
                layers.append(make_upsampling(upsampling, inputs, outputs, bias))
            layers += [self.labels.make_norm(norm, outputs), nn.ReLU(inplace=True)]
            layers += attention_at(side, outputs, attention)
        self.trunk = ConditionalSequential(*layers)
        self.output = make_upsampling(upsampling, channels[-1], pyramid.channels)
        init_dcgan(self)
        if equalized:
            apply_equalized_rate(self, spectral_norm)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z], and labels, long [N], if conditional, to images [N, C, H, W] in [-1, 1]."""
        inputs, condition = self.labels(latents, labels)
        hidden = self.trunk(self.project(inputs).unflatten(1, self.base), condition)
        return torch.tanh(at_least_float32(self.output(hidden)))


class DCGANDiscriminator(nn.Module):
    """Strided convolutions with LeakyReLU, each halving the size; the features are the last one's activations.

    Normalization on every layer but the first (section 3).
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
        attention: Attention = (),
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels of the layer closest to the image; they double with each level, up to 8 · width. None is the
                generator's default.
            norm: normalization of every layer but the first.
            spectral_norm: whether to divide every weight by its largest singular value.
            conditioning: how labels are used (see :class:`saddlepoint.networks.layers.conditioning.CriticLabels`).
            num_classes: number of classes of the data; ignored without conditioning.
            downsampling: kind of downsampling layers.
            equalized: whether to use equalized learning rates.
            minibatch: layer that compares the samples of a batch: ``discrimination`` on the features, or ``stddev``
                before the last convolution.
            packing: number of samples per input of the discriminator, PacGAN's m.
            attention: short sides in px of the feature maps that are followed by self-attention; if several layers have
                the same size, it follows the first of them.

        Raises:
            UserError: the shape is not supported, the data has no labels, or two options are mutually exclusive.
        """
        super().__init__()
        pyramid = image_pyramid("dcgan", shape)
        self.shape = tuple(shape)
        self.labels, self.pack = CriticLabels(conditioning, num_classes, packing), make_packing(packing)
        channels = _channels(width, shape, pyramid.levels)
        planes = packing * (pyramid.channels + self.labels.planes)
        layers: list[nn.Module] = [make_downsampling(downsampling, planes, channels[0])]
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        sides = [min(shape[1:]) >> min(level + 1, pyramid.levels) for level in range(len(channels))]
        attention = choose_sides(attention, sides, quarter(shape, sides))
        layers += attention_at(sides[0], channels[0], attention)
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
            layers += attention_at(sides[level - 1], outputs, attention) if pyramid.levels > 1 else []
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
        """Return logits [N] and features [N, F], the flattened base, of images [N, C, H, W].

        With packing of m samples, N is divided by m.
        """
        hidden = self.trunk(self.pack(self.labels.join(samples, labels)))
        features = self.compare(hidden.flatten(1))
        output: CriticOutput = self.labels(self.logits(features), features, labels)
        return output


def _channels(width: int | None, shape: Sequence[int], levels: int) -> list[int]:
    """Return the channels of each layer, starting at the image: width, 2·width, … up to 8·width.

    There are at least two layers. An image of 8 to 14 px is halved only once, so its second layer keeps the size;
    otherwise its discriminator would have one convolution and no normalization.
    """
    side = min(shape[1:])
    width = width or (64 if side < 16 else max(32, side))
    return [width * min(2**level, WIDEST) for level in range(max(levels, 2))]
