"""Sharpness and contrast of images, which affect the rate of near copies.

Blur and low contrast reduce the distances between different samples; noise increases those between copies.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LIMIT = 0.2
"""Difference in log-sharpness above which the duplicate metrics give no verdict.

Measured on digits, MNIST and CIFAR-10: a Gaussian blur of σ = 0.4 pixels lowers log-sharpness by 0.07 to 0.10, one of
σ = 0.5 by 0.24 to 0.28. Train and held-out splits differ by at most 0.02, and random sets of ten images from the whole
by 0.03 to 0.07 (1 σ).
"""
CONTRAST_LIMIT = 0.3
"""The same for log-contrast: single classes of digits and MNIST differ from the whole by at most 0.24, random sets of
ten images of CIFAR-10 by 0.12 (1 σ)."""
BLUR = 1.0
"""σ in pixels of the blurred baseline."""
NOISE = 25.0
"""σ in gray levels of the noised baseline, a tenth of the range."""


def log_sharpness(images: Tensor) -> Tensor:
    """Return the log of the ratio between the energies of each image's second and first differences.

    With x_i the pixels of a row or column, the ratio is Σ (x_{i+1} - 2 x_i + x_{i-1})² / Σ (x_{i+1} - x_i)², the mean
    of 2 - 2 cos ω over the spectrum of the gradient: 4 for alternating pixels, 3 for white noise, 2 for a white
    gradient, near 0 for smooth ramps. It does not depend on contrast or brightness, and little on the subject.

    Args:
        images: uint8 [N, C, H, W] of at least 3x3 pixels.

    Returns:
        Float32 [N]; 0 for a constant image.

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
    """Return the log of each image's standard deviation over pixels and channels, in gray levels, clamped to >= 1.

    Args:
        images: uint8 [N, C, H, W].

    Returns:
        Float32 [N].
    """
    return images.float().flatten(1).std(1, correction=0).clamp_min(1).log()


def sharpness_and_contrast(images: Tensor) -> Tensor:
    """Return log-sharpness and log-contrast of uint8 images [N, C, H, W], float32 [N, 2]."""
    return torch.stack([log_sharpness(images), log_contrast(images)], 1)


def mismatch(sharpness: float, contrast: float) -> str | None:
    """Return why the near copies of samples and of real images are not comparable, or None if they are.

    Args:
        sharpness: median log-sharpness of the samples minus that of real images.
        contrast: median log-contrast of the samples minus that of real images.

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
    """Return uint8 images [N, C, H, W] blurred by a Gaussian of ``sigma`` pixels, with replicated borders."""
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(images.shape[1], 1, 1, 1)
    x = functional.pad(images.float(), (reach,) * 4, mode="replicate")
    x = functional.conv2d(x, kernel, groups=images.shape[1])
    x = functional.conv2d(x, kernel.transpose(2, 3), groups=images.shape[1])
    return x.round().clamp(0, 255).to(torch.uint8)


def noised(images: Tensor, random: torch.Generator, sigma: float = NOISE) -> Tensor:
    """Return uint8 images with Gaussian noise of ``sigma`` gray levels added, rounded and clamped."""
    noise = sigma * torch.randn(images.shape, generator=random)
    return (images.float() + noise).round().clamp(0, 255).to(torch.uint8)
