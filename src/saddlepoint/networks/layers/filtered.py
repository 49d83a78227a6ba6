"""Up- and downsampling by 2 with the binomial low-pass filter [1, 3, 3, 1] in each direction.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", arXiv:1912.04958, with the filter of the
published code. Images are padded with zeros. The filters are sums of shifted images, since depthwise convolutions have
slow second derivatives.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def blur(x: Tensor, padding: int, stride: int = 1, gain: float = 1.0) -> Tensor:
    """Convolve each channel with [1, 3, 3, 1] ⊗ [1, 3, 3, 1], scaled to the sum ``gain``.

    Args:
        x: [N, C, H, W].
        padding: number of zeros on each side.
        stride: of the convolution.
        gain: sum of the filter.

    Returns:
        [N, C, (H + 2·padding - 4) // stride + 1, (W + 2·padding - 4) // stride + 1].
    """
    x = pad(x, [padding] * 4)
    for dim in (2, 3):
        count = (x.shape[dim] - 4) // stride + 1
        a, b, c, d = (_every(x, dim, start, count, stride) for start in range(4))
        x = ((a + d) + (b + c) * 3) * (gain**0.5 / 8)
    return x


def filter_down(x: Tensor) -> Tensor:
    """Return images of half the size: [N, C, H, W] → [N, C, H / 2, W / 2], for even H and W."""
    return blur(x, padding=1, stride=2)


def filter_up(x: Tensor) -> Tensor:
    """Return images of twice the size: zeros are inserted between pixels, then filtered with the sum 4.

    Each of the two new pixels is ¾ of the nearest one and ¼ of the next: [N, C, H, W] → [N, C, 2H, 2W].
    """
    for dim in (2, 3):
        n = x.shape[dim]
        padded = pad(x, [0, 0, 1, 1] if dim == 2 else [1, 1])
        before, after = padded.narrow(dim, 0, n), padded.narrow(dim, 2, n)
        x = torch.stack([(x * 3 + before) / 4, (x * 3 + after) / 4], dim + 1).flatten(dim, dim + 1)
    return x


def _every(x: Tensor, dim: int, start: int, count: int, stride: int) -> Tensor:
    """Return ``count`` rows or columns, from ``start``, every ``stride``-th."""
    rows = slice(start, start + (count - 1) * stride + 1, stride)
    return x[:, :, rows] if dim == 2 else x[:, :, :, rows]
