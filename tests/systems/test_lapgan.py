"""LAPGAN against plain PyTorch loops."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, softplus

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.losses import LeastSquares, NonSaturating, Relativistic
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator, LAPGANDiscriminator, LAPGANGenerator
from saddlepoint.regularizers import R1
from saddlepoint.systems import LAPGAN
from saddlepoint.systems.capabilities import Completes, Encodes, Generates, HasLatents, Picture
from saddlepoint.types import ImageBatch

SHAPE, Z, K, N, RATE = (2, 12, 8), 3, 3, 4, 0.1
SIZES = [(12, 8), (6, 4), (3, 2)]
DIMS = [96, 24, Z]
SGD = partial(torch.optim.SGD, lr=RATE)
Training = Literal["independent", "together"]


class Alone:
    world_size, global_rank, precision_plugin = 1, 0, None


def build(training: Training = "independent", classes: int = 0, loss: Any = None, **options: Any) -> LAPGAN:
    torch.manual_seed(0)
    told: Any = ("concat", classes) if classes else ()
    networks: dict[str, nn.Module] = {
        "generator": LAPGANGenerator(SHAPE, K, Z, 4, 8, *told),
        "discriminator": LAPGANDiscriminator(SHAPE, K, 4, 8, 0.0, *told),
    }
    for parameter in networks["discriminator"].parameters():  # the published initial weights have small gradients
        nn.init.normal_(parameter, 0.0, 0.3) if parameter.dim() > 1 else nn.init.constant_(parameter, 0.1)
    optimizers = {"generator": SGD, "discriminator": SGD}
    system = LAPGAN(networks, loss or NonSaturating(), optimizers, training, **options)
    system.trainer = Alone()  # type: ignore[assignment]
    system.configure_optimizers()
    system.on_fit_start()
    return system


def batch(labels: bool = False) -> ImageBatch:
    random = torch.Generator().manual_seed(3)
    images = torch.rand(N, *SHAPE, generator=random) * 2 - 1
    return ImageBatch(images, torch.arange(N) % 2 if labels else None)


def uniform(dims: list[int], random: torch.Generator) -> list[Tensor]:
    return (torch.rand(N, sum(dims), generator=random) * 2 - 1).split(dims, 1)  # type: ignore[no-any-return, no-untyped-call]


def enlarged(x: Tensor, k: int) -> Tensor:
    return interpolate(x, SIZES[k], mode="bilinear")


def fakes(nets: Any, images: list[Tensor], k: int, random: torch.Generator, training: str, labels: Any) -> Tensor:
    """Return the generated images of level k, with the draws of a turn."""
    coarse = None
    if k < K - 1:
        coarse = images[k + 1]
        if training == "together":
            dims = DIMS[:k:-1]
            coarse = None
            for level, z in zip(range(K - 1, k, -1), uniform(dims, random), strict=True):
                coarse = nets[f"generator_{level}"](z, None if coarse is None else enlarged(coarse, level), labels)
            assert coarse is not None
        coarse = enlarged(coarse.detach(), k)
    (z,) = uniform([DIMS[k]], random)
    return nets[f"generator_{k}"](z, coarse, labels)  # type: ignore[no-any-return]


@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("training", ["independent", "together"])
def test_a_round_equals_six_steps_of_plain_pytorch(training: Training, classes: int) -> None:
    system, data = build(training, classes), batch(classes > 0)
    nets, labels = nn.ModuleDict(copy.deepcopy(system.networks)), data.labels
    images = [data.images, avg_pool2d(data.images, 2), avg_pool2d(data.images, 4)]
    for k in (2, 1, 0):
        critic = nets[f"discriminator_{k}"]
        for player in ("discriminator", "generator"):
            random = randomness.generator("cpu", 0, f"{player}_{k}", 0, 0)
            fake = fakes(nets, images, k, random, training, labels)
            if player == "discriminator":
                real = critic(images[k], labels).logits
                loss = softplus(-real).mean() + softplus(critic(fake.detach(), labels).logits).mean()
            else:
                loss = softplus(-critic(fake, labels).logits).mean()
            parameters = list(nets[f"{player}_{k}"].parameters())
            gradients = torch.autograd.grad(loss, parameters)
            assert max(gradient.abs().max() for gradient in gradients) > 1e-3
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= RATE * gradient
    system.round(data)
    for name, parameter in nets.named_parameters():
        found = system.get_parameter(name)
        torch.testing.assert_close(found, parameter, rtol=1e-5, atol=1e-6, msg=name)
    assert system.progress.turns == {f"{role}_{k}": 1 for k in range(K) for role in ("generator", "discriminator")}
    assert system.progress.generator_updates == 1


@pytest.mark.parametrize("k", range(K))
@pytest.mark.parametrize("role", ["generator", "discriminator"])
@pytest.mark.parametrize("training", ["independent", "together"])
def test_a_turn_moves_only_the_weights_of_its_player(training: Training, role: str, k: int) -> None:
    system = build(training)
    before = {name: value.clone() for name, value in system.state_dict().items()}
    system.turn(f"{role}_{k}", loss=partial(getattr(system, f"{role}_loss"), k), batch=batch())
    changed = {name.partition(".")[0] for name, v in system.state_dict().items() if not torch.equal(v, before[name])}
    assert changed == {f"{role}_{k}"}


def test_only_together_does_a_level_depend_on_the_coarser_generators() -> None:
    for training in ("independent", "together"):
        outcomes = []
        for shift in (0.0, 1.0):
            system = build(training)  # type: ignore[arg-type]
            with torch.no_grad():
                system.get_parameter("generator_2.trunk.4.bias").add_(shift)
            system.turn("generator_0", loss=partial(system.generator_loss, 0), batch=batch())
            outcomes.append(system.logs["generator_0/loss"])
        assert torch.equal(*outcomes) == (training == "independent")


def test_samples_do_not_depend_on_the_number_of_samples() -> None:
    system = build(ema_decay=0.5)
    system.round(batch())
    samples = system.sample(100, seed=2)
    assert samples.shape == (100, *SHAPE)
    assert torch.equal(samples[70:80], system.sample(10, seed=2, start=70))
    assert torch.equal(samples[:3], system.sample(3, seed=2))
    draw = system.draw(2, 0, 100)
    z = draw.latents
    assert z.shape == (100, sum(DIMS))
    assert z.abs().max() <= 1
    image = None
    for k, noise in zip((2, 1, 0), z.split(DIMS[::-1], 1), strict=True):
        image = system.averages[f"generator_{k}"](noise, None if image is None else enlarged(image, k))
    assert image is not None
    torch.testing.assert_close(samples, image.clamp(-1, 1), rtol=1e-4, atol=1e-6)
    assert not torch.equal(samples, system.sample(100, seed=2, ema=False))


def test_capabilities_and_state() -> None:
    system = build(ema_decay=0.5)
    assert isinstance(system, Generates)
    assert isinstance(system, HasLatents)
    assert not isinstance(system, Encodes)
    assert not isinstance(system, Completes)
    names = {name.partition(".")[0] for name in system.state_dict()}
    levels = [f"generator_{k}" for k in range(K)]
    assert names == {*levels, *(f"ema_{name}" for name in levels), *(f"discriminator_{k}" for k in range(K))}
    (exported,) = system.exports().values()
    assert exported.averaged
    assert all(
        torch.equal(exported.network.state_dict()[f"levels.{k}.{key}"], value)
        for k in range(K)
        for key, value in system.averages[f"generator_{k}"].state_dict().items()
    )
    assert not system.exports(ema=False)["generator"].averaged
    assert not build().exports()["generator"].averaged


def test_conditional_samples_have_the_labels_that_were_asked_for() -> None:
    system = build(classes=2)
    assert system.num_classes == 2
    labels = torch.tensor([0, 1, 1])
    z = system.draw(5, 0, 3).latents
    expected = system.pyramids[False](z, labels)
    torch.testing.assert_close(system.sample(3, labels=labels, seed=5), expected)
    assert set(system.exports()["generator"].inputs) == {"latents", "labels"}


@pytest.mark.parametrize("classes", [0, 2])
def test_pictures_show_the_levels_of_each_sample(classes: int) -> None:
    system = build(classes=classes)
    shown = system.pictures(12, 1, None)
    levels, samples = shown["levels"], shown["samples"]
    assert isinstance(levels, Picture)
    assert isinstance(samples, Picture)
    assert (levels.columns, len(levels.samples)) == (4, 12)
    draw = system.draw(1, 0, 4)
    stages = system.pyramids[False].stages(draw.latents, draw.labels)
    torch.testing.assert_close(levels.samples[8:], stages[2].clamp(-1, 1))
    torch.testing.assert_close(levels.samples[:4, :, ::4, ::4], stages[0].clamp(-1, 1))


def test_a_regularizer_of_one_level() -> None:
    penalty = R1(weight=2.0, player="discriminator_1")
    system = build(regularizers={"r1": penalty})
    data = batch()
    x = avg_pool2d(data.images, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(system.networks["discriminator_1"](x).logits.sum(), x)
    system.round(data)
    torch.testing.assert_close(system.logs["discriminator_1/r1"], gradient.square().sum((1, 2, 3)).mean())
    assert {key for key in system.logs if key.endswith("/r1")} == {"discriminator_1/r1"}


def test_accumulated_gradients_are_those_of_the_batch() -> None:
    """With generated images that do not depend on the noise, which differs between the pieces."""
    outcomes = []
    for accumulate in (1, 2):
        system = build(accumulate=accumulate)
        with torch.no_grad():
            for k in range(K):
                first = system.get_parameter(f"generator_{k}.trunk.0.weight")
                first.zero_() if k == K - 1 else first[:, -1].zero_()
        system.turn("discriminator_0", loss=partial(system.discriminator_loss, 0), batch=batch())
        outcomes.append(system.get_parameter("discriminator_0.trunk.0.weight").detach())
    torch.testing.assert_close(*outcomes)


def test_networks_and_losses_that_do_not_fit_are_rejected() -> None:
    with pytest.raises(UserError) as refused:
        build(loss=Relativistic())
    assert refused.value.key == "loss"
    assert build(loss=LeastSquares()).levels == K
    optimizers = {"generator": SGD, "discriminator": SGD}
    plain: dict[str, nn.Module] = {
        "generator": DCGANGenerator((1, 8, 8), 3, 2),
        "discriminator": DCGANDiscriminator((1, 8, 8), 2),
    }
    with pytest.raises(UserError, match="needs networks of several levels"):
        LAPGAN(plain, NonSaturating(), optimizers)
    unequal: dict[str, nn.Module] = {
        "generator": LAPGANGenerator(SHAPE, 3, Z, 4, 8),
        "discriminator": LAPGANDiscriminator(SHAPE, 2, 4, 8),
    }
    with pytest.raises(UserError, match="3 levels of the generator, and 2 of the discriminator"):
        LAPGAN(unequal, NonSaturating(), optimizers)


@pytest.mark.parametrize(
    ("of_generator", "of_discriminator", "line"),
    [
        (("concat", 2), (), r"^discriminator.conditioning: the generator is conditioned on labels \(concat\) and"),
        ((), ("concat", 2), r"^generator.conditioning: the discriminator is conditioned on labels \(concat\) and"),
    ],
)
def test_labels_in_only_one_of_the_networks_are_rejected(of_generator: Any, of_discriminator: Any, line: str) -> None:
    networks: dict[str, nn.Module] = {
        "generator": LAPGANGenerator(SHAPE, K, Z, 4, 8, *of_generator),
        "discriminator": LAPGANDiscriminator(SHAPE, K, 4, 8, 0.0, *of_discriminator),
    }
    with pytest.raises(UserError, match=line):
        LAPGAN(networks, NonSaturating(), {"generator": SGD, "discriminator": SGD})
