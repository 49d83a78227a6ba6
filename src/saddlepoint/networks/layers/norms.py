"""Normalisation layers by name."""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

from saddlepoint.errors import UserError

NormKind = Literal["batch", "none", "layer", "instance", "group"]
"""The normalisations that a network can be built with."""

ImageNormKind = Literal["batch", "instance", "none"]
"""The normalisations of the networks that translate images."""

GROUPS = 32
"""Wu & He 2018, "Group Normalization", arXiv:1803.08494."""


def make_norm(kind: NormKind, channels: int, *, images: bool = True) -> nn.Module:
    """Return a normalisation with a gain and an offset a channel, or an identity for ``none``.

    Args:
        kind: ``batch``; ``layer`` (over channels and pixels of each sample, as in Gulrajani et al. 2017); ``instance``
            (over the pixels of each channel, images only); ``group`` (32 groups, or what divides both 32 and the
            channels); ``none``.
        channels: number of channels, or of features for vectors.
        images: for [N, C, H, W] rather than [N, C].

    Raises:
        UserError: ``instance`` for vectors, which have no pixels to average over.
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
        raise UserError("instance normalisation needs images, and this network is an MLP", "norm", "use batch or layer")
    return nn.InstanceNorm2d(channels, affine=True)


def absorbs_bias(kind: NormKind) -> bool:
    """Whether the normalisation subtracts each channel's mean, so that a bias right before it has no effect."""
    return kind in ("batch", "instance")
