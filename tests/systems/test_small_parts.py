from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.schedules import SCHEDULES
from saddlepoint.systems import ema, latents
from saddlepoint.systems.capabilities import rows_of
from saddlepoint.systems.checks import check_batch_size
from saddlepoint.systems.progress import Budget, Progress


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("constant", 0.7, 1.0),
        ("linear", 0.0, 1.0),
        ("linear", 0.25, 0.75),
        ("linear", 1.0, 0.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 0.5, 0.5),
        ("cosine", 1 / 3, 0.75),
        ("cosine", 1.0, 0.0),
    ],
)
def test_schedules(name: str, at: float, value: float) -> None:
    assert SCHEDULES[name](at) == pytest.approx(value, abs=1e-12)  # type: ignore[index]


def test_budget_ends_at_the_first_limit() -> None:
    budget = Budget(images=1000, generator_updates=10, hours=1.0)
    assert budget.fraction(Progress(images_seen=200, generator_updates=3, seconds=1800)) == 0.5
    assert budget.reached(Progress(images_seen=1000))
    assert Budget().fraction(Progress(images_seen=10**9)) == 0.0


def test_ema_follows_its_recursion() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = ema.frozen_copy(network)
    tensors = ema.tensors_of(average, network)
    expected = network[0].weight.detach().clone()
    for update in range(1, 30):
        with torch.no_grad():
            network[0].weight.add_(torch.randn(2, 3))
        network(torch.randn(4, 3))
        ema.update(tensors, ema.warmed_up(0.5, update))
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * network[0].weight.detach()
    torch.testing.assert_close(average[0].weight, expected)
    assert torch.equal(average[1].running_mean, network[1].running_mean)
    assert average[1].num_batches_tracked == 29
    assert not any(p.requires_grad for p in average.parameters())


def test_batch_normalization_of_vectors_needs_two_samples() -> None:
    vectors = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):  # what the check prevents
        vectors(torch.zeros(1, 3))
    with pytest.raises(UserError, match=r"^batch_size: .* vectors needs two samples, and 'd' has it; set it to 2 or"):
        check_batch_size(1, {"g": nn.Linear(1, 1), "d": vectors})
    check_batch_size(2, {"d": vectors})
    check_batch_size(1, {"g": nn.BatchNorm2d(2)})


def test_distribution_of_latents() -> None:
    random = torch.Generator().manual_seed(0)
    normal = latents.draw("normal", 2000, 5, random).flatten().numpy()
    uniform = latents.draw("uniform", 2000, 5, random).flatten().numpy()
    assert stats.kstest(normal, "norm").pvalue > 0.01
    assert stats.kstest(uniform, stats.uniform(-1, 2).cdf).pvalue > 0.01


@pytest.mark.parametrize("truncation", [0.25, 0.5, 0.9])
def test_truncated_normal_matches_scipy(truncation: float) -> None:
    random = torch.Generator().manual_seed(0)
    cut = latents.draw("normal", 2000, 5, random, truncation).flatten().numpy()
    assert abs(cut).max() <= 2 * truncation
    assert stats.kstest(cut, stats.truncnorm(-2 * truncation, 2 * truncation).cdf).pvalue > 0.01


def test_keyed_latents_do_not_depend_on_start_and_count() -> None:
    table = latents.keyed("normal", 3, 5, 0, 300)
    assert table.shape == (300, 3)
    for start, count in ((0, 1), (63, 2), (100, 150), (299, 1)):
        assert torch.equal(latents.keyed("normal", 3, 5, start, count), table[start : start + count])
    assert math.isclose(float(table.std()), 1.0, abs_tol=0.1)


def test_rows_of_pictures_are_filled_up() -> None:
    above, below = torch.arange(5.0).view(5, 1, 1, 1), torch.arange(5.0, 10.0).view(5, 1, 1, 1)
    shown, columns = rows_of(above, below, columns=3)
    assert columns == 3
    assert shown.flatten().tolist() == [0, 1, 2, 5, 6, 7, 3, 4, -1, 8, 9, -1]
