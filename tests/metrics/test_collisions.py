"""Near pairs against SciPy's full distance matrix."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from saddlepoint.metrics.collisions import near_copies, near_pairs
from saddlepoint.metrics.duplicates import degrees
from saddlepoint.metrics.neighbours import nearest_neighbours


def clustered(n: int = 150, dim: int = 20) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    centres = 50 * torch.randn(30, dim, generator=random)
    return centres[torch.randint(30, (n,), generator=random)] + torch.randn(n, dim, generator=random) + 1000


@pytest.mark.parametrize("block", [17, 64, 1000])
@pytest.mark.parametrize("kind", ["clusters", "pixels"])
def test_equal_the_full_matrix_in_any_blocks(block: int, kind: str) -> None:
    pixels = torch.randint(0, 256, (150, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = clustered() if kind == "clusters" else pixels
    matrix = cdist(rows.double().numpy(), rows.double().numpy())
    for radius in (0.0, float(np.quantile(matrix, 0.02)), float(np.median(matrix))):
        near = matrix <= radius
        np.fill_diagonal(near, False)
        assert near_copies(rows, radius, block).tolist() == near.sum(1).tolist()
        expected = {(i, j) for i, j in np.argwhere(near).tolist() if i < j}
        found = near_pairs(rows, radius, block).tolist()
        assert len(found) == len(expected)
        assert {(i, j) for i, j in found} == expected


def test_a_pair_exactly_at_the_radius_is_near() -> None:
    """At 1e6 from the origin, float32 products could not distinguish 3.0 from 3.1."""
    rows = torch.tensor([[1e6, 0.0], [1e6 + 3, 0.0], [-1e6, 0.0], [-1e6, 3.125]])
    assert near_copies(rows, 3.0).tolist() == [1, 1, 0, 0]
    assert near_copies(rows, 2.999999).tolist() == [0, 0, 0, 0]
    assert near_copies(rows, 3.125).tolist() == [1, 1, 1, 1]


def test_exact_copies_are_near_at_radius_zero() -> None:
    rows = clustered()
    rows[100] = rows[3]
    assert near_pairs(rows, 0.0, 64).tolist() == [[3, 100]]


def test_rows_without_a_near_one_need_not_be_looked_at() -> None:
    rows = clustered()
    nearest = nearest_neighbours(rows, 1)[0][:, 0]
    radius = float(nearest.quantile(0.3))
    assert torch.equal(degrees(rows, nearest, radius), near_copies(rows, radius))
    assert degrees(rows, nearest, -1.0).sum() == 0


def test_products_are_full_float32_whatever_training_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubtful pairs are found by a bound on float32's rounding; TF32, which rounds to 10 bits, would miss copies."""
    inside, addmm = [], torch.addmm

    @contextmanager
    def full(device: torch.device) -> Iterator[None]:
        inside.append(device)
        yield
        inside.append(None)

    monkeypatch.setattr("saddlepoint.metrics.collisions.full_float32", full)
    monkeypatch.setattr(torch, "addmm", lambda *a, **k: inside.append("product") or addmm(*a, **k))
    near_copies(torch.randn(8, 3), 1.0)
    assert inside == [torch.device("cpu"), "product", None]
