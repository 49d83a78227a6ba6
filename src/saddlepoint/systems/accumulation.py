"""Gradient accumulation: a batch larger than memory in pieces, whose gradients add up to those of the whole batch."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from saddlepoint import trees
from saddlepoint.errors import UserError
from saddlepoint.types import Batch


def pieces(batch: Batch, count: int) -> list[tuple[Batch, float]]:
    """Split a batch in pieces of nearly equal size, each with its share of the samples.

    Args:
        batch: of n samples.
        count: pieces, >= 1; fewer where a piece would have less than the two samples that BatchNorm needs.

    Returns:
        Pairs (piece, share), in order; the shares sum to 1. Pieces are views.

    >>> import torch
    >>> from saddlepoint.types import VectorBatch
    >>> [(len(piece), share) for piece, share in pieces(VectorBatch(torch.zeros(8, 2)), 3)]
    [(3, 0.375), (3, 0.375), (2, 0.25)]
    """
    n = len(batch)
    count = max(1, min(count, n // 2))
    if count == 1:
        return [(batch, 1.0)]
    return [(piece, len(piece) / n) for piece in trees.split(batch, count)]


def check_separable(accumulate: int, parts: Mapping[str, nn.Module]) -> None:
    """Refuse accumulation where the mean over pieces is not the value of the batch.

    Args:
        accumulate: pieces of a batch.
        parts: losses, regularizers, augments and networks by name.

    Raises:
        UserError: naming a part whose value depends on the whole batch at once.
    """
    if accumulate == 1:
        return
    for name, part in parts.items():
        for module in part.modules():
            if getattr(module, "batch_coupled", False):
                raise UserError(
                    f"{type(module).__name__} ({name}) compares the samples of a batch with one another, so a batch "
                    f"cannot be split in {accumulate} pieces",
                    "accumulate",
                    "set it to 1",
                )
