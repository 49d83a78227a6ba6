"""Nearest neighbours and closest pairs, computed block by block, for all scores that compare single images.

Matrix products in float32 give a few more candidates than needed, without storing an n × n matrix. The candidates'
distances are then computed from differences in float64, so that an exact copy has distance zero, which it would not
have by ‖a‖² + ‖b‖² - 2aᵀb. Rows whose candidates are too close to each other for float32 to rank them, as in the tight
clusters of a collapsed generator, are ranked again in float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from saddlepoint.metrics.float32 import full_float32

BLOCK = 1024
"""Rows compared at once; the 4 MB of their distances fit into a core's cache."""
GROUP = 16
"""Size of the groups of rows whose minimum is compared first."""
SPARE = 1
"""Number of candidates beyond those that are returned."""
ROUNDING = 4.0
"""Bound on the rounding error of a sum of D products, in units of √D: 4 standard deviations of a random walk."""


def nearest_neighbours(
    rows: Tensor,
    neighbours: int,
    among: Tensor | None = None,
    block: int = BLOCK,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Return each row's nearest rows by Euclidean distance.

    Args:
        rows: [N, D] of any real type, finite.
        neighbours: k, limited to the number of available rows.
        among: the rows to search, [M, D]; by default the other rows, N > 1.
        block: rows compared at once; memory is of order ``block²``.
        device: where the products are computed.

    Returns:
        Distances float64 [N, k], ascending, and indices long [N, k] into ``among`` or ``rows``, on the CPU.

    Raises:
        ValueError: there is no other row.
    """
    others = rows if among is None else among
    there = len(others) - (among is None)
    if there < 1:
        raise ValueError("nearest neighbours need at least one other row")
    k, candidates = min(neighbours, there), min(neighbours + SPARE, there)
    table = Table(others, block, device)
    with full_float32(table.device):
        nearest = among_themselves(table, candidates) if among is None else among_others(rows, table, candidates)
        indices = nearest.indices.cpu()
        distances, indices = exact_distances(rows, others, indices)
        # Rows that are not candidates are at least as far as the last candidate, up to float32 rounding, and >= 0.
        norms = torch.cat([table.shifted(part).square().sum(1) for part in rows.split(block)])
        limit = (nearest.squares[:, -1] - table.rounding(norms)).cpu()
        farthest = distances[:, k - 1]
        doubtful = ((farthest > 0) & (farthest.square() > limit)).nonzero().flatten()
        if candidates < there and len(doubtful):
            finer = Table(others, block, device, torch.float64)
            nearest = among_others(rows[doubtful], finer, candidates, doubtful if among is None else None)
            again = exact_distances(rows[doubtful], others, nearest.indices.cpu())
            distances[doubtful], indices[doubtful] = again
    return distances[:, :k], indices[:, :k]


class Table:
    """Rows to compare with, in blocks. They are centred, which preserves distances and reduces rounding errors.

    Args:
        rows: [M, D] of any real type.
        size: rows in a block.
        device: of the blocks.
        dtype: of the blocks.

    Attributes:
        norms: squared, [M].
    """

    def __init__(
        self, rows: Tensor, size: int = BLOCK, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.device = torch.device(device)
        if self.device.type == "mps":  # it has no float64
            self.device = torch.device("cpu")
        self.rows, self.size, self.dtype = rows.to(self.device), size, dtype
        total = torch.stack([part.double().sum(0) for part in self.rows.split(size)]).sum(0)
        self.centre = (total / len(rows)).to(torch.promote_types(rows.dtype, dtype))
        self.norms = torch.cat([block.square().sum(1) for _, block in self])

    def __iter__(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the blocks, each with its slice."""
        yield from self.since(0)

    def since(self, start: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield the blocks from row ``start`` on."""
        for first in range(start, len(self.rows), self.size):
            place = slice(first, min(first + self.size, len(self.rows)))
            yield place, self.shifted(self.rows[place])

    def shifted(self, rows: Tensor) -> Tensor:
        """Return rows [N, D] centred like the blocks, and on their device."""
        return (rows.to(self.device) - self.centre).to(self.dtype)

    def squares(self, queries: Tensor, norms: Tensor, place: slice, block: Tensor) -> Tensor:
        """Return the squared distances, up to rounding, between centred queries [B, D] and a block, [B, len(block)]."""
        return torch.addmm(self.norms[place], queries, block.T, alpha=-2).add_(norms[:, None])

    def rounding(self, norms: Tensor) -> Tensor:
        """Return a bound on the rounding error of the squared distances of rows with these squared norms."""
        unit = torch.finfo(self.dtype).eps / 2 * ROUNDING * max(self.rows.shape[1], 4) ** 0.5
        return (norms + self.norms.max()) * unit


class Nearest:
    """The nearest candidates of N rows so far: ``squares`` [N, k], ascending, and ``indices`` long [N, k]."""

    def __init__(self, n: int, k: int, like: Tensor) -> None:
        self.squares = like.new_full((n, k), torch.inf)
        self.indices = torch.zeros((n, k), dtype=torch.long, device=like.device)

    def offer(self, place: slice, squares: Tensor, start: int, dim: int = 1) -> None:
        """Update the candidates of the rows at ``place`` with their squared distances to M further rows.

        Args:
            place: B rows.
            squares: [B, M], or [M, B].
            start: index of the first of the M.
            dim: the dimension of the M in ``squares``.
        """
        k, m = self.squares.shape[1], squares.shape[dim]
        # A group is every (M / size)-th row. A row's k nearest are in the k groups with the smallest minima, so only
        # few distances are sorted; and as the search proceeds, fewer rows have any nearer candidate.
        size = GROUP if m % GROUP == 0 else 1
        groups = squares.unflatten(dim, (size, -1)).amin(dim)
        if dim == 0:
            squares, groups = squares.T, groups.T.contiguous()
        hits = (groups < self.squares[place, -1:]).sum(1)
        better = hits.nonzero().flatten()
        if not len(better):
            return
        near = groups[better].topk(min(k, int(hits.max())), largest=False, sorted=False).indices
        columns = (near[:, :, None] + torch.arange(0, m, m // size, device=near.device)).flatten(1)
        found = squares[better[:, None], columns]
        better += place.start
        self.squares[better], order = torch.cat([self.squares[better], found], 1).topk(k, largest=False)
        self.indices[better] = torch.cat([self.indices[better], columns + start], 1).gather(1, order)


def among_themselves(table: Table, k: int) -> Nearest:
    """Return each row's k nearest other rows; each pair of blocks is multiplied once."""
    nearest = Nearest(len(table.rows), k, table.norms)
    for mine, queries in table:
        for theirs, block in table.since(mine.start):
            squares = table.squares(queries, table.norms[mine], theirs, block)
            if theirs == mine:
                squares.fill_diagonal_(torch.inf)
            else:
                nearest.offer(theirs, squares, mine.start, dim=0)
            nearest.offer(mine, squares, theirs.start)
    return nearest


def among_others(rows: Tensor, table: Table, k: int, own: Tensor | None = None) -> Nearest:
    """Return each row's k nearest rows of a table, for rows [N, D]; ``own`` [N] are rows of the table to exclude."""
    nearest = Nearest(len(rows), k, table.norms)
    for first in range(0, len(rows), table.size):
        mine = slice(first, min(first + table.size, len(rows)))
        queries = table.shifted(rows[mine])
        norms = queries.square().sum(1)
        for theirs, block in table:
            squares = table.squares(queries, norms, theirs, block)
            if own is not None:
                column = own[mine].to(table.device) - theirs.start
                inside = ((column >= 0) & (column < len(block))).nonzero().flatten()
                squares[inside, column[inside]] = torch.inf
            nearest.offer(mine, squares, theirs.start)
    return nearest


def exact_distances(rows: Tensor, others: Tensor, indices: Tensor, block: int = 128) -> tuple[Tensor, Tensor]:
    """Return candidates sorted by their distances in float64.

    Args:
        rows: [N, D].
        others: [M, D].
        indices: long [N, k] into ``others``.
        block: rows processed at once.

    Returns:
        Distances float64 [N, k], ascending, and indices in that order.
    """
    parts = []
    for mine, theirs in zip(rows.split(block), indices.split(block), strict=True):
        query = mine.double()
        columns = [torch.linalg.vector_norm(query - others[column].double(), dim=1) for column in theirs.T]
        parts.append(torch.stack(columns, 1))
    distances, order = torch.cat(parts).sort(dim=1, stable=True)
    return distances, indices.gather(1, order)


def closest_pairs(
    distances: Tensor, indices: Tensor, pairs: int, rows: Tensor | None = None, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Return the closest unordered pairs of rows.

    Args:
        distances: float64 [N, k], from :func:`nearest_neighbours` among the rows themselves.
        indices: long [N, k].
        pairs: maximum number of pairs.
        rows: [N, D]. If given, the result is exact: rows whose k neighbours are all nearer than the last of the pairs
            may have more such neighbours, which are searched for. Otherwise only the given neighbours are considered.
        device: where the products are computed.

    Returns:
        Long [P, 2] with the smaller index first, and float64 [P], ascending.
    """
    n, k = indices.shape
    first = torch.arange(n)
    known = unordered(first.repeat_interleave(k), indices.flatten(), distances.flatten())
    if rows is not None and k < n - 1:
        reach = known[1][pairs - 1] if len(known[1]) >= pairs else torch.inf
        crowded = first[distances[:, -1] < reach]
        if len(crowded):
            lengths, others = nearest_neighbours(rows[crowded], pairs + 1, rows, device=device)
            firsts = crowded[:, None].expand_as(others)
            real = firsts != others  # this search finds each row itself too
            known = unordered(
                torch.cat([known[0][:, 0], firsts[real]]),
                torch.cat([known[0][:, 1], others[real]]),
                torch.cat([known[1], lengths[real]]),
            )
    return known[0][:pairs], known[1][:pairs]


def unordered(first: Tensor, second: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
    """Return each pair once, long [P, 2] with the smaller index first, and the distances, ascending."""
    both = torch.stack([first, second], 1).sort(1).values
    both, inverse = both.unique(dim=0, return_inverse=True)
    shortest = torch.zeros(len(both), dtype=torch.float64).index_copy(0, inverse, distances)
    shortest, order = shortest.sort(stable=True)
    return both[order], shortest
