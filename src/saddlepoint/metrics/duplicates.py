"""How many samples have a near copy among the others (after Arora and Zhang 2017, arXiv:1706.08224).

Near is nearer than real images ever are: the threshold is the 0.1 % quantile of the distances from real training images
to their nearest neighbours in a set of the same size, in an extractor's features and in pixels. The same figure for
held-out images stands beside it and says whether the threshold holds.

Blurred samples look like copies to pixels and noise hides copies from them, so read it beside a measure of quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saddlepoint.metrics.base import PIXELS_SIDE, Figure, Metric, Sample

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor

QUANTILE = 0.001
NEIGHBOURS = 4
PAIRS = 20
"""Arora and Zhang look at the 20 closest pairs."""


def nearest_neighbours(
    rows: Tensor, neighbours: int = NEIGHBOURS, block: int = 2048, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Find each row's nearest other rows by Euclidean distance, block by block.

    Matrix products propose candidates; their distances are then taken from differences in float64, so an exact copy is
    at distance zero exactly, which ‖a‖² + ‖b‖² - 2aᵀb in float32 would miss.

    Args:
        rows: [N, D] of any real type; N > 1.
        neighbours: how many a row, cut to N - 1.
        block: rows compared at once; memory is of order ``block²``.
        device: where the products run.

    Returns:
        Distances float64 [N, k], ascending, and indices long [N, k].
    """
    n, k = len(rows), min(neighbours, len(rows) - 1)
    if k < 1:
        raise ValueError("a nearest neighbour needs at least 2 rows")
    # A common shift changes no distance but keeps the norms, and so the rounding, small.
    centre = torch.stack([part.double().mean(0) * len(part) / n for part in rows.split(block)]).sum(0).float()
    all_distances, all_indices = [], []
    for start in range(0, n, block):
        query = (rows[start : start + block].float() - centre).to(device)
        best = torch.full((len(query), k), torch.inf, device=device)
        found = torch.zeros((len(query), k), dtype=torch.long, device=device)
        for other in range(0, n, block):
            keys = (rows[other : other + block].float() - centre).to(device)
            # ‖query‖² is the same for all candidates of a row, so it is left out of the ranking.
            ranking = torch.addmm(keys.square().sum(1), query, keys.T, alpha=-2)
            if other == start:
                ranking.fill_diagonal_(torch.inf)
            values, indices = ranking.topk(min(k, ranking.shape[1]), largest=False)
            best, order = torch.cat([best, values], 1).topk(k, largest=False)
            found = torch.cat([found, indices + other], 1).gather(1, order)
        exact, order = exact_distances(rows, start, found.cpu()).sort(dim=1, stable=True)
        all_distances.append(exact)
        all_indices.append(found.cpu().gather(1, order))
    return torch.cat(all_distances), torch.cat(all_indices)


def exact_distances(rows: Tensor, start: int, indices: Tensor) -> Tensor:
    """Return float64 [B, k]: distances of rows ``start … start + B - 1`` from the rows that ``indices`` [B, k] name."""
    query = rows[start : start + len(indices)].double()
    columns = [(query - rows[column].double()).square().sum(1).sqrt() for column in indices.T]
    return torch.stack(columns, 1)


def closest_pairs(distances: Tensor, indices: Tensor, pairs: int = PAIRS) -> tuple[Tensor, Tensor]:
    """Return the closest unordered pairs among every row's neighbours.

    Args:
        distances: float64 [N, k] of :func:`nearest_neighbours`.
        indices: long [N, k].
        pairs: how many at most.

    Returns:
        Long [P, 2] with the smaller index first, and float64 [P], ascending.
    """
    first = torch.arange(len(indices)).repeat_interleave(indices.shape[1])
    both = torch.stack([first, indices.flatten()], 1).sort(1).values
    both, inverse = both.unique(dim=0, return_inverse=True)
    shortest = torch.zeros(len(both), dtype=torch.float64).index_copy(0, inverse, distances.flatten())
    shortest, order = shortest.sort(stable=True)
    return both[order][:pairs], shortest[:pairs]


class Duplicates(Metric):
    """The share of samples with a near copy: ``duplicates_<features>`` and ``duplicates_pixels``."""

    name = "duplicates"
    lower_is_better = True
    needs = frozenset({"pool", "pixels"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep the two thresholds."""
        assert real.pool is not None
        assert real.pixels is not None
        return {"features": threshold(real.pool), "pixels": threshold(real.pixels)}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return both shares, with the closest pairs' indices ("pairs") and distances as details."""
        pixels = ("pixels", "1", f"mean-to-{PIXELS_SIDE}")
        spaces = ((extractor.name, "features", sample.pool, None), ("pixels", "pixels", sample.pixels, pixels))
        figures = []
        for space, key, rows, features in spaces:
            assert rows is not None
            distances, indices = nearest_neighbours(rows, device=extractor.device)
            share = float((distances[:, 0] <= reference[key]).double().mean())
            pairs, lengths = closest_pairs(distances, indices)
            details = {"pairs": pairs, "distances": lengths, "threshold": reference[key]}
            figures.append(Figure(f"{self.name}_{space}", share, len(rows), features=features, details=details))
        return figures


def threshold(rows: Tensor) -> Tensor:
    """Return the 0.1 % quantile of nearest-neighbour distances of real rows [N, D], a float64 scalar."""
    distances, _ = nearest_neighbours(rows, 1)
    return distances[:, 0].quantile(QUANTILE)
