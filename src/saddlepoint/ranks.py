"""What the processes of one run tell each other about a batch; on one process, nothing happens."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Return how many processes play this game."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def mean(value: Tensor) -> Tensor:
    """Return the mean of a detached tensor over all ranks, the same bits on each; for parts that keep a state."""
    value = value.detach()
    if (size := world_size()) == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / size


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all ranks, [N_0 + N_1 + …, ...], so that a loss can compare a whole batch.

    The gradient reaches this rank's rows only, times the number of ranks: as gradients of weights are averaged over the
    ranks afterwards, the outcome is the gradient of the whole batch's loss. Ranks may have different numbers of rows.
    """
    return gather_with_place(rows)[0]


def gather_with_place(rows: Tensor) -> tuple[Tensor, slice]:
    """Return the rows of all ranks as :func:`gather` does, and where this rank's are among them."""
    size = world_size()
    if size == 1:
        return rows, slice(len(rows))
    counts = torch.zeros(size, dtype=torch.long, device=rows.device)
    counts[dist.get_rank()] = len(rows)
    dist.all_reduce(counts)
    lengths = counts.tolist()
    padded = rows.detach().new_zeros((max(lengths), *rows.shape[1:]))
    padded[: len(rows)] = rows.detach()
    everyone = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(everyone, padded)
    shares = [share[:length] for share, length in zip(everyone, lengths, strict=True)]
    # To the bit what the other ranks see of them: the difference is zero, and its gradient is not.
    shares[dist.get_rank()] = rows.detach() + (rows - rows.detach()) * size
    first = sum(lengths[: dist.get_rank()])
    return torch.cat(shares), slice(first, first + len(rows))
