"""The bound critic and generator of a turn against closed forms; their calls do not change buffers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator
from saddlepoint.networks.layers.minibatch import Packing
from saddlepoint.turns import Bound, Critic, sample_scores
from saddlepoint.types import CriticOutput


def samples(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Linear(nn.Module):
    """D(x, c) = c w·x, with c = 1 without a condition; stores its condition."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.w = nn.Parameter(samples(*shape, seed=9))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> CriticOutput:
        self.told = condition
        scores = (x * self.w).flatten(1).sum(1)
        return CriticOutput(scores if condition is None else scores * condition, x.flatten(1))


class OfPairs(nn.Module):
    """D(x, z) = u·x + v·z + (u·x)(v·z)."""

    def __init__(self) -> None:
        super().__init__()
        self.u, self.v = nn.Parameter(samples(1, 2, 3, seed=7)), nn.Parameter(samples(5, seed=8))

    def forward(self, pair: tuple[Tensor, Tensor], condition: Tensor | None = None) -> CriticOutput:
        x, z = pair
        a, b = (x * self.u).flatten(1).sum(1), z @ self.v
        return CriticOutput(a + b + a * b, z)


class Packs(nn.Module):
    """D(x_1, …, x_m) = Σ_i i w·x_i; its gradient with respect to x_i is i w."""

    def __init__(self, m: int) -> None:
        super().__init__()
        self.packing, self.w = Packing(m), nn.Parameter(samples(2, seed=9))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> CriticOutput:
        packs = self.packing(x).unflatten(1, (self.packing.m, -1))
        return CriticOutput((packs @ self.w) @ torch.arange(1.0, self.packing.m + 1, dtype=x.dtype), packs)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_the_gradient_of_a_linear_critic(shape: tuple[int, ...]) -> None:
    network = Linear(*shape)
    gradient = Critic(network).gradient(samples(5, *shape))
    assert torch.equal(gradient, network.w.flatten().expand(5, -1))
    # It is differentiable with respect to the weights: d/dw Σ‖w‖² over five samples is 10 w.
    gradient.square().sum().backward()
    torch.testing.assert_close(network.w.grad, 10 * network.w.detach())


def test_the_gradient_of_a_critic_of_pairs_is_concatenated() -> None:
    network, x, z = OfPairs(), samples(4, 1, 2, 3), samples(4, 5, seed=1)
    gradient = Critic(network).gradient((x, z)).detach().numpy()
    u, v = network.u.detach().numpy().ravel(), network.v.detach().numpy()
    a, b = x.numpy().reshape(4, 6) @ u, z.numpy() @ v
    np.testing.assert_allclose(gradient[:, :6], (1 + b)[:, None] * u, rtol=1e-12)
    np.testing.assert_allclose(gradient[:, 6:], (1 + a)[:, None] * v, rtol=1e-12)


@pytest.mark.parametrize("n", [4, 2])
def test_the_first_rows_of_the_condition_are_used_for_fewer_samples(n: int) -> None:
    network, condition = Linear(3), torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
    critic, x = Critic(network, condition), samples(n, 3)
    expected = condition[:n, None] * network.w
    assert torch.equal(critic.gradient(x), expected)
    assert torch.equal(critic(x).logits, (x * expected).sum(1))
    assert torch.equal(network.told, condition[:n])


def test_a_condition_may_be_a_tree() -> None:
    class Told(nn.Module):
        def forward(self, x: Tensor, condition: dict[str, Any]) -> Tensor:
            return x + condition["image"] * condition["rest"][0]

    condition = {"image": samples(4, 2), "rest": (samples(4, 1, seed=1), None)}
    x = samples(3, 2, seed=2)
    assert torch.equal(Bound(Told(), condition)(x), x + condition["image"][:3] * condition["rest"][0][:3])


def test_the_gradient_is_with_respect_to_the_input_of_the_augments() -> None:
    network = Linear(3)
    drawn: list[float] = []

    def augment(x: Tensor) -> Tensor:
        drawn.append(3.0 + len(drawn))
        return drawn[-1] * x.square()

    critic, x = Critic(network, augment=augment), samples(4, 3)
    torch.testing.assert_close(critic.gradient(x), 3 * 2 * x * network.w)
    torch.testing.assert_close(critic.gradient(x), 4 * 2 * x * network.w)  # new draws in each call
    torch.testing.assert_close(critic(x).logits, 5 * (x.square() @ network.w))
    assert not x.requires_grad


def test_augments_take_pairs() -> None:
    network, x, z = OfPairs(), samples(4, 1, 2, 3), samples(4, 5, seed=1)
    plain = Critic(network).gradient((2 * x, z))
    gradient = Critic(network, augment=lambda pair: (2 * pair[0], pair[1])).gradient((x, z))
    torch.testing.assert_close(gradient, torch.cat([2 * plain[:, :6], plain[:, 6:]], 1))


def test_gradients_are_per_pack_and_surplus_samples_are_dropped() -> None:
    network = Packs(4)
    with pytest.warns(UserWarning, match="packing"):
        gradient = Critic(network).gradient(samples(11, 2))
    assert torch.equal(gradient, torch.cat([i * network.w for i in range(1, 5)]).expand(2, -1))


def test_a_batch_smaller_than_a_pack_has_one_gradient() -> None:
    """Three samples are repeated to fill a pack of four, so the first is also the fourth."""
    network = Packs(4)
    with pytest.warns(UserWarning, match="packing"):
        gradient = Critic(network).gradient(samples(3, 2))
    assert torch.equal(gradient, torch.cat([5 * network.w, 2 * network.w, 3 * network.w])[None])


def test_scores_of_patches_are_averaged() -> None:
    class Patches(nn.Module):
        def forward(self, x: Tensor, condition: None = None) -> CriticOutput:
            return CriticOutput(x[:, :, :2, :2], x.flatten(1))

    x = samples(2, 1, 3, 3)
    torch.testing.assert_close(sample_scores(Patches()(x)), x[:, 0, :2, :2].mean((1, 2)))
    expected = torch.tensor([0.25, 0.25, 0, 0.25, 0.25, 0, 0, 0, 0], dtype=torch.float64)
    assert torch.equal(Critic(Patches()).gradient(x), expected.expand(2, -1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_scores_and_gradients_are_float32_under_autocast(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    critic = Critic(DCGANDiscriminator((1, 8, 8), 4, norm="none"))
    x = samples(4, 1, 8, 8).to(dtype)
    plain = critic.gradient(x)
    with torch.autocast("cpu", torch.bfloat16):
        gradient, scores = critic.gradient(x), sample_scores(critic(x))
    assert gradient.dtype == scores.dtype == torch.float32
    assert torch.equal(gradient, plain)


def test_calls_do_not_change_buffers_or_mode() -> None:
    torch.manual_seed(0)
    critic = Critic(DCGANDiscriminator((1, 8, 8), 4, norm="batch", spectral_norm=True))
    generate = Bound(DCGANGenerator((1, 8, 8), 3, 4))
    for bound, x in ((critic, torch.randn(6, 1, 8, 8)), (generate, torch.randn(6, 3))):
        bound.network(x)  # changes the initial statistics
        before = copy.deepcopy(bound.network.state_dict())
        output = bound(x)
        if isinstance(bound, Critic):
            bound.gradient(x)
            output = output.logits
        after = bound.network.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())
        # Outputs use the batch's statistics, as the next training pass, which updates the running statistics.
        assert bound.network.training
        again = bound.network(x)
        assert torch.equal(again.logits if isinstance(bound, Critic) else again, output)
        assert any(not torch.equal(value, before[name]) for name, value in bound.network.named_buffers())


def test_samples_of_a_bound_generator_have_gradients() -> None:
    class Conditional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(samples(2, 3))

        def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
            return latents @ self.w + labels[:, None]

    network, labels, z = Conditional(), torch.tensor([0, 2, 1]), samples(3, 2, seed=1).requires_grad_()
    fake = Bound(network, labels)(z)
    torch.testing.assert_close(fake, z @ network.w + labels[:, None])
    fake.sum().backward()
    torch.testing.assert_close(network.w.grad, z.detach().sum(0)[:, None].expand(2, 3))
    torch.testing.assert_close(z.grad, network.w.detach().sum(1).expand(3, 2))
