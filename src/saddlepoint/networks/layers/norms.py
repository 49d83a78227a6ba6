"""Normalization layers by name."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.kinds import NormKind
from saddlepoint.networks.layers.precision import at_least_float32

ImageNormKind = Literal["batch", "instance", "none"]
"""Kinds of normalization of networks that translate images."""

GROUPS = 32
"""Maximum number of groups, as in Wu & He 2018, "Group Normalization", arXiv:1803.08494."""


class PixelNorm(nn.Module):
    """Divides the features of each pixel, or each vector, by their root mean square: y = x / √(mean_c x² + 1e-8).

    Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", arXiv:1710.10196,
    section 4.2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, H, W] or [N, C] over C."""
        wide = at_least_float32(x)
        return (wide * (wide.square().mean(1, keepdim=True) + 1e-8).rsqrt()).to(x.dtype)


def make_norm(kind: NormKind, channels: int, *, images: bool = True) -> nn.Module:
    """Return a normalization layer with a gain and a bias per channel, or an identity for ``none``.

    Args:
        kind: ``batch``; ``layer`` (over channels and pixels of each sample, as in Gulrajani et al. 2017); ``instance``
            (over the pixels of each channel; only for images); ``group`` (gcd(32, channels) groups); ``none``.
        channels: number of channels, or of features of vectors.
        images: whether inputs are [N, C, H, W] rather than [N, C].

    Raises:
        UserError: ``instance`` for vectors.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return nn.BatchNorm2d(channels) if images else nn.BatchNorm1d(channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels) if images else nn.LayerNorm(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(GROUPS, channels), channels)
    if not images:
        raise UserError("instance normalization needs images, and this network is an MLP", "norm", "use batch or layer")
    return nn.InstanceNorm2d(channels, affine=True)


def absorbs_bias(kind: NormKind) -> bool:
    """Return whether the normalization subtracts the mean of each channel, which cancels a preceding bias."""
    return kind in ("batch", "instance")
