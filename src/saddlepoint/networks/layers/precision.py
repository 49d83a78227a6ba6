"""Where half precision is not good enough."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def at_least_float32(x: Tensor) -> Tensor:
    """Lift bf16 and fp16 to float32, and leave float32 and float64 as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(device: torch.device) -> torch.autocast:
    """Return a context in which autocast is off on ``device``."""
    return torch.autocast(device.type, enabled=False)


class ScoreLayer(nn.Linear):
    """Features [N, F] to logits [N], in float32 even under autocast.

    A logit in bf16 keeps three digits, while a Wasserstein loss is a small difference of large scores.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, 1)

    def forward(self, input: Tensor) -> Tensor:
        """Map features [N, F] to logits [N]."""
        with full_precision(input.device):
            return super().forward(at_least_float32(input)).squeeze(1)
