"""Masked convolutions for autoregressive models of pixels.

van den Oord et al. 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759, section 3.4: pixels are predicted row by
row, from left to right, and the channels of a pixel in the order R, G, B. The features of each layer are divided into
as many groups as the image has channels. A mask keeps only the connections from what is predicted earlier:

- mask A, of the first layer: from the pixels before, and at the pixel itself from earlier channels;
- mask B, of all other layers: at the pixel itself also from the group of the same channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad

Mask = Literal["A", "B"]
"""The two masks of section 3.4."""


class Scan:
    """The position of a pixel while an image is generated, and the layers' inputs at the pixels before.

    With a scan, layers map features [N, F, 1, 1] of one pixel instead of feature maps [N, F, H, W]. Layers that look at
    other pixels keep their inputs in the scan, so that each pixel costs one pass over one pixel.

    Args:
        height: height H of the images.
        width: width W of the images.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.row = self.column = 0
        self._maps: dict[object, Tensor] = {}
        self._rows: dict[object, tuple[int, list[Tensor]]] = {}

    def keep(self, key: object, features: Tensor) -> Tensor:
        """Store features of the current pixel, and return the map [N, F, H, W] of those stored so far.

        Args:
            key: identifies the map, such as the layer whose input it is.
            features: [N, F, 1, 1]; or those of the current row, [N, F, 1, W].
        """
        if key not in self._maps:
            size = (*features.shape[:2], self.height, self.width)
            self._maps[key] = features.new_zeros(size).to(memory_format=torch.channels_last)
        columns = slice(self.column, self.column + 1) if features.shape[3] == 1 else slice(None)
        self._maps[key][:, :, self.row : self.row + 1, columns] = features
        return self._maps[key]

    def kept(self, key: object) -> Tensor:
        """Return the map [N, F, H, W] of what was stored so far."""
        return self._maps[key]

    def once(self, key: object, compute: Callable[[], Tensor]) -> Tensor:
        """Return a tensor that does not depend on the pixel, computed at the first call.

        Args:
            key: identifies the tensor.
            compute: returns it.
        """
        if key not in self._maps:
            self._maps[key] = compute()
        return self._maps[key]

    def once_per_row(self, key: object, compute: Callable[[], list[Tensor]]) -> list[Tensor]:
        """Return features [N, F, 1, 1] at the current pixel of rows [N, F, 1, W], computed at the row's first pixel.

        Args:
            key: identifies the rows, such as the layer that computes them.
            compute: returns the rows.
        """
        if self._rows.get(key, (-1, []))[0] != self.row:
            self._rows[key] = (self.row, compute())
        return [row[:, :, :, self.column : self.column + 1] for row in self._rows[key][1]]


def groups(features: int, channels: int) -> Tensor:
    """Return the channel that each feature belongs to, long [features]: equal consecutive groups, where divisible.

    >>> groups(6, 3).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    return torch.arange(features) * channels // features


def window(features: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """Return rows [a, b) and columns [c, d) of maps [N, F, H, W], with zeros outside the maps."""
    (top, bottom), (left, right) = rows, columns
    height, width = features.shape[2:]
    inside = features[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    outside = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
    return pad(inside, outside) if any(outside) else inside


class MaskedConv2d(nn.Conv2d):
    """A convolution of k×k pixels with mask A or B, of stride 1, that keeps the size.

    The rows of the kernel below the pixel would be masked completely, so it has ⌊k/2⌋ + 1 rows only.
    """

    mask: Tensor | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int = 1,
        mask: Mask = "B",
        channels: int = 1,
        rows: int | None = None,
        gates: int = 1,
    ) -> None:
        """Build the layer.

        Args:
            inputs: number of input features.
            outputs: number of output features.
            kernel_size: k, odd.
            mask: ``A`` or ``B``.
            channels: number of channels of the image.
            rows: number of rows of the kernel, of which the last is the pixel's own; the default is ⌊k/2⌋ + 1.
            gates: number of consecutive parts of the outputs, each of which has features of all channels.
        """
        half = kernel_size // 2
        rows = half + 1 if rows is None else rows
        super().__init__(inputs, outputs, (rows, kernel_size), padding=(rows - 1, half))
        allowed = torch.ones(outputs, inputs, rows, kernel_size)
        allowed[:, :, -1, half + 1 :] = 0
        before, after = groups(inputs, channels), groups(outputs // gates, channels).repeat(gates)
        at_pixel = before < after[:, None] if mask == "A" else before <= after[:, None]
        allowed[:, :, -1, half] = at_pixel.to(allowed.dtype)
        self.register_buffer("mask", None if bool(allowed.all()) else allowed, persistent=False)

    def forward(self, input: Tensor, scan: Scan | None = None) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H, W]; with a scan, [N, inputs, 1, 1] to [N, outputs, 1, 1]."""
        if scan is not None:
            return self.of_window(input, scan) if self.kernel_size == (1, 1) else self.at(scan.keep(self, input), scan)
        maps = conv2d(input, self.masked_weight(), self.bias, padding=self.padding)
        return maps[:, :, : input.shape[2]]

    def at(self, maps: Tensor, scan: Scan) -> Tensor:
        """Map [N, inputs, H, W] to the output at the scan's pixel, [N, outputs, 1, 1]."""
        rows, columns = self.kernel_size
        top, left = scan.row + 1 - rows, scan.column - columns // 2
        return self.of_window(window(maps, (top, scan.row + 1), (left, left + columns)), scan)

    def of_window(self, seen: Tensor, scan: Scan) -> Tensor:
        """Map a window of the kernel's size to the output at its pixel; a product of matrices is faster than conv2d."""
        weight = scan.once((self, "weight"), lambda: self.masked_weight().permute(0, 2, 3, 1).flatten(1))
        pixels = seen[:, :, 0, 0] if self.kernel_size == (1, 1) else seen.permute(0, 2, 3, 1).flatten(1)
        return linear(pixels, weight, self.bias)[:, :, None, None]

    def masked_weight(self) -> Tensor:
        """Return the weights with zeros for masked connections."""
        return self.weight if self.mask is None else self.weight * self.mask
