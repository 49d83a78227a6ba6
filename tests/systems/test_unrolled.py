"""The unrolled GAN against PyTorch's optimizers and finite differences."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.losses import Minimax, NonSaturating, TopK
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from saddlepoint.regularizers import GradientPenalty
from saddlepoint.systems import GAN, UnrolledGAN
from saddlepoint.systems.rules import AdamRule
from saddlepoint.types import VectorBatch

SGD = partial(torch.optim.SGD, lr=0.3)
OPTIMIZERS = {
    "sgd": SGD,
    "momentum": partial(torch.optim.SGD, lr=0.3, momentum=0.9, weight_decay=0.01),
    "nesterov": partial(torch.optim.SGD, lr=0.3, momentum=0.9, nesterov=True),
    "adam": partial(torch.optim.Adam, lr=0.05, betas=(0.5, 0.99), weight_decay=0.01),
    "adamw": partial(torch.optim.AdamW, lr=0.05, weight_decay=0.1),
}


def game(kind: type[GAN] = UnrolledGAN, optimizer: Any = SGD, loss: Any = Minimax, **options: Any) -> Any:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": MLPGenerator((2,), 3, hidden=[5], activation="tanh", norm="none"),
        "discriminator": MLPDiscriminator((2,), hidden=[5], activation="tanh"),
    }
    optimizers = {"generator": SGD, "discriminator": optimizer}
    return kind(networks, loss=loss(), latent_dim=3, optimizers=optimizers, ema_decay=None, **options)


BATCH = VectorBatch(torch.randn(8, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
LATENTS = torch.randn(8, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def warm(system: Any) -> None:
    """Take three steps of D on noise, so that its optimizer has a state."""
    system.configure_optimizers()
    optimizer = system.raw_optimizers[0]
    for step in range(3):
        random = torch.Generator().manual_seed(step)
        for parameter in system.discriminator.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random, dtype=parameter.dtype)
        optimizer.step()
        optimizer.zero_grad()


def surrogate(system: Any, steps: int) -> float:
    """Return G's objective after steps of PyTorch's optimizer on copies of D and of its state."""
    critic = copy.deepcopy(system.discriminator)
    optimizer = type(system.raw_optimizers[0])(critic.parameters(), lr=1.0)
    optimizer.load_state_dict(copy.deepcopy(system.raw_optimizers[0].state_dict()))
    fake = system.generator(LATENTS).detach()
    value = system.loss.discriminator(critic(BATCH.samples), critic(fake))
    for _ in range(steps):
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        value = system.loss.discriminator(critic(BATCH.samples), critic(fake))
    if system.surrogate == "generator":
        return float(system.loss.generator(critic(fake)))
    return -float(value)


@pytest.mark.parametrize(
    ("optimizer", "steps", "aim"),
    [*[(name, 2, "value") for name in OPTIMIZERS], ("sgd", 1, "value"), ("adam", 1, "generator")],
)
def test_the_gradient_flows_through_ds_steps(optimizer: str, steps: int, aim: str) -> None:
    loss = NonSaturating if aim == "generator" else Minimax
    system = game(optimizer=OPTIMIZERS[optimizer], loss=loss, unrolled_steps=steps, surrogate=aim).double()
    warm(system)
    system.random = torch.Generator()
    system.draw_latents = lambda n: LATENTS
    for parameter in system.discriminator.parameters():
        parameter.requires_grad_(False)  # as in G's turn
    before = copy.deepcopy(system.discriminator.state_dict())
    state = copy.deepcopy(system.raw_optimizers[0].state_dict()["state"])
    record = system.generator_loss(BATCH)
    assert record.loss.item() == pytest.approx(surrogate_of(system, steps), rel=1e-9)
    record.loss.backward()

    # D and its optimizer are unchanged.
    assert all(torch.equal(value, before[name]) for name, value in system.discriminator.state_dict().items())
    assert all(p.grad is None for p in system.discriminator.parameters())
    after = system.raw_optimizers[0].state_dict()["state"]
    assert all(
        torch.equal(torch.as_tensor(after[i][k]), torch.as_tensor(v)) for i in state for k, v in state[i].items()
    )

    for parameter in system.generator.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for i in range(0, len(flat), 4):
            kept, values = flat[i].item(), []
            for shift in (1e-5, -1e-5):
                flat[i] = kept + shift
                values.append(surrogate_of(system, steps))
            flat[i] = kept
            assert gradient[i].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5, abs=1e-8)


def surrogate_of(system: Any, steps: int) -> float:
    for parameter in system.discriminator.parameters():
        parameter.requires_grad_(True)
    value = surrogate(system, steps)
    for parameter in system.discriminator.parameters():
        parameter.requires_grad_(False)
    return value


class Batches:
    """An iterable of batches; Lightning would combine the batches of a list."""

    def __iter__(self) -> Iterator[VectorBatch]:
        points = torch.randn(4, 8, 2, generator=torch.Generator().manual_seed(3))
        return (VectorBatch(batch) for batch in points)


def fit(system: GAN) -> dict[str, Tensor]:
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(system, Batches())
    return system.state_dict()


def test_zero_steps_equal_the_gan() -> None:
    plain, none, one = fit(game(GAN)), fit(game(unrolled_steps=0)), fit(game(unrolled_steps=1))
    assert all(torch.equal(value, none[name]) for name, value in plain.items())
    assert any(not torch.equal(value, one[name]) for name, value in plain.items())


def test_unrolling_does_not_change_buffers() -> None:
    """The buffers are the running statistics of BatchNorm and the vectors of spectral normalization."""
    torch.manual_seed(0)
    networks = {
        "generator": DCGANGenerator((1, 8, 8), 3, 2),
        "discriminator": DCGANDiscriminator((1, 8, 8), 2, norm="batch", spectral_norm=True),
    }
    adam = partial(torch.optim.Adam, lr=0.01)
    system = UnrolledGAN(
        networks, loss=NonSaturating(), latent_dim=3, unrolled_steps=2,
        optimizers={"generator": adam, "discriminator": adam},
    )  # fmt: skip
    system.configure_optimizers()
    system.random = torch.Generator().manual_seed(0)
    before = copy.deepcopy(system.discriminator.state_dict())
    images = VectorBatch(torch.rand(6, 1, 8, 8) * 2 - 1)
    system.generator_loss(images).loss.backward()
    assert all(torch.equal(value, before[name]) for name, value in system.discriminator.state_dict().items())
    assert all(p.grad.isfinite().all() for p in system.generator.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"optimizer": partial(torch.optim.RMSprop, lr=0.1)},
            "^optimizers.discriminator: .* RMSprop; use SGD, Adam, AdamW$",
        ),
        (
            {"optimizer": partial(torch.optim.Adam, lr=0.1, amsgrad=True)},
            "^optimizers.discriminator: .* Adam with amsgrad; leave amsgrad out$",
        ),
        (
            {"regularizers": {"gradient_penalty": GradientPenalty()}},
            "^regularizers: .* got gradient_penalty; leave it out",
        ),
        ({"gradient_clip": 1.0}, "^gradient_clip: .*; set it to null$"),
        ({"accumulate": 2}, "^accumulate: .*; set it to 1$"),
        ({"loss": lambda: TopK(Minimax())}, "^surrogate: TopK changes only G's objective.*; set it to generator"),
    ],
)
def test_unsupported_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        game(unrolled_steps=1, **options)
    game(unrolled_steps=0, **options)


def test_unrolled_steps_do_not_synchronize_with_the_device() -> None:
    """Fused Adam has its step count on the device; reading a tensor on the meta device raises an error."""
    weight = nn.Parameter(torch.randn(3, device="meta"))
    optimizer = torch.optim.Adam([weight], betas=(0.5, 0.9))
    like = torch.zeros_like(weight)
    optimizer.state[weight] = {"step": torch.zeros((), device="meta"), "exp_avg": like, "exp_avg_sq": like}
    rule = AdamRule(optimizer)
    state = rule.start([weight])
    for _ in range(2):
        (moved,) = rule.step([weight], [torch.ones_like(weight)], state)
    assert moved.shape == weight.shape
    assert moved.dtype == torch.float32
