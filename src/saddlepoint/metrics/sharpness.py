"""How sharp and how rich in contrast images are: what else than collapse makes samples look like copies of each other.

Blur and faint contrast bring different samples nearer, and noise drives copies apart.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LIMIT = 0.2
"""Gap in log-sharpness beyond which duplicates give no verdict.

Measured on digits, MNIST and CIFAR-10: a Gaussian blur of σ = 0.4 pixels costs 0.07 to 0.10 and one of σ = 0.5 0.24 to
0.28; train and held-out splits differ by 0.02 at most, and ten images drawn from them from all by 0.03 to 0.07 (1 σ).
"""
CONTRAST_LIMIT = 0.3
"""The same for log-contrast: single classes of digits and MNIST differ from all by 0.24 at most, ten images of CIFAR-10
by 0.12 (1 σ)."""
BLUR = 1.0
"""σ in pixels of the blurred control."""
NOISE = 25.0
"""σ in grey levels of the noised control, a tenth of the range."""


def log_sharpness(images: Tensor) -> Tensor:
    """Return the log of the ratio of second to first differences' energy, of each image.

    With x_i the pixels of a row or column: Σ (x_{i+1} - 2 x_i + x_{i-1})² / Σ (x_{i+1} - x_i)². It is the mean of
    2 - 2 cos ω over the gradient's spectrum: 4 for alternating pixels, 2 for white gradients, 3 for white noise, near 0
    for smooth ramps; neither contrast nor brightness move it, and the subject hardly does.

    Args:
        images: uint8 [N, C, H, W] of at least 3x3 pixels.

    Returns:
        Float32 [N]; 0 for an image of one colour.

    >>> stripes = torch.tensor([0, 255] * 4, dtype=torch.uint8).expand(1, 1, 8, 8)
    >>> round(float(log_sharpness(stripes).exp()), 3)
    3.429
    """
    x = images.float()
    across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    second_across, second_down = across[..., 1:] - across[..., :-1], down[..., 1:, :] - down[..., :-1, :]
    first = across.square().sum((1, 2, 3)) + down.square().sum((1, 2, 3))
    second = second_across.square().sum((1, 2, 3)) + second_down.square().sum((1, 2, 3))
    return torch.where(first > 0, (second.clamp_min(1) / first.clamp_min(1)).log(), 0.0)


def log_contrast(images: Tensor) -> Tensor:
    """Return the log of each image's standard deviation over all its pixels and channels, in grey levels, 1 at least.

    Args:
        images: uint8 [N, C, H, W].

    Returns:
        Float32 [N].
    """
    return images.float().flatten(1).std(1, correction=0).clamp_min(1).log()


def look(images: Tensor) -> Tensor:
    """Return log-sharpness and log-contrast of uint8 images [N, C, H, W], float32 [N, 2]."""
    return torch.stack([log_sharpness(images), log_contrast(images)], 1)


def mismatch(sharpness: float, contrast: float) -> str | None:
    """Say why samples' near copies cannot be held against real images', or None where they can.

    Args:
        sharpness: median log-sharpness of the samples less that of real images.
        contrast: median log-contrast likewise.

    >>> mismatch(0.0, -0.5)
    'samples have less contrast than real images, by -0.50 in log-contrast'
    """
    if abs(sharpness) > LIMIT:
        how = "blurrier" if sharpness < 0 else "rougher"
        return f"samples are {how} than real images, by {sharpness:+.2f} in log-sharpness"
    if abs(contrast) > CONTRAST_LIMIT:
        how = "less" if contrast < 0 else "more"
        return f"samples have {how} contrast than real images, by {contrast:+.2f} in log-contrast"
    return None


def blurred(images: Tensor, sigma: float = BLUR) -> Tensor:
    """Blur uint8 images [N, C, H, W] by a Gaussian of ``sigma`` pixels, cut at 3σ, with replicated borders."""
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(images.shape[1], 1, 1, 1)
    x = functional.pad(images.float(), (reach,) * 4, mode="replicate")
    x = functional.conv2d(x, kernel, groups=images.shape[1])
    x = functional.conv2d(x, kernel.transpose(2, 3), groups=images.shape[1])
    return x.round().clamp(0, 255).to(torch.uint8)


def noised(images: Tensor, random: torch.Generator, sigma: float = NOISE) -> Tensor:
    """Add Gaussian noise of ``sigma`` grey levels to uint8 images; clamped and rounded."""
    noise = sigma * torch.randn(images.shape, generator=random)
    return (images.float() + noise).round().clamp(0, 255).to(torch.uint8)
