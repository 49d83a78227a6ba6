"""Translations, flips and affine maps of images.

They are implemented by ``gather``, since ``torch.nn.functional.grid_sample`` has no second derivative, which gradient
penalties through an augment need.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reflect(at: Tensor, size: int) -> Tensor:
    """Return coordinates reflected into [0, size - 1] at the outermost pixels, as in the padding mode "reflect".

    >>> reflect(torch.tensor([-2, -1, 0, 1, 2, 3, 4, 5]), 3).tolist()
    [2, 1, 0, 1, 2, 1, 0, 1]
    """
    last = size - 1
    return torch.zeros_like(at) if last == 0 else last - (at.remainder(2 * last) - last).abs()


def pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the values of each image at integer coordinates.

    Args:
        images: [N, C, H, W].
        rows: long [N, h, w] or broadcastable to it, in [0, H - 1].
        columns: likewise, in [0, W - 1].

    Returns:
        [N, C, h, w].
    """
    places = rows * images.shape[3] + columns
    flat = places.flatten(1).unsqueeze(1).expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, flat).unflatten(2, places.shape[1:])


def shift_and_flip(images: Tensor, down: Tensor, right: Tensor, flipped: Tensor) -> Tensor:
    """Return images after horizontal flips and translations, with reflection at the borders.

    Args:
        images: [N, C, H, W].
        down: downward translation in pixels, long [N].
        right: translation to the right in pixels, long [N].
        flipped: whether to flip each image before the translation, bool [N].
    """
    height, width = images.shape[2:]
    rows = reflect(torch.arange(height, device=images.device) - down[:, None], height)
    columns = reflect(torch.arange(width, device=images.device) - right[:, None], width)
    columns = torch.where(flipped[:, None], width - 1 - columns, columns)
    return pixels(images, rows[:, :, None], columns[:, None, :])


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Return images resampled under affine maps, with bilinear interpolation and reflection at the borders.

    The identity, flips and translations by whole pixels are exact.

    Args:
        images: [N, C, H, W].
        maps: maps from output coordinates (x, y, 1) to input coordinates (x, y), [N, 2 or 3, 3]. Coordinates are in
            pixels, with the origin at the centre of the image and y pointing down.
    """
    height, width = images.shape[2:]
    y = torch.arange(height, device=images.device, dtype=maps.dtype)[:, None] - (height - 1) / 2
    x = torch.arange(width, device=images.device, dtype=maps.dtype) - (width - 1) / 2
    across, along = (
        maps[:, row, 0, None, None] * x + maps[:, row, 1, None, None] * y + maps[:, row, 2, None, None]
        for row in (0, 1)
    )
    columns = reflect(across + (width - 1) / 2, width)
    rows = reflect(along + (height - 1) / 2, height)
    left, top = columns.floor(), rows.floor()
    share_right, share_below = (columns - left)[:, None], (rows - top)[:, None]
    left, top = left.long(), top.long()
    right, below = (left + 1).clamp_max(width - 1), (top + 1).clamp_max(height - 1)
    above = torch.lerp(pixels(images, top, left), pixels(images, top, right), share_right)
    under = torch.lerp(pixels(images, below, left), pixels(images, below, right), share_right)
    return torch.lerp(above, under, share_below)
