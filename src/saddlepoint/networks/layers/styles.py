"""Layers of style-based generators: from latents to styles, and from styles to features and colours.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", arXiv:1912.04958.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from saddlepoint.networks.layers.activations import ScaledLeakyReLU
from saddlepoint.networks.layers.conditioning import required
from saddlepoint.networks.layers.equalized import equalize
from saddlepoint.networks.layers.modulated import ModulatedConv2d
from saddlepoint.networks.layers.norms import PixelNorm
from saddlepoint.networks.layers.precision import at_least_float32, full_precision

MULTIPLIER = 0.01
"""Multiplier of the learning rate of mapping networks (Karras et al. 2019, arXiv:1812.04948, appendix C)."""


class MappingNetwork(nn.Module):
    """The map f from latents z, and an embedding of the label, to styles w.

    Latents and embedding are each divided by their root mean square and concatenated; linear layers with LeakyReLU
    follow, whose learning rate is multiplied by 0.01. They compute in float32 even under autocast.

    Args:
        latent_dim: dimension Z of the latents; 0 for a map of labels alone.
        style_dim: dimension W of the styles, of the hidden layers and of the embedding.
        layers: number of linear layers.
        num_classes: number of classes; 0 without labels.
    """

    def __init__(self, latent_dim: int, style_dim: int, layers: int, num_classes: int = 0) -> None:
        super().__init__()
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.normalise = PixelNorm()
        if num_classes:
            self.embed = equalize(nn.Linear(num_classes, style_dim), gain=1)
        widths = [latent_dim + (style_dim if num_classes else 0)] + [style_dim] * layers
        linear = [equalize(nn.Linear(inputs, style_dim), gain=1, multiplier=MULTIPLIER) for inputs in widths[:layers]]
        self.layers = nn.Sequential(*(part for layer in linear for part in (layer, ScaledLeakyReLU())))

    def forward(self, latents: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] and labels, long [N], to styles [N, W]."""
        given = required(latents if self.latent_dim else labels)
        with full_precision(given.device):
            parts = [self.normalise(at_least_float32(given))] if self.latent_dim else []
            if self.num_classes:
                codes = one_hot(required(labels), self.num_classes).to(self.embed.weight.dtype)
                parts.append(self.normalise(self.embed(codes)))
            styles: Tensor = self.layers(torch.cat(parts, 1))
        return styles


class StyledConvolution(nn.Module):
    """A modulated 3×3 convolution, followed by noise with a learned strength, a bias and LeakyReLU.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        style_dim: dimension W of the styles.
        up: whether the image is doubled.
    """

    def __init__(self, inputs: int, outputs: int, style_dim: int, up: bool = False) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(inputs, outputs, 3, style_dim, up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.activation = ScaledLeakyReLU()

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Map [N, inputs, H, W], styles [N, W] and noise [N, 1, H', W'] to [N, outputs, H', W']."""
        return self.finish(self.convolution(x, w), noise)

    def finish(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """Return the output of the layer from that of its convolution."""
        if noise is not None:
            x = x + (noise * self.strength).to(x.dtype)
        return self.activation(x + self.bias[:, None, None].to(x.dtype))


class ToRGB(nn.Module):
    """A modulated 1×1 convolution without demodulation, from features to the channels of an image, in float32.

    Args:
        inputs: number of input channels.
        outputs: number of channels of the image.
        style_dim: dimension W of the styles.
    """

    def __init__(self, inputs: int, outputs: int, style_dim: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(inputs, outputs, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map [N, inputs, H, W] and styles [N, W] to [N, outputs, H, W]."""
        with full_precision(x.device):
            colors: Tensor = self.convolution(at_least_float32(x), w) + self.bias[:, None, None]
        return colors
