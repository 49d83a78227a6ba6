"""Seeded random choices of a data set's rows, and the interface through which metrics read a data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from saddlepoint import randomness
from saddlepoint.types import DataInfo, Split


class RealData(Protocol):
    """The interface of data sets for metrics."""

    @property
    def info(self) -> DataInfo:
        """Shape, classes, sizes and fingerprint."""

    def uint8_batches(self, split: Split, batch_size: int = 500) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield uint8 [N, C, H, W] and labels, long [N] or None, of the whole split in a fixed order."""


def permutation(n: int, seed: int, purpose: str) -> Tensor:
    """Return a permutation of ``range(n)`` keyed by seed and purpose; each prefix is a uniformly random subset."""
    return torch.randperm(n, generator=randomness.generator("cpu", seed, purpose))


def selection(size: int, n: int, seed: int) -> Tensor:
    """Return a seeded choice of n out of ``size`` rows, as a mask, bool [size]; smaller choices are subsets of larger.

    >>> int(selection(1000, 10, seed=0).sum())
    10
    """
    mask = torch.zeros(size, dtype=torch.bool)
    mask[permutation(size, seed, "real rows")[:n]] = True
    return mask


def as_many_as_real(n: int, real: int, seed: int) -> Tensor:
    """Return the ascending indices of a seeded choice of ``real`` out of n samples, long [min(real, n)]."""
    return permutation(n, seed, "as many as real")[:real].sort().values


def selected_batches(real: RealData, split: Split, n: int, seed: int) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    """Yield a split's batches of images and labels with the indices, long [k], of those in :func:`selection` of n."""
    mask, start = selection(real.info.sizes[split], n, seed), 0
    for images, labels in real.uint8_batches(split):
        yield images, labels, mask[start : start + len(images)].nonzero().flatten()
        start += len(images)
