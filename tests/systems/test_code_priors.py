"""Priors of codes against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from saddlepoint.systems import code_priors
from saddlepoint.systems.code_priors import PriorName

N = 200_000


def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("prior", ["gaussian", "mixture", "swiss_roll"])
def test_the_mean_squared_norm_is_the_dimension(prior: PriorName) -> None:
    codes = code_priors.draw(prior, N, 2, random()).double()
    assert codes.shape == (N, 2)
    assert float(codes.square().sum(1).mean()) == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize("components", [3, 10, 40])
def test_moments_of_the_mixture(components: int) -> None:
    """K > 2 equal shares at equal angles have the mean 0 and a covariance that is a multiple of I."""
    codes = code_priors.draw("mixture", N, 2, random(), components).double()
    assert codes.mean(0).tolist() == pytest.approx([0, 0], abs=0.01)
    torch.testing.assert_close(codes.T.cov(), torch.eye(2, dtype=torch.double), rtol=0, atol=0.02)


@pytest.mark.parametrize("k", [0, 1, 7])
def test_moments_of_one_gaussian_of_ten(k: int) -> None:
    codes = code_priors.draw("mixture", N, 2, random(), 10, torch.full((N,), k)).double()
    angle, across = 2 * math.pi * k / 10, 0.14
    direction = np.array([math.cos(angle), math.sin(angle)])
    radius = math.sqrt(2 - 0.45**2 - across**2)
    np.testing.assert_allclose(codes.mean(0), radius * direction, atol=0.01)
    along = np.outer(direction, direction)
    np.testing.assert_allclose(codes.T.cov(), 0.45**2 * along + across**2 * (np.eye(2) - along), atol=0.005)


def test_gaussians_hardly_overlap() -> None:
    """Nearest neighbours are more than five standard deviations apart, for any number of them."""
    for components in (2, 10, 100):
        noise = torch.zeros(components, 2)
        means = code_priors.mixture(torch.arange(components), components, noise)
        noise[:, 1] = 1
        across = (code_priors.mixture(torch.arange(components), components, noise) - means).norm(dim=1)[0]
        assert (means[0] - means[1]).norm() > 5 * across


def test_the_swiss_roll_is_a_spiral_with_uniform_positions() -> None:
    codes = code_priors.draw("swiss_roll", 20_000, 2, random()).double()
    squares = codes.square().sum(1) / 4  # u
    assert stats.kstest(squares.numpy(), "uniform").pvalue > 0.01
    angle = torch.atan2(codes[:, 1], codes[:, 0])
    turns = (4 * math.pi * squares.sqrt() - angle) / (2 * math.pi)
    np.testing.assert_allclose(turns, turns.round(), atol=1e-4)
    # ∫₀¹ 2√u (cos, sin)(4π√u) du
    np.testing.assert_allclose(codes.mean(0), [8 / (4 * math.pi) ** 2, -1 / math.pi], atol=0.03)


def test_labels_are_consecutive_parts_of_the_swiss_roll() -> None:
    labels = torch.arange(5).repeat_interleave(100)
    codes = code_priors.draw("swiss_roll", 500, 2, random(), 4, labels)
    u = codes.square().sum(1) / 4
    for k in range(4):
        assert ((u >= k / 4 - 1e-6) & (u <= (k + 1) / 4 + 1e-6))[labels == k].all()
    assert u[labels == 4].max() - u[labels == 4].min() > 0.9  # unknown: the whole roll


def test_unknown_labels_are_drawn_from_the_whole_mixture() -> None:
    unknown = code_priors.draw("mixture", 1000, 2, random(), 10, torch.full((1000,), 10))
    assert torch.equal(unknown, code_priors.draw("mixture", 1000, 2, random(), 10))
