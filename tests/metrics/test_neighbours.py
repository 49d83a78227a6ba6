"""Nearest neighbours and closest pairs against SciPy's full distance matrix, and their memory use."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from saddlepoint.metrics.neighbours import closest_pairs, nearest_neighbours


def draw(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def matrix(rows: torch.Tensor, others: torch.Tensor | None = None) -> np.ndarray:
    """Return all distances, infinite from a row to itself."""
    result = cdist(rows.double().numpy(), (rows if others is None else others).double().numpy())
    if others is None:
        np.fill_diagonal(result, np.inf)
    return result


@pytest.mark.parametrize("block", [7, 16, 1024])
@pytest.mark.parametrize("k", [1, 3, 20])
def test_among_others_equals_the_full_matrix(block: int, k: int) -> None:
    rows, others = draw(70, 9), draw(133, 9, 1)
    distances, indices = nearest_neighbours(rows, k, others, block)
    expected = matrix(rows, others)
    np.testing.assert_allclose(distances, np.sort(expected, 1)[:, :k], rtol=1e-12)
    np.testing.assert_array_equal(indices, np.argsort(expected, 1)[:, :k])


@pytest.mark.parametrize("block", [16, 48, 1024])
def test_among_themselves_equals_the_full_matrix(block: int) -> None:
    rows = draw(300, 5)
    distances, indices = nearest_neighbours(rows, 4, block=block)
    expected = matrix(rows)
    np.testing.assert_allclose(distances, np.sort(expected, 1)[:, :4], rtol=1e-12)
    np.testing.assert_array_equal(indices, np.argsort(expected, 1)[:, :4])


def test_neighbours_are_limited_to_the_available_rows() -> None:
    assert nearest_neighbours(draw(3, 2), 9)[0].shape == (3, 2)
    assert nearest_neighbours(draw(3, 2), 9, draw(1, 2))[0].shape == (3, 1)
    with pytest.raises(ValueError, match="one other row"):
        nearest_neighbours(draw(1, 2), 1)


@pytest.mark.parametrize("own", [True, False])
def test_clusters_below_float32_resolution_are_ranked(own: bool) -> None:
    """Ten clusters of width 0.001 with norms of 800: in float32, squared distances within them are rounding errors."""
    rows = 100 * draw(10, 64).repeat(30, 1).double() + 1e-4 * draw(300, 64, 1)
    others = None if own else rows + 1e-4 * draw(300, 64, 2)
    distances, indices = nearest_neighbours(rows, 2, others, block=64)
    expected = matrix(rows, others)
    np.testing.assert_array_equal(indices, np.argsort(expected, 1)[:, :2])
    np.testing.assert_allclose(distances, np.sort(expected, 1)[:, :2], rtol=1e-12)


def test_many_copies_are_at_distance_zero() -> None:
    """Ten memorised images, a hundred copies of each; no distance is slightly above zero."""
    rows = draw(10, 30).repeat(100, 1) + 500
    distances, indices = nearest_neighbours(rows, 3, block=128)
    assert distances.max() == 0
    assert bool((indices % 10 == torch.arange(1000)[:, None] % 10).all())
    assert bool((indices != torch.arange(1000)[:, None]).all())


def test_close_pairs_within_a_cluster_are_all_found() -> None:
    """A tight cluster of 12 rows has 66 pairs, of which one neighbour per row gives only 6 to 11."""
    rows = draw(200, 3)
    rows[40:52] = rows[40] + 1e-3 * draw(12, 3, 1)
    expected = matrix(rows)[np.triu_indices(200, 1)]
    pairs, lengths = closest_pairs(*nearest_neighbours(rows, 1), 66, rows)
    np.testing.assert_allclose(lengths, np.sort(expected)[:66], rtol=1e-12)
    assert pairs.min() == 40
    assert pairs.max() == 51
    assert bool((pairs[:, 0] < pairs[:, 1]).all())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
@pytest.mark.slow
def test_eight_thousand_rows_need_no_matrix() -> None:
    """The full matrix would need 256 MB in float32, and all exact distances 512 MB in float64."""
    program = r"""
import pathlib, re, torch
torch.set_num_threads(1)
from saddlepoint.metrics.manifold import compare
from saddlepoint.metrics.neighbours import nearest_neighbours
peak = lambda: int(re.search(r"VmHWM:\s*(\d+)", pathlib.Path("/proc/self/status").read_text())[1])
rows = torch.randn(8_000, 16)
compare(rows[:2100], rows[:2100])
before = peak()
nearest_neighbours(rows, 2)
compare(rows, rows + 1)
print(peak() - before)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout) * 1024 < 60e6
