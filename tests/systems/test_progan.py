"""ProGAN's schedule, the fading of real images, and the reset of moments."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.losses import Wasserstein
from saddlepoint.networks import DCGANGenerator, ProGANDiscriminator, ProGANGenerator
from saddlepoint.regularizers import Drift, GradientPenalty
from saddlepoint.systems import ProGAN
from saddlepoint.systems.capabilities import HasLatents
from saddlepoint.systems.progress import Budget
from saddlepoint.turns import Turn
from saddlepoint.types import CriticOutput, ImageBatch

SHAPE, Z, N, RATE = (1, 16, 16), 5, 8, 0.01


class Alone:
    world_size, global_rank, precision_plugin = 1, 0, None


def build(optimizer: Any = None, **options: Any) -> ProGAN:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": ProGANGenerator(SHAPE, Z, 4),
        "discriminator": ProGANDiscriminator(SHAPE, 4),
    }
    optimizer = optimizer or partial(torch.optim.SGD, lr=RATE)
    optimizers = {"generator": optimizer, "discriminator": optimizer}
    options = {"stabilise_images": 800, "fade_images": 400, "ema_decay": None, **options}
    system = ProGAN(networks, loss=Wasserstein(), latent_dim=Z, optimizers=optimizers, **options)
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    return system


def images(n: int = N) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(
    ("seen", "level", "alpha"),
    [
        (0, 0, 1.0),
        (799, 0, 1.0),
        (800, 1, 0.0),
        (900, 1, 0.25),
        (1199, 1, 399 / 400),
        (1200, 1, 1.0),
        (2000, 2, 0.0),
        (2300, 2, 0.75),
        (2400, 2, 1.0),
        (100_000, 2, 1.0),
    ],
)
def test_the_schedule(seen: int, level: int, alpha: float) -> None:
    """ℓ = 2 - phase - max(0, within - T) / T', the level of detail of the authors' code, is levels - level + 1 - α."""
    system = build()
    assert system.growth(seen) == (level, alpha)
    phase, within = divmod(seen, 1200)
    detail = max(2 - phase - max(0, within - 800) / 400, 0)
    assert 2 - level + 1 - alpha == pytest.approx(detail)


def block_means(x: Tensor, size: int) -> Tensor:
    return x.unflatten(3, (-1, size)).unflatten(2, (-1, size)).mean((3, 5))


def test_real_images_are_faded_by_the_same_rule() -> None:
    system, x = build(), images()
    system.progress.images_seen = 900
    system.grow()
    fine = block_means(x, 2)
    coarse = block_means(x, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(system.faded(x), 0.75 * coarse + 0.25 * fine)
    system.progress.images_seen = 1500
    system.grow()
    torch.testing.assert_close(system.faded(x), fine)
    system.progress.images_seen = 5000
    system.grow()
    assert torch.equal(system.faded(x), x)


@pytest.mark.parametrize("seen", [0, 900, 2300, 2400])
def test_a_round_equals_two_steps_of_plain_pytorch(seen: int) -> None:
    penalties = {"gradient_penalty": GradientPenalty(), "drift": Drift()}
    system, plain, x = build(regularizers=penalties), build(), images()
    system.progress.images_seen = plain.progress.images_seen = seen
    plain.grow()
    real, generator, critic = plain.faded(x), plain.generator, plain.discriminator
    for player in ("discriminator", "generator"):
        random = randomness.generator("cpu", 0, player, 0, 0)
        fake = generator(torch.randn(N, Z, generator=random))
        loss = -critic(fake).logits.mean()
        if player == "discriminator":
            fake = fake.detach()
            scores = critic(real).logits
            loss = critic(fake).logits.mean() - scores.mean() + 0.001 * scores.square().mean()
            epsilon = torch.rand(N, generator=random).view(N, 1, 1, 1)
            between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
            (gradient,) = torch.autograd.grad(critic(between).logits.sum(), between, create_graph=True)
            loss = loss + 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()
        parameters = list(plain.networks[player].parameters())
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, found in zip(parameters, gradients, strict=True):
                parameter -= 0 if found is None else RATE * found
    system.round(ImageBatch(x))
    for (name, ours), theirs in zip(system.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6, msg=name)


def test_drift_is_the_mean_square_of_real_scores() -> None:
    scores = torch.tensor([1.0, -2.0, 3.0])
    record = Turn(torch.zeros(()), {}, torch.Generator(), outputs={"real": CriticOutput(scores, scores[:, None])})
    assert Drift(0.5).penalty(record).item() == pytest.approx(0.5 * 14 / 3)
    with pytest.raises(UserError, match="needs the critic's output on real samples"):
        Drift().penalty(Turn(torch.zeros(()), {}, torch.Generator()))


def test_moments_are_reset_when_a_fade_begins_or_ends() -> None:
    system = build(partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.99)))

    def steps(seen: int) -> float:
        system.progress.images_seen = seen
        system.round(ImageBatch(images()))
        weight = system.generator.first[1].parametrizations.weight.original
        return float(system.raw_optimizers[1].state[weight]["step"])

    assert [steps(seen) for seen in (0, 100, 700)] == [1, 2, 3]
    assert [steps(seen) for seen in (800, 900)] == [1, 2]
    assert [steps(seen) for seen in (1200, 1300)] == [1, 2]
    assert [steps(seen) for seen in (2000, 2400, 2500)] == [1, 1, 2]


def test_a_restored_system_in_a_fade_keeps_its_moments_and_level() -> None:
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.99))
    system, other = build(adam, ema_decay=0.9), build(adam, ema_decay=0.9)
    system.progress.images_seen = 900
    system.round(ImageBatch(images()))
    other.load_state_dict(system.state_dict())
    for mine, theirs in zip(other.raw_optimizers, system.raw_optimizers, strict=True):
        mine.load_state_dict(copy.deepcopy(theirs.state_dict()))
    other.on_load_checkpoint({"progress": system.progress.state()})
    assert torch.equal(other.sample(3), system.sample(3))
    for name, network in other.networks.items():
        assert (network.level, network.fading) == (1, True), name
    assert torch.equal(other.discriminator(images()).logits, system.discriminator(images()).logits)
    for one in (system, other):
        one.progress.images_seen = 908
        one.round(ImageBatch(images()))
    for (name, ours), theirs in zip(other.state_dict().items(), system.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_samples_have_the_full_size_from_the_start() -> None:
    system = build(ema_decay=0.9)
    assert isinstance(system, HasLatents)
    for seen, side in ((0, 4), (1300, 8), (2400, 16)):
        system.progress.images_seen = seen
        system.round(ImageBatch(images()))
        samples = system.sample(4, seed=0)
        assert samples.shape == (4, *SHAPE)
        assert samples.abs().max() <= 1
        coarse = block_means(samples, 16 // side).repeat_interleave(16 // side, 2).repeat_interleave(16 // side, 3)
        torch.testing.assert_close(samples, coarse)
        assert float(system.logs["generator/level"]) == (side // 4).bit_length() - 1


def test_networks_that_do_not_grow_are_refused() -> None:
    with pytest.raises(UserError, match="ProGAN needs a generator that grows"):
        ProGAN({"generator": DCGANGenerator(SHAPE, Z, 4), "discriminator": build().discriminator}, optimizers={})


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (700, "ends with 4 px, before images of 16 px are fully grown; to train these, set model.stabilise_images and "
              "model.fade_images to 140, or budget.images to more than 2400"),
        (2300, "ends with a fade to 16 px, before images of 16 px are fully grown"),
        (2400, "ends with 16 px, before images of 16 px are fully grown"),
        (2401, None),
        (None, None),
    ],
)  # fmt: skip
def test_a_budget_that_ends_too_early_is_named(
    caplog: pytest.LogCaptureFixture, budget: int | None, expected: str | None
) -> None:
    system = build(budget=Budget(images=budget))
    system.grow()
    system.grow()
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == (expected is not None)
    assert expected is None or expected in texts[0]
