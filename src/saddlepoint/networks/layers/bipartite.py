"""Bipartite attention between the pixels of a feature map and a few latents.

Hudson & Zitnick 2021, "Generative Adversarial Transformers", arXiv:2103.01209, with the details of the published code.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import dropout

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.equalized import equalize
from saddlepoint.networks.layers.norms import PixelNorm
from saddlepoint.networks.layers.precision import at_least_float32, full_precision
from saddlepoint.networks.layers.transformer import Grid, dot_scores, merge_heads, split_heads, to_map, to_tokens

Duplex = Literal["simplex", "duplex"]
"""Where the keys of attention come from: the latents, or centroids of the pixels."""


class BipartiteAttention(nn.Module):
    """Modulates the pixels X of a feature map by what they attend to in k latents Y: X' = ω(X) ⊙ (1 + M(A V)).

    ω divides a pixel's features by their root mean square, V are the values of the latents, M is a linear layer, and A
    are the weights of the attention, softmax(scores) over the latents. With queries q = W_Q x + P p of a pixel, where p
    are sines and cosines of its place, the scores of a pixel i and a latent j are

    - ``simplex``: q_i·k_j / √d, with keys k_j = W_K y_j + e_j and a learned position e_j;
    - ``duplex``: ⟨s ⊙ f_i, c_j⟩ / √d with features f_i = [W_Q x_i, P p_i], learned weights s and centroids c_j. At
      first the centroids are learned parameters; in each further iteration of k-means, c_j = Σ_i A_ij f_i / Σ_i A_ij.

    Args:
        features: number D of features of a pixel.
        latent_dim: dimension of a latent.
        count: number k of latents.
        grid: height and width of the feature map.
        kind: ``simplex`` or ``duplex``.
        heads: number of heads, a divisor of D.
        iterations: number of times that ``duplex`` assigns pixels to centroids.
        dropout: twice the probability that an element of A is set to zero in training mode, and twice the probability
            that a latent is, for all pixels.

    Raises:
        UserError: the number of heads does not divide D.
    """

    places: Tensor

    def __init__(
        self,
        features: PositiveInt,
        latent_dim: PositiveInt,
        count: PositiveInt,
        grid: Grid,
        kind: Duplex = "duplex",
        heads: PositiveInt = 1,
        iterations: PositiveInt = 1,
        dropout: float = 0.12,
    ) -> None:
        super().__init__()
        if features % heads:
            problem = f"{heads} heads do not divide {features} features"
            raise UserError(problem, "heads", "choose a divisor of the numbers of features")
        self.grid, self.heads, self.iterations, self.dropout = grid, heads, iterations, dropout / 2
        self.query, self.value = _linear(features, features), _linear(latent_dim, features)
        self.place = _linear(latent_dim, features)
        self.register_buffer("places", sinusoids(grid, latent_dim), persistent=False)
        if kind == "simplex":
            self.key: nn.Linear | None = _linear(latent_dim, features)
            self.positions = nn.Parameter(torch.randn(count, features))
        else:
            self.key = None
            size = 2 * features // heads
            self.weight = nn.Parameter(torch.ones(heads, 1, size))
            self.centroids = nn.Parameter(torch.randn(heads, count, size))
        self.norm = PixelNorm()
        self.modulation = _linear(features, features)

    def forward(self, x: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return modulated features [N, D, h, w], and the weights A, [N, heads, h · w, k].

        Args:
            x: features [N, D, h, w].
            latents: Y, [N, k, latent_dim].
        """
        weights = self.weights(x, latents)
        values = split_heads(self.value(latents), self.heads)
        attended = merge_heads(self._dropped(weights).to(values.dtype) @ values)
        gain = to_map(1 + self.modulation(attended), self.grid)
        return self.norm(x) * gain.to(x.dtype), weights

    def weights(self, x: Tensor, latents: Tensor) -> Tensor:
        """Return the weights A, [N, heads, h · w, k], at least in float32; the sum over the latents is 1."""
        own, place = self.query(to_tokens(x)), self.place(self.places)
        if self.key is not None:
            key = self.key(latents) + self.positions
            return dot_scores(split_heads(own + place, self.heads), split_heads(key, self.heads)).softmax(-1)
        parts = [split_heads(part, self.heads) for part in (own, place.expand_as(own))]
        with full_precision(x.device):
            f = at_least_float32(torch.cat(parts, -1))
            scale = 1 / math.sqrt(f.shape[-1] // 2)
            weights = ((f * self.weight) @ self.centroids.transpose(-1, -2) * scale).softmax(-1)
            for _ in range(self.iterations - 1):
                shares = weights / (weights.sum(-2, keepdim=True) + 1e-8)
                centroids = shares.transpose(-1, -2) @ f
                weights = ((f * self.weight) @ centroids.transpose(-1, -2) * scale).softmax(-1)
        return weights

    def _dropped(self, weights: Tensor) -> Tensor:
        """Return weights of which elements and whole latents are set to zero in training mode."""
        if not self.training or self.dropout == 0:
            return weights
        latents = dropout(torch.ones_like(weights[..., :1, :]), self.dropout)
        return dropout(weights, self.dropout) * latents


class LatentAttention(nn.Module):
    """Self-attention among latents in a mapping network: y + M(softmax(q k / √d) v), with learned positions.

    Args:
        dim: dimension of a latent.
        count: number of latents.
        multiplier: factor of the learning rate.
    """

    def __init__(self, dim: int, count: int, multiplier: float) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(count, dim))
        self.query, self.key, self.value, self.modulation = (_linear(dim, dim, multiplier) for _ in range(4))

    def forward(self, y: Tensor) -> Tensor:
        """Map latents [N, k, d] to [N, k, d]."""
        placed = y + self.positions
        weights = dot_scores(self.query(placed), self.key(placed)).softmax(-1)
        mixed: Tensor = self.modulation(weights.to(y.dtype) @ self.value(y))
        return y + mixed


def sinusoids(grid: Grid, dim: int) -> Tensor:
    """Return sines and cosines of the places of a grid's pixels, [h · w, dim], in row-major order.

    Rows and columns have half of the dimensions each. Wavelengths are geometric, from twice the side to four pixels.
    """
    parts = []
    for axis, side in enumerate(grid):
        count = dim // 2 if axis == 0 else dim - dim // 2
        octaves = torch.linspace(0, math.log2(max(side / 2, 1)), (count + 1) // 2)
        angles = math.pi * (torch.arange(side)[:, None] + 0.5) / side * 2**octaves
        waves = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :count]
        parts.append(waves[:, None].expand(*grid, count) if axis == 0 else waves.expand(*grid, count))
    return torch.cat(parts, -1).flatten(0, 1)


def _linear(inputs: int, outputs: int, multiplier: float = 1.0) -> nn.Linear:
    return equalize(nn.Linear(inputs, outputs), gain=1, multiplier=multiplier)
