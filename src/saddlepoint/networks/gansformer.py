"""GANsformer: Hudson & Zitnick 2021, "Generative Adversarial Transformers", arXiv:2103.01209.

StyleGAN2's generator with residual connections, in which k local latents modulate regions of the image, and a global
latent all of it, as in the published code. The discriminator is StyleGAN2's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.kinds import Fraction
from saddlepoint.networks.layers.activations import ScaledLeakyReLU
from saddlepoint.networks.layers.bipartite import BipartiteAttention, Duplex, LatentAttention
from saddlepoint.networks.layers.equalized import equalize
from saddlepoint.networks.layers.filtered import filter_up
from saddlepoint.networks.layers.norms import PixelNorm
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.networks.layers.running_mean import RunningMean
from saddlepoint.networks.layers.styles import MULTIPLIER, StyledConvolution
from saddlepoint.networks.stylegan2 import StyleGAN2Generator


class GANsformerGenerator(StyleGAN2Generator):
    """A mapping network of k + 1 latents, and a synthesis network with bipartite attention after convolutions.

    The latents z, and the styles of a layer, are the k local latents followed by the global one, all of dimension d, so
    that Z = W = (k + 1) d. The global one is the style of the convolutions; pixels attend to the others by
    :class:`~saddlepoint.networks.layers.bipartite.BipartiteAttention`, before noise and bias are added.
    """

    mapping: Any  # another network than StyleGAN2's

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        latents: PositiveInt = 16,
        width: PositiveInt = 512,
        base: PositiveInt = 32768,
        mapping_layers: PositiveInt = 8,
        attention: Duplex = "duplex",
        iterations: PositiveInt = 1,
        heads: PositiveInt = 1,
        smallest: PositiveInt = 4,
        largest: PositiveInt = 256,
        dropout: Fraction = 0.12,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 1024 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of all latents together, a multiple of k + 1.
            latents: number k of local latents.
            width: channels, at most.
            base: channels times size of the image, at most.
            mapping_layers: number of layers of the mapping network, an even number.
            attention: ``simplex`` or ``duplex``.
            iterations: number of k-means iterations of ``duplex``.
            heads: number of heads, a divisor of all numbers of channels.
            smallest: smallest short side of a feature map with attention.
            largest: largest short side of a feature map with attention.
            dropout: dropout of attention.

        Raises:
            UserError: the shape is not supported, or the latents or features cannot be divided.
        """
        if latent_dim % (latents + 1):
            problem = (
                f"must be a multiple of {latents + 1} for {latents} local latents and a global one, got {latent_dim}"
            )
            raise UserError(problem, "latent_dim", f"set it to {math.ceil(latent_dim / (latents + 1)) * (latents + 1)}")
        if mapping_layers % 2:
            raise UserError(f"must be even, got {mapping_layers}", "mapping_layers", f"set it to {mapping_layers + 1}")
        dim = latent_dim // (latents + 1)
        super().__init__(shape, latent_dim, dim, width, base, mapping_layers, "resnet")
        self.latents, self.latent_size = latents, dim
        self.mapping = LatentMapping(dim, latents, mapping_layers)
        self.average = RunningMean(latent_dim)
        self.attentions = nn.ModuleDict()
        for index, (convolution, grid) in enumerate(zip(self.convolutions, self.noise_shapes, strict=True)):
            if smallest <= min(grid) <= largest:
                assert isinstance(convolution, StyledConvolution)
                self.attentions[str(index)] = BipartiteAttention(
                    len(convolution.bias), dim, latents, grid, attention, heads, iterations, dropout
                )

    def synthesise(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return images [N, C, H, W], not clamped, of styles [N, L, W] and noise [N, P]."""
        return self.synthesise_with_attention(w, noise)[0]

    def synthesise_with_attention(self, w: Tensor, noise: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return images, and for each layer with attention its weights, means over heads, [N, k, h, w]."""
        styles, planes = w.unflatten(2, (-1, self.latent_size)), self._planes(noise)
        maps: list[Tensor] = []

        def layer(index: int, x: Tensor) -> Tensor:
            convolution: Any = self.convolutions[index]
            x = convolution.convolution(x, styles[:, index, -1])
            if str(index) in self.attentions:
                x, weights = self.attentions[str(index)](x, styles[:, index, :-1])
                maps.append(weights.mean(1).transpose(1, 2).unflatten(2, self.noise_shapes[index]))
            finished: Tensor = convolution.finish(x, planes[index])
            return finished

        x = layer(0, self.constant.expand(w.shape[0], -1, -1, -1))
        for index in range(1, len(self.convolutions), 2):
            shortcut = filter_up(self.shortcuts[index // 2](x))
            x = (layer(index + 1, layer(index, x)) + shortcut) * math.sqrt(0.5)
        return at_least_float32(self.to_rgb[-1](x, styles[:, -1, -1])), maps


class LatentMapping(nn.Module):
    """The map from latents z to styles: residual blocks of two layers for local latents, and others for the global one.

    Latents are divided by their root mean square. Local latents share all weights, and attend to each other before each
    block. The learning rate is multiplied by 0.01, and they compute in float32 even under autocast.

    Args:
        dim: dimension d of a latent.
        count: number k of local latents.
        layers: number of layers, two in each block.
    """

    def __init__(self, dim: int, count: int, layers: int) -> None:
        super().__init__()
        self.dim = dim
        self.normalise = PixelNorm()
        blocks = range(layers // 2)
        self.attentions = nn.ModuleList(LatentAttention(dim, count, MULTIPLIER) for _ in blocks)
        self.local_blocks = nn.ModuleList(ResidualBlock(dim) for _ in blocks)
        self.global_blocks = nn.Sequential(*(ResidualBlock(dim) for _ in blocks))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, (k + 1) d] to styles [N, (k + 1) d]; labels are ignored."""
        with full_precision(latents.device):
            z = at_least_float32(latents).unflatten(1, (-1, self.dim))
            z = self.normalise(z.transpose(1, 2)).transpose(1, 2)
            local, shared = z[:, :-1], self.global_blocks(z[:, -1:])
            for attention, block in zip(self.attentions, self.local_blocks, strict=True):
                local = block(attention(local))
        return torch.cat([local, shared], 1).flatten(1)


class ResidualBlock(nn.Module):
    """(y + two linear layers with LeakyReLU of y) / √2, with a learning rate that is multiplied by 0.01."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [equalize(nn.Linear(dim, dim), gain=1, multiplier=MULTIPLIER), ScaledLeakyReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, y: Tensor) -> Tensor:
        """Map [..., d] to [..., d]."""
        mapped: Tensor = self.layers(y)
        return (y + mapped) * math.sqrt(0.5)
