"""Pairs of samples within a given distance of each other, found block by block."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from saddlepoint.metrics.float32 import full_float32
from saddlepoint.metrics.neighbours import BLOCK

ROUNDING = 1e-5
"""Relative to ‖a‖² + ‖b‖²: a bound on the error of float32 products. Pairs closer than this to the radius are computed
again in float64."""
EXACT_VALUES = 2**22
"""Values of each of the two sides in one batch of exact distances: 32 MB."""


def near_blocks(
    rows: Tensor, radius: float, block: int = BLOCK, device: torch.device | str = "cpu"
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield which pairs of rows are near each other, block by block, in memory of order ``block²``.

    Args:
        rows: [N, D] of any real type.
        radius: two rows are near if their Euclidean distance, computed from differences in float64, is at most this.
        block: rows compared at once.
        device: where the products are computed.

    Yields:
        A first row a, a first row b >= a, and bool [A, B] on the CPU: whether rows a + i and b + j are near. On the
        diagonal (a = b) only entries with i < j can be true, so each pair is reported once.
    """
    centre = torch.stack([part.double().sum(0) for part in rows.split(block)]).sum(0) / len(rows)
    for first in range(0, len(rows), block):
        query = (rows[first : first + block].float() - centre.float()).to(device)
        for second in range(first, len(rows), block):
            keys = (rows[second : second + block].float() - centre.float()).to(device)
            norms = query.square().sum(1)[:, None] + keys.square().sum(1)
            with full_float32(query.device):  # ROUNDING is for float32; NVIDIA's containers enable TF32 globally
                excess = torch.addmm(norms, query, keys.T, alpha=-2).sub_(radius**2)
            near = excess <= 0
            doubtful = excess.abs_() <= ROUNDING * norms
            if first == second:
                near, doubtful = near.triu(1), doubtful.triu(1)
            near = near.cpu()
            pairs = doubtful.nonzero().cpu()
            for part in pairs.split(max(1, EXACT_VALUES // rows.shape[1])):
                difference = rows[first + part[:, 0]].double() - rows[second + part[:, 1]].double()
                near[part[:, 0], part[:, 1]] = difference.square().sum(1).sqrt() <= radius
            yield first, second, near


def near_copies(rows: Tensor, radius: float, block: int = BLOCK, device: torch.device | str = "cpu") -> Tensor:
    """Return the number of other rows within ``radius`` of each of the rows [N, D], long [N]."""
    counts = torch.zeros(len(rows), dtype=torch.long)
    for first, second, near in near_blocks(rows, radius, block, device):
        counts[first : first + near.shape[0]] += near.sum(1)
        counts[second : second + near.shape[1]] += near.sum(0)
    return counts


def near_pairs(rows: Tensor, radius: float, block: int = BLOCK, device: torch.device | str = "cpu") -> Tensor:
    """Return the pairs of rows [N, D] within ``radius`` of each other, long [P, 2], the smaller index first."""
    found = [near.nonzero() + torch.tensor([a, b]) for a, b, near in near_blocks(rows, radius, block, device)]
    return torch.cat(found)
