from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import energy_distance
from torch import Tensor

from saddlepoint.data import DataModule, Digits
from saddlepoint.evaluation.base import Judge, Settings
from saddlepoint.evaluation.codes import PriorJudge
from saddlepoint.evaluation.panel import assistants, panel
from saddlepoint.systems.capabilities import HasCodePrior
from saddlepoint.systems.progress import Progress


class Coder:
    """Encodes digits by a pixel, and has a normal prior of that mean, times ``scale``."""

    device, averages, averaged, networks = torch.device("cpu"), {}, (), {}
    progress = Progress(images_seen=7)

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def encode(self, samples: Tensor, ema: bool = True) -> Tensor:
        return samples[:, 0, 3, 3:4]

    def prior_codes(self, n: int, seed: int) -> Tensor:
        return self.scale * torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))


def test_the_energy_distance_is_scipys() -> None:
    """SciPy returns the square root of the distance over all pairs, including those of a value and itself."""
    data, system = DataModule(Digits()), Coder()
    (card,) = PriorJudge(data, Settings(n=300)).score(system)  # type: ignore[arg-type]
    codes = system.encode(data.batch("held_out", 0, 300).samples)[:, 0].double().numpy()
    prior = system.prior_codes(600, 0)[:300, 0].double().numpy()
    within = [np.abs(rows[:, None] - rows).mean() for rows in (codes, prior)]
    expected = energy_distance(codes, prior) ** 2 + sum(within) - sum(within) * 300 / 299
    assert card.value == pytest.approx(expected, abs=1e-9)
    assert (card.metric, card.n, card.images_seen) == ("code_energy_distance", 300, 7)
    assert card.beside == pytest.approx(
        {"mean_norm": abs(codes.mean()), "std": codes.std(), "prior_std": prior.std()}, abs=1e-6
    )


def test_equal_distributions_have_a_distance_near_zero_within_the_error() -> None:
    class Same(Coder):
        def encode(self, samples: Tensor, ema: bool = True) -> Tensor:
            return torch.randn(len(samples), 3, generator=torch.Generator().manual_seed(len(samples)))

        def prior_codes(self, n: int, seed: int) -> Tensor:
            return self.scale * torch.randn(n, 3, generator=torch.Generator().manual_seed(seed + 1000))

    data, settings = DataModule(Digits()), Settings(n=325)
    (same,) = PriorJudge(data, settings).score(Same())  # type: ignore[arg-type]
    (wide,) = PriorJudge(data, settings).score(Same(3.0))  # type: ignore[arg-type]
    assert abs(same.value) < 0.03
    assert abs(same.real) < 0.03  # type: ignore[operator, arg-type]
    assert wide.value > 0.3
    assert wide.interval is not None
    assert wide.interval[0] < wide.value < wide.interval[1]


def test_the_panel_has_the_judge_for_systems_with_a_prior() -> None:
    data, system = DataModule(Digits()), Coder()
    assert isinstance(system, HasCodePrior)
    metrics = Settings(metrics=["code_energy_distance"])
    (judge,) = panel(system, data, metrics, None).judges  # type: ignore[arg-type]
    assert type(judge) is PriorJudge
    assert [type(one) for one in assistants(system, data, None).judges] == [Judge]  # type: ignore[arg-type]
