"""The Laplacian pyramid: Burt & Adelson 1983, "The Laplacian Pyramid as a Compact Image Code".

With operators d(.), which halves an image, and u(.), which enlarges one, an image I is represented by

    I_0 = I,  I_{k+1} = d(I_k),  h_k = I_k - u(I_{k+1}) for k < K,  h_K = I_K.

Since I_k = h_k + u(I_{k+1}), it can be reconstructed exactly for any d and u. Here d is the mean over blocks of 2×2
pixels, and u is bilinear interpolation. A side of odd length n is halved to (n + 1) / 2, so any size is supported.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import interpolate


def sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Return the sizes of the levels, finest first.

    >>> sizes(28, 14, 4)
    [(28, 14), (14, 7), (7, 4), (4, 2)]
    """
    found = [(height, width)]
    while len(found) < levels:
        found.append(((found[-1][0] + 1) // 2, (found[-1][1] + 1) // 2))
    return found


def down(images: Tensor) -> Tensor:
    """Return d(I), images of half the size: means over 2×2 pixels, or over an odd side over overlapping blocks.

    Args:
        images: [N, C, H, W].
    """
    return interpolate(images, sizes(images.shape[2], images.shape[3], 2)[1], mode="area")


def up(images: Tensor, size: Sequence[int]) -> Tensor:
    """Return u(I), images [N, C, H, W] that are enlarged to ``size``, (H', W')."""
    return interpolate(images, tuple(size), mode="bilinear", align_corners=False)


def gaussian_pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """Return I_0 … I_{levels - 1} of images [N, C, H, W]."""
    found = [images]
    while len(found) < levels:
        found.append(down(found[-1]))
    return found
