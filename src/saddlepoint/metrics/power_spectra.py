"""Azimuthally averaged power spectra of images: Durall et al. 2020, arXiv:2003.01826."""

from __future__ import annotations

import torch
from torch import Tensor


def power_spectra(images: Tensor) -> Tensor:
    """Return the azimuthally averaged power spectrum of each image.

    The power |F|² of the Fourier transform of the pixels in [0, 1] is averaged over channels and over all directions at
    a distance k of the origin, rounded to integers; it is divided by the number of pixels, so that white noise of
    variance v has v everywhere. The variance of rounding to 8 bits is added, since a constant image has none.

    Args:
        images: uint8 [N, C, H, W].

    Returns:
        Float32 [N, K + 1], for k = 0 … K cycles per min(H, W) pixels, where K = min(H, W) // 2 is the frequency of
        alternating pixels.
    """
    height, width = images.shape[-2:]
    side = min(height, width)
    power = torch.fft.fft2(images.float() / 255, norm="ortho").abs().square().mean(1).flatten(1)
    down, across = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    radius = (side * torch.hypot(down[:, None], across)).round().long().flatten()
    inside = radius <= side // 2
    sums = torch.zeros(len(images), side // 2 + 1).index_add_(1, radius[inside], power[:, inside])
    return sums / torch.bincount(radius[inside]) + 1 / (12 * 255**2)
