"""Crops, flips, binarisation and normalization of the pixels of a batch, computed on the training device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from saddlepoint.randomness import rows


def normalise(pixels: Tensor) -> Tensor:
    """Map uint8 [N, H, W, C] to float32 [N, C, H, W], 0 to -1 and 255 to 1; the result is channels_last."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def flips(seed: int, start: int, count: int, purpose: str = "flip") -> Tensor:
    """Return whether the rows at positions ``start … start + count - 1`` are mirrored, bool [count] on the CPU."""
    return rows(lambda n, random: torch.rand(n, generator=random) < 0.5, seed, purpose, start, count)


def mirror(pixels: Tensor, flip: Tensor) -> Tensor:
    """Mirror the images, uint8 [N, H, W, C], for which ``flip``, bool [N], is True."""
    # Bitwise selection by a mask of 0 or 255 is four times as fast as torch.where on bytes. Boolean indexing would
    # synchronize with the GPU.
    mask = flip.to(torch.uint8).neg()[:, None, None, None]
    return pixels ^ ((pixels ^ pixels.flip(2)) & mask)


def thresholds(seed: int, start: int, count: int, shape: Sequence[int], purpose: str = "threshold") -> Tensor:
    """Return random thresholds for the values of the rows at positions ``start …``, uint8 [count, *shape] on the CPU.

    They are uniform on 0 … 254, so that an intensity i is above its threshold with probability i / 255.
    """

    def draw(n: int, random: torch.Generator) -> Tensor:
        return torch.randint(255, (n, *shape), generator=random, dtype=torch.uint8)

    return rows(draw, seed, purpose, start, count)


def binarise(pixels: Tensor, limits: Tensor) -> Tensor:
    """Return 255 where pixels, uint8 [N, H, W, C], are above their thresholds, and 0 elsewhere."""
    return (pixels > limits).to(torch.uint8).neg()


def corners(seed: int, start: int, count: int, jitter: int, purpose: str = "crop") -> Tensor:
    """Return the crops' top left corners at positions ``start …``, long [count, 2] in 0 … jitter on the CPU."""
    return rows(lambda n, random: torch.randint(jitter + 1, (n, 2), generator=random), seed, purpose, start, count)


def crop(pixels: Tensor, at: Tensor, jitter: int) -> Tensor:
    """Crop uint8 [N, H + jitter, W + jitter, C] to [N, H, W, C] at the corners (top, left), long [N, 2]."""
    height, width = (side - jitter for side in pixels.shape[1:3])
    windows = pixels.unfold(1, height, 1).unfold(2, width, 1).permute(0, 1, 2, 4, 5, 3)  # a view of all crops
    return windows[torch.arange(len(pixels), device=pixels.device), at[:, 0], at[:, 1]]
