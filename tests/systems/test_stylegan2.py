"""StyleGAN2 is a GAN with mixed styles, noise of the layers, and truncation of styles."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.losses import NonSaturating
from saddlepoint.networks import DCGANGenerator, StyleGAN2Discriminator, StyleGAN2Generator
from saddlepoint.regularizers import PathLength
from saddlepoint.systems import StyleGAN2
from saddlepoint.systems.capabilities import Generates, HasLatents
from saddlepoint.types import ImageBatch

SHAPE, Z, N, RATE = (1, 8, 8), 5, 6, 0.1


class Alone:
    world_size, global_rank, precision_plugin = 1, 0, None


def build(classes: int = 0, **options: Any) -> StyleGAN2:
    torch.manual_seed(0)
    of_labels = {"num_classes": classes, "conditioning": "concat" if classes else "none"}
    networks: dict[str, nn.Module] = {
        "generator": StyleGAN2Generator(SHAPE, Z, 4, 4, mapping_layers=2, **of_labels),  # type: ignore[arg-type]
        "discriminator": StyleGAN2Discriminator(
            SHAPE, 4, mapping_layers=2, conditioning="projection" if classes else "none", num_classes=classes
        ),
    }
    for convolution in networks["generator"].convolutions:  # type: ignore[union-attr]
        nn.init.constant_(convolution.strength, 0.3)
    sgd = partial(torch.optim.SGD, lr=RATE)
    optimizers = {"generator": sgd, "discriminator": sgd}
    system = StyleGAN2(
        networks, loss=NonSaturating(), latent_dim=Z, **{"ema_decay": None, **options}, optimizers=optimizers
    )
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    return system


@pytest.mark.parametrize("mixing", [0.0, 1.0])
def test_a_round_equals_two_steps_of_plain_pytorch(mixing: float) -> None:
    system, plain, x = build(mixing=mixing), build(), torch.rand(N, *SHAPE) * 2 - 1
    generator, critic = plain.generator, plain.discriminator
    for player in ("discriminator", "generator"):
        random = randomness.generator("cpu", 0, player, 0, 0)
        z = torch.randn(N, Z, generator=random)
        noise = torch.randn(N, generator.noise_dim, generator=random)
        w = generator.map(z)
        if mixing:
            others, cut = torch.randn(N, Z, generator=random), 1 + int(3 * torch.rand(2, generator=random)[1])
            w = torch.cat([w[:, :cut], generator.mapping(others)[:, None].expand(-1, 4, -1)[:, cut:]], 1)
        fake = generator.synthesise(w, noise)
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
    for (name, ours), theirs in zip(system.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        assert not torch.equal(ours, before[name]), name
    torch.testing.assert_close(system.generator.average.mean, plain.generator.average.mean)


def test_the_cut_is_uniform_with_the_probability_of_mixing() -> None:
    system = build(mixing=0.5)
    system.random = torch.Generator().manual_seed(0)
    found = Counter(int(system.draw_cut()) for _ in range(4000))
    assert found.keys() == {1, 2, 3, 4}
    assert found[4] == pytest.approx(2000, abs=150)
    for cut in (1, 2, 3):
        assert found[cut] == pytest.approx(2000 / 3, abs=100)


def test_noise_is_part_of_the_sample_table() -> None:
    system = build(classes=3)
    drawn, later = system.draw(7, 0, 100), system.draw(7, 90, 10)
    for name in ("latents", "labels", "noise"):
        assert torch.equal(getattr(drawn, name)[90:], getattr(later, name))
    assert abs(drawn.noise.std().item() - 1) < 0.02
    samples = system.sample(100, seed=7)
    assert torch.equal(system.sample(10, seed=7, start=90), samples[90:])
    network = system.generator.eval()
    torch.testing.assert_close(network(drawn.latents, drawn.labels, drawn.noise), samples)
    assert not torch.allclose(network(drawn.latents, drawn.labels), samples, atol=1e-3)


@pytest.mark.parametrize("cutoff", [None, 2])
def test_truncation_is_of_styles(cutoff: int | None) -> None:
    system = build(truncation_cutoff=cutoff)
    system.generator.map(torch.randn(50, Z))
    whole, half = (system.draw(0, 0, 4, truncation) for truncation in (1.0, 0.5))
    assert torch.equal(whole.latents, half.latents)
    w, center = system.styles(whole), system.generator.average.mean
    moved = center + 0.5 * (w - center)
    moved = moved if cutoff is None else torch.cat([moved[:, :cutoff], w[:, cutoff:]], 1)
    torch.testing.assert_close(system.styles(half), moved)
    expected = system.from_styles(moved, whole.noise)
    torch.testing.assert_close(system.sample(4, seed=0, truncation=0.5), expected)
    if cutoff is None:
        images = system.sample(4, seed=0, truncation=1e-12, latents=whole.latents) - system.from_styles(
            center.expand(4, 4, -1), whole.noise
        )
        torch.testing.assert_close(images, torch.zeros(4, *SHAPE))


def test_path_length_acts_on_styles_with_new_noise() -> None:
    system = build(regularizers={"path_length": PathLength(interval=1)})
    seen: list[tuple[Tensor, Tensor]] = []
    synthesise = system.generator.synthesise

    def keep(w: Tensor, noise: Tensor) -> Tensor:
        seen.append((w, noise))
        images: Tensor = synthesise(w, noise)
        return images

    system.generator.synthesise = keep
    system.round(ImageBatch(torch.rand(N, *SHAPE) * 2 - 1))
    (_, _), (_, trained), (w, noise) = seen  # of D's turn, of G's turn, and of the penalty on half the batch
    assert (w.shape, noise.shape) == ((N // 2, 4, 4), (N // 2, system.generator.noise_dim))
    assert not torch.equal(noise, trained[: N // 2])
    assert system.logs["generator/length"] > 0


@pytest.mark.parametrize("mixing", [0.0, 1.0])
def test_regularizers_can_generate_the_samples_of_the_turn_again(mixing: float) -> None:
    system = build(mixing=mixing)
    for loss in (system.discriminator_loss, system.generator_loss):
        system.random = torch.Generator().manual_seed(0)
        record = loss(ImageBatch(torch.zeros(N, *SHAPE)))
        assert record.generate is not None
        torch.testing.assert_close(record.generate(record.latents), record.fake)
        torch.testing.assert_close(record.generate(record.latents[:2]), record.fake[:2])


def test_interface() -> None:
    system = build(ema_decay=0.9)
    assert isinstance(system, Generates)
    assert isinstance(system, HasLatents)
    (export,) = system.exports().values()
    assert {name: tuple(value.shape) for name, value in export.inputs.items()} == {"latents": (2, Z), "noise": (2, 144)}
    assert system.sample(3).abs().max() <= 1
    with pytest.raises(UserError, match="StyleGAN2 needs a generator with styles"):
        StyleGAN2({"generator": DCGANGenerator(SHAPE, Z, 4), "discriminator": system.discriminator}, optimizers={})


def test_the_average_has_the_mean_style() -> None:
    system = build(ema_decay=0.9)
    for _ in range(2):
        system.round(ImageBatch(torch.rand(N, *SHAPE) * 2 - 1))
    average: Any = system.network("generator")
    assert average is not system.generator
    assert average.average.mean.any()
    assert torch.equal(average.average.mean, system.generator.average.mean)
