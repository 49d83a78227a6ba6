from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.losses import NonSaturating
from saddlepoint.systems import InfoGAN
from saddlepoint.systems.capabilities import InfersCodes
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput, VectorBatch

K, C, NOISE, FEATURES, N = 3, 1, 2, 4, 6
Z = NOISE + K + C


class Generator(nn.Module):
    shape, latent_dim = (2,), Z

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(Z, 2)

    def forward(self, latents: Tensor, labels: None = None) -> Tensor:
        return self.linear(latents)


class Discriminator(nn.Module):
    shape = (2,)

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.logits = nn.Linear(2, FEATURES), nn.Linear(FEATURES, 1)

    def forward(self, samples: Tensor, labels: None = None) -> CriticOutput:
        features = torch.tanh(self.trunk(samples))
        return CriticOutput(self.logits(features).squeeze(1), features)


class Parameters(NamedTuple):
    categorical: tuple[Tensor, ...]
    mean: Tensor
    log_variance: Tensor


class Head(nn.Module):
    features = FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, K + 2 * C)

    def forward(self, features: Tensor) -> Parameters:
        categorical, mean, log_variance = self.linear(features).split([K, C, C], 1)
        return Parameters((categorical,), mean, log_variance)


class Alone:
    world_size, global_rank, precision_plugin = 1, 0, None


SGD = partial(torch.optim.SGD, lr=0.1)
PLAYERS = ("discriminator", "generator", "recognition")


def build(**options: Any) -> InfoGAN:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {"generator": Generator(), "discriminator": Discriminator(), "recognition": Head()}
    system = InfoGAN(
        networks, latent_dim=Z, categories=(K,), continuous=C, loss=NonSaturating(),
        optimizers=dict.fromkeys(PLAYERS, SGD), ema_decay=None, **options,
    )  # fmt: skip
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    return system


def information(system: InfoGAN, weights: dict[str, Tensor], fake: Tensor, z: Tensor) -> Tensor:
    """Return -E log Q(c|x) of one categorical and one continuous code."""
    features = torch.tanh(fake @ weights["discriminator.trunk.weight"].T + weights["discriminator.trunk.bias"])
    read = features @ weights["recognition.linear.weight"].T + weights["recognition.linear.bias"]
    categorical = F.cross_entropy(read[:, :K], z[:, NOISE : NOISE + K].argmax(1))
    continuous = 0.5 * (math.log(2 * math.pi) + (read[:, K] - z[:, -1]).square()).mean()
    return categorical + continuous


def score(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    features = torch.tanh(x @ weights["discriminator.trunk.weight"].T + weights["discriminator.trunk.bias"])
    return (features @ weights["discriminator.logits.weight"].T + weights["discriminator.logits.bias"]).squeeze(1)


def make(weights: dict[str, Tensor], z: Tensor) -> Tensor:
    return z @ weights["generator.linear.weight"].T + weights["generator.linear.bias"]


@pytest.mark.parametrize("who", ["discriminator", "generator"])
def test_a_round_equals_two_steps_of_plain_pytorch(who: str) -> None:
    """For both settings of the networks that are trained on the information term."""
    system = build(information=who)
    weights = {name: p.detach().clone().requires_grad_() for name, p in system.named_parameters()}
    real = torch.randn(N, 2)
    names = {"discriminator": "discriminator+recognition", "generator": "generator"}
    if who == "generator":
        names = {"discriminator": "discriminator", "generator": "generator+recognition"}
    for turn, key in names.items():
        z = system.codes.draw(N, randomness.generator("cpu", 0, key, 0, 0))
        fake = make(weights, z)
        if turn == "discriminator":
            loss = F.softplus(-score(weights, real)).mean() + F.softplus(score(weights, fake.detach())).mean()
            if who == "discriminator":
                loss = loss + information(system, weights, fake.detach(), z)
        else:
            loss = F.softplus(-score(weights, fake)).mean() + information(system, weights, fake, z)
        movers = [name for name in weights if name.split(".")[0] in key.split("+")]
        gradients = torch.autograd.grad(loss, [weights[name] for name in movers])
        for name, gradient in zip(movers, gradients, strict=True):
            weights[name] = (weights[name].detach() - 0.1 * gradient).requires_grad_()
    system.round(VectorBatch(real))
    for name, parameter in system.named_parameters():
        torch.testing.assert_close(parameter, weights[name].detach(), msg=lambda m, name=name: f"{name}: {m}")


def test_the_bound_is_the_entropy_for_exact_inference_and_negative_for_wrong_inference() -> None:
    system = build()
    z = system.codes.keyed(0, 0, 400)

    def bound(logits: Tensor) -> float:
        class Exact(nn.Module):
            def forward(self, features: Tensor) -> Parameters:
                return Parameters((logits,), z[:, -1:], torch.zeros(len(z), 1))

        system.recognition = Exact()
        outputs = {"fake": CriticOutput(torch.zeros(400), torch.zeros(400, FEATURES))}
        turn = Turn(torch.zeros(()), system.networks, torch.Generator(), latents=z, outputs=outputs)
        return system.less_information(turn).logs["information_categorical"].item()

    assert bound(1e4 * z[:, NOISE : NOISE + K]) == pytest.approx(math.log(K), abs=1e-6)
    assert bound(torch.zeros(400, K)) == pytest.approx(0.0, abs=1e-6)


def test_without_categorical_codes_only_continuous_ones_are_inferred() -> None:
    class ContinuousHead(Head):
        def forward(self, features: Tensor) -> Parameters:
            return Parameters((), *self.linear(features)[:, K:].split([C, C], 1))

    networks: dict[str, nn.Module] = {
        "generator": Generator(), "discriminator": Discriminator(), "recognition": ContinuousHead()
    }  # fmt: skip
    options = {"categories": (), "continuous": C, "continuous_weight": 0.5, "loss": NonSaturating()}
    system = InfoGAN(networks, latent_dim=Z, optimizers=dict.fromkeys(PLAYERS, SGD), **options)
    assert not system.has_discrete_codes()
    z, features = system.codes.keyed(0, 0, N), torch.randn(N, FEATURES)
    outputs = {"fake": CriticOutput(torch.zeros(N), features)}
    turn = Turn(torch.tensor(2.0), system.networks, torch.Generator(), latents=z, outputs=outputs)
    system.less_information(turn)
    mean = system.recognition.linear(features)[:, K]  # type: ignore[operator]
    missing = -torch.distributions.Normal(mean, 1.0).log_prob(z[:, -1]).mean()
    torch.testing.assert_close(turn.loss, 2 + 0.5 * missing)
    assert set(turn.logs) == {"information_continuous"}


def test_a_traversal_changes_only_one_code() -> None:
    system = build()
    system.generate = lambda draw, ema: draw.latents  # type: ignore[method-assign]
    for index, columns in ((0, K), (1, 5)):
        rows = system.traverse(index, 10, columns, seed=0).view(10, columns, Z)
        own = slice(NOISE, NOISE + K) if index == 0 else slice(Z - 1, Z)
        rest = [i for i in range(Z) if not own.start <= i < own.stop]
        assert (rows[:, :, rest] == rows[:, :1, rest]).all()
        expected = torch.eye(K) if index == 0 else torch.linspace(-2, 2, 5)[:, None]
        torch.testing.assert_close(rows[:, :, own], expected.expand(10, -1, -1))


def test_codes_are_inferred_from_samples() -> None:
    system = build()
    assert isinstance(system, InfersCodes)
    x = torch.randn(7, 2)
    expected = system.recognition(system.discriminator(x).features).categorical[0].argmax(1)
    assert torch.equal(system.infer_codes(x), expected)
    assert system.described_prior == f"uniform of {NOISE}, one-hot of {K}, uniform of {C}"


def test_latent_dim_must_exceed_the_dimensions_of_the_codes() -> None:
    networks: dict[str, nn.Module] = {"generator": Generator(), "discriminator": Discriminator(), "recognition": Head()}
    with pytest.raises(UserError) as refused:
        InfoGAN(
            networks,
            latent_dim=4,
            categories=(3,),
            continuous=1,
            loss=NonSaturating(),
            optimizers=dict.fromkeys(PLAYERS, SGD),
        )
    assert refused.value.key == "latent_dim"
