from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from saddlepoint.exploring import paths


def test_slerp_matches_the_formula_in_numpy() -> None:
    random = np.random.default_rng(0)
    start, end, t = random.normal(size=(5, 7)), random.normal(size=(5, 7)), random.uniform(size=5)
    expected = []
    for a, b, s in zip(start, end, t, strict=True):
        angle = math.acos(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
        expected.append((math.sin((1 - s) * angle) * a + math.sin(s * angle) * b) / math.sin(angle))
    found = paths.slerp(*(torch.from_numpy(array) for array in (start, end, t)))
    np.testing.assert_allclose(found.numpy(), np.stack(expected), rtol=1e-12)


def test_slerp_keeps_the_norm_of_vectors_of_equal_norm_and_lerp_does_not() -> None:
    start, end = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    half = torch.tensor([0.5])
    assert paths.slerp(start, end, half).norm().item() == pytest.approx(3)
    assert paths.lerp(start, end, half).norm().item() == pytest.approx(3 / math.sqrt(2))


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
def test_parallel_vectors_are_interpolated_linearly(factor: float) -> None:
    start = torch.tensor([[1.0, 2.0, 2.0]])
    t = torch.tensor([0.25])
    assert torch.equal(paths.slerp(start, factor * start, t), paths.lerp(start, factor * start, t))


@pytest.mark.parametrize("path", ["slerp", "lerp"])
def test_a_loop_passes_through_its_anchors_and_returns(path: paths.Path) -> None:
    anchors = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    points = paths.loop(anchors, 4, path)
    assert points.shape == (12, 5)
    torch.testing.assert_close(points[::4], anchors)
    between = paths.slerp if path == "slerp" else paths.lerp
    torch.testing.assert_close(points[11:], between(anchors[2:], anchors[:1], torch.tensor([0.75])))
