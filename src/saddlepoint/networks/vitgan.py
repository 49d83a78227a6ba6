"""ViTGAN: Lee et al. 2022, "ViTGAN: Training GANs with Vision Transformers", arXiv:2107.04589.

Both networks have a token for each patch of the image: patches of 4 px at 32 px and of 8 px at 64 px, so that there are
8×8 to 15×15 tokens from 16 px on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from saddlepoint.networks.layers.activations import ScaledLeakyReLU
from saddlepoint.networks.layers.conditioning import ConditionalSequential
from saddlepoint.networks.layers.init import init_transformer
from saddlepoint.networks.layers.modulated import ModulatedConv2d
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32, full_precision
from saddlepoint.networks.layers.shapes import check_image
from saddlepoint.networks.layers.spectral_norm import ImprovedSpectralNorm, apply_spectral_norm
from saddlepoint.networks.layers.styles import MappingNetwork, ToRGB
from saddlepoint.networks.layers.transformer import (
    Attention,
    ClassToken,
    Positions,
    Score,
    SelfModulatedNorm,
    TransformerBlock,
    patch_side,
    to_map,
    to_tokens,
)
from saddlepoint.types import CriticOutput

TOKENS = 8
"""Minimum number of patches along the short side of an image of 16 px or more."""

FREQUENCY = math.sqrt(4.5)
"""Bound of the initial frequencies of :class:`ImplicitPatches`, in radians per unit of the coordinates."""

Patches = Literal["implicit", "convolution"]
"""How tokens are mapped to pixels."""


class ViTGANGenerator(nn.Module):
    """A transformer whose tokens begin as positions and are modulated by a code w of the latents.

    With w = mapping(z) and self-modulated layer normalization SLN,

        h_0 = positions,  h' = h + attention(SLN(h, w)),  h'' = h' + MLP(SLN(h', w)),  y = SLN(h_L, w),

    and a token y_i becomes a patch by :class:`ImplicitPatches` or :class:`ConvolutionPatches`. There is no tanh; in
    evaluation mode, images are clamped to [-1, 1].
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        width: PositiveInt = 384,
        depth: PositiveInt = 4,
        heads: PositiveInt = 6,
        mapping_layers: PositiveInt = 8,
        patches: Patches = "implicit",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), with sides that are multiples of the patches': 2 px up to 31 px, 4 px up to 63 px ….
            latent_dim: dimension Z of the latents.
            width: width of the tokens and of w.
            depth: number of blocks.
            heads: number of heads, a divisor of the width.
            mapping_layers: number of layers of the mapping network.
            patches: ``implicit`` (the paper) or ``convolution``.

        Raises:
            UserError: the shape is not supported, or the number of heads does not divide the width.
        """
        super().__init__()
        side = patch_side(shape, TOKENS)
        channels, rows, columns = check_image("vitgan", shape, side)
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.grid = (rows // side, columns // side)
        self.mapping = MappingNetwork(latent_dim, width, mapping_layers)
        self.positions = Positions(self.grid[0] * self.grid[1], width)
        norm = partial(SelfModulatedNorm, condition_dim=width)
        blocks = [TransformerBlock(width, Attention(width, heads), norm) for _ in range(depth)]
        for block in blocks:
            for layers in (block.attention, block.mlp):  # norms have other initial weights
                layers.apply(init_transformer)
        self.blocks = ConditionalSequential(*blocks)
        self.norm = norm(width)
        head = ImplicitPatches if patches == "implicit" else ConvolutionPatches
        self.patches = head(width, channels, side)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W], in [-1, 1] in evaluation mode; the condition is ignored."""
        w = self.mapping(latents)
        start = self.positions.vectors.expand(w.shape[0], -1, -1)  # len() is not symbolic when exporting
        tokens = self.norm(self.blocks(start, w), w)
        images = at_least_float32(self.patches(to_map(tokens, self.grid), w))
        return images if self.training else images.clamp(-1, 1)


class ImplicitPatches(nn.Module):
    """Maps tokens to patches by an implicit function of a pixel's place in the patch: x_i(v) = f(sin(Bv + b), y_i).

    The coordinates v are in [-1, 1]. B and b are learned, and f is an MLP with a sine after its hidden layer, whose
    layers are modulated by the token y_i as in Anokhin et al. 2021, "Image Generators with Conditionally-Independent
    Pixel Synthesis", arXiv:2011.13775.
    """

    coordinates: Tensor

    def __init__(self, width: int, channels: int, side: int) -> None:
        super().__init__()
        axis = torch.linspace(-1, 1, side)
        self.register_buffer("coordinates", torch.stack(torch.meshgrid(axis, axis, indexing="ij")), persistent=False)
        self.waves = nn.Conv2d(2, width, 1)
        nn.init.uniform_(self.waves.weight, -FREQUENCY, FREQUENCY)
        nn.init.uniform_(self.waves.bias, -math.pi, math.pi)  # type: ignore[arg-type]
        self.hidden = ModulatedConv2d(width, width, 1, width)
        self.hidden_bias = nn.Parameter(torch.zeros(width, 1, 1))
        self.output = ToRGB(width, channels, width)

    def forward(self, tokens: Tensor, w: Tensor) -> Tensor:
        """Map tokens [N, D, h, w] to images [N, C, h · side, w · side]."""
        n, _, height, width = tokens.shape
        y = to_tokens(tokens).flatten(0, 1)
        with full_precision(y.device):
            waves = torch.sin(self.waves(self.coordinates[None])).expand(y.shape[0], -1, -1, -1)
        hidden = torch.sin(self.hidden(waves, y) + self.hidden_bias)
        patches = self.output(hidden, y)
        pixels = patches.flatten(1).unflatten(0, (n, height, width)).permute(0, 3, 1, 2)
        return pixel_shuffle(pixels, self.coordinates.shape[-1])


class ConvolutionPatches(nn.Module):
    """Maps tokens to images by 3×3 convolutions that double the size, each modulated by w.

    The alternative of the authors' PyTorch code, which is faster on GPUs.
    """

    def __init__(self, width: int, channels: int, side: int) -> None:
        super().__init__()
        doublings = side.bit_length() - 1
        self.layers = nn.ModuleList(ModulatedConv2d(width, width, 3, width, up=True) for _ in range(doublings))
        self.biases = nn.ParameterList(torch.zeros(width, 1, 1) for _ in range(doublings))
        self.activation = ScaledLeakyReLU()
        self.output = ToRGB(width, channels, width)

    def forward(self, tokens: Tensor, w: Tensor) -> Tensor:
        """Map tokens [N, D, h, w] and w [N, W] to images [N, C, h · side, w · side]."""
        x = tokens
        for layer, bias in zip(self.layers, self.biases, strict=True):
            x = self.activation(layer(x, w) + bias)
        images: Tensor = self.output(x, w)
        return images


class ViTGANDiscriminator(nn.Module):
    """A vision transformer on overlapping patches, whose class token is the features.

    The square that a token sees is twice as wide as its patch. Attention has L2 scores with equal queries and keys, and
    weights keep their initial spectral norms.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 384,
        depth: PositiveInt = 4,
        heads: PositiveInt = 6,
        score: Score = "l2",
        spectral_norm: Literal["improved", "plain", "none"] = "improved",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), as in :class:`ViTGANGenerator`.
            width: width of the tokens.
            depth: number of blocks.
            heads: number of heads, a divisor of the width.
            score: ``l2``, or the usual ``dot`` (see :class:`saddlepoint.networks.layers.transformer.Attention`).
            spectral_norm: whether every weight is divided by its largest singular value (``plain``), or has the largest
                singular value that it had at first (``improved``).

        Raises:
            UserError: the shape is not supported, or the number of heads does not divide the width.
        """
        super().__init__()
        side = patch_side(shape, TOKENS)
        channels, rows, columns = check_image("vitgan", shape, side)
        self.shape = tuple(shape)
        self.embed = nn.Conv2d(channels, width, 2 * side, stride=side, padding=side // 2)
        self.tokens = nn.Sequential(ClassToken(width), Positions(1 + (rows // side) * (columns // side), width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, Attention(width, heads, score)) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.logits = ScoreLayer(width)
        self.apply(init_transformer)
        if spectral_norm == "improved":
            apply_spectral_norm(self, ImprovedSpectralNorm)
        elif spectral_norm == "plain":
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W]; the condition is ignored."""
        tokens = self.blocks(self.tokens(to_tokens(self.embed(samples))))
        features = self.norm(tokens[:, 0])
        return CriticOutput(self.logits(features), features)
