"""KID against a double loop and torchmetrics."""

import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from saddlepoint.metrics.kernel import kernel_distances
from saddlepoint.metrics.rows import permutation


def features(n: int, shift: float, seed: int) -> torch.Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)) + shift


def test_equals_a_double_loop() -> None:
    x, y = features(11, 0, 1).double(), features(11, 0.5, 2).double()

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        return (float(a @ b) / 6 + 1) ** 3

    m = 11
    within = sum(kernel(z[i], z[j]) for z in (x, y) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    across = sum(kernel(x[i], y[j]) for i in range(m) for j in range(m)) / m**2
    assert kernel_distances(x, y).tolist() == [pytest.approx(within - 2 * across, rel=1e-12)]


def test_subsets_equal_torchmetrics_on_the_same_rows() -> None:
    x, y = features(60, 0, 1), features(50, 0.3, 2)
    ours = kernel_distances(x, y, seed=5, subset=20, subsets=4)
    for index, value in enumerate(ours):
        i, j = permutation(60, 5, f"kid real {index}")[:20], permutation(50, 5, f"kid fake {index}")[:20]
        assert float(value) == pytest.approx(float(poly_mmd(x[i].double(), y[j].double())), rel=1e-10)


def test_seeds_choose_the_subsets() -> None:
    x, y = features(60, 0, 1), features(50, 0.3, 2)
    first, again, other = (kernel_distances(x, y, seed=seed, subset=20) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_is_unbiased_for_equal_distributions() -> None:
    """The mean over many draws is zero within its standard error, and single draws have both signs."""
    values = torch.cat([kernel_distances(features(40, 0, 2 * s), features(40, 0, 2 * s + 1)) for s in range(200)])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 200**0.5
    assert values.min() < 0 < values.max()


def test_one_row_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        kernel_distances(features(1, 0, 0), features(5, 0, 1))
