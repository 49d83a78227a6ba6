"""Affine maps of RGB colours as [N, 4, 4] matrices, for images of 1, 3 or 4 channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def brightness(by: Tensor) -> Tensor:
    """Add ``by`` [N] to all three channels."""
    matrix = _identity(by)
    matrix[:, :3, 3] = by[:, None]
    return matrix


def contrast(by: Tensor) -> Tensor:
    """Multiply all three channels by ``by`` [N]."""
    return _identity(by) * torch.stack([by, by, by, torch.ones_like(by)], 1)[:, None]


def luma_flip(by: Tensor) -> Tensor:
    """Mirror colours along gray where ``by`` [N] is 1, and leave them where it is 0."""
    return _identity(by) - 2 * by[:, None, None] * _onto_gray(by)


def hue(by: Tensor) -> Tensor:
    """Rotate colours about gray by angles ``by`` [N], in radians (Rodrigues)."""
    cosine, sine = by.cos()[:, None, None], by.sin()[:, None, None]
    turn = torch.eye(3, device=by.device, dtype=by.dtype).roll(1, 0)
    across = torch.zeros_like(_last(by))
    across[:3, :3] = (turn - turn.t()) / math.sqrt(3)  # the cross product with the direction of gray
    return _last(by) + cosine * (_identity(by) - _last(by)) + (1 - cosine) * _onto_gray(by) + sine * across


def saturation(by: Tensor) -> Tensor:
    """Multiply the distance from gray by ``by`` [N]."""
    kept = _onto_gray(by) + _last(by)
    return kept + by[:, None, None] * (_identity(by) - kept)


def recolor(images: Tensor, matrices: Tensor) -> Tensor:
    """Apply colour maps, each to its image.

    Args:
        images: [N, C, H, W] with C of 1 (gray: equal channels, whose mean is kept), 3 or 4 (the fourth is left alone).
        matrices: [N, 4, 4].
    """
    linear, offset = matrices[:, :3, :3], matrices[:, :3, 3]
    if images.shape[1] == 1:
        linear, offset = linear.sum(2).mean(1)[:, None, None], offset.mean(1, keepdim=True)
    colors = images[:, :3].flatten(2)
    changed = (linear @ colors + offset[:, :, None]).unflatten(2, images.shape[2:])
    return torch.cat([changed, images[:, 3:]], dim=1)


def _identity(like: Tensor) -> Tensor:
    return torch.eye(4, device=like.device, dtype=like.dtype).repeat(len(like), 1, 1)


def _onto_gray(like: Tensor) -> Tensor:
    """Project colours on gray, (1, 1, 1)/√3; [4, 4]."""
    matrix = like.new_full((4, 4), 1 / 3)
    matrix[3], matrix[:, 3] = 0, 0
    return matrix


def _last(like: Tensor) -> Tensor:
    """Keep the homogeneous coordinate alone; [4, 4]."""
    matrix = like.new_zeros(4, 4)
    matrix[3, 3] = 1
    return matrix
