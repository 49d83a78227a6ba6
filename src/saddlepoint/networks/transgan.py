"""TransGAN: Jiang et al. 2021, "TransGAN: Two Pure Transformers Can Make One Strong GAN", arXiv:2102.07074.

The networks for CIFAR-10 of the published code, and a rule for other sizes. The generator begins with a grid of twice
the base of :func:`saddlepoint.networks.layers.shapes.image_pyramid`, which is 8×8 at 32 px and 12×12 at 48 px as in the
code, and doubles it until it has the size of the image. Patches of the discriminator have 2 px at 32 px, and twice as
many at twice the size, so that it has 16 to 31 tokens along the short side from 32 px on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.init import init_transformer
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import check_image, image_pyramid
from saddlepoint.networks.layers.transformer import (
    Attention,
    ClassToken,
    Grid,
    Positions,
    TransformerBlock,
    patch_side,
    shuffle_up,
    to_map,
    to_tokens,
)
from saddlepoint.types import CriticOutput

TOKENS = 16
"""Minimum number of the discriminator's smaller patches along the short side of an image of 32 px or more."""


class TransGANGenerator(nn.Module):
    """A linear layer from latents to a grid of tokens, and stages of transformer blocks.

    Between stages, a pixel shuffle doubles the sides of the grid and divides the width by four. Tokens of the last
    stage are pixels, which a linear layer maps to colours, without tanh. In evaluation mode, images are clamped to
    [-1, 1].
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        width: PositiveInt = 1024,
        depths: Sequence[PositiveInt] = (5, 4, 2),
        heads: PositiveInt = 4,
        largest_grid: PositiveInt = 32,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents.
            width: width of the tokens in the first stage; a multiple of 4 for each of the other stages.
            depths: blocks of each stage; the last number is that of all further stages.
            heads: number of heads, a divisor of all widths.
            largest_grid: see :func:`grid_attention`.

        Raises:
            UserError: the shape is not supported, or the width cannot be divided.
        """
        super().__init__()
        pyramid = image_pyramid("transgan", shape)
        stages = pyramid.levels
        if width % (unit := heads * 4 ** (stages - 1)):
            problem = f"{stages} stages with {heads} heads need a multiple of {unit}, got {width}"
            raise UserError(problem, "width", f"set it to {max(round(width / unit), 1) * unit}")
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.grids: list[Grid] = [(pyramid.height << level, pyramid.width << level) for level in range(1, stages + 1)]
        widths = [width >> 2 * stage for stage in range(stages)]
        self.base = (self.grids[0][0] * self.grids[0][1], width)
        self.project = nn.Linear(latent_dim, self.base[0] * width)
        self.stages = nn.ModuleList()
        for stage, (grid, dim) in enumerate(zip(self.grids, widths, strict=True)):
            depth = depths[min(stage, len(depths) - 1)]
            blocks = [TransformerBlock(dim, grid_attention(dim, heads, grid, largest_grid)) for _ in range(depth)]
            self.stages.append(nn.Sequential(Positions(grid[0] * grid[1], dim), *blocks))
        self.output = nn.Conv2d(widths[-1], pyramid.channels, 1)
        nn.init.xavier_uniform_(
            self.output.weight
        )  # as in the published code, which leaves linear layers at the default

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W], in [-1, 1] in evaluation mode; the condition is ignored."""
        x = self.stages[0](self.project(latents).unflatten(1, self.base))
        for (before, _), stage in zip(pairwise(self.grids), self.stages[1:], strict=True):
            x = stage(shuffle_up(x, before))
        images = at_least_float32(self.output(to_map(x, self.grids[-1])))
        return images if self.training else images.clamp(-1, 1)


class TransGANDiscriminator(nn.Module):
    """Transformer blocks on patches of two sizes, and a class token, whose value after the last block is the features.

    Patches of the first scale have ¾ of the width. After their blocks, 2×2 tokens are averaged and joined with the
    patches of the second scale, which have twice the side and ¼ of the width. The class token is added before the last
    block.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 384,
        depth: PositiveInt = 3,
        heads: PositiveInt = 4,
        largest_grid: PositiveInt = 32,
        noise: bool = True,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), with sides that are multiples of two patches: of 4 px up to 63 px, 8 px up to 127 px ….
            width: width of the tokens of the second scale, a multiple of four times the number of heads.
            depth: number of blocks of each scale.
            heads: number of heads.
            largest_grid: see :func:`grid_attention`.
            noise: whether attention has :class:`TokenNoise`.

        Raises:
            UserError: the shape or the width is not supported.
        """
        super().__init__()
        patch = patch_side(shape, TOKENS)
        channels, rows, columns = check_image("transgan", shape, 2 * patch)
        if width % (4 * heads):
            problem = f"must be a multiple of {4 * heads} for {heads} heads, got {width}"
            raise UserError(problem, "width", f"set it to {max(round(width / (4 * heads)), 1) * 4 * heads}")
        self.shape = tuple(shape)
        self.fine_grid: Grid = (rows // patch, columns // patch)
        coarse: Grid = (rows // (2 * patch), columns // (2 * patch))
        parts = (width // 4 * 3, width // 4)
        self.fine_patches = nn.Conv2d(channels, parts[0], patch, stride=patch)
        self.coarse_patches = nn.Conv2d(channels, parts[1], 2 * patch, stride=2 * patch)

        def stage(grid: Grid, dim: int) -> nn.Sequential:
            blocks = [self._block(dim, grid_attention(dim, heads, grid, largest_grid), noise) for _ in range(depth)]
            return nn.Sequential(Positions(grid[0] * grid[1], dim), *blocks)

        self.fine, self.coarse = stage(self.fine_grid, parts[0]), stage(coarse, width)
        self.last = nn.Sequential(ClassToken(width), self._block(width, Attention(width, heads), noise))
        self.norm = nn.LayerNorm(width)
        self.logits = ScoreLayer(width)
        self.apply(init_transformer)
        for convolution in (self.fine_patches, self.coarse_patches):
            nn.init.xavier_uniform_(convolution.weight)

    @staticmethod
    def _block(dim: int, attention: Attention, noise: bool) -> TransformerBlock:
        block = TransformerBlock(dim, attention)
        if noise:
            block.norm1 = nn.Sequential(block.norm1, TokenNoise())
        return block

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of images [N, C, H, W]; the condition is ignored."""
        fine = self.fine(to_tokens(self.fine_patches(samples)))
        pooled = to_tokens(avg_pool2d(to_map(fine, self.fine_grid), 2))
        joined = torch.cat([pooled, to_tokens(self.coarse_patches(samples))], dim=2)
        features = self.norm(self.last(self.coarse(joined))[:, 0])
        return CriticOutput(self.logits(features), features)


class TokenNoise(nn.Module):
    """Adds noise of a learned strength, zero at first, to tokens in training mode, the same in all dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [N, L, D] to [N, L, D]."""
        return x + torch.randn_like(x[..., :1]) * self.strength.to(x.dtype) if self.training else x


def grid_attention(dim: int, heads: int, grid: Grid, largest: int) -> Attention:
    """Return attention with relative positions; within windows if a side of the grid is longer than ``largest``.

    The sides of windows are the largest divisors of the grid's sides up to half of ``largest``: 16 for 32, as in the
    paper.
    """
    if max(grid) <= largest:
        return Attention(dim, heads, grid=grid)
    sides = range(1, max(largest // 2, 1) + 1)
    rows, columns = (max(side for side in sides if length % side == 0) for length in grid)
    return Attention(dim, heads, grid=grid, window=(rows, columns))
