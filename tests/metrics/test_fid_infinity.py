"""The extrapolated Fréchet distance against a closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from saddlepoint.metrics.base import Sample
from saddlepoint.metrics.fid_infinity import POINTS, FrechetInfinity, curve, extrapolate, least_samples
from saddlepoint.metrics.frechet import Gaussian, frechet_distance
from saddlepoint.metrics.moments import Moments

DIM = 16


@pytest.fixture(scope="module")
def pools() -> list[torch.Tensor]:
    """Samples of N(0.1, 4 I): the distance from N(0, I) is DIM (0.01 + (2 - 1)²) exactly."""
    random = torch.Generator().manual_seed(0)
    return [2 * torch.randn(800, DIM, generator=random, dtype=torch.float64) + 0.1 for _ in range(200)]


TRUE = DIM * (0.01 + 1)
REAL = Gaussian(torch.zeros(DIM, dtype=torch.float64), torch.eye(DIM, dtype=torch.float64))


def test_the_bias_from_the_number_of_samples_is_removed(pools: list[torch.Tensor]) -> None:
    infinite = np.array([extrapolate(*curve(REAL, rows)) for rows in pools])
    plain = np.array([curve(REAL, rows)[1][-1] for rows in pools])
    assert plain.mean() - TRUE > 5 * plain.std(ddof=1) / len(pools) ** 0.5  # biased upwards for 800 samples
    assert abs(infinite.mean() - TRUE) < (plain.mean() - TRUE) / 2


def test_the_curve_equals_separate_distances(pools: list[torch.Tensor]) -> None:
    numbers, distances = curve(REAL, pools[0])
    assert (len(numbers), numbers[0], numbers[-1]) == (POINTS, 80, 800)
    for number, distance in list(zip(numbers, distances, strict=True))[::7]:
        rows = pools[0][:number].numpy()
        alone = frechet_distance(REAL, torch.from_numpy(rows.mean(0)), torch.from_numpy(np.cov(rows.T)))
        assert distance == pytest.approx(alone, rel=1e-9)
    assert curve(REAL, pools[0][:200])[0][0] == 2 * DIM  # with fewer samples, the covariance is singular or nearly so


def test_few_samples_give_no_figure(pools: list[torch.Tensor], grid: Any) -> None:
    metric, reference = FrechetInfinity(), {"mean": REAL.mean[:4], "root": REAL.root[:4, :4]}
    assert least_samples(4) == 16
    for n, figures in ((15, 0), (16, 1)):
        rows = pools[0][:n, :4].float()
        moments = Moments(4)
        moments.update(rows)
        found = metric.figures(Sample(moments, rows), reference, grid)
        assert [figure.name for figure in found] == ["fid_infinity_grid"] * figures
