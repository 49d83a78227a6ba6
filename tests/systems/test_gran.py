"""GRAN is a GAN with a recurrent generator, whose canvases are shown."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.losses import NonSaturating
from saddlepoint.networks import DCGANGenerator, GRANDiscriminator, GRANGenerator
from saddlepoint.systems import GRAN
from saddlepoint.systems.capabilities import Generates, HasLatents, Picture
from saddlepoint.types import ImageBatch

SHAPE, Z, T, N, RATE = (1, 16, 16), 5, 3, 6, 0.1


class Alone:
    world_size, global_rank, precision_plugin = 1, 0, None


def build(ema_decay: float | None = None) -> GRAN:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": GRANGenerator(SHAPE, Z, T, 2, 8),
        "discriminator": GRANDiscriminator(SHAPE, 2, 4),
    }
    sgd = partial(torch.optim.SGD, lr=RATE)
    optimizers = {"generator": sgd, "discriminator": sgd}
    system = GRAN(networks, loss=NonSaturating(), latent_dim=Z, ema_decay=ema_decay, optimizers=optimizers)
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    return system


def test_a_round_equals_two_steps_of_plain_pytorch() -> None:
    system, plain, x = build(), build(), torch.rand(N, *SHAPE) * 2 - 1
    generator, critic = plain.generator, plain.discriminator
    for player in ("discriminator", "generator"):
        z = torch.randn(N, Z, generator=randomness.generator("cpu", 0, player, 0, 0))
        canvas = torch.zeros(N, *SHAPE)
        for increment in generator.increments(z):  # type: ignore[operator]
            canvas = canvas + increment
        fake = 2 * torch.sigmoid(canvas) - 1
        loss = softplus(-critic(fake).logits).mean()
        if player == "discriminator":
            loss = softplus(-critic(x).logits).mean() + softplus(critic(fake.detach()).logits).mean()
        parameters = list(plain.networks[player].parameters())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= RATE * gradient
    before = {name: value.clone() for name, value in system.named_parameters()}
    system.round(ImageBatch(x))
    for (name, found), (_, expected) in zip(system.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, msg=name)
    moved = [(found - before[name]).abs().max() for name, found in system.named_parameters() if "encoder" in name]
    assert max(moved) > 1e-4  # the gradient goes back through the steps


def test_samples_do_not_depend_on_the_number_of_samples() -> None:
    system = build(ema_decay=0.5)
    assert isinstance(system, Generates)
    assert isinstance(system, HasLatents)
    system.round(ImageBatch(torch.rand(N, *SHAPE) * 2 - 1))
    samples = system.sample(80, seed=2)
    assert torch.equal(samples[66:75], system.sample(9, seed=2, start=66))
    assert torch.equal(samples[:3], system.sample(3, seed=2))


def test_pictures_show_the_canvas_after_each_step() -> None:
    system = build(ema_decay=0.5)
    shown = system.pictures(13, 1, None)
    canvases, samples = shown["canvases"], shown["samples"]
    assert isinstance(canvases, Picture)
    assert isinstance(samples, Picture)
    assert (canvases.columns, canvases.samples.shape) == (4, (4 * T, *SHAPE))
    first, second, last = canvases.samples.split(4)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(last, samples.samples[:4])
    increments = system.averages["generator"].increments(system.draw(1, 0, 4).latents)
    torch.testing.assert_close(first, torch.tanh(increments[0] / 2))
    torch.testing.assert_close(second, torch.tanh((increments[0] + increments[1]) / 2))


def test_a_generator_without_canvases_is_rejected() -> None:
    networks: dict[str, nn.Module] = {
        "generator": DCGANGenerator(SHAPE, Z, 2),
        "discriminator": GRANDiscriminator(SHAPE, 2, 4),
    }
    with pytest.raises(UserError) as refused:
        GRAN(networks, loss=NonSaturating(), latent_dim=Z, optimizers={})
    assert refused.value.key == "networks.generator"
