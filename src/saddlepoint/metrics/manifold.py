"""Precision and recall, density and coverage: the realism of samples, and how much of the real distribution they cover.

Kynkäänniemi et al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797. All four place a ball around each
image, whose radius is the distance to its k-th nearest neighbour in the same set, and count which images of the other
set are inside. They are computed together in one pass over blocks of distances, so no n × n matrix is stored. Distances
so close to a radius that float32 could round them to the wrong side are computed again in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.float32 import full_float32
from saddlepoint.metrics.neighbours import BLOCK, Table, nearest_neighbours

PRECISION_NEIGHBOURS = 3
"""Kynkäänniemi et al., section 3.1."""
DENSITY_NEIGHBOURS = 5
"""Naeem et al., section 3.2.4."""
FEW = 0.05
"""Recall or coverage below which precision and density mean little: a few blurred samples can have a precision of 1."""
PAIRS = 4096
"""Number of pairs whose distances are recomputed at once; a block with 16 times as many of them is recomputed whole."""


class Manifold(NamedTuple):
    """The four figures.

    Attributes:
        precision: fraction of fakes inside the ball of a real image, in [0, 1].
        recall: fraction of real images inside the ball of a fake, in [0, 1].
        density: mean number of real balls that contain a fake, divided by k; about 1 for real data, at most M/k.
        coverage: fraction of real balls that contain a fake, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


def radii(rows: Tensor, neighbours: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the distances to the first … k-th neighbour among rows [N, F], float64 [N, k]; k is limited to N - 1."""
    return nearest_neighbours(rows, neighbours, device=device)[0]


class Distances:
    """Squared distances from real rows, in float32, or in float64 where rounding could affect a comparison.

    Args:
        real: features [M, F].
        block: rows compared at once.
        device: where the products are computed.
    """

    def __init__(self, real: Tensor, block: int, device: torch.device | str) -> None:
        self.coarse = Table(real, block, device, torch.float32)
        self.fine = Table(real, block, device, torch.float64)
        self.device = self.coarse.device

    def of(
        self, rows: Tensor, own_edges: Tensor, real_edges: tuple[Tensor, ...]
    ) -> Iterator[tuple[slice, Tensor, float]]:
        """Yield the slice of a block of real rows, the squared distances [B, block] to it, and a bound on their error.

        Args:
            rows: [B, F].
            own_edges: squared radii of the rows, [B].
            real_edges: squared radii of the real rows, [M] each. Distances near any radius are computed in float64.
        """
        queries, exact = self.coarse.shifted(rows), self.fine.shifted(rows)
        norms, exact_norms = queries.square().sum(1), exact.square().sum(1)
        doubt, slack = float(self.coarse.rounding(norms).max()), float(self.fine.rounding(exact_norms).max())
        for place, block in self.coarse:
            with full_float32(self.device):
                squares = self.coarse.squares(queries, norms, place, block)
            doubtful = torch.zeros_like(squares, dtype=torch.bool)
            for edge in (own_edges[:, None], *(edges[place] for edges in real_edges)):
                doubtful |= (squares - edge.float()).abs_() <= 2 * doubt  # the edge is rounded too
            row, column = doubtful.nonzero().unbind(1)
            others = self.fine.rows[place]
            if len(row) > 16 * PAIRS:
                yield place, self.fine.squares(exact, exact_norms, place, self.fine.shifted(others)), slack
                continue
            squares = squares.double()
            for i, j in zip(row.split(PAIRS), column.split(PAIRS), strict=True):
                squares[i, j] = (exact[i] - self.fine.shifted(others[j])).square_().sum(1)
            yield place, squares, slack


def compare(
    real: Tensor,
    fake: Tensor,
    real_radii: Tensor | None = None,
    precision_neighbours: int = PRECISION_NEIGHBOURS,
    density_neighbours: int = DENSITY_NEIGHBOURS,
    block: int = BLOCK,
    device: torch.device | str = "cpu",
) -> Manifold:
    """Return all four figures.

    Let B(x, k) be the ball around x that extends to its k-th neighbour in its own set, with N fakes y and M real images
    x. Precision is the fraction of y in ∪ B(x, 3) (eq. 1 and 2 of the first paper), recall the same with x and y
    exchanged; density = Σ_y Σ_x 1[y ∈ B(x, 5)] / (5 N), and coverage is the fraction of x with a y in B(x, 5) (eq. 3
    and 4 of the second). As in the authors' code, the balls are closed for precision and recall, and open for density
    and coverage.

    Args:
        real: features [M, F], M >= 2.
        fake: features [N, F], N >= 2.
        real_radii: :func:`radii` of ``real`` for the larger k; computed by default.
        precision_neighbours: k of precision and recall, limited to the available neighbours, as is the other k.
        density_neighbours: k of density and coverage.
        block: rows compared at once.
        device: where the products are computed.

    >>> compare(torch.arange(9.0)[:, None], torch.arange(9.0)[:, None])
    Manifold(precision=1.0, recall=1.0, density=1.0, coverage=1.0)
    """
    if real_radii is None:
        real_radii = radii(real, max(precision_neighbours, density_neighbours), device)
    real_k, density_k = (min(k, real_radii.shape[1]) for k in (precision_neighbours, density_neighbours))
    table = Distances(real, block, device)
    closed, open_ = (real_radii[:, k - 1].square().to(table.device) for k in (real_k, density_k))
    theirs = radii(fake, precision_neighbours, device)[:, -1].square().to(table.device)
    in_real = torch.zeros(len(fake), dtype=torch.bool, device=table.device)
    in_fake, covered = (torch.zeros(len(real), dtype=torch.bool, device=table.device) for _ in range(2))
    held = 0
    for first in range(0, len(fake), block):
        mine = slice(first, first + block)
        for place, squares, slack in table.of(fake[mine], theirs[mine], (closed, open_)):
            # Differences within rounding error count as equality: a copy of a neighbour is on the edge.
            in_fake[place] |= (squares - theirs[mine, None]).amin(0) <= slack
            in_real[mine] |= (squares - closed[place]).amin(1) <= slack
            inside = squares.sub_(open_[place])
            covered[place] |= inside.amin(0) < -slack
            held += int((inside[inside.amin(1) < -slack] < -slack).sum())
    precision, recall, coverage = (float(share.double().mean()) for share in (in_real, in_fake, covered))
    return Manifold(precision, recall, held / (density_k * len(fake)), coverage)


class Manifolds(Metric):
    """The four figures against a seeded choice of as many train images as samples; for real images they are near 1."""

    name = "precision"
    also = ("recall", "density", "coverage")
    needs = frozenset({"pool"})
    bound_to_n = True

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the real rows and their radii."""
        assert real.pool is not None
        return {"rows": real.pool, "radii": radii(real.pool, max(PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS))}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the four figures."""
        assert sample.pool is not None
        found = compare(reference["rows"], sample.pool, reference["radii"], device=extractor.device)
        notes = dict.fromkeys(("precision", "density"), self._note(found))
        return [
            Figure(extractor.score_name(name), value, len(sample.pool), note=notes.get(name))
            for name, value in found._asdict().items()
        ]

    @staticmethod
    def _note(found: Manifold) -> str | None:
        """Return the note of precision and density where few real images are near samples, else None."""
        if min(found.recall, found.coverage) >= FEW:
            return None
        return f"cannot be read alone: recall is {found.recall:.2g} and coverage {found.coverage:.2g}"
