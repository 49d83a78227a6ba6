"""MMD against a double loop over samples, closed forms for Gaussians, and SciPy's energy distance."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import energy_distance

from saddlepoint.errors import UserError
from saddlepoint.losses import MMD
from saddlepoint.losses.kernels import Kernel, KernelName, squared_distances, unbiased_mmd2, witness
from saddlepoint.types import CriticOutput

RNG = np.random.default_rng(0)
X, Y = RNG.normal(0, 1.5, (6, 3)), RNG.normal(0.5, 1, (5, 3))


def norm(x: np.ndarray) -> float:
    return math.sqrt(sum(value * value for value in x))


def gaussian(x: np.ndarray, y: np.ndarray) -> float:
    return sum(math.exp(-(norm(x - y) ** 2) / (2 * sigma**2)) for sigma in (1, 2, 4, 8, 16))


def rational_quadratic(x: np.ndarray, y: np.ndarray) -> float:
    return sum((1 + norm(x - y) ** 2 / (2 * a)) ** -a for a in (0.2, 0.5, 1, 2, 5))


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the kernel including the terms ‖x‖ and ‖y‖, which the implementation omits."""
    return 0.5 * (norm(x) + norm(y) - norm(x - y))


KERNELS: dict[KernelName, Callable[[np.ndarray, np.ndarray], float]] = {
    "gaussian": gaussian,
    "rational_quadratic": rational_quadratic,
    "distance": distance,
}


def naive(k: Callable[[np.ndarray, np.ndarray], float], x: np.ndarray, y: np.ndarray) -> float:
    """Return the U-statistic, by its definition."""
    n, m = len(x), len(y)
    total = 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                total += k(x[i], x[j]) / (n * (n - 1))
    for i in range(m):
        for j in range(m):
            if i != j:
                total += k(y[i], y[j]) / (m * (m - 1))
    for i in range(n):
        for j in range(m):
            total -= 2 * k(x[i], y[j]) / (n * m)
    return total


def output(features: np.ndarray | torch.Tensor) -> CriticOutput:
    tensor = torch.as_tensor(features)
    return CriticOutput(torch.zeros(len(tensor)), tensor)


@pytest.mark.parametrize("name", KERNELS)
def test_values_and_gradients_of_both_players(name: KernelName) -> None:
    k, loss = KERNELS[name], MMD(name)
    x, y = (torch.tensor(values, requires_grad=True) for values in (X, Y))
    value = loss.generator(output(y), output(x))
    value.backward()
    np.testing.assert_allclose(value.item(), naive(k, X, Y), rtol=1e-11)
    np.testing.assert_allclose(loss.discriminator(output(X), output(Y)).item(), -naive(k, X, Y), rtol=1e-11)
    step = 1e-6
    for gradient, own, f in ((x.grad, X, lambda v: naive(k, v, Y)), (y.grad, Y, lambda v: naive(k, X, v))):
        for index in ((0, 0), (2, 1), (4, 2)):
            up, down = own.copy(), own.copy()
            up[index] += step
            down[index] -= step
            np.testing.assert_allclose(gradient[index], (f(up) - f(down)) / (2 * step), rtol=1e-5, atol=1e-9)


def test_estimator_is_unbiased_for_gaussians() -> None:
    """N(0,1) and N(μ,1) under a Gaussian kernel of bandwidth σ, where E k = √(σ²/(σ²+2)) exp(-d²/(2σ²+4)).

    The mean over many small batches must agree within four standard errors.
    """
    sigma, mu = 1.0, 0.7
    scale = math.sqrt(sigma**2 / (sigma**2 + 2))
    exact = 2 * scale * (1 - math.exp(-(mu**2) / (2 * sigma**2 + 4)))
    kernel, rng = Kernel("gaussian", [sigma]), np.random.default_rng(3)
    draws = torch.tensor(rng.normal(size=(1500, 2, 4, 1)))
    values = np.array([unbiased_mmd2(kernel, x, y + mu).item() for x, y in draws])
    error = values.std() / math.sqrt(len(values))
    assert abs(values.mean() - exact) < 4 * error
    assert 2 * (1 - scale) / 4 > 15 * error  # the bias of an estimator with the diagonal would be detected
    assert (values < 0).any()


def test_distance_kernel_is_half_the_energy_distance() -> None:
    """SciPy's distance is the square root of the V-statistic, which includes the diagonal and divides by n²."""
    x, y = RNG.normal(size=40), RNG.normal(0.4, 1.3, 30)
    k = lambda a, b: -0.5 * np.abs(a[:, None] - b)  # noqa: E731
    v_statistic = k(x, x).mean() + k(y, y).mean() - 2 * k(x, y).mean()
    # SciPy: √(2 ∫(F-G)²) = √(energy distance), so twice ours
    np.testing.assert_allclose(2 * v_statistic, energy_distance(x, y) ** 2, rtol=1e-10)
    u_statistic = v_statistic + k(x, x).mean() / (len(x) - 1) + k(y, y).mean() / (len(y) - 1)
    ours = MMD("distance").generator(output(y[:, None]), output(x[:, None]))
    np.testing.assert_allclose(ours.item(), u_statistic, rtol=1e-10)


def test_witness_is_a_difference_of_mean_kernels() -> None:
    at = RNG.normal(size=(4, 3))
    for name, k in KERNELS.items():
        found = witness(Kernel(name), *(torch.tensor(v) for v in (X, Y, at)))
        expected = [np.mean([k(x, t) for x in X]) - np.mean([k(y, t) for y in Y]) for t in at]
        offset = 0.5 * (np.mean([norm(x) for x in X]) - np.mean([norm(y) for y in Y])) if name == "distance" else 0
        np.testing.assert_allclose(found, np.array(expected) - offset, rtol=1e-10)


def test_distances_are_accurate_far_from_the_origin() -> None:
    near = RNG.normal(size=(5, 3))
    far = torch.tensor(near + 1000.0, dtype=torch.float32)
    exact = ((far.double()[:, None] - far.double()) ** 2).sum(2)
    np.testing.assert_allclose(squared_distances(far, far), exact, atol=2e-5)


@pytest.mark.parametrize("name", KERNELS)
def test_equal_rows_have_finite_first_and_second_derivatives(name: KernelName) -> None:
    """The distance kernel is not differentiable there."""
    x = torch.ones(3, 2, requires_grad=True)
    value = unbiased_mmd2(Kernel(name), x, torch.ones(4, 2))
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    assert gradient.abs().max() < 1e-6
    gradient.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_a_single_sample_has_zero_estimate_and_zero_gradient() -> None:
    x = torch.tensor(X[:1], requires_grad=True)
    value = MMD().generator(output(x), output(X))
    value.backward()
    assert value.item() == 0
    assert not x.grad.any()


def test_half_precision_features_are_converted_to_float32() -> None:
    x, y = (torch.tensor(v, dtype=torch.bfloat16) for v in (X, Y))
    with torch.autocast("cpu", torch.bfloat16):
        value = MMD("gaussian").generator(output(y), output(x))
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value.item(), naive(gaussian, x.double().numpy(), y.double().numpy()), rtol=1e-4)


def test_invalid_scales_are_rejected() -> None:
    with pytest.raises(UserError, match=r"^scales: the gaussian kernel takes one or more numbers > 0, got \[0.0\]$"):
        MMD("gaussian", [0.0])
    with pytest.raises(UserError, match=r"^scales: the distance kernel .* > 0 up to 2, got"):
        MMD("distance", [1.0, 2.5])
    with pytest.raises(UserError, match=r"^scales: .*one or more numbers > 0, got \[\]$"):
        MMD("rational_quadratic", [])


def test_kernels_of_scales_are_summed() -> None:
    parts = [MMD("gaussian", [s]).generator(output(Y), output(X)).item() for s in (0.5, 3.0)]
    np.testing.assert_allclose(MMD("gaussian", [0.5, 3.0]).generator(output(Y), output(X)).item(), sum(parts))


def test_attributes() -> None:
    assert MMD.batch_coupled
    assert MMD.needs_real_in_generator
    assert MMD.critic == "score"
