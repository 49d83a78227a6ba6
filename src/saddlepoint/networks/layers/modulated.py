"""Modulated convolutions.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", arXiv:1912.04958, section 2.2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from saddlepoint.networks.layers.equalized import equalize
from saddlepoint.networks.layers.filtered import blur
from saddlepoint.networks.layers.precision import at_least_float32, full_precision


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are scaled by a style, with output channels of unit variance.

    With the style s = A(w), the weights of a sample are (equations 1 and 3)

        w'_{oik} = s_i · w_{oik},  w''_{oik} = w'_{oik} / √(Σ_{i,k} w'_{oik}² + ε).

    Since a convolution is linear, the input is scaled by s and the output by 1 / √(Σ w'² + ε) instead, which needs no
    weights per sample. There is no bias and no activation. The learning rate is equalized. Styles are computed in
    float32 even under autocast.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        kernel_size: odd size of the kernel.
        style_dim: dimension of w.
        up: whether the image is doubled: a transposed convolution of stride 2, then [1, 3, 3, 1] filtering.
        demodulate: whether the weights are divided by their norm (equation 3).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        style_dim: int,
        up: bool = False,
        demodulate: bool = True,
    ) -> None:
        super().__init__()
        self.up, self.demodulate, self.padding = up, demodulate, kernel_size // 2
        self.affine = equalize(nn.Linear(style_dim, inputs), gain=1, bias=1)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.scale = 1 / math.sqrt(inputs * kernel_size**2)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map [N, inputs, H, W] and w [N, W] to [N, outputs, H, W], or to [N, outputs, 2H, 2W] with ``up``."""
        with full_precision(w.device):
            style = self.affine(at_least_float32(w))
        weight = self.weight * self.scale
        x = x * style[:, :, None, None].to(x.dtype)
        if self.up:
            x = blur(conv_transpose2d(x, weight.transpose(0, 1), stride=2), padding=1, gain=4)
        else:
            x = conv2d(x, weight, padding=self.padding)
        if not self.demodulate:
            return x
        with full_precision(w.device):
            energy = style.square() @ weight.square().sum((2, 3)).T
        return x * (energy + 1e-8).rsqrt()[:, :, None, None].to(x.dtype)

    def extra_repr(self) -> str:
        """Show the sizes."""
        outputs, inputs, size, _ = self.weight.shape
        return f"{inputs}, {outputs}, kernel_size={size}, up={self.up}, demodulate={self.demodulate}"
