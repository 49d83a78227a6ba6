"""The adversarial autoencoder against plain PyTorch loops."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from aae_toys import RATE, SHAPE, Alone, K, N, Z, batch, build
from torch import Tensor, nn
from torch.nn import functional as F

from saddlepoint import randomness
from saddlepoint.losses import NonSaturating
from saddlepoint.networks import AAEEncoder, CodeDiscriminator
from saddlepoint.regularizers import R1
from saddlepoint.systems import AAE, SemiSupervisedAAE, code_priors
from saddlepoint.types import ImageBatch

Weights = dict[str, Tensor]


def perceptron(w: Weights, network: str, output: str, x: Tensor) -> Tensor:
    for layer in ("trunk.0", "trunk.2"):
        x = F.relu(x @ w[f"{network}.{layer}.weight"].T + w[f"{network}.{layer}.bias"])
    return x @ w[f"{network}.{output}.weight"].T + w[f"{network}.{output}.bias"]


def weights_of(system: Any) -> Weights:
    return {name: p.detach().clone().requires_grad_() for name, p in system.named_parameters()}


def step(w: Weights, loss: Tensor, *networks: str) -> None:
    """Take a step of gradient descent with the weights of some networks; a head that is not used has no gradient."""
    movers = [name for name in w if name.partition(".")[0] in networks]
    for name, gradient in zip(
        movers, torch.autograd.grad(loss, [w[m] for m in movers], allow_unused=True), strict=True
    ):
        if gradient is not None:
            w[name] = (w[name].detach() - RATE * gradient).requires_grad_()


def assert_equal(system: Any, w: Weights) -> None:
    for name, parameter in system.named_parameters():
        torch.testing.assert_close(parameter, w[name].detach(), rtol=1e-5, atol=1e-6, msg=name)


def random_of(key: str) -> torch.Generator:
    return randomness.generator("cpu", 0, key, 0, 0)


def reconstruction(w: Weights, x: Tensor, inputs: Tensor, semi: bool = False) -> Tensor:
    code = perceptron(w, "encoder", "style", inputs)
    if semi:
        code = torch.cat([code, perceptron(w, "encoder", "class_logits", inputs).softmax(1)], 1)
    intensities = torch.sigmoid(perceptron(w, "decoder", "output", code))
    return 0.5 * ((x + 1) / 2 - intensities).square().sum() / len(x)


def test_a_round_equals_three_steps_of_plain_pytorch() -> None:
    system, one = build(), batch()
    x, w = one.images.flatten(1), weights_of(system)
    step(w, reconstruction(w, x, x), "encoder", "decoder")
    prior = code_priors.draw("mixture", N, Z, random_of("discriminator"))
    real, fake = (perceptron(w, "discriminator", "logits", c) for c in (prior, perceptron(w, "encoder", "style", x)))
    step(w, F.softplus(-real).mean() + F.softplus(fake).mean(), "discriminator")
    fake = perceptron(w, "discriminator", "logits", perceptron(w, "encoder", "style", x))
    step(w, F.softplus(-fake).mean(), "encoder")
    system.round(one)
    assert_equal(system, w)
    assert system.progress.turns == {"autoencoder": 1, "discriminator": 1, "encoder": 1}
    assert system.progress.generator_updates == 1


def test_a_semi_supervised_round_equals_four_steps_of_plain_pytorch() -> None:
    system, one = build("semi", "gaussian", labelled=4, noise=0.3), batch()
    assert type(system) is SemiSupervisedAAE
    known = batch(4)
    system.set_labelled(known)
    x, w = one.images.flatten(1), weights_of(system)

    def noisy(x: Tensor, random: torch.Generator) -> Tensor:
        return x + 0.6 * torch.randn(len(x), *SHAPE, generator=random).flatten(1)

    step(w, reconstruction(w, x, noisy(x, random_of("autoencoder")), semi=True), "encoder", "decoder")
    for key in ("discriminator", "encoder"):
        random = random_of(key)
        inputs = noisy(x, random)
        style = perceptron(w, "encoder", "style", inputs)
        y = perceptron(w, "encoder", "class_logits", inputs).softmax(1)
        z = torch.randn(N, Z, generator=random)
        classes = torch.eye(K)[torch.randint(K, (N,), generator=random)]
        real = [perceptron(w, "discriminator", "logits", z), perceptron(w, "category_discriminator", "logits", classes)]
        fake = [perceptron(w, "discriminator", "logits", style), perceptron(w, "category_discriminator", "logits", y)]
        if key == "discriminator":
            loss = sum(F.softplus(-r).mean() + F.softplus(f).mean() for r, f in zip(real, fake, strict=True))
            step(w, torch.as_tensor(loss), "discriminator", "category_discriminator")
        else:
            step(w, F.softplus(-fake[0]).mean() + F.softplus(-fake[1]).mean(), "encoder")
    random = random_of("classifier")
    rows = torch.randint(4, (N,), generator=random)
    logits = perceptron(w, "encoder", "class_logits", noisy(known.images.flatten(1)[rows], random))
    step(w, F.cross_entropy(logits, known.labels[rows]), "encoder")
    system.round(one)
    assert_equal(system, w)
    assert system.progress.turns == {"autoencoder": 1, "discriminator": 1, "encoder": 1, "classifier": 1}


@pytest.mark.parametrize("labelled", [None, 4])
def test_the_critic_gets_the_labels_of_codes_and_of_draws(labelled: int | None) -> None:
    system, one = build("prior", labelled=labelled), batch()
    known = batch(4)
    system.set_labelled(known)
    w, random = weights_of(system), random_of("discriminator")
    x, labels = one.images, one.labels
    if labelled:  # the batch's own labels are not used
        rows = torch.randint(4, (N,), generator=random)
        x, labels = torch.cat([known.images[rows], x]), torch.cat([known.labels[rows], torch.full((N,), K)])
    u, hot = torch.rand(len(x), generator=random), torch.eye(K + 1)[labels]
    noise = torch.randn(len(x), 2, generator=random)
    part = torch.where(labels < K, labels, (u * K).long())
    prior = code_priors.mixture(part, K, noise)
    codes = perceptron(w, "encoder", "style", x.flatten(1))
    real, fake = (perceptron(w, "discriminator", "logits", torch.cat([c, hot], 1)) for c in (prior, codes))
    step(w, F.softplus(-real).mean() + F.softplus(fake).mean(), "discriminator")
    system.turn("discriminator", loss=system.discriminator_loss, batch=one)
    assert_equal(system, w)


@pytest.mark.parametrize("labels", ["none", "prior", "semi"])
def test_each_turn_moves_only_its_own_networks(labels: str) -> None:
    system, one = build(labels, "mixture"), batch()
    moved = {
        "autoencoder": {"encoder", "decoder"},
        "discriminator": {"discriminator"} | ({"category_discriminator"} if labels == "semi" else set()),
        "encoder": {"encoder"},
        "classifier": {"encoder"},
    }
    losses = {
        "autoencoder": system.reconstruction_loss,
        "discriminator": system.discriminator_loss,
        "encoder": system.encoder_loss,
    }
    if labels == "semi":
        losses["classifier"] = system.classification_loss
    for player, loss in losses.items():
        before = {name: value.clone() for name, value in system.state_dict().items()}
        system.turn(player, loss=loss, batch=one)
        changed = {
            name.partition(".")[0] for name, v in system.state_dict().items() if not torch.equal(v, before[name])
        }
        assert changed == moved[player]


def test_a_constant_critic_does_not_move_the_encoder() -> None:
    system = build()
    for parameter in system.discriminator.logits.parameters():
        nn.init.zeros_(parameter)
    before = [p.clone() for p in system.encoder.parameters()]
    system.turn("encoder", loss=system.encoder_loss, batch=batch())
    assert all(torch.equal(old, new) for old, new in zip(before, system.encoder.parameters(), strict=True))
    assert system.logs["encoder/loss"].item() == pytest.approx(0.6931472)


@pytest.mark.slow
def test_a_linear_encoder_learns_to_standardize_normal_data() -> None:
    """E(x) = a x + b with x ~ N(2, 3²): the only codes that follow N(0, 1) have |a| = 1/3 and b = -2a."""

    torch.manual_seed(0)
    encoder = AAEEncoder((1, 2, 2), 1, units=1)
    encoder.trunk = nn.Identity()  # type: ignore[assignment]  # samples are single values here
    nn.init.ones_(encoder.style.weight)
    nn.init.zeros_(encoder.style.bias)
    networks = {"encoder": encoder, "decoder": nn.Linear(1, 1), "discriminator": CodeDiscriminator(1, 16)}
    optimizers = dict.fromkeys(("autoencoder", "encoder"), partial(torch.optim.Adam, lr=3e-3, betas=(0.5, 0.9)))
    optimizers["discriminator"] = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.9))
    # The penalty makes the game converge.
    system = AAE(networks, NonSaturating(), latent_dim=1, regularizers={"r1": R1(weight=1.0)}, optimizers=optimizers)
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    random = torch.Generator().manual_seed(0)
    for _ in range(1500):
        x = ImageBatch(2 + 3 * torch.randn(128, 1, 1, 1, generator=random))
        system.turn("discriminator", loss=system.discriminator_loss, batch=x)
        system.turn("encoder", loss=system.encoder_loss, batch=x)
    a, b = encoder.style.weight.item(), encoder.style.bias.item()
    assert abs(3 * a) == pytest.approx(1, abs=0.2)
    assert 2 * a + b == pytest.approx(0, abs=0.2)
