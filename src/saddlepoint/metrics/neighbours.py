"""Nearest neighbours and closest pairs, block by block: the one routine behind all scores that compare single images.

Matrix products in float32 propose a few candidates more than are asked for, so that no n × n matrix stands in memory;
the candidates' distances are then taken from differences in float64. So an exact copy is at distance zero exactly,
which ‖a‖² + ‖b‖² - 2aᵀb would miss. Rows whose candidates lie too close together for float32 are ranked again in
float64: tight clusters, as a collapsed generator makes them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from saddlepoint.metrics.precision import full_float32

BLOCK = 1024
"""Rows compared at once: the 4 MB of their distances fit a core's cache."""
GROUP = 16
"""Rows of which only the nearest is looked at first."""
SPARE = 1
"""Candidates beyond those asked for."""
ROUNDING = 4.0
"""Rounding errors of a sum of D products, in units of √D: a random walk of D steps stays within 4 of its deviations."""


def nearest_neighbours(
    rows: Tensor,
    neighbours: int,
    among: Tensor | None = None,
    block: int = BLOCK,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Find each row's nearest rows by Euclidean distance.

    Args:
        rows: [N, D] of any real type, finite.
        neighbours: how many a row, cut to what there is.
        among: where to look, [M, D]; by default among the other rows, N > 1.
        block: rows compared at once; memory is of order ``block²``.
        device: where the products run.

    Returns:
        Distances float64 [N, k], ascending, and indices long [N, k] into ``among`` or ``rows``, on the CPU.

    Raises:
        ValueError: there is no row to be near to.
    """
    others = rows if among is None else among
    there = len(others) - (among is None)
    if there < 1:
        raise ValueError("a nearest neighbour needs another row")
    k, candidates = min(neighbours, there), min(neighbours + SPARE, there)
    table = Table(others, block, device)
    with full_float32(table.device):
        nearest = among_themselves(table, candidates) if among is None else among_others(rows, table, candidates)
        indices = nearest.indices.cpu()
        distances, indices = exact_distances(rows, others, indices)
        # A row that was not proposed is no nearer than the last candidate, as far as float32 can tell, nor than 0.
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
    """Rows to compare with, block by block, shifted to their mean: distances stay, but norms and rounding shrink.

    Args:
        rows: [M, D] of any real type.
        size: rows in a block.
        device: where blocks are wanted.
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
        """Yield the blocks, each with its place."""
        yield from self.since(0)

    def since(self, start: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield the blocks from row ``start`` on."""
        for first in range(start, len(self.rows), self.size):
            place = slice(first, min(first + self.size, len(self.rows)))
            yield place, self.shifted(self.rows[place])

    def shifted(self, rows: Tensor) -> Tensor:
        """Return rows [N, D] as the blocks are: on the device, shifted."""
        return (rows.to(self.device) - self.centre).to(self.dtype)

    def squares(self, queries: Tensor, norms: Tensor, place: slice, block: Tensor) -> Tensor:
        """Return the squared distances, up to rounding, of shifted queries [B, D] from a block, [B, len(block)]."""
        return torch.addmm(self.norms[place], queries, block.T, alpha=-2).add_(norms[:, None])

    def rounding(self, norms: Tensor) -> Tensor:
        """Return by how much the squared distances of rows with these squared norms may be off."""
        unit = torch.finfo(self.dtype).eps / 2 * ROUNDING * max(self.rows.shape[1], 4) ** 0.5
        return (norms + self.norms.max()) * unit


class Nearest:
    """The nearest candidates so far of N rows: ``squares`` [N, k], ascending, and ``indices`` long [N, k]."""

    def __init__(self, n: int, k: int, like: Tensor) -> None:
        self.squares = like.new_full((n, k), torch.inf)
        self.indices = torch.zeros((n, k), dtype=torch.long, device=like.device)

    def offer(self, place: slice, squares: Tensor, start: int, dim: int = 1) -> None:
        """Take what is nearer among squared distances of the rows at ``place`` from rows ``start``, ``start`` + 1, ….

        Args:
            place: B rows.
            squares: [B, M], or [M, B].
            start: of the M.
            dim: where in ``squares`` these M stand.
        """
        k, m = self.squares.shape[1], squares.shape[dim]
        # Groups of every (M / size)-th: a row's k nearest lie in the k groups with the nearest, so few need be sorted;
        # and as the search goes on, fewer and fewer rows find anything nearer at all.
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
    """Return each row's k nearest other rows by ranking; each pair of blocks is multiplied once."""
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
    """Return the k nearest of a table's rows to each row [N, D]; ``own`` [N] names a row of the table to leave out."""
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
    """Sort candidates by their distances in float64.

    Args:
        rows: [N, D].
        others: [M, D].
        indices: long [N, k] into ``others``.
        block: rows looked at at once.

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
    """Return the closest unordered pairs among every row's neighbours.

    Args:
        distances: float64 [N, k] of :func:`nearest_neighbours` among the rows themselves.
        indices: long [N, k].
        pairs: how many at most.
        rows: [N, D]. With them, these are the closest of all pairs: the few rows whose k neighbours are all nearer than
            the last of the pairs may have more such neighbours, which are then searched for.
        device: where to search.

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
            real = firsts != others  # a row is its own neighbour here
            known = unordered(
                torch.cat([known[0][:, 0], firsts[real]]),
                torch.cat([known[0][:, 1], others[real]]),
                torch.cat([known[1], lengths[real]]),
            )
    return known[0][:pairs], known[1][:pairs]


def unordered(first: Tensor, second: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
    """Return each pair once, [P, 2] with the smaller index first, and its distance, ascending."""
    both = torch.stack([first, second], 1).sort(1).values
    both, inverse = both.unique(dim=0, return_inverse=True)
    shortest = torch.zeros(len(both), dtype=torch.float64).index_copy(0, inverse, distances)
    shortest, order = shortest.sort(stable=True)
    return both[order], shortest
