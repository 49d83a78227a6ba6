"""Twenty rounds of training give the same weights as a plain PyTorch loop."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saddlepoint import randomness
from saddlepoint.callbacks.budget import StopAtBudget
from saddlepoint.data import DataModule, Digits
from saddlepoint.losses import NonSaturating, Wasserstein
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator, ResNetDiscriminator, ResNetGenerator
from saddlepoint.regularizers import GradientPenalty
from saddlepoint.systems import GAN
from saddlepoint.systems.progress import Budget

BATCH, ROUNDS, SEED, Z = 16, 20, 3, 10
# The gradient of a bias before BatchNorm is rounding error, which Adam would scale up to full steps with a small eps.
ADAM = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.9), eps=1e-3, fused=True)


def train(system: GAN) -> None:
    data = DataModule(Digits())
    data.configure(BATCH, SEED, stop=system.budget.images, start=lambda: system.progress.images_seen)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[StopAtBudget()],
    )
    trainer.fit(system, datamodule=data)
    assert system.progress.rounds == ROUNDS


def batches() -> list[Tensor]:
    """Return the batches in the order of the data module: one keyed permutation per epoch, uint8 scaled to [-1, 1]."""
    images = DataModule(Digits()).arrays("train").samples
    order = torch.randperm(len(images), generator=randomness.generator("cpu", SEED, "order", 0))
    picked = images[order[: BATCH * ROUNDS]]
    return list((picked.float() / 127.5 - 1).split(BATCH))


def latents(player: str, turn: int) -> tuple[Tensor, torch.Generator]:
    random = randomness.generator("cpu", SEED, player, 0, turn)
    return torch.randn(BATCH, Z, generator=random), random


def assert_same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    for (name, mine), its in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")


def test_dcgan_equals_a_plain_loop() -> None:
    torch.manual_seed(0)
    generator, discriminator = DCGANGenerator((1, 8, 8), Z, 8), DCGANDiscriminator((1, 8, 8), 8)
    G, D = copy.deepcopy(generator), copy.deepcopy(discriminator)
    system = GAN(
        {"generator": generator, "discriminator": discriminator},
        NonSaturating(),
        latent_dim=Z,
        ema_decay=0.9,
        optimizers={"generator": ADAM, "discriminator": ADAM},
        budget=Budget(images=BATCH * ROUNDS),
        seed=SEED,
    )
    average = {name: value.clone() for name, value in G.named_parameters()}
    train(system)

    optimizer_G, optimizer_D = ADAM(G.parameters()), ADAM(D.parameters())
    ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
    for step, real in enumerate(batches()):
        z, _ = latents("discriminator", step)
        loss = F.binary_cross_entropy_with_logits(D(real).logits, ones)
        loss = loss + F.binary_cross_entropy_with_logits(D(G(z).detach()).logits, zeros)
        optimizer_D.zero_grad()
        loss.backward()
        optimizer_D.step()
        z, _ = latents("generator", step)
        loss = F.binary_cross_entropy_with_logits(D(G(z)).logits, ones)
        optimizer_G.zero_grad()
        loss.backward()
        optimizer_G.step()
        decay = min(0.9, (2 + step) / (11 + step))
        for name, value in G.named_parameters():
            average[name] = decay * average[name] + (1 - decay) * value.detach()
    assert_same_weights(system.generator, G)
    assert_same_weights(system.discriminator, D)
    for name, value in system.averages["generator"].named_parameters():
        torch.testing.assert_close(value, average[name], rtol=0, atol=1e-6)


def test_wgan_gp_equals_a_plain_loop() -> None:
    torch.manual_seed(0)
    generator, critic = ResNetGenerator((1, 8, 8), Z, 4), ResNetDiscriminator((1, 8, 8), 4, pooling="mean")
    G, D = copy.deepcopy(generator), copy.deepcopy(critic)
    system = GAN(
        {"generator": generator, "discriminator": critic},
        Wasserstein(),
        discriminator_steps=5,
        latent_dim=Z,
        optimizers={"generator": ADAM, "discriminator": ADAM},
        regularizers={"gradient_penalty": GradientPenalty(weight=10.0)},
        schedule="linear",
        budget=Budget(images=BATCH * ROUNDS),
        seed=SEED,
    )
    train(system)

    optimizer_G, optimizer_D = ADAM(G.parameters()), ADAM(D.parameters())
    for step, real in enumerate(batches()):
        for group in (*optimizer_G.param_groups, *optimizer_D.param_groups):
            group["lr"] = 1e-3 * (1 - step / ROUNDS)
        z, random = latents("discriminator", step)
        with torch.no_grad():
            fake = G(z)
        epsilon = torch.rand(BATCH, 1, 1, 1, generator=random)
        mixed = torch.lerp(fake, real, epsilon).requires_grad_()
        (slope,) = torch.autograd.grad(D(mixed).logits.sum(), mixed, create_graph=True)
        penalty = ((slope.square().sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
        judged_real, judged_fake = D(torch.cat([real, fake])).logits.chunk(2)
        loss = judged_fake.mean() - judged_real.mean() + 10 * penalty
        optimizer_D.zero_grad()
        loss.backward()
        optimizer_D.step()
        if (step + 1) % 5 == 0:
            z, _ = latents("generator", step // 5)
            loss = -D(G(z)).logits.mean()
            optimizer_G.zero_grad()
            loss.backward()
            optimizer_G.step()
    assert system.progress.generator_updates == ROUNDS // 5
    assert_same_weights(system.generator, G)
    assert_same_weights(system.discriminator, D)


def test_wgan_gp_loop_changes_the_weights() -> None:
    """The change of the weights in twenty steps is large compared with the tolerance above."""
    torch.manual_seed(0)
    before = ResNetGenerator((1, 8, 8), Z, 4)
    after = copy.deepcopy(before)
    optimizer = ADAM(after.parameters())
    after(torch.randn(4, Z)).sum().backward()
    optimizer.step()
    with pytest.raises(AssertionError):
        assert_same_weights(after, before)
