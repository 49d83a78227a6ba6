"""The VAE/GAN against a plain PyTorch loop."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.losses import MMD, LeastSquares, Minimax, NonSaturating
from saddlepoint.systems import VAEGAN
from saddlepoint.systems.capabilities import Encodes, Generates, HasLikelihood
from saddlepoint.types import CriticOutput, VectorBatch

D, Z, N, F_L, RATE, GAMMA = 3, 2, 5, 4, 0.1, 0.7
PLAYERS = ("encoder", "decoder", "discriminator")
Weights = dict[str, Tensor]


class Code(NamedTuple):
    mean: Tensor
    log_variance: Tensor


class Encoder(nn.Module):
    shape = (D,)

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(D, Z), nn.Linear(D, Z)

    def forward(self, x: Tensor, condition: None = None) -> Code:
        return Code(self.mean(x), self.log_variance(x))


class Decoder(nn.Module):
    shape, latent_dim = (D,), Z

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(Z, D)

    def forward(self, z: Tensor, condition: None = None) -> Tensor:
        return torch.tanh(self.out(z))


class Critic(nn.Module):
    shape = (D,)

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.Linear(D, F_L), nn.Linear(F_L, 1)

    def forward(self, x: Tensor, condition: None = None) -> CriticOutput:
        layer = self.layer(x)
        return CriticOutput(self.out(torch.tanh(layer)).squeeze(1), layer)


class Alone:
    world_size, global_rank, precision_plugin = 1, 0, None


def build(loss: Any = None, gamma: float = GAMMA, **options: Any) -> VAEGAN:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {"encoder": Encoder(), "decoder": Decoder(), "discriminator": Critic()}
    optimizers = dict.fromkeys(PLAYERS, partial(torch.optim.SGD, lr=RATE))
    system = VAEGAN(networks, loss or Minimax(), Z, gamma, optimizers=optimizers, **options)
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    return system


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def decode(w: Weights, z: Tensor) -> Tensor:
    return torch.tanh(linear(w, "decoder.out", z))


def judge(w: Weights, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return Dis(x)'s logits and Dis_l(x)."""
    layer = linear(w, "discriminator.layer", x)
    return linear(w, "discriminator.out", torch.tanh(layer)).squeeze(1), layer


def terms(w: Weights, x: Tensor, player: str) -> dict[str, Tensor]:
    """Return the paper's three terms, computed with the draws of a player's first turn."""
    random = randomness.generator("cpu", 0, player, 0, 0)
    mean, log_variance = linear(w, "encoder.mean", x), linear(w, "encoder.log_variance", x)
    z = mean + (log_variance / 2).exp() * torch.randn(N, Z, generator=random)
    (real, layer), (decoded, of_decoded) = judge(w, x), judge(w, decode(w, z))
    sampled = 0 * decoded if player == "encoder" else judge(w, decode(w, torch.randn(N, Z, generator=random)))[0]
    return {
        "prior": -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum() / N,
        "ll": 0.5 * ((layer - of_decoded) ** 2).sum() / N,
        "gan": (F.logsigmoid(real) + (F.logsigmoid(-decoded) + F.logsigmoid(-sampled)) / 2).mean(),
    }


def objective(w: Weights, x: Tensor, player: str) -> Tensor:
    of = terms(w, x, player)
    return {
        "encoder": of["prior"] + of["ll"],
        "decoder": GAMMA / F_L * of["ll"] + of["gan"],
        "discriminator": -of["gan"],
    }[player]


def weights_of(system: VAEGAN) -> Weights:
    return {name: p.detach().clone().requires_grad_() for name, p in system.named_parameters()}


def test_a_round_equals_three_steps_of_plain_pytorch() -> None:
    system, x = build(), torch.randn(N, D)
    w = weights_of(system)
    for player in ("discriminator", "encoder", "decoder"):
        movers = [name for name in w if name.startswith(player)]
        gradients = torch.autograd.grad(objective(w, x, player), [w[m] for m in movers])
        for name, gradient in zip(movers, gradients, strict=True):
            assert gradient.abs().max() > 1e-3 or name == "encoder.log_variance.bias"
            w[name] = (w[name].detach() - RATE * gradient).requires_grad_()
    system.round(VectorBatch(x))
    for name, parameter in system.named_parameters():
        torch.testing.assert_close(parameter, w[name].detach(), rtol=1e-5, atol=1e-6, msg=name)
    assert system.progress.turns == {"discriminator": 1, "encoder": 1, "decoder": 1}
    assert system.progress.generator_updates == 1


@pytest.mark.parametrize("player", PLAYERS)
def test_each_turn_moves_only_its_own_network(player: str) -> None:
    system, x = build(), torch.randn(N, D)
    before = {name: value.clone() for name, value in system.state_dict().items()}
    system.turn(player, loss=getattr(system, f"{player}_loss"), batch=VectorBatch(x))
    changed = {name.partition(".")[0] for name, v in system.state_dict().items() if not torch.equal(v, before[name])}
    assert changed == {player}


def test_the_decoder_ignores_the_discriminators_verdict_with_a_constant_one() -> None:
    """With a constant Dis and Dis_l = x, the encoder and the decoder are those of a VAE of unit variance."""
    system, x = build(gamma=D), torch.randn(N, D)
    critic: Any = system.discriminator
    critic.layer = nn.Identity()
    critic.out = nn.Linear(D, 1)
    nn.init.zeros_(critic.out.weight)
    w = weights_of(system)
    system.random = torch.Generator().manual_seed(0)
    for player in ("encoder", "decoder"):
        noise = torch.randn(N, Z, generator=torch.Generator().manual_seed(0))
        mean, log_variance = linear(w, "encoder.mean", x), linear(w, "encoder.log_variance", x)
        posterior = Normal(mean, (log_variance / 2).exp())
        log_p = Normal(decode(w, mean + posterior.stddev * noise), 1.0).log_prob(x).sum(1)
        bound = (log_p - kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)).mean()
        system.random = torch.Generator().manual_seed(0)
        record = getattr(system, f"{player}_loss")(VectorBatch(x))
        parameters = list(system.networks[player].named_parameters())
        found = torch.autograd.grad(record.loss, [p for _, p in parameters])
        expected = torch.autograd.grad(-bound, [w[f"{player}.{name}"] for name, _ in parameters])
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_other_losses_average_over_both_kinds_of_generated_samples() -> None:
    x = torch.randn(N, D)
    for loss in (NonSaturating(), LeastSquares()):
        system = build(loss, gamma=0.0)
        system.random = randomness.generator("cpu", 0, "decoder", 0, 0)
        record = system.decoder_loss(VectorBatch(x))
        random, w = randomness.generator("cpu", 0, "decoder", 0, 0), weights_of(system)
        z = linear(w, "encoder.mean", x) + (linear(w, "encoder.log_variance", x) / 2).exp() * torch.randn(
            N, Z, generator=random
        )
        logits = [judge(w, decode(w, code))[0] for code in (z, torch.randn(N, Z, generator=random))]
        joined = CriticOutput(torch.cat(logits), torch.zeros(2 * N, 1))
        torch.testing.assert_close(record.loss, loss.generator(joined))
        torch.testing.assert_close(record.outputs["fake"].logits, logits[1])


def test_sample_encode_and_decode() -> None:
    system = build(ema_decay=0.5)
    assert isinstance(system, Generates)
    assert isinstance(system, Encodes)
    assert not isinstance(system, HasLikelihood)
    system.round(VectorBatch(torch.randn(N, D)))
    samples = system.sample(100, seed=2)
    assert torch.equal(samples[70:80], system.sample(10, seed=2, start=70))
    torch.testing.assert_close(samples, system.averages["decoder"](system.draw(2, 0, 100).latents))
    x = torch.randn(4, D)
    torch.testing.assert_close(system.encode(x), system.averages["encoder"](x).mean)
    torch.testing.assert_close(system.encode(x, ema=False), system.encoder(x).mean)
    assert set(system.exports()) == {"encoder", "decoder"}


def test_a_loss_of_features_is_rejected() -> None:
    with pytest.raises(UserError) as refused:
        build(MMD())
    assert refused.value.key == "loss"
