"""Nearest neighbours and duplicates against SciPy's full distance matrix."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from saddlepoint.metrics.base import Sample, small_pixels
from saddlepoint.metrics.duplicates import Duplicates, closest_pairs, nearest_neighbours


def pixels(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (n, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_equal_the_full_matrix_in_any_blocks(block: int) -> None:
    rows = pixels(100)
    matrix = cdist(rows.double().numpy(), rows.double().numpy())
    np.fill_diagonal(matrix, np.inf)
    distances, indices = nearest_neighbours(rows, neighbours=3, block=block)
    np.testing.assert_allclose(distances, np.sort(matrix, 1)[:, :3], rtol=1e-12)
    np.testing.assert_allclose(matrix[np.arange(100)[:, None], indices.numpy()], distances, rtol=1e-12)


def test_planted_copies_are_at_distance_zero() -> None:
    rows = torch.randn(300, 20, generator=torch.Generator().manual_seed(0)) + 1000
    rows[250], rows[17] = rows[3], rows[201]
    distances, indices = nearest_neighbours(rows, block=64)
    pairs, lengths = closest_pairs(distances, indices, pairs=3)
    assert pairs[:2].tolist() == [[3, 250], [17, 201]]
    assert lengths[:2].tolist() == [0, 0]
    assert (distances[:, 0] == 0).nonzero().flatten().tolist() == [3, 17, 201, 250]
    assert lengths[2] > 0


def test_closest_pairs_equal_the_full_matrix() -> None:
    rows = pixels(60)
    matrix = cdist(rows.double().numpy(), rows.double().numpy())
    upper = np.sort(matrix[np.triu_indices(60, 1)])
    _, lengths = closest_pairs(*nearest_neighbours(rows, neighbours=20), pairs=20)
    np.testing.assert_allclose(lengths, upper[:20], rtol=1e-12)


def test_shares_of_planted_copies(grid) -> None:
    """Of 200 distinct images, 10 get a copy each: 20 of 210 samples have one."""
    metric = Duplicates()
    rows = pixels(200, 1)
    real = Sample(pool=pixels(500, 2).float(), pixels=pixels(500, 2))
    reference = metric.reference(real)
    copied = torch.cat([rows, rows[:10]])
    figures = metric.figures(Sample(pool=copied.float(), pixels=copied), reference, grid)
    assert [figure.name for figure in figures] == ["duplicates_grid", "duplicates_pixels"]
    assert [figure.value for figure in figures] == [20 / 210, 20 / 210]
    assert {tuple(pair) for pair in figures[1].details["pairs"][:10].tolist()} == {(i, 200 + i) for i in range(10)}
    clean = metric.figures(Sample(pool=rows.float(), pixels=rows), reference, grid)
    assert [figure.value for figure in clean] == [pytest.approx(0, abs=0.01)] * 2


def test_the_threshold_is_the_quantile_of_the_full_matrix() -> None:
    rows = pixels(400)
    matrix = cdist(rows.double().numpy(), rows.double().numpy())
    np.fill_diagonal(matrix, np.inf)
    reference = Duplicates().reference(Sample(pool=rows.float(), pixels=rows))
    assert float(reference["pixels"]) == pytest.approx(np.quantile(matrix.min(1), 0.001), rel=1e-12)


def test_large_images_are_averaged_down() -> None:
    images = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    images[..., :2, :2] = torch.tensor([[10, 20], [30, 40]])
    rows = small_pixels(images)
    assert rows.shape == (1, 32 * 32)
    assert rows[0, 0] == 25
    assert rows[0, 1:].sum() == 0
