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
    """Play rounds on random images under a real trainer."""
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
    """An iterable that Lightning does not take apart, as it does lists."""

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
def test_generator_moves_after_k_discriminator_steps(rounds: int, updates: int) -> None:
    system = dcgan(discriminator_steps=3)
    before = snapshot(system.generator)
    fit(system, rounds)
    assert system.progress.generator_updates == updates
    assert system.progress.turns["discriminator"] == rounds
    assert system.progress.images_seen == 12 * rounds
    assert moved(system.generator, before) == (updates > 0)


def test_a_turn_moves_its_player_only() -> None:
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


def test_bf16_casts_of_weights_do_not_outlive_a_step() -> None:
    """Autocast's own cache would keep them for all the rounds of a training step; Lightning switches it off."""
    apart, together = resnet(), resnet()
    fit(apart, 4, precision="bf16-mixed")
    fit(together, 4, precision="bf16-mixed", rounds_per_step=4)
    assert together.progress.rounds == 4
    for (name, one), other in zip(apart.state_dict().items(), together.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_bf16_gradients_reach_the_generator() -> None:
    """Casts that were kept from a no_grad pass would cut them."""
    system, reference = resnet(), resnet()  # without BatchNorm in the critic, which magnifies bf16's rounding
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


def test_critic_without_batch_norm_judges_real_and_fake_in_one_pass() -> None:
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


def test_gradients_are_clipped_to_the_norm_that_is_asked_for() -> None:
    free, clipped = dcgan(), dcgan(gradient_clip=1e-3)
    before = snapshot(free.discriminator)
    fit(free, 1)
    fit(clipped, 1)
    step = distance(clipped.discriminator, before)
    assert step == pytest.approx(0.1 * 1e-3, rel=1e-3)  # SGD: rate times norm
    assert distance(free.discriminator, before) > 10 * step


@pytest.mark.parametrize("n", [1, 5, 64, 130])
def test_samples_depend_on_neither_n_nor_start(n: int) -> None:
    system = dcgan()
    every = system.sample(200, seed=7)
    assert torch.equal(system.sample(n, seed=7), every[:n])
    assert torch.equal(system.sample(n, seed=7, start=61), every[61 : 61 + n])
    assert not torch.equal(system.sample(n, seed=8), every[:n])


def test_samples_from_given_latents_are_the_tables() -> None:
    system = dcgan()
    latents = system.draw(7, 0, 131).latents
    for start in (0, 61):
        rows = slice(start, start + 70)
        assert torch.equal(
            system.sample(70, latents=latents[rows], start=start), system.sample(70, seed=7, start=start)
        )


def test_sampling_leaves_the_networks_as_they_were() -> None:
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


def test_counters_survive_a_checkpoint() -> None:
    system, other = dcgan(), dcgan()
    fit(system, 3)
    checkpoint: dict[str, Any] = {}
    system.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    assert other.progress == system.progress
    assert other.progress.images_seen == 36


def test_gs_batch_may_be_a_multiple_of_ds() -> None:
    """As in the code published with WGAN-GP and SNGAN; a loss that pairs fakes with real samples cannot have it."""
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


def test_real_samples_leave_no_graph_in_gs_turn() -> None:
    """D stands still there, so nothing is to be differentiated for them; G's gradient is as if there were one."""
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


def test_path_length_follows_the_lengths_and_not_its_own_penalty() -> None:
    """Under the key that its file gives it, which is the name that its penalty is logged by."""
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
    # Of one latent the penalty would be 3 (l - a)²; of several it is no less, by the spread of their lengths.
    assert system.logs["generator/path_length"].item() >= 3 * (length - before) ** 2


class Alone:
    """What a game needs of a trainer, on one process."""

    world_size, global_rank, precision_plugin = 1, 0, None


@pytest.mark.parametrize("name", ["lecam", "path_length"])
def test_no_penalty_waits_for_other_ranks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks may have different numbers of pieces of a last batch, so that one would wait for ever."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)  # a collective would now fail
    critic, generator = MLPDiscriminator((2,), [4]), MLPGenerator((2,), 3, [4], norm="none")
    part: Any = {"lecam": LeCam, "path_length": PathLength}[name]()
    samples = torch.randn(4, 2)
    outputs = {kind: critic(samples) for kind in ("real", "fake")}
    turn = Turn(
        torch.zeros(()), {}, torch.Generator(), latents=torch.randn(4, 3), generate=Bound(generator), outputs=outputs
    )
    assert part.penalty(turn).isfinite()
