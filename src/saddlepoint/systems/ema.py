"""Exponential moving averages of networks' weights."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn


def frozen_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network in evaluation mode, without gradients: the initial average."""
    return copy.deepcopy(network).eval().requires_grad_(False)


class Tensors(NamedTuple):
    """The tensors of an averaged network and of the network itself, in the same order.

    Attributes:
        weights: parameters of the average.
        of_network: parameters of the network.
        buffers: buffers of the average.
        buffers_of_network: buffers of the network.
    """

    weights: tuple[Tensor, ...]
    of_network: tuple[Tensor, ...]
    buffers: tuple[Tensor, ...]
    buffers_of_network: tuple[Tensor, ...]


def tensors_of(average: nn.Module, network: nn.Module) -> Tensors:
    """Return the tensors of an average and of its network.

    Call it once per run, since walking both module trees takes longer than updating small tensors, and after the
    networks have been moved to their device, since moving a module replaces its buffers.
    """
    return Tensors(
        tuple(average.parameters()), tuple(network.parameters()), tuple(average.buffers()), tuple(network.buffers())
    )


def warmed_up(decay: float, updates: int) -> float:
    """Return β = min(decay, (1+t)/(10+t)) of the t-th update.

    The warm-up, which is that of TensorFlow's moving average with ``num_updates``, keeps the initial weights from
    dominating the average.
    """
    return min(decay, (1 + updates) / (10 + updates))


def of_half_life(half_life: float, images: int) -> float:
    """Return β = ½^(images / half-life) of an update (Karras et al. 2020, arXiv:1912.04958), 0 for a half-life of 0.

    Args:
        half_life: number of training images after which a weight's share in the average is halved.
        images: number of training images since the last update.

    >>> of_half_life(1000, 500) ** 2
    0.5000000000000001
    """
    return 0.5 ** (images / half_life) if half_life > 0 else 0.0


@torch.no_grad()
def update(tensors: Tensors, decay: float) -> None:
    """Update an average: θ' ← βθ' + (1-β)θ. Buffers, such as BatchNorm's running statistics, are copied.

    Args:
        tensors: tensors of the average and of the network.
        decay: β, in [0, 1).
    """
    torch._foreach_lerp_(tensors.weights, tensors.of_network, 1.0 - decay)
    if tensors.buffers:
        torch._foreach_copy_(tensors.buffers, tensors.buffers_of_network)
