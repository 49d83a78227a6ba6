"""Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", arXiv:1809.11096.

The networks of appendix B, tables 4 to 8, which are those of SAGAN with

- an embedding e(y) of the labels that all layers of G share (section 3),
- hierarchical latents (appendix B): z is split into equal parts; the first is the input of the linear layer, and part k
  together with e(y) determines the gains and biases of block k,
- orthogonal initialization, and spectral normalization of both networks.

One rule for the channels covers 8 to 128 px and agrees with the tables and the published code at 32, 64 and 128 px:

- Up to 32 px, every block of both networks has 4·width channels (the code's networks for CIFAR-10, with a width of 64).
  D has at most two blocks that halve the size, followed by two that do not.
- Above 32 px, G has 16·width channels in its first layer and 16, 8, 4, 2 and 1 times the width in its up to five
  blocks. D has width channels in its first block, which double with each block up to 16·width. Each block halves the
  size but the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

from saddlepoint.errors import UserError
from saddlepoint.kinds import DiscriminatorConditioning, GeneratorConditioning
from saddlepoint.networks.layers.attention import Attention, attention_at, choose_sides
from saddlepoint.networks.layers.conditioning import ConditionalSequential, CriticLabels, required
from saddlepoint.networks.layers.init import Init, init_weights
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import Pyramid, image_pyramid
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.networks.layers.vector_norms import conditional_classes, joined, make_norms
from saddlepoint.networks.resnet import DownBlock, FirstBlock, UpBlock
from saddlepoint.types import CriticOutput

FLAT_UP_TO = 32
"""Maximum short side, in px, for which all blocks have the same number of channels."""

FLAT = 4
"""Number of channels up to that size, as a multiple of the width."""

GENERATOR_CHANNELS = (16, 16, 8, 4, 2, 1)
"""Channels of G above that size, as multiples of the width, starting at the base."""

WIDEST = 16
"""Maximum number of channels of D, as a multiple of the width."""

ATTENTION = 64
"""Side in px of the feature map with self-attention in the paper, for images of 128 px and more."""

INIT_STD = 0.02
"""Standard deviation of the initial weights with ``init="normal"``."""


class EmbedsLabels(nn.Module):
    """A generator with a shared embedding of the labels, or with ``embedding = None``."""

    embedding: nn.Embedding | None

    def embed(self, labels: Tensor) -> Tensor:
        """Return the embeddings e(y), [N, E], of labels, long [N]; embeddings are returned unchanged.

        Without a shared embedding, the labels are returned.
        """
        if labels.is_floating_point() or self.embedding is None:
            return labels
        embedded: Tensor = self.embedding(labels)
        return embedded


class BigGANGenerator(EmbedsLabels):
    """A linear layer, residual blocks that double the size, BatchNorm, ReLU, a 3×3 convolution and tanh.

    Attributes:
        embedding: the shared embedding of the labels, which has no spectral normalization; or None.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt = 120,
        width: PositiveInt = 96,
        conditioning: GeneratorConditioning = "batchnorm",
        num_classes: NonNegativeInt = 0,
        shared_embedding: bool = True,
        embedding_dim: PositiveInt = 128,
        hierarchical: bool = True,
        attention: Attention = "auto",
        spectral_norm: bool = True,
        init: Init = "orthogonal",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents; if hierarchical, a multiple of the number of blocks plus one.
            width: channels at full resolution above 32 px, a quarter of every block's channels up to 32 px.
            conditioning: ``batchnorm`` (conditional batch normalization) or ``none``.
            num_classes: number of classes K of the data; ignored without conditioning.
            shared_embedding: whether gains and biases are linear functions of one embedding of the label; else each
                batch normalization has its own for each class, as in the published code for CIFAR-10.
            embedding_dim: dimension E of the shared embedding.
            hierarchical: whether the latents are split into a part for each block; else all are the input of the linear
                layer, and the blocks depend on the label only.
            attention: short sides in px of the feature maps that are followed by self-attention; ``auto``: 64,
                as in the paper, if the network has such a map and images are larger.
            spectral_norm: whether to divide every weight by its largest singular value.
            init: initial weights: ``orthogonal``; ``normal`` with standard deviation 0.02, as in the published code for
                CIFAR-10; or ``default``: Xavier in blocks and attention, PyTorch's elsewhere.

        Raises:
            UserError: the shape is not supported, the latents cannot be split, the data has no labels, or two options
                are mutually exclusive.
        """
        super().__init__()
        pyramid = image_pyramid("biggan", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.num_classes = conditional_classes(conditioning, num_classes)
        channels = generator_channels(shape, pyramid, width)
        self.parts = split_latents(latent_dim, len(channels)) if hierarchical else [latent_dim]
        shared = self.num_classes > 0 and shared_embedding
        self.embedding = nn.Embedding(num_classes, embedding_dim) if shared else None
        norms = make_norms(self.num_classes, embedding_dim * shared, self.parts[-1] * hierarchical)
        self.base = (channels[0], pyramid.height, pyramid.width)
        self.project = nn.Linear(self.parts[0], math.prod(self.base))
        sides = [min(self.base[1:]) << level for level in range(1, len(channels))]
        attention = choose_sides(attention, sides, attention_sides(shape))
        stages = []
        for (inputs, outputs), side in zip(pairwise(channels), sides, strict=True):
            block = UpBlock(inputs, outputs, "batch", norms)
            stages.append(ConditionalSequential(block, *attention_at(side, outputs, attention)))
        self.stages = nn.ModuleList(stages)
        self.norm = nn.BatchNorm2d(channels[-1])
        self.output = nn.Conv2d(channels[-1], pyramid.channels, 3, padding=1)
        initialize(self, init)
        if spectral_norm:
            for part in (self.project, self.stages, self.output):
                apply_spectral_norm(part)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents to images [N, C, H, W] in [-1, 1].

        Args:
            latents: [N, Z].
            labels: long [N]; or embeddings of labels, float [N, E], as returned by :meth:`embed`.
        """
        first, *others = latents.split(self.parts, 1)
        condition = self.embed(required(labels)) if self.num_classes else None
        hidden = self.project(first).unflatten(1, self.base)
        for index, stage in enumerate(self.stages):
            hidden = stage(hidden, joined(condition, *others[index : index + 1]))
        return torch.tanh(at_least_float32(self.output(relu(self.norm(hidden)))))


class BigGANDiscriminator(nn.Module):
    """Residual blocks, ReLU, a sum over pixels to the features, a linear layer, and a projection of the label."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 96,
        conditioning: DiscriminatorConditioning = "projection",
        num_classes: NonNegativeInt = 0,
        attention: Attention = "auto",
        spectral_norm: bool = True,
        init: Init = "orthogonal",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px.
            width: channels of the first block above 32 px, a quarter of every block's channels up to 32 px.
            conditioning: how labels are used (see :class:`saddlepoint.networks.layers.conditioning.CriticLabels`).
            num_classes: number of classes of the data; ignored without conditioning.
            attention: short sides in px of the feature maps that are followed by self-attention; ``auto``: as in
                the generator. If several blocks have the same size, it follows the first of them.
            spectral_norm: whether to divide every weight by its largest singular value.
            init: initial weights, as for the generator.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
        """
        super().__init__()
        pyramid = image_pyramid("biggan", shape)
        self.shape = tuple(shape)
        self.labels = CriticLabels(conditioning, num_classes)
        channels, halvings = discriminator_channels(shape, pyramid, width)
        sides = [min(shape[1:]) >> min(index + 1, halvings) for index in range(len(channels))]
        attention = choose_sides(attention, sides, attention_sides(shape))
        blocks: list[nn.Module] = [FirstBlock(pyramid.channels + self.labels.planes, channels[0])]
        blocks += attention_at(sides[0], channels[0], attention)
        for index, (inputs, outputs) in enumerate(pairwise(channels), start=1):
            halve = index < halvings
            blocks.append(DownBlock(inputs, outputs, "none", halve, hidden=outputs))
            blocks += attention_at(sides[index], outputs, attention) if halve else []
        self.blocks = nn.Sequential(*blocks)
        self.logits = ScoreLayer(channels[-1])
        self.labels.build(channels[-1])
        initialize(self, init)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W]."""
        hidden = relu(self.blocks(self.labels.join(samples, labels)))
        features = at_least_float32(hidden).sum((2, 3))
        output: CriticOutput = self.labels(self.logits(features), features, labels)
        return output


def generator_channels(shape: Sequence[int], pyramid: Pyramid, width: int) -> list[int]:
    """Return the channels of the base and of each block of the generator."""
    if min(shape[1:]) <= FLAT_UP_TO:
        return [FLAT * width] * (pyramid.levels + 1)
    return [width * multiple for multiple in GENERATOR_CHANNELS[: pyramid.levels + 1]]


def discriminator_channels(shape: Sequence[int], pyramid: Pyramid, width: int) -> tuple[list[int], int]:
    """Return the output channels of each block, and the number of leading blocks that halve the size."""
    if min(shape[1:]) <= FLAT_UP_TO:
        halvings = min(pyramid.levels, 2)
        return [FLAT * width] * (halvings + 2), halvings
    return [width * min(2**level, WIDEST) for level in range(pyramid.levels + 1)], pyramid.levels


def attention_sides(shape: Sequence[int]) -> list[int]:
    """Return the side of the feature map with self-attention, [64] for images of more than 64 px."""
    return [ATTENTION] if min(shape[1:]) > ATTENTION else []


def split_latents(latent_dim: int, parts: int) -> list[int]:
    """Return the sizes of the equal parts that latents are split into.

    Raises:
        UserError: the dimension is not a multiple of the number of parts.
    """
    if latent_dim % parts:
        nearest = max(1, round(latent_dim / parts)) * parts
        raise UserError(
            f"hierarchical latents are split into {parts} equal parts, and {latent_dim} is not a multiple",
            "latent_dim",
            f"set it to {nearest}, or set network.hierarchical=false",
        )
    return [latent_dim // parts] * parts


def initialize(network: nn.Module, init: Init) -> None:
    """Initialize convolutions, linear layers and embeddings, also those in the norms."""
    init_weights(network, init, 1.0 if init == "orthogonal" else INIT_STD)
    for layer in network.modules():
        if isinstance(layer, nn.Embedding) and init != "default":
            if init == "orthogonal":
                nn.init.orthogonal_(layer.weight)
            else:
                nn.init.normal_(layer.weight, 0.0, INIT_STD)
