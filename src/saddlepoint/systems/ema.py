"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


def frozen_copy(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode that receives no gradients: what an average starts from."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, decay: float, updates: int) -> None:
    """Move ``average`` towards ``network``: θ' ← βθ' + (1-β)θ with β = min(decay, (1+t)/(10+t)).

    The ramp keeps the average close to the network in the first steps, when the initial weights would weigh too much
    (the moving average of TensorFlow with ``num_updates``). Buffers such as BatchNorm's statistics, averages
    themselves, are copied.

    Args:
        average: a :func:`frozen_copy` of ``network``.
        network: the network that trains.
        decay: β, in [0, 1).
        updates: t, the updates that ``network`` has had.
    """
    weight = 1.0 - min(decay, (1 + updates) / (10 + updates))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)
    if buffers := list(average.buffers()):
        torch._foreach_copy_(buffers, list(network.buffers()))
