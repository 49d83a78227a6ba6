"""The gradient penalty on MMD's witness function against finite differences of a naive witness function."""

from __future__ import annotations

import copy
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import DCGANDiscriminator, MLPDiscriminator
from saddlepoint.regularizers import MMDGradientPenalty
from saddlepoint.turns import Critic, Turn


def turn(critic: nn.Module, shape: tuple[int, ...] = (2,), n: int = 5) -> Turn:
    random = torch.Generator().manual_seed(1)
    real, fake = (torch.randn(n, *shape, generator=random, dtype=torch.float64) for _ in range(2))
    return Turn(torch.zeros(()), {"discriminator": critic}, random, real, fake, critic=Critic(critic))


def critic() -> MLPDiscriminator:
    torch.manual_seed(0)
    return MLPDiscriminator((2,), [8, 3], activation="leaky_relu").double()


def naive(network: nn.Module, real: torch.Tensor, fake: torch.Tensor, mixed: torch.Tensor) -> float:
    """Return 2 E(‖∇f‖ - 1)², with f by loops over samples (rational quadratic kernel) and ∇f by central differences."""

    def f(t: torch.Tensor) -> float:
        with torch.no_grad():
            x, y, at = (network(v).features.numpy() for v in (real, fake, t[None]))
        k = lambda a: sum((1 + np.sum((a - at[0]) ** 2) / (2 * s)) ** -s for s in (0.2, 0.5, 1, 2, 5))  # noqa: E731
        return sum(map(k, x)) / len(x) - sum(map(k, y)) / len(y)

    norms = []
    for t in mixed:
        slopes = []
        for i in range(len(t)):
            step = torch.zeros_like(t)
            step[i] = 1e-6
            slopes.append((f(t + step) - f(t - step)) / 2e-6)
        norms.append(np.linalg.norm(slopes))
    return float(2 * np.mean([(norm - 1) ** 2 for norm in norms]))


def test_value_matches_loops_and_finite_differences() -> None:
    network = critic()
    record = turn(network)
    assert record.real is not None
    assert record.fake is not None
    draws = record.random.clone_state()
    value = MMDGradientPenalty(weight=2.0).penalty(record)
    epsilon = torch.rand((5, 1), generator=draws, dtype=torch.float64)
    mixed = epsilon * record.real + (1 - epsilon) * record.fake
    np.testing.assert_allclose(value.item(), naive(network, record.real, record.fake, mixed), rtol=1e-5)
    assert 0 < record.logs["gradient_norm"] < 10


def test_gradient_in_parameters_matches_finite_differences() -> None:
    """It includes the gradient through the features of real and generated samples, which define the witness."""
    network = critic()
    MMDGradientPenalty().penalty(turn(network)).backward()
    for name, index in product(("trunk.0.weight", "trunk.2.bias"), (0, 2)):
        gradient = network.get_parameter(name).grad
        assert gradient is not None
        values = []
        for step in (1e-6, -1e-6):
            other = copy.deepcopy(network)
            with torch.no_grad():
                other.get_parameter(name).view(-1)[index] += step
            values.append(MMDGradientPenalty().penalty(turn(other)).item())
        np.testing.assert_allclose(gradient.view(-1)[index], (values[0] - values[1]) / 2e-6, rtol=1e-4, atol=1e-8)


def test_features_of_the_turn_are_reused() -> None:
    values, gradients = [], []
    for reuse in (False, True):
        network = critic().float()
        record = turn(network)
        assert record.real is not None
        assert record.fake is not None
        record.real, record.fake = record.real.float(), record.fake.float()
        if reuse:
            record.outputs = {"real": network(record.real), "fake": network(record.fake)}
        value = MMDGradientPenalty().penalty(record)
        value.backward()
        values.append(value.item())
        gradients.append(network.get_parameter("trunk.0.weight").grad)
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("kernel", ["gaussian", "rational_quadratic", "distance"])
def test_every_kernel_gives_a_finite_penalty_in_half_precision_too(kernel: str) -> None:
    torch.manual_seed(0)
    network = DCGANDiscriminator((1, 8, 8), 4, norm="none")
    record = turn(network, (1, 8, 8))
    assert record.real is not None
    record.real, record.fake = (
        record.real.bfloat16(),
        record.real.bfloat16(),
    )  # equal samples, where the distance kernel is not differentiable
    with torch.autocast("cpu", torch.bfloat16):
        value = MMDGradientPenalty(kernel=kernel).penalty(record)  # type: ignore[arg-type]
    value.backward()
    assert value.dtype == torch.float32
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert len(gradients) >= 2
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_batch_norm_and_invalid_scales_are_rejected() -> None:
    with pytest.raises(UserError, match=r"^discriminator.norm: .* batch normalization in the discriminator"):
        MMDGradientPenalty().check({"discriminator": DCGANDiscriminator((1, 8, 8), 4, norm="batch")})
    with pytest.raises(UserError, match=r"^scales: .*, got \[-1.0\]$"):
        MMDGradientPenalty(scales=[-1.0])
    assert MMDGradientPenalty.batch_coupled
