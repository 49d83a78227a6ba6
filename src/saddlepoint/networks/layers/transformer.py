"""Transformer blocks over the tokens of an image: Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762.

Attention is computed by plain matrix products and a softmax in float32, since gradient penalties need second
derivatives, which fused attention kernels do not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pixel_shuffle

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.conditioning import Conditional, conditioned, required
from saddlepoint.networks.layers.precision import at_least_float32, full_precision

Grid = tuple[int, int]
"""Height and width of a grid of tokens, which are in row-major order."""

Score = Literal["dot", "l2"]
"""Score of a query and a key: scaled dot product, or minus the scaled squared distance."""

EXPANSION = 4
"""Width of the hidden layer of a block's MLP, as a multiple of the block's width."""


class Attention(nn.Module):
    """Multi-head self-attention: softmax(scores) V of each head, concatenated, followed by a linear layer.

    - ``dot``: the scores are q_i·k_j / √d, where d is the width of a head.
    - ``l2``: the scores are -‖q_i - k_j‖² / √d, and W_Q = W_K. Kim et al. 2021, "The Lipschitz Constant of
      Self-Attention", arXiv:2006.04710, show that dot-product attention is not Lipschitz, nor is L2 attention with a
      W_K other than W_Q. A token's score with itself is 0, the largest.

    If the grid is given, :class:`RelativeBias` is added to the scores. If it consists of several windows, tokens attend
    only to those in their own window.
    """

    def __init__(
        self, dim: int, heads: int, score: Score = "dot", grid: Grid | None = None, window: Grid | None = None
    ) -> None:
        """Build the layer.

        Args:
            dim: width D of the tokens.
            heads: number of heads, which must divide D.
            score: ``dot`` or ``l2``.
            grid: grid of the tokens, or None for tokens without positions.
            window: size of the windows, which must divide the grid; None for a single window.

        Raises:
            UserError: the number of heads does not divide D.
        """
        super().__init__()
        if dim % heads:
            raise UserError(f"{heads} heads do not divide a width of {dim}", "heads", "choose a divisor of the width")
        self.heads, self.grid, self.window = heads, grid, window or grid
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False) if score == "dot" else None
        self.value = nn.Linear(dim, dim, bias=False)
        self.output = nn.Linear(dim, dim)
        self.bias = RelativeBias(heads, self.window) if self.window is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [N, L, D] to [N, L, D]."""
        if self.grid is None or self.window is None or self.grid == self.window:
            return self._attend(x)
        return merge_windows(self._attend(split_windows(x, self.grid, self.window)), self.grid, self.window)

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores of all pairs of tokens, [N, heads, L, L], in float32 even under autocast."""
        query = split_heads(self.query(x), self.heads)
        if self.key is None:
            scores = distance_scores(query, query)
        else:
            scores = dot_scores(query, split_heads(self.key(x), self.heads))
        return scores if self.bias is None else scores + self.bias()

    def _attend(self, x: Tensor) -> Tensor:
        attended = attend(self.scores(x), split_heads(self.value(x), self.heads))
        output: Tensor = self.output(merge_heads(attended))
        return output


class RelativeBias(nn.Module):
    """A learned bias of the scores that depends on the difference of the positions of two tokens and on the head.

    Liu et al. 2021, "Swin Transformer", arXiv:2103.14030, equation 4: B_ij = table[y_i - y_j, x_i - x_j].
    """

    index: Tensor

    def __init__(self, heads: int, grid: Grid) -> None:
        super().__init__()
        height, width = grid
        self.table = nn.Parameter(torch.empty((2 * height - 1) * (2 * width - 1), heads))
        nn.init.trunc_normal_(self.table, std=0.02)
        y, x = (axis.flatten() for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
        down, right = y[:, None] - y + height - 1, x[:, None] - x + width - 1
        self.register_buffer("index", down * (2 * width - 1) + right, persistent=False)

    def forward(self) -> Tensor:
        """Return the biases, [heads, L, L]."""
        return self.table[self.index].permute(2, 0, 1)


class SelfModulatedNorm(Conditional):
    """Self-modulated layer normalization: SLN(h, w) = (1 + γ(w)) ⊙ (h - μ) / σ + β(w).

    Lee et al. 2022, arXiv:2107.04589, after Chen et al. 2019, "On Self Modulation for Generative Adversarial
    Networks", arXiv:1810.01365. γ and β are learned affine maps, in float32 even under autocast.
    """

    def __init__(self, dim: int, condition_dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.affine = nn.Linear(condition_dim, 2 * dim)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Normalize tokens [N, L, D]; ``condition`` is w, [N, W]."""
        w = required(condition)
        with full_precision(w.device):
            gain, bias = self.affine(at_least_float32(w)).unsqueeze(1).chunk(2, dim=-1)
        return layer_norm(x, (self.dim,)) * (1 + gain) + bias


class TransformerBlock(Conditional):
    """A pre-norm block: x + attention(norm(x)), then x + MLP(norm(x)), with GELU and a hidden layer of 4 D units."""

    def __init__(self, dim: int, attention: nn.Module, norm: Callable[[int], nn.Module] = nn.LayerNorm) -> None:
        """Build the block.

        Args:
            dim: width D of the tokens.
            attention: maps tokens [N, L, D] to [N, L, D].
            norm: returns a normalization layer for a width; it may be :class:`Conditional`.
        """
        super().__init__()
        self.norm1, self.norm2 = norm(dim), norm(dim)
        self.attention = attention
        self.mlp = nn.Sequential(nn.Linear(dim, EXPANSION * dim), nn.GELU(), nn.Linear(EXPANSION * dim, dim))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map tokens [N, L, D] to [N, L, D]; the condition is passed to conditional norms."""
        x = x + self.attention(conditioned(self.norm1, x, condition))
        mapped: Tensor = self.mlp(conditioned(self.norm2, x, condition))
        return x + mapped


class Positions(nn.Module):
    """Learned vectors that are added to the tokens of each position, truncated normal with standard deviation 0.02."""

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(length, dim))
        nn.init.trunc_normal_(self.vectors, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [N, L, D] to [N, L, D]."""
        return x + self.vectors


class ClassToken(nn.Module):
    """Prepends a learned token, truncated normal with standard deviation 0.02, to the tokens of each sample."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.empty(dim))
        nn.init.trunc_normal_(self.vector, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [N, L, D] to [N, 1 + L, D]."""
        return torch.cat([self.vector.to(x.dtype).expand(len(x), 1, -1), x], dim=1)


# Functions of heads -----------------------------------------------------------------------------------------------


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Map [N, L, heads · d] to [N, heads, L, d]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Map [N, heads, L, d] to [N, L, heads · d]."""
    return x.transpose(1, 2).flatten(2)


def dot_scores(query: Tensor, key: Tensor) -> Tensor:
    """Return q_i·k_j / √d, [N, heads, L, M], of queries [N, heads, L, d] and keys [N, heads, M, d]."""
    return at_least_float32(query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5


def distance_scores(query: Tensor, key: Tensor) -> Tensor:
    """Return -‖q_i - k_j‖² / √d, [N, heads, L, M], of queries [N, heads, L, d] and keys [N, heads, M, d].

    They are differences of large numbers, and hence computed in float32 even under autocast.
    """
    with full_precision(query.device):
        query, key = at_least_float32(query), at_least_float32(key)
        products = query @ key.transpose(-1, -2)
        squares = query.square().sum(-1)[..., :, None] + key.square().sum(-1)[..., None, :]
        return (2 * products - squares) * query.shape[-1] ** -0.5


def attend(scores: Tensor, values: Tensor) -> Tensor:
    """Return softmax(scores) V, [N, heads, L, d], of scores [N, heads, L, M] and values [N, heads, M, d]."""
    return scores.softmax(-1).to(values.dtype) @ values


# Functions of grids -----------------------------------------------------------------------------------------------


def split_windows(x: Tensor, grid: Grid, window: Grid) -> Tensor:
    """Map tokens [N, H · W, D] to those of each window, [N · windows, h · w, D]."""
    (rows, columns), (height, width) = grid, window
    x = x.unflatten(1, (rows // height, height, columns // width, width)).transpose(2, 3)
    return x.flatten(0, 2).flatten(1, 2)


def merge_windows(x: Tensor, grid: Grid, window: Grid) -> Tensor:
    """Invert :func:`split_windows`."""
    (rows, columns), (height, width) = grid, window
    x = x.unflatten(1, (height, width)).unflatten(0, (-1, rows // height, columns // width))
    return x.transpose(2, 3).flatten(1, 4)


def patch_side(shape: Sequence[int], tokens: int) -> int:
    """Return the side of the patches of images (C, H, W): the largest power of two for ``tokens`` patches along a side.

    It is at least 2.

    >>> [patch_side((3, side, side), 16) for side in (8, 32, 48, 64, 128)]
    [2, 2, 2, 4, 8]
    """
    return 1 << max((min(shape[1:], default=0) // tokens).bit_length() - 1, 1)


def to_map(x: Tensor, grid: Grid) -> Tensor:
    """Map tokens [N, H · W, D] to a feature map [N, D, H, W]."""
    return x.transpose(1, 2).unflatten(2, grid)


def to_tokens(x: Tensor) -> Tensor:
    """Map a feature map [N, D, H, W] to tokens [N, H · W, D]."""
    return x.flatten(2).transpose(1, 2)


def shuffle_up(x: Tensor, grid: Grid) -> Tensor:
    """Map tokens [N, H · W, D] to those of a grid of twice the size, [N, 4 · H · W, D / 4], by a pixel shuffle."""
    return to_tokens(pixel_shuffle(to_map(x, grid), 2))
