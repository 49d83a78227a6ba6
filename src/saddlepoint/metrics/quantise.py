"""From what a generator says to what a viewer sees: images in 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor


def quantise(images: Tensor) -> Tensor:
    """Clamp and round images to the 256 levels that a file holds.

    Metrics judge these, not floats: real images come from files, and truncation instead of rounding (or a value just
    above 1 that wraps to 0) moves scores.

    Args:
        images: float [...], nominally in [-1, 1]; what lies outside is clamped.

    Returns:
        uint8 [...], ``round((x + 1) * 127.5)`` in [0, 255], halves to even.

    Raises:
        FloatingPointError: ``images`` hold NaN or infinite values, which have no level.

    >>> quantise(torch.tensor([-1.0, 0.0, 1.004]))
    tensor([  0, 128, 255], dtype=torch.uint8)
    """
    images = images.float()
    if not torch.isfinite(images).all():
        raise FloatingPointError("images hold NaN or infinite values: the generator has diverged")
    return ((images + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
