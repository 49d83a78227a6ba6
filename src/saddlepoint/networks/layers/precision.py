"""Layers and contexts that compute in float32 under autocast."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def at_least_float32(x: Tensor) -> Tensor:
    """Return bf16 and fp16 tensors as float32, and others unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(device: torch.device) -> torch.autocast:
    """Return a context in which autocast is disabled for a device."""
    return torch.autocast(device.type, enabled=False)


class FullPrecision(nn.Linear):
    """A linear layer in float32 even under autocast, for points and codes, which need more than bf16's three digits."""

    def forward(self, input: Tensor) -> Tensor:
        """Map [N, inputs] to [N, outputs]."""
        with full_precision(input.device):
            return super().forward(at_least_float32(input))


class ScoreLayer(nn.Linear):
    """A linear layer from features [N, F] to logits [N], in float32 even under autocast.

    The three significant digits of bf16 are too few for, say, the Wasserstein loss, a small difference of large scores.
    """

    def __init__(self, features: int, bias: bool = True) -> None:
        super().__init__(features, 1, bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map features [N, F] to logits [N]."""
        with full_precision(input.device):
            return super().forward(at_least_float32(input)).squeeze(1)


class ScoreMap(nn.Conv2d):
    """A convolution of feature maps [N, F, h, w] to logits [N, 1, h', w'], in float32 even under autocast."""

    def __init__(self, features: int, kernel_size: int, padding: int = 0) -> None:
        super().__init__(features, 1, kernel_size, padding=padding)

    def forward(self, input: Tensor) -> Tensor:
        """Map feature maps [N, F, h, w] to logits [N, 1, h', w']."""
        with full_precision(input.device):
            return super().forward(at_least_float32(input))
