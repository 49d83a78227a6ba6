"""The residual networks of Gulrajani et al. 2017, arXiv:1704.00028, and Miyato et al. 2018, arXiv:1802.05957.

Their tables fix a network a size; here one rule builds 8 to 128 px and meets the tables at 32, 64 and 128 px:

- up to 32 px (Miyato's table for CIFAR-10), every block of G has 4·width channels and every block of D 2·width. G has
  an up-block a halving; D has at most two down-blocks, then two plain ones.
- above 32 px (the tables for STL-10 and ImageNet), channels start with width next to the image and double a level up to
  16·width. D has a down-block a halving, then one plain block. (At 48 px the paper's D has one down-block more.)

With the default width of 64 these are 256 and 128 channels at 32 px, and 64 to 1024 above. The WGAN-GP paper's CIFAR-10
networks have 128 channels in both (G's width 32, D's 64) and mean pooling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from saddlepoint.networks.layers.init import init_xavier
from saddlepoint.networks.layers.norms import NormKind, make_norm
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import Pyramid, image_pyramid
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.types import CriticOutput

FLAT_UP_TO = 32
"""The largest short side, in px, at which all blocks are equally wide."""

WIDEST = 16
"""Above that, channels double a level up to this many times the width."""

RESIDUAL_GAIN = math.sqrt(2)
"""Xavier's gain for the 3×3 convolutions of a residual branch, whose inputs went through ReLU; elsewhere it is 1. As in
the code published with Miyato et al. 2018."""


class ResNetGenerator(nn.Module):
    """Latents to a small base by a linear layer, then up-blocks, norm, ReLU, a 3×3 convolution and tanh."""

    def __init__(
        self, shape: Sequence[PositiveInt], latent_dim: PositiveInt, width: PositiveInt = 64, norm: NormKind = "batch"
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: Z; both papers' is 128.
            width: a quarter of every block's channels up to 32 px; above, channels next to the image.
            norm: before every ReLU.

        Raises:
            UserError: the shape cannot be built.
        """
        super().__init__()
        pyramid = image_pyramid("resnet", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        if _is_flat(shape):
            channels = [4 * width] * (pyramid.levels + 1)
        else:
            channels = [width * min(2**level, WIDEST) for level in range(pyramid.levels, -1, -1)]
        self.base = (channels[0], pyramid.height, pyramid.width)
        self.project = nn.Linear(latent_dim, math.prod(self.base))
        self.blocks = nn.Sequential(*map(UpBlock, channels[:-1], channels[1:], [norm] * pyramid.levels))
        self.norm = make_norm(norm, channels[-1])
        self.output = nn.Conv2d(channels[-1], pyramid.channels, 3, padding=1)
        init_xavier(self.project)
        init_xavier(self.output)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W] in [-1, 1]; labels are not used."""
        hidden = self.blocks(self.project(latents).unflatten(1, self.base))
        return torch.tanh(at_least_float32(self.output(relu(self.norm(hidden)))))


class ResNetDiscriminator(nn.Module):
    """Down-blocks and plain blocks, ReLU, global pooling to the features, and a linear layer to the logit."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: NormKind = "none",
        spectral_norm: bool = False,
        pooling: Literal["sum", "mean"] = "sum",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: half of every block's channels up to 32 px; above, channels of the first block.
            norm: before every ReLU of a block but the first, which sees the image.
            spectral_norm: normalise every weight by its largest singular value.
            pooling: over the pixels of the last block: ``sum`` (Miyato et al.) or ``mean`` (Gulrajani et al.).

        Raises:
            UserError: the shape cannot be built.
        """
        super().__init__()
        pyramid = image_pyramid("resnet", shape)
        self.shape, self.pooling = tuple(shape), pooling
        channels, halvings = _critic_layout(shape, pyramid, width)
        blocks: list[nn.Module] = [FirstBlock(pyramid.channels, channels[0])]
        for index, (inputs, outputs) in enumerate(pairwise(channels), start=1):
            blocks.append(DownBlock(inputs, outputs, norm, halve=index < halvings))
        self.blocks = nn.Sequential(*blocks)
        self.logits = ScoreLayer(channels[-1])
        init_xavier(self.logits)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Judge images [N, C, H, W]: logits [N] and features [N, F], pooled over pixels; labels are not used."""
        hidden = at_least_float32(relu(self.blocks(samples)))  # a bf16 sum over pixels would lose most digits
        features = hidden.sum((2, 3)) if self.pooling == "sum" else hidden.mean((2, 3))
        return CriticOutput(self.logits(features), features)


class UpBlock(nn.Module):
    """norm, ReLU, double the side, 3×3, norm, ReLU, 3×3, plus a 1×1 convolution of the input, doubled alike."""

    def __init__(self, inputs: int, outputs: int, norm: NormKind) -> None:
        super().__init__()
        self.norm1, self.norm2 = make_norm(norm, inputs), make_norm(norm, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)
        init_xavier(self.conv1, RESIDUAL_GAIN)
        init_xavier(self.conv2, RESIDUAL_GAIN)
        init_xavier(self.skip)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, 2h, 2w]."""
        residual = self.conv1(_double(relu(self.norm1(x))))
        residual = self.conv2(relu(self.norm2(residual)))
        # A 1×1 convolution and the copying of pixels commute: convolving first is the same at a quarter of the cost.
        return residual + _double(self.skip(x))


class DownBlock(nn.Module):
    """norm, ReLU, 3×3, norm, ReLU, 3×3, 2×2 average if it halves, plus the input, by a 1×1 where the shape changes."""

    def __init__(self, inputs: int, outputs: int, norm: NormKind, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.norm1, self.norm2 = make_norm(norm, inputs), make_norm(norm, inputs)
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if halve or inputs != outputs else nn.Identity()
        init_xavier(self.conv1, RESIDUAL_GAIN)
        init_xavier(self.conv2, RESIDUAL_GAIN)
        init_xavier(self.skip)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, h, w], or to half the sides."""
        residual = self.conv1(relu(self.norm1(x)))
        residual = self.conv2(relu(self.norm2(residual)))
        if not self.halve:
            return residual + self.skip(x)
        # Averaging and a 1×1 convolution commute: averaging first is the same at a quarter of the cost.
        return avg_pool2d(residual, 2) + self.skip(avg_pool2d(x, 2))


class FirstBlock(nn.Module):
    """The critic's first block, without norm and without ReLU on the image: 3×3, ReLU, 3×3, average, plus a 1×1."""

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
    """Return each block's output channels and how many blocks, from the first, halve the side."""
    if _is_flat(shape):
        halvings = min(pyramid.levels, 2)
        return [2 * width] * (halvings + 2), halvings
    return [width * min(2**level, WIDEST) for level in range(pyramid.levels + 1)], pyramid.levels


def _double(x: Tensor) -> Tensor:
    """Double the sides by copying each pixel four times."""
    return interpolate(x, scale_factor=2.0, mode="nearest")
