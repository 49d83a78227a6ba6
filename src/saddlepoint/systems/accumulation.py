"""Gradient accumulation over micro-batches, for batches that do not fit into memory."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from saddlepoint import trees
from saddlepoint.errors import UserError
from saddlepoint.turns import Turn
from saddlepoint.types import Batch


def pieces(batch: Batch, count: int) -> list[tuple[Batch, float]]:
    """Split a batch into micro-batches of nearly equal size.

    Args:
        batch: a batch of n samples.
        count: number of micro-batches, >= 1. It is reduced if a micro-batch would have fewer than two samples, the
            minimum for BatchNorm.

    Returns:
        Pairs (micro-batch, fraction of the samples), in order. The fractions sum to 1; micro-batches are views.

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
    """Check that the value of each part on a batch is the mean of its values on micro-batches.

    Args:
        accumulate: number of micro-batches.
        parts: losses, regularizers, augments and networks by name.

    Raises:
        UserError: a part depends on the whole batch at once.
    """
    if accumulate == 1:
        return
    for name, part in parts.items():
        for module in part.modules():
            if getattr(module, "batch_coupled", False):
                raise UserError(
                    f"{type(module).__name__} ({name}) depends on the whole batch at once, so a batch cannot be split "
                    f"into {accumulate} micro-batches",
                    "accumulate",
                    "set it to 1",
                )


def accumulate_logs(logs: dict[str, Tensor], player: str, record: Turn, share: float, first: bool) -> None:
    """Add the loss, logged values and logits of a micro-batch to ``logs``, as detached tensors.

    No value is read on the host, which would wait for the device.

    Args:
        logs: logged values by ``player/name``; updated in place.
        player: name of the player.
        record: the turn on the micro-batch.
        share: the micro-batch's fraction of the batch. If it is below 1, values are averaged and weighted by it.
        first: whether this is the first micro-batch, whose values replace those of the last turn.
    """
    values = {"loss": record.loss, **record.logs}
    values |= {f"logits_{kind}": output.logits for kind, output in record.outputs.items()}
    for name, value in values.items():
        value = value.detach() if share == 1 else value.detach().float().mean() * share
        key = f"{player}/{name}"
        logs[key] = value if first else logs[key] + value
