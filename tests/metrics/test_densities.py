"""Optimal discriminator and Jensen-Shannon divergence against quadrature of known densities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from saddlepoint.data import Gaussians
from saddlepoint.metrics.densities import (
    Grid,
    jensen_shannon,
    jensen_shannon_of_discriminator,
    mixture_density,
    optimal_discriminator,
)


def exact_divergence(a: float, b: float, sigma: float, tau: float) -> float:
    """Return JS of N(a, σ²) and N(b, τ²) by adaptive quadrature."""
    p, q = norm(a, sigma), norm(b, tau)

    def integrand(x: float) -> float:
        m = np.logaddexp(p.logpdf(x), q.logpdf(x)) - math.log(2)
        return float(0.5 * p.pdf(x) * (p.logpdf(x) - m) + 0.5 * q.pdf(x) * (q.logpdf(x) - m))

    return quad(integrand, -12, 12, points=[a, b], limit=200)[0]


@pytest.mark.parametrize(
    ("a", "b", "sigma", "tau"), [(0, 0, 1, 1), (-1, 1, 1, 1), (0, 0.5, 0.3, 1.2), (-4, 4, 0.5, 0.5)]
)
def test_the_divergence_is_that_of_adaptive_quadrature(a: float, b: float, sigma: float, tau: float) -> None:
    x = np.linspace(-12, 12, 4001)
    found = jensen_shannon(norm.pdf(x, a, sigma), norm.pdf(x, b, tau), x[1] - x[0])
    assert found == pytest.approx(exact_divergence(a, b, sigma, tau), abs=1e-6)


def test_the_optimal_discriminator_of_two_gaussians_is_a_sigmoid() -> None:
    """Of N(-1, 1) and N(1, 1): p / (p + q) = σ(-2x)."""
    x = np.linspace(-3, 3, 101)
    found = optimal_discriminator(norm.pdf(x, -1), norm.pdf(x, 1))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(2 * x)), rtol=1e-9)
    assert np.isnan(optimal_discriminator(np.array([1.0, 0.0]), np.array([0.0, 0.0]))[1])


def test_the_optimal_discriminators_logits_imply_the_divergence() -> None:
    random = torch.Generator().manual_seed(0)
    real = torch.randn(200_000, generator=random, dtype=torch.float64) - 1
    fake = torch.randn(200_000, generator=random, dtype=torch.float64) + 1
    true = exact_divergence(-1, 1, 1, 1)
    assert jensen_shannon_of_discriminator(-2 * real, -2 * fake) == pytest.approx(true, abs=3e-3)
    assert jensen_shannon_of_discriminator(-real, -fake) < true - 0.01  # smaller for any other D
    assert jensen_shannon_of_discriminator(0 * real, 0 * fake) == pytest.approx(0, abs=1e-12)


def test_a_mixtures_density_in_the_plane_is_scipys() -> None:
    means = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]])
    x, y = np.linspace(-1, 3, 7), np.linspace(-2, 2, 5)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    expected = np.mean([multivariate_normal(mean, 0.3**2 * np.eye(2)).pdf(points) for mean in means], 0)
    np.testing.assert_allclose(mixture_density(means, 0.3, [x, y]), expected, rtol=1e-9)


@pytest.mark.parametrize("layout", ["line", "ring", "grid"])
def test_the_divergence_of_the_data_itself_and_of_half_the_modes(layout: str) -> None:
    """For p over M modes and q over sM: JS = ½ [(1 - s) log 2 + s log(2s / (1 + s)) + log(2 / (1 + s))]."""
    source = Gaussians(layout)  # type: ignore[arg-type]
    grid, random = Grid(source.means, source.std), torch.Generator().manual_seed(0)
    assert grid.data.sum() * grid.volume == pytest.approx(1, abs=1e-3)

    def sample(modes: int) -> torch.Tensor:
        mode = torch.randint(modes, (20_000,), generator=random)
        return source.means[mode] + source.std * torch.randn(20_000, source.means.shape[1], generator=random)

    modes = len(source.means)
    assert grid.divergence(grid.estimate(sample(modes))) < 0.01
    s = (modes // 2) / modes
    expected = 0.5 * ((1 - s) * math.log(2) + s * math.log(2 * s / (1 + s)) + math.log(2 / (1 + s)))
    assert grid.divergence(grid.estimate(sample(modes // 2))) == pytest.approx(expected, abs=0.01)


def test_denormal_tails_do_not_become_infinite() -> None:
    assert jensen_shannon(np.array([5e-324, 1.0]), np.array([300.0, 1.0]), 1e-3) == pytest.approx(0.15 * math.log(2))


def test_points_outside_the_grid_are_counted_as_disjoint() -> None:
    source = Gaussians("ring")
    grid = Grid(source.means, source.std)
    far = torch.full((100, 2), 50.0)
    assert grid.estimate(far).outside == 1.0
    assert grid.divergence(grid.estimate(far)) == pytest.approx(math.log(2), abs=1e-3)


def test_the_shown_density_has_the_same_mass_and_its_points() -> None:
    source = Gaussians("ring")
    grid = Grid(source.means, source.std)
    shown = grid.shown(grid.data)
    assert shown.shape == (100, 100)
    assert shown.mean() == pytest.approx(grid.data.mean())
    places = grid.shown_points()
    best = places[int(shown.flatten().argmax())]
    assert torch.cdist(best[None].float(), source.means).min() < 0.03
