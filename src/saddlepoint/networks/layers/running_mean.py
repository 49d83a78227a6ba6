"""Running means of vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningMean(nn.Module):
    """The exponential moving average of the mean of vectors over training batches, in the buffer ``mean``.

    It is a running statistic as in BatchNorm: it is averaged over ranks, copied to averaged networks, and not changed
    in evaluation mode or by :func:`~saddlepoint.networks.layers.statistics.frozen_statistics`.

    Args:
        shape: shape of a vector.
        decay: decay per forward pass.

    Attributes:
        frozen: whether forward passes leave the mean unchanged.
    """

    mean: Tensor

    def __init__(self, *shape: int, decay: float = 0.995) -> None:
        super().__init__()
        self.decay, self.frozen = decay, False
        self.register_buffer("mean", torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors [N, ...] unchanged, after updating the mean in training mode."""
        if self.training and not self.frozen:
            self.mean.lerp_(x.detach().mean(0).to(self.mean.dtype), 1 - self.decay)
        return x
