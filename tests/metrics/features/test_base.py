"""What every extractor does with the images that it is given."""

import pytest
import torch

from saddlepoint.metrics.features.base import AT_ONCE_ON_CPU
from saddlepoint.metrics.features.random import RandomFeatures


@pytest.mark.parametrize(("activation", "passes"), [(0, [7]), (AT_ONCE_ON_CPU // 3, [3, 3, 1]), (2**40, [1] * 7)])
def test_no_more_images_pass_at_once_than_fit(grid, activation: int, passes: list[int]) -> None:
    images = torch.arange(7 * 64, dtype=torch.uint8).reshape(7, 1, 8, 8)
    expected = grid(images)
    grid.calls.clear()
    grid.activation = activation
    features = grid(images)
    assert grid.calls == passes
    assert torch.equal(features.pool, expected.pool)
    assert torch.equal(features.logits, expected.logits)


def test_large_images_count_by_their_own_size(grid) -> None:
    side = 1024
    grid(torch.zeros(5, 3, side, side, dtype=torch.uint8))
    assert grid.calls == [AT_ONCE_ON_CPU // (4 * 3 * side**2)] * 2 + [1]


def test_no_images_have_no_features() -> None:
    features = RandomFeatures()(torch.empty(0, 3, 32, 32, dtype=torch.uint8))
    assert features.pool.shape == (0, RandomFeatures.dim)
    assert features.logits is None
