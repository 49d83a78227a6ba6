"""The residual networks of Gulrajani et al. 2017, arXiv:1704.00028, and Miyato et al. 2018, arXiv:1802.05957.

The papers and their code have a table for each image size. Here one rule covers 8 to 128 px and agrees with them at 32,
48, 64 and 128 px:

- Up to 32 px (Miyato's table for CIFAR-10), every block of G has 4·width channels and every block of D 2·width. G has
  one up-block per halving; D has at most two down-blocks, followed by two blocks without downsampling.
- Above 32 px (the tables for STL-10 at 48 px and for ImageNet at 64 and 128 px), there are width channels closest to
  the image, which double with each level up to 16·width. D has five blocks, the first four of which halve the size to
  3×3 at 48 px, and all five to 2×2 at 64 px; at 128 px it has six, the first five of which halve it to 4×4.

With the default width of 64 these are 256 and 128 channels at 32 px, and 64 to 1024 above. The WGAN-GP paper's CIFAR-10
networks have 128 channels in both (G's width 32, D's 64) and mean pooling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from saddlepoint.kinds import DiscriminatorConditioning, GeneratorConditioning, MinibatchKind, NormKind
from saddlepoint.networks.layers.attention import Attention, attention_at, choose_sides, quarter
from saddlepoint.networks.layers.conditioning import (
    Conditional,
    ConditionalSequential,
    CriticLabels,
    GeneratorLabels,
    MakesNorms,
    conditioned,
)
from saddlepoint.networks.layers.equalized import apply_equalized_rate
from saddlepoint.networks.layers.init import init_xavier
from saddlepoint.networks.layers.minibatch import make_minibatch, make_packing
from saddlepoint.networks.layers.norms import make_norm
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import Pyramid, image_pyramid
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.types import CriticOutput

FLAT_UP_TO = 32
"""Maximum short side, in px, for which all blocks have the same number of channels."""

WIDEST = 16
"""Maximum number of channels above that size, as a multiple of the width."""

RESIDUAL_GAIN = math.sqrt(2)
"""Gain of the Xavier initialization of the 3×3 convolutions in residual branches, as in the published code of Miyato et
al. 2018; elsewhere it is 1."""


class ResNetGenerator(nn.Module):
    """A linear layer from latents to a small base, up-blocks, normalization, ReLU, a 3×3 convolution and tanh."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        width: PositiveInt = 64,
        norm: NormKind = "batch",
        conditioning: GeneratorConditioning = "none",
        num_classes: NonNegativeInt = 0,
        equalized: bool = False,
        spectral_norm: bool = False,
        attention: Attention = (),
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents; 128 in both papers.
            width: up to 32 px, a quarter of every block's channels; above, channels of the last block.
            norm: normalization before every ReLU.
            conditioning: how labels are used (see :class:`saddlepoint.networks.layers.conditioning.GeneratorLabels`).
            num_classes: number of classes of the data; ignored without conditioning.
            equalized: whether to use equalized learning rates.
            spectral_norm: whether to divide every weight by its largest singular value (Zhang et al. 2019,
                arXiv:1805.08318, section 4.1).
            attention: short sides in px of the feature maps that are followed by
                :class:`~saddlepoint.networks.layers.attention.SelfAttention`; ``auto``: a quarter of the image's side.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
        """
        super().__init__()
        pyramid = image_pyramid("resnet", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.labels = GeneratorLabels(conditioning, num_classes, latent_dim)
        self.num_classes = self.labels.num_classes
        if _is_flat(shape):
            channels = [4 * width] * (pyramid.levels + 1)
        else:
            channels = [width * min(2**level, WIDEST) for level in range(pyramid.levels, -1, -1)]
        self.base = (channels[0], pyramid.height, pyramid.width)
        self.project = nn.Linear(self.labels.inputs, math.prod(self.base))
        blocks: list[nn.Module] = []
        sides = [min(self.base[1:]) << level for level in range(1, len(channels))]
        attention = choose_sides(attention, sides, quarter(shape, sides))
        for (inputs, outputs), side in zip(pairwise(channels), sides, strict=True):
            blocks += [UpBlock(inputs, outputs, norm, self.labels), *attention_at(side, outputs, attention)]
        self.blocks = ConditionalSequential(*blocks)
        self.norm = self.labels.make_norm(norm, channels[-1])
        self.output = nn.Conv2d(channels[-1], pyramid.channels, 3, padding=1)
        init_xavier(self.project)
        init_xavier(self.output)
        if equalized:
            apply_equalized_rate(self, spectral_norm)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z], and labels, long [N], if conditional, to images [N, C, H, W] in [-1, 1]."""
        inputs, condition = self.labels(latents, labels)
        hidden = self.blocks(self.project(inputs).unflatten(1, self.base), condition)
        return torch.tanh(at_least_float32(self.output(relu(conditioned(self.norm, hidden, condition)))))


class ResNetDiscriminator(nn.Module):
    """Residual blocks, ReLU, global pooling to the features, and a linear layer to the logit."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: NormKind = "none",
        spectral_norm: bool = False,
        pooling: Literal["sum", "mean"] = "sum",
        conditioning: DiscriminatorConditioning = "none",
        num_classes: NonNegativeInt = 0,
        equalized: bool = False,
        minibatch: MinibatchKind = "none",
        packing: PositiveInt = 1,
        attention: Attention = (),
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: up to 32 px, half of every block's channels; above, channels of the first block.
            norm: normalization before every ReLU in all blocks but the first.
            spectral_norm: whether to divide every weight by its largest singular value.
            pooling: global pooling, ``sum`` (Miyato et al.) or ``mean`` (Gulrajani et al.).
            conditioning: how labels are used (see :class:`saddlepoint.networks.layers.conditioning.CriticLabels`).
            num_classes: number of classes of the data; ignored without conditioning.
            equalized: whether to use equalized learning rates.
            minibatch: layer that compares the features of a batch.
            packing: number of samples per input of the discriminator, PacGAN's m.
            attention: short sides in px of the feature maps that are followed by self-attention; if several blocks have
                the same size, it follows the first of them.

        Raises:
            UserError: the shape is not supported, the data has no labels, or two options are mutually exclusive.
        """
        super().__init__()
        pyramid = image_pyramid("resnet", shape)
        self.shape, self.pooling = tuple(shape), pooling
        self.labels, self.pack = CriticLabels(conditioning, num_classes, packing), make_packing(packing)
        channels, halvings = _critic_layout(shape, pyramid, width)
        sides = [min(shape[1:]) >> min(index + 1, halvings) for index in range(len(channels))]
        attention = choose_sides(attention, sides, quarter(shape, sides))
        blocks: list[nn.Module] = [FirstBlock(packing * (pyramid.channels + self.labels.planes), channels[0])]
        blocks += attention_at(sides[0], channels[0], attention)
        for index, (inputs, outputs) in enumerate(pairwise(channels), start=1):
            halve = index < halvings
            blocks.append(DownBlock(inputs, outputs, norm, halve))
            blocks += attention_at(sides[index], outputs, attention) if halve else []
        self.blocks = nn.Sequential(*blocks)
        self.compare, features = make_minibatch(minibatch, channels[-1])
        self.logits = ScoreLayer(features)
        self.labels.build(features)
        init_xavier(self.logits)
        if equalized:
            apply_equalized_rate(self, spectral_norm)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W].

        With packing of m samples, N is divided by m.
        """
        hidden = relu(self.blocks(self.pack(self.labels.join(samples, labels))))
        hidden = at_least_float32(hidden)  # a sum over pixels in bf16 would be inaccurate
        features = self.compare(hidden.sum((2, 3)) if self.pooling == "sum" else hidden.mean((2, 3)))
        output: CriticOutput = self.labels(self.logits(features), features, labels)
        return output


class UpBlock(Conditional):
    """A residual block that doubles the size.

    Residual branch: norm, ReLU, upsampling, 3×3 convolution, norm, ReLU, 3×3 convolution. Shortcut: upsampling and 1×1
    convolution.
    """

    def __init__(self, inputs: int, outputs: int, norm: NormKind, norms: MakesNorms | None = None) -> None:
        super().__init__()
        make = make_norm if norms is None else norms.make_norm
        self.norm1, self.norm2 = make(norm, inputs), make(norm, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)
        init_xavier(self.conv1, RESIDUAL_GAIN)
        init_xavier(self.conv2, RESIDUAL_GAIN)
        init_xavier(self.skip)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, 2h, 2w]; the condition is passed to conditional norms."""
        residual = self.conv1(_double(relu(conditioned(self.norm1, x, condition))))
        residual = self.conv2(relu(conditioned(self.norm2, residual, condition)))
        # 1×1 convolution and nearest-neighbour upsampling commute; convolving first takes a quarter of the operations.
        return residual + _double(self.skip(x))


class DownBlock(nn.Module):
    """A residual block that halves the size if ``halve`` is true.

    Residual branch: norm, ReLU, 3×3 convolution, norm, ReLU, 3×3 convolution, 2×2 average pooling. Shortcut: average
    pooling and 1×1 convolution, or the identity if the shape does not change. The residual branch has ``hidden``
    channels, by default as many as the input.
    """

    def __init__(self, inputs: int, outputs: int, norm: NormKind, halve: bool, hidden: int | None = None) -> None:
        super().__init__()
        self.halve = halve
        hidden = hidden or inputs
        self.norm1, self.norm2 = make_norm(norm, inputs), make_norm(norm, hidden)
        self.conv1 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if halve or inputs != outputs else nn.Identity()
        init_xavier(self.conv1, RESIDUAL_GAIN)
        init_xavier(self.conv2, RESIDUAL_GAIN)
        init_xavier(self.skip)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, h, w], or to [N, outputs, h/2, w/2]."""
        residual = self.conv1(relu(self.norm1(x)))
        residual = self.conv2(relu(self.norm2(residual)))
        if not self.halve:
            return residual + self.skip(x)
        # Average pooling and 1×1 convolution commute; pooling first takes a quarter of the operations.
        return avg_pool2d(residual, 2) + self.skip(avg_pool2d(x, 2))


class FirstBlock(nn.Module):
    """The first block of the discriminator: like :class:`DownBlock`, without norms and without ReLU on the image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)
        init_xavier(self.conv1, RESIDUAL_GAIN)
        init_xavier(self.conv2, RESIDUAL_GAIN)
        init_xavier(self.skip)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, inputs, h, w] to [N, outputs, h/2, w/2]."""
        return avg_pool2d(self.conv2(relu(self.conv1(x))), 2) + self.skip(avg_pool2d(x, 2))


def _is_flat(shape: Sequence[int]) -> bool:
    return min(shape[1:]) <= FLAT_UP_TO


def _critic_layout(shape: Sequence[int], pyramid: Pyramid, width: int) -> tuple[list[int], int]:
    """Return the output channels of each block, and the number of leading blocks that halve the size."""
    if _is_flat(shape):
        halvings = min(pyramid.levels, 2)
        return [2 * width] * (halvings + 2), halvings
    blocks, halvings = max(5, pyramid.levels + 1), min(pyramid.levels + 1, 5)
    return [width * min(2**level, WIDEST) for level in range(blocks)], halvings


def _double(x: Tensor) -> Tensor:
    """Return images of twice the size, by nearest-neighbour upsampling."""
    return interpolate(x, scale_factor=2.0, mode="nearest")
