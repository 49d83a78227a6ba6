"""Running statistics of BatchNorm and spectral norm: which networks have them, and how to freeze them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from saddlepoint.networks.layers.spectral_norm import SpectralNorm


def uses_batch_statistics(network: nn.Module) -> bool:
    """Whether a network has BatchNorm, under which a sample's output in training depends on the others of its batch.

    >>> uses_batch_statistics(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    True
    """
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def compares_samples(network: nn.Module) -> bool:
    """Whether a sample's output in training depends on the others of its batch, by BatchNorm or by design.

    Then real and generated samples may not share one forward pass. Layers that compare by design, such as minibatch
    discrimination, say so by an attribute ``batch_coupled``.
    """
    return uses_batch_statistics(network) or any(getattr(m, "batch_coupled", False) for m in network.modules())


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Leave every running statistic of ``network`` as it is, to the bit, while it runs.

    BatchNorm in training mode still normalises by the batch, while its running mean, variance and count stay; spectral
    norm still divides by its estimate, while its vector u stays. For passes on samples that are neither data nor
    generated, such as a penalty's interpolates.
    """
    batch_norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    spectral_norms = [module for module in network.modules() if isinstance(module, SpectralNorm)]
    tracked = [module.track_running_stats for module in batch_norms]
    frozen = [module.frozen for module in spectral_norms]
    # In training mode a BatchNorm that does not track passes no buffers to the kernel; in eval mode it uses them still.
    for batch_norm in batch_norms:
        batch_norm.track_running_stats = False
    for spectral_norm in spectral_norms:
        spectral_norm.frozen = True
    try:
        yield
    finally:
        for batch_norm, was_tracked in zip(batch_norms, tracked, strict=True):
            batch_norm.track_running_stats = was_tracked
        for spectral_norm, was_frozen in zip(spectral_norms, frozen, strict=True):
            spectral_norm.frozen = was_frozen
