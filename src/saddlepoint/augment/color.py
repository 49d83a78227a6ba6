"""Affine maps of RGB colours as [N, 4, 4] matrices, for images with 1, 3 or 4 channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def brightness(by: Tensor) -> Tensor:
    """Return the maps that add ``by``, [N], to all three channels."""
    matrix = _identity(by)
    matrix[:, :3, 3] = by[:, None]
    return matrix


def contrast(by: Tensor) -> Tensor:
    """Return the maps that multiply all three channels by ``by``, [N]."""
    return _identity(by) * torch.stack([by, by, by, torch.ones_like(by)], 1)[:, None]


def luma_flip(by: Tensor) -> Tensor:
    """Return the maps that negate the component along the gray axis where ``by``, [N], is 1 rather than 0."""
    return _identity(by) - 2 * by[:, None, None] * _onto_gray(by)


def hue(by: Tensor) -> Tensor:
    """Return the rotations about the gray axis by angles ``by``, [N], in radians (Rodrigues' formula)."""
    cosine, sine = by.cos()[:, None, None], by.sin()[:, None, None]
    turn = torch.eye(3, device=by.device, dtype=by.dtype).roll(1, 0)
    across = torch.zeros_like(_last(by))
    across[:3, :3] = (turn - turn.t()) / math.sqrt(3)  # the cross product with the gray axis
    return _last(by) + cosine * (_identity(by) - _last(by)) + (1 - cosine) * _onto_gray(by) + sine * across


def saturation(by: Tensor) -> Tensor:
    """Return the maps that multiply the distance from the gray axis by ``by``, [N]."""
    kept = _onto_gray(by) + _last(by)
    return kept + by[:, None, None] * (_identity(by) - kept)


def recolor(images: Tensor, matrices: Tensor) -> Tensor:
    """Return images with color map i applied to image i.

    Args:
        images: [N, C, H, W]. C is 1 (treated as three equal channels, whose mean is returned), 3, or 4 (the fourth
            channel is not changed).
        matrices: color maps, [N, 4, 4].
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
    """Return the projection on the gray axis (1, 1, 1)/√3, [4, 4]."""
    matrix = like.new_full((4, 4), 1 / 3)
    matrix[3], matrix[:, 3] = 0, 0
    return matrix


def _last(like: Tensor) -> Tensor:
    """Return the projection on the homogeneous coordinate, [4, 4]."""
    matrix = like.new_zeros(4, 4)
    matrix[3, 3] = 1
    return matrix
