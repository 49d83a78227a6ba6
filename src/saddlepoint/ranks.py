"""Collective operations over the ranks of a run; without a process group they return their input."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Return the number of ranks."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def mean(value: Tensor) -> Tensor:
    """Return the mean over ranks of a tensor, detached; bitwise the same on all ranks."""
    value = value.detach()
    if (size := world_size()) == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / size


@torch.no_grad()
def maximum(number: int, device: torch.device) -> int:
    """Return the largest of the ranks' numbers, on all ranks."""
    if world_size() == 1:
        return number
    value = torch.tensor(number, device=device)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return int(value)


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all ranks, [N_0 + N_1 + …, ...], for losses of the whole batch.

    Only this rank's rows have a gradient, which is multiplied by the number of ranks, so averaging the gradients of
    weights over ranks gives the gradient of the whole batch's loss. Ranks may have different numbers of rows.
    """
    return gather_with_place(rows)[0]


def gather_with_place(rows: Tensor) -> tuple[Tensor, slice]:
    """Return the rows of all ranks as in :func:`gather`, and the slice of this rank's rows."""
    size = world_size()
    if size == 1:
        return rows, slice(len(rows))
    counts = torch.zeros(size, dtype=torch.long, device=rows.device)
    counts[dist.get_rank()] = len(rows)
    dist.all_reduce(counts)
    lengths = counts.tolist()
    padded = rows.detach().new_zeros((max(lengths), *rows.shape[1:]))
    padded[: len(rows)] = rows.detach()
    gathered = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(gathered, padded)
    shares = [share[:length] for share, length in zip(gathered, lengths, strict=True)]
    # The second term is zero, so the value is bitwise that of the other ranks, but its gradient is not.
    shares[dist.get_rank()] = rows.detach() + (rows - rows.detach()) * size
    first = sum(lengths[: dist.get_rank()])
    return torch.cat(shares), slice(first, first + len(rows))
