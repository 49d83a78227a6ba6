"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn


def frozen_copy(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode that receives no gradients: what an average starts from."""
    return copy.deepcopy(network).eval().requires_grad_(False)


class Tensors(NamedTuple):
    """The tensors of an average and of its network, in the same order.

    Attributes:
        weights: the average's.
        of_network: what they follow.
        buffers: the average's.
        buffers_of_network: what they are copies of.
    """

    weights: tuple[Tensor, ...]
    of_network: tuple[Tensor, ...]
    buffers: tuple[Tensor, ...]
    buffers_of_network: tuple[Tensor, ...]


def tensors_of(average: nn.Module, network: nn.Module) -> Tensors:
    """List the tensors of a :func:`frozen_copy` and of its network.

    Once a run, for walking both module trees costs more than moving small tensors does; on the device where they train,
    for moving a module replaces its buffers; and anew where a network grows.
    """
    return Tensors(
        tuple(average.parameters()), tuple(network.parameters()), tuple(average.buffers()), tuple(network.buffers())
    )


@torch.no_grad()
def update(tensors: Tensors, decay: float, updates: int) -> None:
    """Move an average towards its network: θ' ← βθ' + (1-β)θ with β = min(decay, (1+t)/(10+t)).

    The ramp keeps the average close to the network in the first steps, when the initial weights would weigh too much
    (the moving average of TensorFlow with ``num_updates``). Buffers such as BatchNorm's statistics, averages
    themselves, are copied.

    Args:
        tensors: of both.
        decay: β, in [0, 1).
        updates: t, the updates that ``network`` has had.
    """
    weight = 1.0 - min(decay, (1 + updates) / (10 + updates))
    torch._foreach_lerp_(tensors.weights, tensors.of_network, weight)
    if tensors.buffers:
        torch._foreach_copy_(tensors.buffers, tensors.buffers_of_network)
