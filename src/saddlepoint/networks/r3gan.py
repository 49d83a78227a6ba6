"""R3GAN.

Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline", arXiv:2501.05441, with the sizes of the
published code: residual blocks of grouped convolutions, without normalization and without tanh.

- A stage is the blocks at one size: two blocks of 768 channels at each of 4, 8, 16 and 32 px for CIFAR-10, and half as
  many channels with each doubling above 32 px for FFHQ.
- Stages are connected by resampling with the filter [1, 3, 3, 1], and by a 1×1 convolution where channels differ.
- The lowest stage, and the layers from latents and to logits, are computed in float32 even under autocast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from saddlepoint.networks.layers.activations import SLOPE
from saddlepoint.networks.layers.conditioning import classes_of, required
from saddlepoint.networks.layers.filtered import filter_down, filter_up
from saddlepoint.networks.layers.init import init_fan_in
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32, full_precision
from saddlepoint.networks.layers.shapes import image_pyramid
from saddlepoint.types import CriticOutput

EXPANSION = 2
"""Channels inside of a block, as a multiple of those outside."""


class R3GANGenerator(nn.Module):
    """A learned base weighted by a linear map of the latents, stages of residual blocks, and a 1×1 convolution."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        width: PositiveInt = 768,
        flat_up_to: PositiveInt = 32,
        group_channels: PositiveInt = 16,
        blocks: PositiveInt = 2,
        conditioning: Literal["none", "concat"] = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents; 64 in the published code.
            width: channels of the lowest stage.
            flat_up_to: short side, in px, up to which all stages have ``width`` channels; they are halved with each
                doubling above. 32 for FFHQ, 64 for ImageNet at 64 px.
            group_channels: channels of a group of the 3×3 convolutions, 16 for CIFAR-10 and FFHQ, 32 for ImageNet; the
                greatest common divisor of this and the number of channels.
            blocks: blocks of a stage.
            conditioning: ``concat`` concatenates a learned embedding of the label, [N, Z], with the latents.
            num_classes: number of classes of the data; ignored without conditioning.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
        """
        super().__init__()
        pyramid = image_pyramid("r3gan", shape)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.num_classes, self.conditioning = classes_of(conditioning, num_classes), conditioning
        inputs = latent_dim
        if self.num_classes:
            inputs += latent_dim
            self.embedding = nn.Embedding(self.num_classes, latent_dim)
            nn.init.normal_(self.embedding.weight, 0.0, self.num_classes**-0.5)
        widths = _widths(shape, pyramid.levels, width, flat_up_to)
        self.base = nn.Parameter(torch.randn(widths[0], pyramid.height, pyramid.width))
        self.project = nn.Linear(inputs, widths[0], bias=False)
        self.stages = nn.ModuleList(_stage(channels, group_channels, blocks, len(widths)) for channels in widths)
        self.transitions = nn.ModuleList(_transition(*pair) for pair in pairwise(widths))
        self.output = nn.Conv2d(widths[-1], pyramid.channels, 1, bias=False)
        init_fan_in(self.project)
        init_fan_in(self.output)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z], and labels, long [N], if conditional, to images [N, C, H, W].

        They are bounded only in evaluation mode, by clamping to [-1, 1].
        """
        with full_precision(latents.device):
            inputs = at_least_float32(latents)
            if self.num_classes:
                inputs = torch.cat([inputs, self.embedding(required(labels))], dim=1)
            x = self.stages[0](self.project(inputs)[:, :, None, None] * self.base)
        for transition, stage in zip(self.transitions, self.stages[1:], strict=True):
            x = stage(filter_up(transition(x)))
        images = at_least_float32(self.output(x))
        return images if self.training else images.clamp(-1, 1)


class R3GANDiscriminator(nn.Module):
    """A 1×1 convolution, stages of residual blocks, a weighted sum over the pixels of each channel, and a linear layer.

    The weighted sums are the features f. A conditional discriminator returns ⟨Wf, e_y⟩ with an embedding e_y of each
    class; unlike that of Miyato & Koyama 2018, arXiv:1802.05637, it has no term without the label.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 768,
        flat_up_to: PositiveInt = 32,
        group_channels: PositiveInt = 16,
        blocks: PositiveInt = 2,
        conditioning: Literal["none", "projection"] = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels of the lowest stage.
            flat_up_to: short side, in px, up to which all stages have ``width`` channels; they are halved with each
                doubling above. 32 for FFHQ, 64 for ImageNet at 64 px.
            group_channels: channels of a group of the 3×3 convolutions, 16 for CIFAR-10 and FFHQ, 32 for ImageNet; the
                greatest common divisor of this and the number of channels.
            blocks: blocks of a stage.
            conditioning: ``projection`` uses the label as described above.
            num_classes: number of classes of the data; ignored without conditioning.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
        """
        super().__init__()
        pyramid = image_pyramid("r3gan", shape)
        self.shape = tuple(shape)
        self.num_classes, self.conditioning = classes_of(conditioning, num_classes), conditioning
        widths = _widths(shape, pyramid.levels, width, flat_up_to)[::-1]
        features = widths[-1]
        self.input = nn.Conv2d(pyramid.channels, widths[0], 1, bias=False)
        self.stages = nn.ModuleList(_stage(channels, group_channels, blocks, len(widths)) for channels in widths)
        self.transitions = nn.ModuleList(_transition(*pair) for pair in pairwise(widths))
        area = pyramid.height * pyramid.width
        self.basis = nn.Parameter(torch.randn(features, pyramid.height, pyramid.width) / math.sqrt(area))
        self.logits: nn.Linear
        if self.num_classes:
            self.logits = nn.Linear(features, features, bias=False)
            self.embedding = nn.Embedding(self.num_classes, features)
            nn.init.normal_(self.embedding.weight, 0.0, (self.num_classes * features) ** -0.5)
        else:
            self.logits = ScoreLayer(features, bias=False)
        init_fan_in(self.input)
        init_fan_in(self.logits)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W]."""
        x = self.input(samples)
        for stage, transition in zip(self.stages[:-1], self.transitions, strict=True):
            x = transition(filter_down(stage(x)))
        with full_precision(samples.device):
            features = (self.stages[-1](at_least_float32(x)) * self.basis).sum((2, 3))
            logits = self.logits(features)
            if self.num_classes:
                logits = (logits * self.embedding(required(labels))).sum(1)
        return CriticOutput(logits, features)


class Block(nn.Module):
    """x + W₃ φ(W₂ * φ(W₁x + b₁) + b₂) with leaky ReLUs φ, 1×1 convolutions W₁ and W₃, and a grouped 3×3 convolution W₂.

    W₃ is initialized to zero, so that the block is the identity at first. W₁ and W₂ have He's initialization times
    L^(-1/4), where L is the number of blocks of the network, as in Fixup (Zhang et al. 2019, arXiv:1901.09321) for
    residual branches of three layers.
    """

    def __init__(self, channels: int, group_channels: int, blocks: int) -> None:
        super().__init__()
        hidden = EXPANSION * channels
        self.expand = nn.Conv2d(channels, hidden, 1)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden // math.gcd(hidden, group_channels))
        self.contract = nn.Conv2d(hidden, channels, 1, bias=False)
        gain = math.sqrt(2 / (1 + SLOPE**2)) * blocks**-0.25
        init_fan_in(self.expand, gain)
        init_fan_in(self.mix, gain)
        nn.init.zeros_(self.contract.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, h, w] to the same shape."""
        hidden = leaky_relu(self.expand(x), SLOPE)
        hidden = leaky_relu(self.mix(hidden), SLOPE)
        output: Tensor = x + self.contract(hidden)
        return output


def _widths(shape: Sequence[int], levels: int, width: int, flat_up_to: int) -> list[int]:
    """Return the channels of each stage, from the smallest size to that of the image."""
    sides = [min(shape[1:]) >> level for level in range(levels, -1, -1)]
    halvings = [max(0, math.ceil(math.log2(side / flat_up_to))) for side in sides]
    return [max(1, width >> count) for count in halvings]


def _stage(channels: int, group_channels: int, blocks: int, stages: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels, group_channels, stages * blocks) for _ in range(blocks)))


def _transition(inputs: int, outputs: int) -> nn.Module:
    """Return a 1×1 convolution if the numbers of channels differ, else the identity."""
    if inputs == outputs:
        return nn.Identity()
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    init_fan_in(layer)
    return layer
