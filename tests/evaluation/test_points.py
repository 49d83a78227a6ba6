"""Scores of points of a generator that covers two of eight modes, in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from saddlepoint.data import Gaussians
from saddlepoint.evaluation.points import NAMES, PointJudge
from saddlepoint.systems import GAN


@pytest.fixture
def judge() -> PointJudge:
    source = Gaussians("ring")
    return PointJudge(source.means, source.std, source.name, n=200, seed=3)


def test_two_of_eight_modes(judge: PointJudge, point_gan: GAN) -> None:
    cards = {card.metric: card for card in judge.score(point_gan)}
    share = (point_gan.sample(200, seed=3)[:, 0] > 0).double().mean().item()
    assert 0.3 < share < 0.7
    divergence = sum(p * math.log(8 * p) for p in (share, 1 - share))
    inside = 1 - math.exp(-4.5)  # mass of a Gaussian in the plane within 3σ
    assert tuple(cards) == NAMES
    assert (cards["modes"].value, cards["modes"].real, cards["high_quality"].value) == (2, 8, 1)
    assert cards["high_quality"].real == pytest.approx(inside)
    assert cards["reverse_kl"].value == pytest.approx(divergence)
    assert cards["mixture_kl"].value == pytest.approx(divergence - math.log(inside))
    assert {(card.n, card.seed, card.reference) for card in cards.values()} == {(200, 3, "gaussians_ring")}
    assert judge.monitor == "mixture_kl"


def test_another_seed_draws_other_points(judge: PointJudge, point_gan: GAN) -> None:
    values = {card.metric: card.value for card in judge.score(point_gan)}
    again = {card.metric: card.value for card in judge.at(4).at(3).score(point_gan)}
    other = {card.metric: card.value for card in judge.at(4).score(point_gan)}
    assert again == values
    assert other["reverse_kl"] != values["reverse_kl"]


def test_the_state_rebuilds_the_judge(judge: PointJudge, point_gan: GAN) -> None:
    state = judge.state()
    assert state["kind"] == "points"
    rebuilt = PointJudge(state["means"], state["std"], state["reference"], state["n"], seed=3)
    assert torch.equal(rebuilt.means, Gaussians("ring").means)
    assert [c.value for c in rebuilt.score(point_gan)] == [c.value for c in judge.score(point_gan)]
