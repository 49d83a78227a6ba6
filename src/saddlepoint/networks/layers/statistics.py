"""Detection and freezing of batch and running statistics: BatchNorm, spectral normalization, running means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from saddlepoint.networks.layers.running_mean import RunningMean
from saddlepoint.networks.layers.spectral_norm import SpectralNorm

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def uses_batch_statistics(network: nn.Module) -> bool:
    """Return whether a network has BatchNorm, with which outputs in training mode depend on the whole batch.

    >>> uses_batch_statistics(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    True
    """
    return any(isinstance(module, BATCH_NORMS) for module in network.modules())


def compares_samples(network: nn.Module) -> bool:
    """Return whether the output for a sample depends on the other samples of the batch in training mode.

    If so, real and generated samples need separate forward passes. Layers other than BatchNorm, such as minibatch
    discrimination, declare this by an attribute ``batch_coupled``.
    """
    return uses_batch_statistics(network) or any(getattr(m, "batch_coupled", False) for m in network.modules())


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Return a context in which forward passes do not update the running statistics of a network.

    In training mode, BatchNorm still normalizes by the statistics of the batch, and spectral normalization still
    divides by its estimate. It is used for forward passes on other samples than real and generated ones, such as the
    interpolates of a gradient penalty.
    """
    batch_norms = [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
    others = [module for module in network.modules() if isinstance(module, SpectralNorm | RunningMean)]
    tracked = [module.track_running_stats for module in batch_norms]
    frozen = [module.frozen for module in others]
    # With track_running_stats=False, BatchNorm does not update its buffers in training mode; eval mode still uses them.
    for batch_norm in batch_norms:
        batch_norm.track_running_stats = False
    for module in others:
        module.frozen = True
    try:
        yield
    finally:
        for batch_norm, was_tracked in zip(batch_norms, tracked, strict=True):
            batch_norm.track_running_stats = was_tracked
        for module, was_frozen in zip(others, frozen, strict=True):
            module.frozen = was_frozen
