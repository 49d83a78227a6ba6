"""f-GAN: conjugates against their definition, gradients against finite differences, and optima for two Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from saddlepoint.errors import UserError
from saddlepoint.losses import FGAN, AdversarialLoss, NonSaturating
from saddlepoint.losses.fgan import DIVERGENCES
from saddlepoint.types import CriticOutput

# f(u), from tables 1 and 4 of the paper, and f'(u).
ALPHAS = (-1.0, 0.5, 2.0, 3.0)
GENERATORS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "kl": (lambda u: u * np.log(u), lambda u: 1 + np.log(u)),
    "reverse_kl": (lambda u: -np.log(u), lambda u: -1 / u),
    "pearson": (lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1)),
    "neyman": (lambda u: (1 - u) ** 2 / u, lambda u: 1 - 1 / u**2),
    "squared_hellinger": (lambda u: (np.sqrt(u) - 1) ** 2, lambda u: 1 - 1 / np.sqrt(u)),
    "jensen_shannon": (
        lambda u: u * np.log(u) - (u + 1) * np.log((1 + u) / 2),
        lambda u: np.log(2 * u / (1 + u)),
    ),
    "gan": (lambda u: u * np.log(u) - (u + 1) * np.log(u + 1), lambda u: np.log(u / (1 + u))),
    "total_variation": (lambda u: abs(u - 1) / 2, lambda u: np.sign(u - 1) / 2),
    **{
        f"alpha {a:g}": (
            lambda u, a=a: (u**a - 1 - a * (u - 1)) / (a * (a - 1)),
            lambda u, a=a: (u ** (a - 1) - 1) / (a - 1),
        )
        for a in ALPHAS
    },
}


def loss_of(name: str, **options: Any) -> FGAN:
    divergence, _, alpha = name.partition(" ")
    return FGAN(divergence, **options, **({"alpha": float(alpha)} if alpha else {}))  # type: ignore[arg-type]


def activation(name: str, v: float) -> float:
    return float(loss_of(name).functions.activation(torch.tensor(v, dtype=torch.float64)))


def conjugate(name: str, v: float) -> float:
    return float(loss_of(name).functions.conjugate(torch.tensor(v, dtype=torch.float64)))


def output(logits: Any) -> CriticOutput:
    tensor = torch.as_tensor(logits)
    return CriticOutput(tensor, torch.zeros(len(tensor), 1))


@pytest.mark.parametrize(("name", "v"), list(product(GENERATORS, (-2.5, 0.0, 0.7))))
def test_conjugate_equals_its_definition(name: str, v: float) -> None:
    """f*(t) = sup_{u >= 0} ut - f(u), by a numerical search over log u."""
    f, t = GENERATORS[name][0], activation(name, v)
    grid = np.linspace(-40, 12, 521)
    best = max(grid, key=lambda s: np.exp(s) * t - f(np.exp(s)))
    found = minimize_scalar(
        lambda s: f(np.exp(s)) - np.exp(s) * t,
        bounds=(best - 0.2, best + 0.2),
        method="bounded",
        options={"xatol": 1e-10},
    )
    np.testing.assert_allclose(conjugate(name, v), -found.fun, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", GENERATORS)
def test_activation_is_increasing(name: str) -> None:
    values = [activation(name, v) for v in np.linspace(-5, 5, 41)]
    assert all(a < b for a, b in pairwise(values))


def test_thresholds_of_the_table() -> None:
    """T(x) > f'(1) means that x is more likely under P; at g(V) = f'(1) the sum of the bound's terms is f(1)."""
    for name, (f, slope) in GENERATORS.items():
        if name == "total_variation":
            continue
        threshold = slope(1.0)
        v = brentq(lambda v, n=name, t=threshold: activation(n, v) - t, -30, 30)
        np.testing.assert_allclose(activation(name, v) - conjugate(name, v), f(1.0), atol=1e-10, err_msg=name)


P, Q = norm(0.3, 1.0), norm(-0.2, 1.2)
"""P has the lighter tail, so that p/q is bounded; the reversed divergences need the opposite order."""
PAIRS = {"reverse_kl": (Q, P), "neyman": (Q, P), "alpha -1": (Q, P)}


def integral(f: Callable[[float], float]) -> float:
    return quad(f, -12, 12, limit=400, epsabs=1e-11, epsrel=1e-10, points=[-2, 0, 2])[0]


@pytest.mark.parametrize("name", GENERATORS)
def test_optimum_equals_the_divergence_of_two_gaussians(name: str) -> None:
    """At T* = f'(p/q) the bound equals D_f(P‖Q) by quadrature, and it is smaller for scores nearby."""
    f, slope = GENERATORS[name]
    p, q = PAIRS.get(name, (P, Q))
    divergence = integral(lambda x: q.pdf(x) * f(p.pdf(x) / q.pdf(x)))

    x = np.linspace(-9, 9, 1801)
    step = x[1] - x[0]  # the trapezoidal rule is exact to 1e-10 for these integrands
    with_p, with_q = (torch.tensor(density.pdf(x) * step) for density in (p, q))
    functions = loss_of(name).functions
    best = torch.tensor(slope(p.pdf(x) / q.pdf(x)))
    # V* with g(V*) = f'(p/q) by bisection; for total variation it is large, where tanh is ±1.
    low, high = torch.full_like(best, -2e4), torch.full_like(best, 2e4)
    for _ in range(100):
        middle = (low + high) / 2
        above = functions.activation(middle) > best
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    scores = (low + high) / 2

    def bound(v: torch.Tensor) -> torch.Tensor:
        return (with_p * functions.activation(v)).sum() - (with_q * functions.conjugate(v)).sum()

    tolerance = 2e-3 if name == "total_variation" else 1e-7  # its integrand is not smooth
    np.testing.assert_allclose(bound(scores).item(), divergence, rtol=tolerance)
    for shift in (0.1 * torch.sin(torch.tensor(x)), torch.tensor(0.05), torch.tensor(-0.05)):
        assert bound(scores + shift) <= bound(scores) + 1e-12


def test_total_variation_and_jensen_shannon_of_known_gaussians() -> None:
    """For N(±½, 1), total variation is 2Φ(½) - 1 and KL is ½; they validate the quadrature used above."""
    p, q = norm(0.5, 1), norm(-0.5, 1)
    for name, known in (("total_variation", 2 * norm.cdf(0.5) - 1), ("kl", 0.5), ("reverse_kl", 0.5)):
        f = GENERATORS[name][0]
        np.testing.assert_allclose(integral(lambda x, f=f: q.pdf(x) * f(p.pdf(x) / q.pdf(x))), known, rtol=1e-6)


@pytest.mark.parametrize("name", GENERATORS)
def test_losses_are_means_and_gradients_match_finite_differences(name: str) -> None:
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=5), rng.normal(size=4)
    f_star, g = partial(conjugate, name), partial(activation, name)
    cases = [
        (loss_of(name), lambda fake: -np.mean([g(v) for v in fake])),
        (loss_of(name, nonsaturating=False), lambda fake: -np.mean([f_star(v) for v in fake])),
    ]
    for loss, generator in cases:
        x, y = (torch.tensor(values, requires_grad=True) for values in (real, fake))
        value = loss.discriminator(output(x), output(y))
        value.backward()
        np.testing.assert_allclose(
            value.item(), np.mean([f_star(v) for v in fake]) - np.mean([g(v) for v in real]), rtol=1e-12
        )
        step = 1e-6
        slopes = [-(g(v + step) - g(v - step)) / (2 * step) / len(real) for v in real]
        np.testing.assert_allclose(x.grad, slopes, rtol=1e-6, atol=1e-9)
        slopes = [(f_star(v + step) - f_star(v - step)) / (2 * step) / len(fake) for v in fake]
        np.testing.assert_allclose(y.grad, slopes, rtol=1e-6, atol=1e-9)
        y = torch.tensor(fake, requires_grad=True)
        value = loss.generator(output(y))
        value.backward()
        np.testing.assert_allclose(value.item(), generator(fake), rtol=1e-12)
        up, down = fake.copy(), fake.copy()
        up[0] += step
        down[0] -= step
        np.testing.assert_allclose(y.grad[0], (generator(up) - generator(down)) / (2 * step), rtol=1e-6, atol=1e-9)


def test_alpha_zero_and_one_are_rejected() -> None:
    with pytest.raises(UserError, match=r"^alpha: .* not defined at 1; use its limit, divergence kl$"):
        FGAN("alpha", alpha=1.0)
    with pytest.raises(UserError, match=r"^alpha: .* not defined at 0; use its limit, divergence reverse_kl$"):
        FGAN("alpha", alpha=0.0)
    assert FGAN("pearson", alpha=1.0).divergence == "pearson"  # α is ignored


@pytest.mark.parametrize("name", ["pearson", "gan", "jensen_shannon", "total_variation"])
def test_bounded_divergences_are_finite_for_extreme_scores(name: str) -> None:
    far = torch.tensor([[[[1e4, -1e4]]], [[[-1e4, 1e4]]]], dtype=torch.bfloat16)
    loss = loss_of(name)
    for value in (loss.discriminator(output(far), output(far)), loss.generator(output(far))):
        assert value.dtype == torch.float32
        assert value.isfinite()


@pytest.mark.parametrize(
    "loss",
    [
        *(FGAN(name) for name in DIVERGENCES),
        *(FGAN("alpha", alpha=alpha) for alpha in (0.5, 2)),
        *(NonSaturating(label_smoothing=s) for s in (0.0, 0.1, 0.6)),
    ],
    ids=repr,
)
def test_undecided_is_the_optimal_score_for_equal_densities(loss: AdversarialLoss) -> None:
    """There the discriminator's loss of the same samples, such as E f*(g(V)) - E g(V), is stationary."""
    v = torch.tensor([loss.undecided], dtype=torch.float64, requires_grad=True)
    output = CriticOutput(v, v)
    (slope,) = torch.autograd.grad(loss.discriminator(output, output), v)
    assert abs(slope.item()) < 1e-12
