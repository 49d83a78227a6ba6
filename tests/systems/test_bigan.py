from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.losses import MMD, LeastSquares, NonSaturating, TopK
from saddlepoint.regularizers import R1, GradientPenalty
from saddlepoint.systems import BiGAN
from saddlepoint.systems.capabilities import Encodes, Generates
from saddlepoint.types import CriticOutput, VectorBatch

D, Z, N = 3, 2, 5


class Generator(nn.Module):
    shape, latent_dim = (D,), Z

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(Z, D)

    def forward(self, latents: Tensor, labels: None = None) -> Tensor:
        return self.linear(latents)


class Encoder(nn.Module):
    shape = (D,)

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(D, Z)

    def forward(self, samples: Tensor, labels: None = None) -> Tensor:
        return torch.tanh(self.linear(samples))


class Pairs(nn.Module):
    shape = (D,)

    def __init__(self) -> None:
        super().__init__()
        self.x, self.z, self.out = nn.Linear(D, 4), nn.Linear(Z, 4), nn.Linear(4, 1)

    def forward(self, pair: tuple[Tensor, Tensor], condition: None = None) -> CriticOutput:
        features = torch.tanh(self.x(pair[0]) + self.z(pair[1]))
        return CriticOutput(self.out(features).squeeze(1), features)


class Alone:
    world_size, global_rank, precision_plugin = 1, 0, None


SGD = partial(torch.optim.SGD, lr=0.1)
PLAYERS = ("discriminator", "generator", "encoder")


def build(loss: Any = None, **options: Any) -> BiGAN:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {"generator": Generator(), "encoder": Encoder(), "discriminator": Pairs()}
    options = {"prior": "uniform", "ema_decay": None, **options}
    system = BiGAN(networks, loss or NonSaturating(), latent_dim=Z, optimizers=dict.fromkeys(PLAYERS, SGD), **options)
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    return system


def forward(w: dict[str, Tensor], x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return D's logits of (x, E(x)) and (G(z), z)."""

    def judge(x: Tensor, z: Tensor) -> Tensor:
        hidden = x @ w["discriminator.x.weight"].T + w["discriminator.x.bias"]
        hidden = hidden + z @ w["discriminator.z.weight"].T + w["discriminator.z.bias"]
        return (torch.tanh(hidden) @ w["discriminator.out.weight"].T + w["discriminator.out.bias"]).squeeze(1)

    code = torch.tanh(x @ w["encoder.linear.weight"].T + w["encoder.linear.bias"])
    return judge(x, code), judge(z @ w["generator.linear.weight"].T + w["generator.linear.bias"], z)


def test_a_round_equals_two_steps_of_plain_pytorch() -> None:
    system = build()
    w = {name: p.detach().clone().requires_grad_() for name, p in system.named_parameters()}
    x = torch.randn(N, D)
    for key in ("discriminator", "generator+encoder"):
        random = randomness.generator("cpu", 0, key, 0, 0)
        real, fake = forward(w, x, torch.empty(N, Z).uniform_(-1, 1, generator=random))
        sign = 1 if key == "discriminator" else -1  # real and fake swapped
        loss = F.softplus(-sign * real).mean() + F.softplus(sign * fake).mean()
        movers = [name for name in w if name.split(".")[0] in key.split("+")]
        for name, gradient in zip(movers, torch.autograd.grad(loss, [w[m] for m in movers]), strict=True):
            w[name] = (w[name].detach() - 0.1 * gradient).requires_grad_()
    system.round(VectorBatch(x))
    for name, parameter in system.named_parameters():
        torch.testing.assert_close(parameter, w[name].detach())
    assert system.progress.turns == {"discriminator": 1, "generator": 1, "encoder": 1}


def test_the_minimum_is_attained_only_at_inverses() -> None:
    """On n points the optimal D is p / (p + q); its value is minimal for E = G⁻¹ (theorem 1)."""
    n = 3
    values = {}
    for g in itertools.product(range(n), repeat=n):
        for e in itertools.product(range(n), repeat=n):
            p, q = torch.zeros(n, n), torch.zeros(n, n)
            for i in range(n):
                p[i, e[i]] += 1 / n
                q[g[i], i] += 1 / n
            best = (p / q).log().clamp(-50, 50)
            value = (p * F.logsigmoid(best))[p > 0].sum() + (q * F.logsigmoid(-best))[q > 0].sum()
            values[g, e] = value.item()
    lowest = [pair for pair, value in values.items() if value == pytest.approx(-math.log(4), abs=1e-5)]
    assert lowest == [(g, e) for g, e in values if all(e[g[i]] == i for i in range(n))]
    assert min(values.values()) == pytest.approx(-math.log(4), abs=1e-5)


def test_the_generator_loss_is_the_discriminator_loss_with_real_and_fake_swapped() -> None:
    system, x = build(LeastSquares()), torch.randn(N, D)
    system.random = torch.Generator().manual_seed(0)
    record = system.generator_loss(VectorBatch(x))
    real, fake = record.outputs["real"].logits, record.outputs["fake"].logits
    torch.testing.assert_close(record.loss, ((fake - 1) ** 2 / 2).mean() + (real**2 / 2).mean())


@pytest.mark.parametrize("penalty", [R1(weight=2.0), GradientPenalty(weight=1.0)])
def test_penalties_depend_on_both_parts_of_a_pair(penalty: Any) -> None:
    system, x = build(), torch.randn(N, D)
    system.random = torch.Generator().manual_seed(0)
    record = system.discriminator_loss(VectorBatch(x))
    record.random = torch.Generator().manual_seed(1)
    value = penalty.penalty(record)
    epsilon = torch.rand(N, generator=torch.Generator().manual_seed(1))[:, None]
    between = [torch.lerp(f, r, epsilon) for r, f in zip(record.real, record.fake, strict=True)]
    pair = record.real if isinstance(penalty, R1) else between
    pair = [part.detach().requires_grad_() for part in pair]
    gradients = torch.cat(torch.autograd.grad(system.discriminator(tuple(pair)).logits.sum(), pair), 1)
    squares = gradients.square().sum(1)
    expected = squares.mean() if isinstance(penalty, R1) else (squares.sqrt() - 1).square().mean()
    torch.testing.assert_close(value, expected)


def test_encode_and_decode_use_averaged_weights() -> None:
    system = build(ema_decay=0.5)
    assert isinstance(system, Generates)
    assert isinstance(system, Encodes)
    assert set(system.averages) == {"generator", "encoder"}
    system.round(VectorBatch(torch.randn(N, D)))
    x = torch.randn(4, D)
    torch.testing.assert_close(system.encode(x), system.averages["encoder"](x))
    torch.testing.assert_close(system.encode(x, ema=False), system.encoder(x))
    assert not torch.equal(system.encode(x), system.encode(x, ema=False))
    z = system.draw(0, 0, 3).latents
    assert torch.equal(system.decode(z)[:3], system.averages["generator"](z))


def test_a_loss_of_features_is_rejected() -> None:
    with pytest.raises(UserError, match="logits"):
        build(MMD())


def test_a_loss_that_changes_only_the_generator_objective_is_rejected() -> None:
    with pytest.raises(UserError, match=r"^loss: .* which BiGAN does not use; choose the loss that it wraps"):
        build(TopK(NonSaturating()))
