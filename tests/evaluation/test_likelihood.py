from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from saddlepoint.data import DataModule, Digits
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import Settings
from saddlepoint.evaluation.likelihood import LikelihoodJudge
from saddlepoint.evaluation.panel import panel
from saddlepoint.systems.capabilities import LogLikelihood
from saddlepoint.systems.progress import Progress


class Normal:
    """A system whose log-likelihood is a standard normal's, or whose bounds lie a little below that."""

    device, averages, averaged, networks = torch.device("cpu"), {}, (), {}
    progress = Progress()

    def __init__(self, exact: bool = False, levels: int | None = None, density: bool = False) -> None:
        self.exact, self.levels, self.density = exact, levels, density

    def likelihood_is_exact(self) -> bool:
        return self.exact

    def log_likelihood(self, samples: Tensor, importance: int = 0, seed: int = 0, ema: bool = True) -> LogLikelihood:
        nats = torch.distributions.Normal(0.0, 1.0).log_prob(samples).flatten(1).double().sum(1)
        if self.exact:
            return LogLikelihood(nats, "exact", samples[0].numel(), levels=256)
        kind, nats = ("iwae" if importance else "elbo"), nats - 10 / (1 + importance) - (0 if ema else 1)
        return LogLikelihood(nats, kind, samples[0].numel(), self.levels, self.density)  # type: ignore[arg-type]


def scored(data: DataModule, system: Normal | None = None, **settings: object) -> dict[str, object]:
    system = system or Normal()
    judge = LikelihoodJudge(data, Settings(**settings), system.exact)  # type: ignore[arg-type]
    return {card.metric: card for card in judge.score(system)}  # type: ignore[arg-type]


def test_bounds_in_nats() -> None:
    data = DataModule(Digits())
    cards = scored(data, n=200, importance=4)
    samples = data.batch("held_out", 0, 200).samples.double()
    exact = -0.5 * samples.square().flatten(1).sum(1) - 32 * math.log(2 * math.pi)
    elbo, nll = cards["elbo"], cards["nll"]
    assert elbo.value == pytest.approx((exact - 10).mean().item(), abs=1e-4)  # type: ignore[attr-defined]
    assert nll.value == pytest.approx(-(exact - 2).mean().item(), abs=1e-4)  # type: ignore[attr-defined]
    assert (elbo.bound, nll.bound, nll.beside) == ("elbo", "iwae", {"importance": 4.0})  # type: ignore[attr-defined]
    error = exact.std(correction=0).item() / 200**0.5
    assert elbo.interval[1] - elbo.value == pytest.approx(error, abs=1e-4)  # type: ignore[attr-defined]
    assert "bits_per_dim" not in cards  # the digits are no bits
    assert scored(data, n=200).keys() == {"elbo"}


def test_bits_of_binarised_data(monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataModule(Digits())
    monkeypatch.setattr(data.source, "binarisation", "static", raising=False)
    cards = scored(data, Normal(levels=2), n=100, importance=9)
    assert cards["bits_per_dim"].value == pytest.approx(cards["nll"].value / (64 * math.log(2)))  # type: ignore[attr-defined]
    assert cards["nll"].binarisation == "static"  # type: ignore[attr-defined]
    density = scored(data, Normal(density=True), n=100)
    assert density.keys() == {"elbo"}  # a density has no bits
    assert density["elbo"].binarisation == "none, density"  # type: ignore[attr-defined]


def test_the_weights_that_were_asked_for_are_scored() -> None:
    data = DataModule(Digits())
    averaged, raw = (scored(data, n=100, ema=ema)["elbo"] for ema in (True, False))
    assert averaged.value - raw.value == pytest.approx(1)  # type: ignore[attr-defined]


def test_exact_values_have_no_bound() -> None:
    data = DataModule(Digits())
    cards = scored(data, Normal(exact=True), n=200, importance=4)
    samples = data.batch("held_out", 0, 200).samples.double()
    nats = 0.5 * samples.square().flatten(1).sum(1) + 32 * math.log(2 * math.pi)
    assert cards.keys() == {"nll", "bits_per_dim"}
    nll, bits = cards["nll"], cards["bits_per_dim"]
    assert nll.value == pytest.approx(nats.mean().item(), abs=1e-4)  # type: ignore[attr-defined]
    assert bits.value == pytest.approx(nats.mean().item() / (64 * math.log(2)), abs=1e-6)  # type: ignore[attr-defined]
    assert (nll.bound, nll.binarisation, nll.beside) == ("exact", "none, 256 intensities", None)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("exact", "metrics", "importance", "line"),
    [
        (False, ["elbo", "nll"], 0, "metrics: the nll of this model needs importance samples; run evaluate.py with "),
        (False, ["elbo"], 4, "importance: applies only to nll and bits_per_dim of models with a bound on the "),
        (True, None, 4, "importance: applies only to nll and bits_per_dim of models with a bound on the "),
        (False, ["elbo", "nll"], 4, None),
        (False, None, 0, None),
        (True, ["nll"], 0, None),
    ],
)
def test_importance_samples_are_requested_where_they_are_needed(
    exact: bool, metrics: list[str] | None, importance: int, line: str | None
) -> None:
    system, settings = Normal(exact), Settings(metrics=metrics, importance=importance)
    if line is None:
        assert type(panel(system, DataModule(Digits()), settings, None).judges[0]) is LikelihoodJudge  # type: ignore[arg-type]
        return
    with pytest.raises(UserError) as caught:
        panel(system, DataModule(Digits()), settings, None)  # type: ignore[arg-type]
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("exact", "metrics", "monitor"),
    [(False, None, "elbo"), (True, None, "nll"), (False, ["nll"], None), (True, ["nll"], "nll"), (True, ["fid"], None)],
)
def test_the_best_checkpoint_is_that_of_the_likelihood(
    exact: bool, metrics: list[str] | None, monitor: str | None
) -> None:
    assert LikelihoodJudge(DataModule(Digits()), Settings(metrics=metrics), exact).monitor == monitor
