"""Mode coverage against values computed by hand."""

import math

import pytest
import torch

from saddlepoint.metrics.base import Sample
from saddlepoint.metrics.modes import ClassHistogram, expected_divergence, histogram_divergence, mode_coverage

SQUARE = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def test_every_part_by_hand() -> None:
    """Two samples at the first mode, one within and one outside 3σ of the second, none elsewhere."""
    points = torch.tensor([[0.0, 0.0], [0.1, 0.0], [10.0, 0.29], [10.0, 0.31]])
    found = mode_coverage(points, SQUARE, std=0.1)
    assert found.modes == 2
    assert found.high_quality == 0.75
    assert found.counts.tolist() == [2, 2, 0, 0]
    assert found.reverse_kl == pytest.approx(math.log(2))
    inside = 1 - math.exp(-4.5)
    expected = (
        0.5 * math.log(0.5 / (inside / 4)) + 0.25 * math.log(0.25 / (inside / 4)) + 0.25 * math.log(0.25 / (1 - inside))
    )
    assert found.mixture_kl == pytest.approx(expected)


def test_mixture_divergence_detects_collapse_and_blur() -> None:
    random = torch.Generator().manual_seed(0)
    collapsed = 0.1 * torch.randn(4000, 2, generator=random)
    blurred = SQUARE[torch.arange(4000) % 4] + 2.0 * torch.randn(4000, 2, generator=random)
    assert mode_coverage(collapsed, SQUARE, 0.1).high_quality > 0.98
    assert mode_coverage(collapsed, SQUARE, 0.1).mixture_kl > 1.3
    assert mode_coverage(blurred, SQUARE, 0.1).reverse_kl < 0.01
    assert mode_coverage(blurred, SQUARE, 0.1).mixture_kl > 3


def test_a_mode_needs_one_good_sample() -> None:
    found = mode_coverage(torch.tensor([[5.1, 0.0], [0.0, 0.0]]), SQUARE, std=0.1)
    assert found.modes == 1
    assert found.counts.tolist() == [1, 1, 0, 0]


def test_the_mixture_itself_reaches_its_ceiling() -> None:
    """98.9 % of a Gaussian in two dimensions lies within 3σ: 1 - exp(-9/2)."""
    random = torch.Generator().manual_seed(0)
    points = SQUARE[torch.arange(40_000) % 4] + 0.1 * torch.randn(40_000, 2, generator=random)
    found = mode_coverage(points, SQUARE, std=0.1)
    assert found.modes == 4
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=2e-3)
    assert found.reverse_kl == pytest.approx(0, abs=1e-12)
    assert found.mixture_kl == pytest.approx(0, abs=1e-3)


def test_divergence_by_hand() -> None:
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert histogram_divergence(torch.tensor([3, 1]), torch.tensor([5, 5])) == pytest.approx(expected)


def test_points_that_are_not_finite_are_refused() -> None:
    with pytest.raises(FloatingPointError):
        mode_coverage(torch.tensor([[float("nan"), 0.0]]), SQUARE, 0.1)


def test_class_histogram_by_hand(grid) -> None:
    metric = ClassHistogram()
    assert not metric.applies_to(grid)
    reference = metric.reference(Sample(label_counts=torch.tensor([99, 99])))
    logits = torch.tensor([[50.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 0.0]])
    (figure,) = metric.figures(Sample(logits=logits), reference, grid)
    assert figure.details["histogram"].tolist() == [3, 1]
    assert figure.details["real"].tolist() == [99, 99]
    assert figure.beside["confidence"] == pytest.approx(1)
    assert figure.beside["classes"] == 2
    assert figure.value == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    # 4 samples of a fair coin: the divergence is log 2 for 0 or 4 heads (2 of 16), this value for 1 or 3 (8 of 16), 0
    # for 2
    assert figure.beside["floor"] == pytest.approx(2 / 16 * math.log(2) + 8 / 16 * figure.value)


@pytest.mark.parametrize("n", [50, 2000])
def test_the_floor_is_what_a_perfect_sampler_scores(n) -> None:
    p = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
    random = torch.Generator().manual_seed(n)
    draws = [torch.multinomial(p, n, replacement=True, generator=random).bincount(minlength=5) for _ in range(2000)]
    scores = torch.tensor([histogram_divergence(draw, p) for draw in draws])
    error = float(scores.std()) / math.sqrt(len(scores))
    assert expected_divergence(p, n) == pytest.approx(float(scores.mean()), abs=4 * error)


def test_the_floor_of_stacked_mnist() -> None:
    """(K - 1) / 2n to first order: 999 / 52,000 for 26,000 samples of 1000 modes."""
    assert expected_divergence(torch.ones(1000), 26_000) == pytest.approx(999 / 52_000, rel=0.02)
