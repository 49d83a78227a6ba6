from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.losses import Hinge, NonSaturating, Relativistic, Wasserstein
from saddlepoint.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from saddlepoint.regularizers import LeCam, PathLength, WeightClipping
from saddlepoint.systems import GAN
from saddlepoint.systems.progress import Budget
from saddlepoint.turns import Bound, Turn
from saddlepoint.types import ImageBatch, VectorBatch

SGD = partial(torch.optim.SGD, lr=0.1)
OPTIMIZERS = {"generator": SGD, "discriminator": SGD}


def dcgan(**options: Any) -> GAN:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": DCGANGenerator((1, 8, 8), 6, 8),
        "discriminator": DCGANDiscriminator((1, 8, 8), 8),
    }
    return GAN(networks, NonSaturating(), latent_dim=6, optimizers=OPTIMIZERS, **options)


def resnet() -> GAN:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": ResNetGenerator((1, 8, 8), 6, 8),
        "discriminator": ResNetDiscriminator((1, 8, 8), 8, spectral_norm=True),
    }
    return GAN(networks, Hinge(), latent_dim=6, optimizers=OPTIMIZERS)


def fit(system: GAN, rounds: int, precision: Any = "32-true", n: int = 12, rounds_per_step: int = 1) -> None:
    """Train for some rounds on random images with a Lightning trainer."""
    images = torch.rand(rounds * n, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    trainer = pl.Trainer(
        accelerator="cpu",
        precision=precision,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(system, Batches(images, n, rounds_per_step))


class Batches:
    """An iterable of batches; Lightning would combine the batches of a list."""

    def __init__(self, samples: torch.Tensor, n: int, rounds_per_step: int = 1) -> None:
        self.samples, self.n, self.rounds_per_step = samples, n, rounds_per_step

    def __iter__(self) -> Iterator[ImageBatch | list[ImageBatch]]:
        if self.rounds_per_step == 1:
            return (ImageBatch(batch) for batch in self.samples.split(self.n))
        steps = self.samples.split(self.n * self.rounds_per_step)
        return ([ImageBatch(batch) for batch in step.split(self.n)] for step in steps)


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def distance(module: nn.Module, before: dict[str, torch.Tensor]) -> float:
    return float(torch.stack([(p.detach() - before[n]).norm() for n, p in module.named_parameters()]).norm())


def moved(module: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(value, before[name]) for name, value in module.named_parameters())


@pytest.mark.parametrize(("rounds", "updates"), [(1, 0), (2, 0), (3, 1), (7, 2)])
def test_the_generator_is_updated_after_k_discriminator_steps(rounds: int, updates: int) -> None:
    system = dcgan(discriminator_steps=3)
    before = snapshot(system.generator)
    fit(system, rounds)
    assert system.progress.generator_updates == updates
    assert system.progress.turns["discriminator"] == rounds
    assert system.progress.images_seen == 12 * rounds
    assert moved(system.generator, before) == (updates > 0)


def test_a_turn_updates_only_its_player() -> None:
    system = dcgan()
    seen: list[tuple[str, bool, bool]] = []
    turn = system.turn

    def watched(name: str, **options: Any) -> None:
        generator, discriminator = snapshot(system.generator), snapshot(system.discriminator)
        turn(name, **options)
        seen.append((name, moved(system.generator, generator), moved(system.discriminator, discriminator)))

    system.turn = watched  # type: ignore[method-assign]
    fit(system, 2)
    assert seen == [("discriminator", False, True), ("generator", True, False)] * 2
    assert all(p.requires_grad for p in (*system.generator.parameters(), *system.discriminator.parameters()))


def test_weights_frozen_by_the_user_stay_frozen() -> None:
    system = dcgan()
    frozen = next(system.discriminator.parameters())
    frozen.requires_grad_(False)
    for player in system.players.values():
        player.__post_init__()
    before = frozen.clone()
    fit(system, 2)
    assert torch.equal(frozen, before)
    assert not frozen.requires_grad


def test_bf16_casts_of_weights_are_not_cached_between_steps() -> None:
    """The cache of autocast would keep them for all rounds of a training step; Lightning disables it."""
    apart, together = resnet(), resnet()
    fit(apart, 4, precision="bf16-mixed")
    fit(together, 4, precision="bf16-mixed", rounds_per_step=4)
    assert together.progress.rounds == 4
    for (name, one), other in zip(apart.state_dict().items(), together.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_bf16_gradients_reach_the_generator() -> None:
    """Casts cached in a forward pass under no_grad would have no gradients."""
    system, reference = resnet(), resnet()  # BatchNorm in the critic would amplify rounding errors
    before = snapshot(reference)
    fit(reference, 3)
    fit(system, 3, precision="bf16-mixed")
    for (name, ours), exact in zip(system.named_parameters(), reference.parameters(), strict=True):
        if ours.requires_grad and ours.dim() > 1:
            way, exact_way = (ours - before[name]).flatten(), (exact - before[name]).flatten()
            assert torch.cosine_similarity(way, exact_way, dim=0) > 0.98, name


def test_bf16_generator_receives_a_gradient() -> None:
    system = dcgan()
    before = snapshot(system.generator)
    fit(system, 1, precision="bf16-mixed")
    stuck = [name for name, value in system.generator.named_parameters() if torch.equal(value, before[name])]
    assert stuck == []


def test_a_critic_without_batch_norm_has_one_forward_pass_for_real_and_generated_samples() -> None:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": ResNetGenerator((1, 8, 8), 6, 4),
        "discriminator": ResNetDiscriminator((1, 8, 8), 4, spectral_norm=True).eval(),
    }
    system = GAN(networks, Hinge(), latent_dim=6, optimizers=OPTIMIZERS)
    assert system.judges_together
    real, fake = torch.randn(5, 1, 8, 8), torch.randn(3, 1, 8, 8)
    judged_real, judged_fake = system.judge(real, fake, None)
    torch.testing.assert_close(judged_real.logits, system.discriminator(real).logits)
    torch.testing.assert_close(judged_fake.features, system.discriminator(fake).features)
    deeper = {"generator": DCGANGenerator((1, 16, 16), 6, 8), "discriminator": DCGANDiscriminator((1, 16, 16), 8)}
    assert not GAN(deeper, Hinge(), latent_dim=6, optimizers=OPTIMIZERS).judges_together


def test_weights_are_clipped_after_every_step() -> None:
    networks: dict[str, nn.Module] = {
        "generator": MLPGenerator((2,), 6, [16]),
        "discriminator": MLPDiscriminator((2,), [16]),
    }
    system = GAN(
        networks,
        Wasserstein(),
        latent_dim=6,
        optimizers=OPTIMIZERS,
        regularizers={"weight_clipping": WeightClipping(0.01)},
    )
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(system, Batches(torch.randn(8, 2), 8))
    assert max(p.abs().max().item() for p in system.discriminator.parameters()) <= 0.01
    assert max(p.abs().max().item() for p in system.generator.parameters()) > 0.01


def test_gradients_are_clipped_to_the_maximum_norm() -> None:
    free, clipped = dcgan(), dcgan(gradient_clip=1e-3)
    before = snapshot(free.discriminator)
    fit(free, 1)
    fit(clipped, 1)
    step = distance(clipped.discriminator, before)
    assert step == pytest.approx(0.1 * 1e-3, rel=1e-3)  # SGD: rate times norm
    assert distance(free.discriminator, before) > 10 * step


@pytest.mark.parametrize("n", [1, 5, 64, 130])
def test_samples_do_not_depend_on_n_or_start(n: int) -> None:
    system = dcgan()
    every = system.sample(200, seed=7)
    assert torch.equal(system.sample(n, seed=7), every[:n])
    assert torch.equal(system.sample(n, seed=7, start=61), every[61 : 61 + n])
    assert not torch.equal(system.sample(n, seed=8), every[:n])


def test_samples_of_given_latents_equal_the_keyed_samples() -> None:
    system = dcgan()
    latents = system.draw(7, 0, 131).latents
    for start in (0, 61):
        rows = slice(start, start + 70)
        assert torch.equal(
            system.sample(70, latents=latents[rows], start=start), system.sample(70, seed=7, start=start)
        )


def test_sampling_does_not_change_the_networks() -> None:
    system = dcgan().train()
    before = {name: value.clone() for name, value in system.state_dict().items()}
    system.sample(10, ema=False)
    assert system.generator.training
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())


def test_budget_counts_generator_updates() -> None:
    budget = Budget(generator_updates=4)
    system = dcgan(discriminator_steps=2, budget=budget)
    fit(system, 7)
    assert system.progress.generator_updates == 3
    assert budget.fraction(system.progress) == 0.75
    assert not budget.reached(system.progress)


def test_counters_are_saved_in_checkpoints() -> None:
    system, other = dcgan(), dcgan()
    fit(system, 3)
    checkpoint: dict[str, Any] = {}
    system.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    assert other.progress == system.progress
    assert other.progress.images_seen == 36


def test_generator_batch_multiple() -> None:
    """As in the published code of WGAN-GP and SNGAN; losses that pair generated with real samples do not support it."""
    torch.manual_seed(0)
    networks = {
        "generator": MLPGenerator((2,), 3, hidden=[8], conditioning="concat", num_classes=3),
        "discriminator": MLPDiscriminator((2,), hidden=[8], conditioning="concat", num_classes=3),
    }
    system = GAN(networks, Hinge(), latent_dim=3, optimizers=OPTIMIZERS, generator_batch_multiple=2)
    system.random = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 2, 1])
    turn = system.generator_loss(VectorBatch(torch.zeros(4, 2), labels))
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    both = torch.cat([labels, labels])
    torch.testing.assert_close(turn.fake, networks["generator"](z, both))
    torch.testing.assert_close(turn.loss, -networks["discriminator"](turn.fake, both).logits.mean())
    assert torch.equal(turn.labels, both)  # type: ignore[arg-type]
    system.random = torch.Generator().manual_seed(0)
    assert len(system.discriminator_loss(VectorBatch(torch.zeros(4, 2), labels)).outputs["fake"].logits) == 4
    with pytest.raises(
        UserError,
        match=r"^generator_batch_multiple: Relativistic needs as many generated as real samples; set it to 1$",
    ):
        GAN(networks, Relativistic(), optimizers=OPTIMIZERS, generator_batch_multiple=2)


def test_real_samples_have_no_graph_in_the_generators_turn() -> None:
    """D is frozen, so their graph is not needed; G's gradient is the same as with a graph."""
    gradients = []
    for together in (False, True):
        system = resnet()
        system.loss = Relativistic()
        system.needs_real_in_generator = True
        system.discriminator.eval().requires_grad_(False)
        system.random = torch.Generator().manual_seed(0)
        batch = ImageBatch(torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1)
        if together:
            fake = system.generator(system.draw_latents(6))
            real, generated = system.judge(batch.samples, fake, None)
            loss = system.loss.generator(generated, real)
        else:
            turn = system.generator_loss(batch)
            assert not turn.outputs["real"].logits.requires_grad
            loss = turn.loss
        loss.backward()
        gradients.append([p.grad for p in system.generator.parameters()])
    for apart, whole in zip(*gradients, strict=True):
        torch.testing.assert_close(apart, whole, rtol=1e-4, atol=1e-6)


def test_path_length_averages_the_lengths_and_not_the_penalty() -> None:
    """The regularizer's key, under which the penalty is logged, is the one of its config file."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "generator": MLPGenerator((2,), 3, [5], norm="none"),
        "discriminator": MLPDiscriminator((2,), [5]),
    }
    part = PathLength(interval=1, shrink=1, weight=3.0)
    system = GAN(networks, NonSaturating(), latent_dim=3, optimizers=OPTIMIZERS, regularizers={"path_length": part})
    system.configure_optimizers()
    system.trainer = Alone()  # type: ignore[assignment]
    system.on_fit_start()
    batches = iter(torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(1)))
    system.training_step(VectorBatch(next(batches)), 0)
    assert part.average == system.logs["generator/length"] > 0
    before = part.average.item()
    system.training_step(VectorBatch(next(batches)), 1)
    length = system.logs["generator/length"].item()
    assert part.average.item() == pytest.approx(0.99 * before + 0.01 * length, rel=1e-6)
    # For one latent the penalty would be 3 (l - a)²; for several it is larger by the variance of their lengths.
    assert system.logs["generator/path_length"].item() >= 3 * (length - before) ** 2


class Alone:
    """The attributes of a trainer that a game uses, for one process."""

    world_size, global_rank, precision_plugin = 1, 0, None


@pytest.mark.parametrize("name", ["lecam", "path_length"])
def test_penalties_use_no_collectives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last batch may have different numbers of micro-batches on different ranks, so a collective would deadlock."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)  # a collective would now fail
    critic, generator = MLPDiscriminator((2,), [4]), MLPGenerator((2,), 3, [4], norm="none")
    part: Any = {"lecam": LeCam(), "path_length": PathLength(weight=2.0)}[name]
    samples = torch.randn(4, 2)
    outputs = {kind: critic(samples) for kind in ("real", "fake")}
    turn = Turn(
        torch.zeros(()), {}, torch.Generator(), latents=torch.randn(4, 3), generate=Bound(generator), outputs=outputs
    )
    assert part.penalty(turn).isfinite()
