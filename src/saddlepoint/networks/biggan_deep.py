"""BigGAN-deep.

Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", arXiv:1809.11096, appendix B,
tables 7 to 9. Compared with BigGAN:

- blocks are bottlenecks of 1×1, 3×3, 3×3 and 1×1 convolutions with a quarter of the channels in between, and there are
  two blocks for each size;
- shortcuts have no 1×1 convolution where channels are dropped: G keeps the first ones, and D appends new ones;
- latents are not split: the concatenation of z and the embedding of the label is the input of the linear layer and of
  every conditional batch normalization.

The channels follow the rule of :mod:`saddlepoint.networks.biggan` with up to 16·width channels at every size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from saddlepoint.kinds import DiscriminatorConditioning, GeneratorConditioning
from saddlepoint.networks.biggan import WIDEST, EmbedsLabels, attention_sides, generator_channels, initialize
from saddlepoint.networks.layers.attention import Attention, attention_at, choose_sides
from saddlepoint.networks.layers.conditioning import (
    Conditional,
    ConditionalSequential,
    CriticLabels,
    MakesNorms,
    conditioned,
    required,
)
from saddlepoint.networks.layers.init import Init
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import image_pyramid
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.networks.layers.vector_norms import conditional_classes, joined, make_norms
from saddlepoint.types import CriticOutput

BOTTLENECK = 4
"""Ratio of a block's channels to those of its 3×3 convolutions."""

BLOCKS = 2
"""Number of blocks for each size."""


class BigGANDeepGenerator(EmbedsLabels):
    """A linear layer, two bottleneck blocks for each size, BatchNorm, ReLU, a 3×3 convolution and tanh."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt = 128,
        width: PositiveInt = 128,
        conditioning: GeneratorConditioning = "batchnorm",
        num_classes: NonNegativeInt = 0,
        embedding_dim: PositiveInt = 128,
        attention: Attention = "auto",
        spectral_norm: bool = True,
        init: Init = "orthogonal",
    ) -> None:
        """Build the network; see :class:`~saddlepoint.networks.biggan.BigGANGenerator` for the arguments.

        Raises:
            UserError: the shape or the conditioning is not supported, or the data has no labels.
        """
        super().__init__()
        pyramid = image_pyramid("biggan_deep", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.num_classes = conditional_classes(conditioning, num_classes)
        self.embedding = nn.Embedding(num_classes, embedding_dim) if self.num_classes else None
        inputs = latent_dim + (embedding_dim if self.num_classes else 0)
        channels = generator_channels(shape, pyramid, width)
        self.base = (channels[0], pyramid.height, pyramid.width)
        self.project = nn.Linear(inputs, math.prod(self.base))
        norms = make_norms(self.num_classes, embedding_dim if self.num_classes else 0, latent_dim)
        assert norms is not None
        sides = [min(self.base[1:]) << level for level in range(1, len(channels))]
        attention = choose_sides(attention, sides, attention_sides(shape))
        blocks: list[nn.Module] = []
        for (before, after), side in zip(pairwise(channels), sides, strict=True):
            blocks += [DeepUpBlock(before, before, norms, double=False), DeepUpBlock(before, after, norms, double=True)]
            blocks += attention_at(side, after, attention)
        self.blocks = ConditionalSequential(*blocks)
        self.norm = nn.BatchNorm2d(channels[-1])
        self.output = nn.Conv2d(channels[-1], pyramid.channels, 3, padding=1)
        initialize(self, init)
        if spectral_norm:
            for part in (self.project, self.blocks, self.output):
                apply_spectral_norm(part)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents to images [N, C, H, W] in [-1, 1].

        Args:
            latents: [N, Z].
            labels: long [N]; or embeddings of labels, float [N, E], as returned by :meth:`embed`.
        """
        condition = joined(latents, self.embed(required(labels)) if self.num_classes else None)
        assert condition is not None
        hidden = self.blocks(self.project(condition).unflatten(1, self.base), condition)
        return torch.tanh(at_least_float32(self.output(relu(self.norm(hidden)))))


class BigGANDeepDiscriminator(nn.Module):
    """A 3×3 convolution, two bottleneck blocks for each size, ReLU, a sum over pixels, a linear layer, a projection."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 128,
        conditioning: DiscriminatorConditioning = "projection",
        num_classes: NonNegativeInt = 0,
        attention: Attention = "auto",
        spectral_norm: bool = True,
        init: Init = "orthogonal",
    ) -> None:
        """Build the network; see :class:`~saddlepoint.networks.biggan.BigGANDiscriminator` for the arguments.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
        """
        super().__init__()
        pyramid = image_pyramid("biggan_deep", shape)
        self.shape = tuple(shape)
        self.labels = CriticLabels(conditioning, num_classes)
        channels = [width * min(2**level, WIDEST) for level in range(pyramid.levels + 1)]
        sides = [min(shape[1:]) >> level for level in range(1, len(channels))]
        attention = choose_sides(attention, sides, attention_sides(shape))
        self.input = nn.Conv2d(pyramid.channels + self.labels.planes, channels[0], 3, padding=1)
        blocks: list[nn.Module] = []
        for (before, after), side in zip(pairwise(channels), sides, strict=True):
            blocks += [DeepDownBlock(before, after, halve=True), DeepDownBlock(after, after, halve=False)]
            blocks += attention_at(side, after, attention)
        self.blocks = nn.Sequential(*blocks)
        self.logits = ScoreLayer(channels[-1])
        self.labels.build(channels[-1])
        initialize(self, init)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W]."""
        hidden = relu(self.blocks(self.input(self.labels.join(samples, labels))))
        features = at_least_float32(hidden).sum((2, 3))
        output: CriticOutput = self.labels(self.logits(features), features, labels)
        return output


class DeepUpBlock(Conditional):
    """A bottleneck block of the generator, which doubles the size if ``double`` is true (figure 16b).

    The shortcut keeps the first ``outputs`` channels.
    """

    def __init__(self, inputs: int, outputs: int, norms: MakesNorms, double: bool) -> None:
        super().__init__()
        hidden = max(inputs // BOTTLENECK, 1)
        self.outputs, self.doubles = outputs, double
        self.norms = nn.ModuleList(norms.make_norm("batch", width) for width in (inputs, hidden, hidden, hidden))
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(inputs, hidden, 1),
                nn.Conv2d(hidden, hidden, 3, padding=1),
                nn.Conv2d(hidden, hidden, 3, padding=1),
                nn.Conv2d(hidden, outputs, 1),
            ]
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, h, w], or to [N, outputs, 2h, 2w]."""
        hidden = x
        for index, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            hidden = relu(conditioned(norm, hidden, condition))
            if index == 1 and self.doubles:
                hidden = interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = conv(hidden)
        shortcut = x[:, : self.outputs]
        return hidden + (interpolate(shortcut, scale_factor=2.0, mode="nearest") if self.doubles else shortcut)


class DeepDownBlock(nn.Module):
    """A bottleneck block of the discriminator, which halves the size if ``halve`` is true (figure 16c).

    The shortcut appends the channels that the input does not have, by a 1×1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        hidden = max(outputs // BOTTLENECK, 1)
        self.halve = halve
        self.convs = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(inputs, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
        )
        self.output = nn.Conv2d(hidden, outputs, 1)
        self.skip = nn.Conv2d(inputs, outputs - inputs, 1) if outputs > inputs else None

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, h, w], or to [N, outputs, h/2, w/2]."""
        hidden = self.convs(x)
        if self.halve:
            hidden, x = avg_pool2d(hidden, 2), avg_pool2d(x, 2)
        shortcut = x if self.skip is None else torch.cat([x, self.skip(x)], 1)
        return self.output(hidden) + shortcut
