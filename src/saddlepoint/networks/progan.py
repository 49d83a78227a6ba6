"""Networks that grow from 4 px to the size of the images.

Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", arXiv:1710.10196.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from saddlepoint.networks.layers.activations import SLOPE
from saddlepoint.networks.layers.conditioning import CriticLabels, GeneratorLabels
from saddlepoint.networks.layers.equalized import equalize
from saddlepoint.networks.layers.minibatch import MinibatchStdDev
from saddlepoint.networks.layers.norms import PixelNorm
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import channels_by_level, image_pyramid
from saddlepoint.types import CriticOutput

LARGEST = 1024
"""Maximum length of a side in pixels."""


def up(images: Tensor) -> Tensor:
    """Return images of twice the size, by the nearest neighbour."""
    return interpolate(images, scale_factor=2.0, mode="nearest")


def down(images: Tensor) -> Tensor:
    """Return images of half the size, the means over 2×2 pixels."""
    return avg_pool2d(images, 2)


class Growing(nn.Module):
    """A network of several levels, of which the newest is faded in.

    All levels exist from the start, so that the optimizer and averaged weights know them. New networks are fully grown.

    Attributes:
        levels: number of doublings from the smallest size to the largest.
        level: the newest level k, 0 … levels, whose size is base · 2^k.
        fading: whether α < 1.
        grown: buffers of k and α: float [2].
    """

    grown: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels, self.level, self.fading = levels, levels, False
        self.register_buffer("grown", torch.tensor([float(levels), 1.0]))
        self.register_load_state_dict_post_hook(_as_loaded)

    def grow(self, level: int, alpha: float) -> None:
        """Set the newest level and its weight α, in [0, 1], relative to the level below."""
        self.level, self.fading = level, alpha < 1
        self.grown[0].fill_(level)
        self.grown[1].fill_(alpha)

    def faded(self, old: Tensor, new: Tensor) -> Tensor:
        """Return (1 - α)·old + α·new."""
        return torch.lerp(old, new, self.grown[1].to(new.dtype))

    def extra_repr(self) -> str:
        """Show the level."""
        return f"level={self.level} of {self.levels}, fading={self.fading}"


def _as_loaded(network: nn.Module, keys: object) -> None:
    """Set the level to the one that was loaded."""
    assert isinstance(network, Growing)
    level, alpha = network.grown.tolist()
    network.grow(int(level), alpha)


class ProGANGenerator(Growing):
    """Convolutions with pixel norm after nearest-neighbour upsampling, and a linear layer to colours at each size.

    In training mode it returns images of the newest level's size. In evaluation mode images have the full size,
    upsampled by the nearest neighbour, and are clamped to [-1, 1].
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt = 512,
        width: PositiveInt = 512,
        base: PositiveInt = 16384,
        conditioning: Literal["none", "concat"] = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 1024 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents.
            width: channels, at most.
            base: channels times size of the image, at most.
            conditioning: how labels are used; ``concat`` joins one-hot labels to the latents.
            num_classes: number of classes of the data; ignored without conditioning.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
        """
        pyramid = image_pyramid("progan", shape, LARGEST)
        super().__init__(pyramid.levels)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.labels = GeneratorLabels(conditioning, num_classes, latent_dim)
        self.num_classes = self.labels.num_classes
        channels = channels_by_level(pyramid.levels, base, width)
        # Equalized with the fan-in of the transposed convolution, it has the paper's gain of √2 / 4 for 4×4 pixels.
        first = equalize(nn.ConvTranspose2d(self.labels.inputs, channels[0], (pyramid.height, pyramid.width)))
        self.first = nn.Sequential(PixelNorm(), first, *_activated(), *_convolution(channels[0], channels[0], True))
        self.blocks = nn.ModuleList(
            nn.Sequential(*_convolution(inputs, outputs, True), *_convolution(outputs, outputs, True))
            for inputs, outputs in pairwise(channels)
        )
        self.to_rgb = nn.ModuleList(equalize(nn.Conv2d(count, pyramid.channels, 1), gain=1) for count in channels)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z], and labels, long [N], if conditional, to images [N, C, H', W']."""
        inputs, _ = self.labels(latents, labels)
        x = self.first(inputs[:, :, None, None])
        if not self.training:
            return self._full_size(x)
        features = [x]
        for block in self.blocks[: self.level]:
            features.append(block(up(features[-1])))
        image = self.to_rgb[self.level](features[-1])
        if self.fading:
            image = self.faded(up(self.to_rgb[self.level - 1](features[-2])), image)
        return at_least_float32(image)

    def _full_size(self, x: Tensor) -> Tensor:
        """Return the weighted sum of the images of all levels, whose graph does not depend on the level."""
        level, alpha = self.grown
        total = x.new_zeros(())
        for k, to_rgb in enumerate(self.to_rgb):
            x = x if k == 0 else self.blocks[k - 1](up(x))
            weight = torch.where(level == k, alpha, torch.where(level == k + 1, 1 - alpha, 0.0))
            total = total + weight * interpolate(at_least_float32(to_rgb(x)), self.shape[1:], mode="nearest")
        return total.clamp(-1, 1)


class ProGANDiscriminator(Growing):
    """The generator's mirror image, with the standard deviation over groups of samples before the last convolution."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 512,
        base: PositiveInt = 16384,
        group: PositiveInt = 4,
        conditioning: Literal["none", "auxiliary"] = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 1024 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels, at most.
            base: channels times size of the image, at most.
            group: maximum number of samples whose standard deviation is computed.
            conditioning: how labels are used (see :class:`saddlepoint.networks.layers.conditioning.CriticLabels`).
            num_classes: number of classes of the data; ignored without conditioning.

        Raises:
            UserError: the shape is not supported, or the data has no labels.
        """
        pyramid = image_pyramid("progan", shape, LARGEST)
        super().__init__(pyramid.levels)
        self.shape = tuple(shape)
        self.labels = CriticLabels(conditioning, num_classes)
        channels = channels_by_level(pyramid.levels, base, width)
        self.from_rgb = nn.ModuleList(nn.Sequential(*_convolution(pyramid.channels, one, size=1)) for one in channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(*_convolution(fine, fine), *_convolution(fine, coarse), nn.AvgPool2d(2))
            for coarse, fine in pairwise(channels)
        )
        last = channels[0]
        self.head = nn.Sequential(
            MinibatchStdDev(group),
            *_convolution(last + 1, last),
            equalize(nn.Conv2d(last, last, (pyramid.height, pyramid.width))),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
        )
        self.logits = equalize(ScoreLayer(last), gain=1)
        self.labels.build(last)
        if conditioning == "auxiliary":
            equalize(self.labels.classify, gain=1)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H', W'], reduced to the newest level's size."""
        samples = self.reduce(samples)
        x = self.from_rgb[self.level](samples)
        if self.level:
            x = self.blocks[self.level - 1](x)
        if self.fading:
            x = self.faded(self.from_rgb[self.level - 1](down(samples)), x)
        for k in reversed(range(self.level - 1)):
            x = self.blocks[k](x)
        features = self.head(x)
        output: CriticOutput = self.labels(self.logits(features), features, labels)
        return output

    def reduce(self, samples: Tensor) -> Tensor:
        """Return images [N, C, H, W] in the size of the newest level, the means over blocks of pixels."""
        while samples.shape[2] > self.shape[1] >> (self.levels - self.level):
            samples = down(samples)
        return samples


def _activated(norm: bool = True) -> list[nn.Module]:
    return [nn.LeakyReLU(SLOPE), *([PixelNorm()] if norm else [])]


def _convolution(inputs: int, outputs: int, norm: bool = False, size: int = 3) -> list[nn.Module]:
    return [equalize(nn.Conv2d(inputs, outputs, size, padding=size // 2)), *_activated(norm)]
