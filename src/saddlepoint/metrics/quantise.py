"""Conversion of generated images to 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor


def quantise(images: Tensor) -> Tensor:
    """Clamp and round images to the 256 levels of an image file.

    Metrics are computed on these rather than on floats: real images come from files, and truncating instead of rounding
    (or letting a value just above 1 wrap around to 0) changes scores.

    Args:
        images: float [...], nominally in [-1, 1]; values outside are clamped.

    Returns:
        uint8 [...], ``round((x + 1) * 127.5)`` in [0, 255], halves to even.

    Raises:
        FloatingPointError: ``images`` contain NaN or infinite values.

    >>> quantise(torch.tensor([-1.0, 0.0, 1.004]))
    tensor([  0, 128, 255], dtype=torch.uint8)
    """
    images = images.float()
    if not torch.isfinite(images).all():
        raise FloatingPointError("images contain NaN or infinite values: the generator has diverged")
    return ((images + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
