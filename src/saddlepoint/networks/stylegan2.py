"""StyleGAN2.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", arXiv:1912.04958, and "Training Generative
Adversarial Networks with Limited Data", arXiv:2006.06676.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.activations import ScaledLeakyReLU
from saddlepoint.networks.layers.conditioning import CriticLabels, GeneratorLabels
from saddlepoint.networks.layers.equalized import equalize
from saddlepoint.networks.layers.filtered import blur, filter_down, filter_up
from saddlepoint.networks.layers.minibatch import MinibatchStdDev
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.running_mean import RunningMean
from saddlepoint.networks.layers.shapes import channels_by_level, image_pyramid
from saddlepoint.networks.layers.styles import MappingNetwork, StyledConvolution, ToRGB
from saddlepoint.types import CriticOutput

LARGEST = 1024
"""Maximum length of a side in pixels."""

Architecture = Literal["skip", "resnet", "orig"]
"""Skip connections of images, residual connections of features, or neither (section 4.1)."""


class StyleGAN2Generator(nn.Module):
    """A mapping network f from latents to styles and a synthesis network g from styles to images.

    Every convolution of g has its own style; there are L = 2·levels + 2 styles, and the convolution to colours at a
    size shares the style of the first convolution at the next size. Noise is added after each convolution.

    Attributes:
        style_count: the number L of styles.
        noise_dim: total number P of values of noise.
        average: the running mean of styles, w̄.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt = 512,
        style_dim: PositiveInt = 512,
        width: PositiveInt = 512,
        base: PositiveInt = 32768,
        mapping_layers: PositiveInt = 8,
        architecture: Architecture = "skip",
        conditioning: Literal["none", "concat"] = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 1024 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents.
            style_dim: dimension W of the styles.
            width: channels, at most.
            base: channels times size of the image, at most.
            mapping_layers: number of layers of the mapping network.
            architecture: ``skip`` sums images of all sizes, as in the paper; or see :data:`Architecture`.
            conditioning: how labels are used; ``concat`` joins an embedding of the label to the latents.
            num_classes: number of classes of the data; ignored without conditioning.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
        """
        super().__init__()
        pyramid = image_pyramid("stylegan2", shape, LARGEST)
        self.shape, self.latent_dim, self.architecture = tuple(shape), latent_dim, architecture
        self.labels = GeneratorLabels(conditioning, num_classes, latent_dim)
        self.num_classes, self.style_count = self.labels.num_classes, 2 * pyramid.levels + 2
        self.mapping = MappingNetwork(latent_dim, style_dim, mapping_layers, self.num_classes)
        self.average = RunningMean(style_dim)
        channels = channels_by_level(pyramid.levels, base, width)
        self.constant = nn.Parameter(torch.randn(channels[0], pyramid.height, pyramid.width))
        self.convolutions = nn.ModuleList([StyledConvolution(channels[0], channels[0], style_dim)])
        self.shortcuts = nn.ModuleList()
        for inputs, outputs in pairwise(channels):
            self.convolutions.append(StyledConvolution(inputs, outputs, style_dim, up=True))
            self.convolutions.append(StyledConvolution(outputs, outputs, style_dim))
            if architecture == "resnet":
                self.shortcuts.append(equalize(nn.Conv2d(inputs, outputs, 1, bias=False), gain=1))
        seen = channels if architecture == "skip" else channels[-1:]
        self.to_rgb = nn.ModuleList(ToRGB(count, pyramid.channels, style_dim) for count in seen)
        levels = [(i + 1) // 2 for i in range(len(self.convolutions))]
        self.noise_shapes = [(pyramid.height << level, pyramid.width << level) for level in levels]
        self.noise_dim = sum(height * width for height, width in self.noise_shapes)

    def forward(
        self,
        latents: Tensor,
        labels: Tensor | None = None,
        noise: Tensor | None = None,
        others: Tensor | None = None,
        cut: Tensor | None = None,
    ) -> Tensor:
        """Return images g(f(z)).

        Args:
            latents: [N, Z].
            labels: long [N], if conditional.
            noise: standard normal noise of all layers, [N, P]; None is no noise.
            others: latents [N, Z] of the styles from index ``cut`` on; None does not mix styles.
            cut: the index, an integer tensor [].

        Returns:
            [N, C, H, W]; in evaluation mode clamped to [-1, 1].
        """
        w = self.map(latents, labels)
        if others is not None and cut is not None:
            index = torch.arange(self.style_count, device=w.device)[:, None]
            w = torch.where(index < cut, w, self.mapping(others, labels)[:, None])
        images = self.synthesise(w, noise)
        return images if self.training else images.clamp(-1, 1)

    def map(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return styles [N, L, W], equal for all layers, of latents [N, Z]; updates w̄ in training mode."""
        w: Tensor = self.average(self.mapping(latents, labels))
        return w[:, None].expand(-1, self.style_count, -1)

    def truncate(self, w: Tensor, truncation: float, cutoff: int | None = None) -> Tensor:
        """Return styles w̄ + ψ(w - w̄) (Karras et al. 2019, arXiv:1812.04948, appendix B).

        Args:
            w: styles [N, L, W].
            truncation: ψ; 1 leaves the styles unchanged, and 0 makes all samples equal.
            cutoff: number of styles that are truncated, from the coarsest; None is all.
        """
        if truncation == 1:
            return w
        truncated = torch.lerp(self.average.mean.expand_as(w), w, truncation)
        cutoff = self.style_count if cutoff is None else cutoff
        return torch.cat([truncated[:, :cutoff], w[:, cutoff:]], 1)

    def synthesise(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return images [N, C, H, W], not clamped, of styles [N, L, W] and noise [N, P]."""
        planes = self._planes(noise)
        x = self.convolutions[0](self.constant.expand(w.shape[0], -1, -1, -1), w[:, 0], planes[0])
        image = self.to_rgb[0](x, w[:, 1]) if self.architecture == "skip" else None
        for i in range(1, len(self.convolutions), 2):
            before = x
            for k in (i, i + 1):
                x = self.convolutions[k](x, w[:, k], planes[k])
            if self.architecture == "resnet":
                x = (x + filter_up(self.shortcuts[i // 2](before))) * math.sqrt(0.5)
            if image is not None:
                image = filter_up(image) + self.to_rgb[i // 2 + 1](x, w[:, i + 2])
        return self.to_rgb[-1](x, w[:, -1]) if image is None else image

    def _planes(self, noise: Tensor | None) -> list[Tensor | None]:
        """Return the noise of each convolution, [N, 1, H, W]."""
        if noise is None:
            return [None] * len(self.noise_shapes)
        parts = noise.split([height * width for height, width in self.noise_shapes], 1)
        return [part.view(-1, 1, *shape) for part, shape in zip(parts, self.noise_shapes, strict=True)]


class StyleGAN2Discriminator(nn.Module):
    """Convolutions with filtered downsampling; the features are those of the linear layer before the logit.

    The standard deviation over groups of samples is appended before the last convolution.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 512,
        base: PositiveInt = 32768,
        mapping_layers: PositiveInt = 8,
        architecture: Architecture = "resnet",
        group: PositiveInt = 4,
        conditioning: Literal["none", "projection"] = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 1024 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels, at most.
            base: channels times size of the image, at most.
            mapping_layers: number of layers of the mapping network of labels.
            architecture: ``resnet`` has residual connections, as in the paper; ``skip`` adds features of the
                downsampled image at each size; ``orig`` has neither.
            group: maximum number of samples whose standard deviation is computed.
            conditioning: how labels are used; with ``projection`` the logit is ⟨features, f(label)⟩ / √F, where f is a
                mapping network.
            num_classes: number of classes of the data; ignored without conditioning.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
        """
        super().__init__()
        pyramid = image_pyramid("stylegan2", shape, LARGEST)
        self.shape, self.architecture = tuple(shape), architecture
        self.labels = CriticLabels(conditioning, num_classes)
        channels = channels_by_level(pyramid.levels, base, width)[::-1]
        seen = channels if architecture == "skip" else channels[:1]
        self.from_rgb = nn.ModuleList(_convolution(pyramid.channels, count, 1) for count in seen)
        self.blocks = nn.ModuleList(Halving(*pair, architecture == "resnet") for pair in pairwise(channels))
        last = channels[-1]
        self.head = nn.Sequential(
            MinibatchStdDev(group),
            _convolution(last + 1, last, 3),
            nn.Flatten(),
            equalize(nn.Linear(last * pyramid.height * pyramid.width, last), gain=1),
            ScaledLeakyReLU(),
        )
        if self.labels.num_classes:
            self.mapping = MappingNetwork(0, last, mapping_layers, self.labels.num_classes)
            self.project = equalize(nn.Linear(last, last), gain=1)
        else:
            self.logits = equalize(ScoreLayer(last), gain=1)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W]."""
        features = self.head(self.trunk(samples))
        if not self.labels.num_classes:
            return CriticOutput(self.logits(features), features)
        projected = at_least_float32(self.project(features)) * at_least_float32(self.mapping(None, labels))
        return CriticOutput(projected.sum(1) / math.sqrt(projected.shape[1]), features)

    def trunk(self, samples: Tensor) -> Tensor:
        """Return features [N, F, h, w] of images [N, C, H, W], which do not depend on the other images of the batch."""
        x: Tensor = self.from_rgb[0](samples)
        for k, block in enumerate(self.blocks, start=1):
            x = block(x)
            if self.architecture == "skip":
                samples = filter_down(samples)
                x = x + self.from_rgb[k](samples)
        return x


class Halving(nn.Module):
    """A 3×3 convolution and a second one that halves the image, with an optional residual connection."""

    def __init__(self, inputs: int, outputs: int, residual: bool) -> None:
        super().__init__()
        self.first = _convolution(inputs, inputs, 3)
        self.second = nn.Sequential(equalize(nn.Conv2d(inputs, outputs, 3, stride=2), gain=1), ScaledLeakyReLU())
        self.shortcut = equalize(nn.Conv2d(inputs, outputs, 1, bias=False), gain=1) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, 2H, 2W] to [N, outputs, H, W]."""
        y: Tensor = self.second(blur(self.first(x), padding=2))
        return y if self.shortcut is None else (y + self.shortcut(filter_down(x))) * math.sqrt(0.5)


def _convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        equalize(nn.Conv2d(inputs, outputs, size, padding=size // 2), gain=1),
        ScaledLeakyReLU(),
    )
