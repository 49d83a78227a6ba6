"""The base class of extractors: batch sizes and empty input."""

import pytest
import torch

from saddlepoint.metrics.features.base import AT_ONCE_ON_CPU
from saddlepoint.metrics.features.random import RandomFeatures


@pytest.mark.parametrize(("activation", "passes"), [(0, [7]), (AT_ONCE_ON_CPU // 3, [3, 3, 1]), (2**40, [1] * 7)])
def test_batches_are_split_to_limit_memory(grid, activation: int, passes: list[int]) -> None:
    images = torch.arange(7 * 64, dtype=torch.uint8).reshape(7, 1, 8, 8)
    expected = grid(images)
    grid.calls.clear()
    grid.activation = activation
    features = grid(images)
    assert grid.calls == passes
    assert torch.equal(features.pool, expected.pool)
    assert torch.equal(features.logits, expected.logits)


def test_the_limit_includes_the_size_of_images(grid) -> None:
    side = 1024
    grid(torch.zeros(5, 3, side, side, dtype=torch.uint8))
    assert grid.calls == [AT_ONCE_ON_CPU // (4 * 3 * side**2)] * 2 + [1]


def test_no_images_have_no_features() -> None:
    features = RandomFeatures()(torch.empty(0, 3, 32, 32, dtype=torch.uint8))
    assert features.pool.shape == (0, RandomFeatures.dim)
    assert features.logits is None
