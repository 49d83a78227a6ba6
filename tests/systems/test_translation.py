"""Pix2Pix and CycleGAN against plain PyTorch loops."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saddlepoint.errors import UserError
from saddlepoint.losses import EBGAN, LeastSquares, NonSaturating, Relativistic
from saddlepoint.regularizers import R1
from saddlepoint.systems import CycleGAN, Pix2Pix
from saddlepoint.systems.capabilities import Generates, Translates
from saddlepoint.types import CriticOutput, Paired, Unpaired

SIDE, N = 4, 3


class Map(nn.Module):
    """A 3×3 convolution and tanh."""

    def __init__(self, inputs: int = 1, outputs: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, self.input_channels = (outputs, SIDE, SIDE), inputs
        self.conv, self.dropout = nn.Conv2d(inputs, outputs, 3, padding=1), dropout

    def forward(self, images: Tensor, condition: None = None) -> Tensor:
        return torch.tanh(F.dropout(self.conv(images), self.dropout, training=self.dropout > 0))


class Patches(nn.Module):
    """A critic of patches with a condition that is concatenated along the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shape, self.conv = (1, SIDE, SIDE), nn.Conv2d(channels, 1, 3)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> CriticOutput:
        joined = images if condition is None else torch.cat([images, condition], 1)
        logits = self.conv(joined)
        return CriticOutput(logits, logits.flatten(1))


class Alone:
    world_size, global_rank, precision_plugin = 1, 0, None


SGD = partial(torch.optim.SGD, lr=0.1)


def started(system: Any) -> Any:
    system.trainer = Alone()
    system.configure_optimizers()
    system.on_fit_start()
    return system


def pix2pix(dropout: float = 0.0, **options: Any) -> Pix2Pix:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {"generator": Map(dropout=dropout), "discriminator": Patches(2)}
    optimizers = {"generator": SGD, "discriminator": SGD}
    return started(Pix2Pix(networks, NonSaturating(), optimizers=optimizers, **options))


def cyclegan(loss: Any = None, **options: Any) -> CycleGAN:
    torch.manual_seed(0)
    roles = ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")
    networks: dict[str, nn.Module] = {role: Map() if "generator" in role else Patches(1) for role in roles}
    return started(CycleGAN(networks, loss or LeastSquares(), optimizers=dict.fromkeys(roles, SGD), **options))


def images(seed: int, n: int = N) -> Tensor:
    return torch.rand(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def copies(system: Any) -> dict[str, Any]:
    return {role: copy.deepcopy(network) for role, network in system.networks.items()}


def step(networks: dict[str, Any], roles: tuple[str, ...], loss: Tensor) -> None:
    parameters = [p for role in roles for p in networks[role].parameters()]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.data -= 0.1 * gradient


def assert_equal(system: Any, networks: dict[str, Any]) -> None:
    for role, network in networks.items():
        for (name, ours), theirs in zip(system.networks[role].named_parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, msg=lambda m, where=f"{role}.{name}": f"{where}: {m}")


def test_pix2pix_equals_a_plain_loop() -> None:
    system = pix2pix(l1_weight=7.0)
    own, x, y = copies(system), images(0), images(1)
    for _ in range(3):
        G, D = own["generator"], own["discriminator"]
        real, fake = D(y, x).logits, D(G(x).detach(), x).logits
        step(own, ("discriminator",), (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2)
        loss = F.softplus(-D(G(x), x).logits).mean() + 7 * (G(x) - y).abs().mean()
        step(own, ("generator",), loss)
        system.round(Paired(x, y))
    assert_equal(system, own)
    assert system.progress.generator_updates == 3


def test_pix2pix_without_adversarial_loss_is_trained_on_l1() -> None:
    system = pix2pix(l1_weight=1.0, adversarial_weight=0.0)
    own, x, y = copies(system), images(0), images(1)
    step(own, ("generator",), (own["generator"](x) - y).abs().mean())
    system.round(Paired(x, y))
    assert_equal(system, own)
    assert "discriminator" not in system.progress.turns


def test_r1_of_pix2pix_is_on_targets_with_their_inputs_as_condition() -> None:
    system = pix2pix()
    system.random = torch.Generator()
    x, y = images(0), images(1)
    value = R1(weight=2.0).penalty(system.discriminator_loss(Paired(x, y)))
    leaf = y.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(system.discriminator(leaf, x).logits.flatten(1).mean(1).sum(), leaf)
    torch.testing.assert_close(value, gradient.flatten(1).square().sum(1).mean())


@pytest.mark.parametrize("identity", [0.0, 0.5])
def test_cyclegan_equals_a_plain_loop(identity: float) -> None:
    system = cyclegan(identity_weight=identity, pool_size=0)
    own, a, b = copies(system), images(0), images(1)
    for _ in range(2):
        G, F_ = own["generator_ab"], own["generator_ba"]
        D_a, D_b = own["discriminator_a"], own["discriminator_b"]
        fake_b, fake_a = G(a), F_(b)
        loss = (D_b(fake_b).logits - 1).square().mean() + (
            D_a(fake_a).logits - 1
        ).square().mean()  # no ½, as in the paper
        loss = loss + 10 * ((F_(fake_b) - a).abs().mean() + (G(fake_a) - b).abs().mean())
        loss = loss + identity * 10 * ((G(b) - b).abs().mean() + (F_(a) - a).abs().mean())
        step(own, ("generator_ab", "generator_ba"), loss)
        for domain, real, fake in (("a", a, fake_a), ("b", b, fake_b)):
            D = own[f"discriminator_{domain}"]
            judged = (D(real).logits - 1).square().mean() + D(fake.detach()).logits.square().mean()
            step(own, (f"discriminator_{domain}",), judged / 2)
        system.round(Unpaired(a, b))
    assert_equal(system, own)
    assert system.progress.turns == dict.fromkeys(
        ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"), 2
    )


def test_cyclegan_with_accumulation_equals_the_step_on_the_whole_batch() -> None:
    whole, pieces = cyclegan(pool_size=4), cyclegan(pool_size=4, accumulate=2)
    for system in (whole, pieces):
        system.round(Unpaired(images(0, 4), images(1, 4)))
    for (name, one), other in zip(whole.state_dict().items(), pieces.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=lambda m, name=name: f"{name}: {m}")


def test_translations_are_keyed_by_seed_and_do_not_depend_on_the_batch_size() -> None:
    system = pix2pix(dropout=0.5)
    assert isinstance(system, Translates)
    assert not isinstance(system, Generates)
    x = images(0, 20)
    once, again, other = system.translate(x, seed=3), system.translate(x, seed=3), system.translate(x, seed=4)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(system.translate(x[:5], seed=3), once[:5])
    assert torch.equal(system.translate(x[7:], seed=3, start=7), once[7:])
    assert torch.equal(system.translate(x[18:], seed=3, start=18), once[18:])


def test_directions() -> None:
    system, a = cyclegan(), images(0)
    torch.testing.assert_close(system.translate(a), system.generator_ab(a))
    torch.testing.assert_close(system.translate(a, "b_to_a"), system.generator_ba(a))
    with pytest.raises(
        UserError, match="there is no direction 'a_to_c'; did you mean 'a_to_b'\\? The choices are a_to_b, b_to_a"
    ):
        system.translate(a, "a_to_c")


def test_pictures() -> None:
    system, a, b = cyclegan(), images(0, 4), images(1, 4)
    shown = system.pictures(12, 0, Unpaired(a, b))
    there = system.translate(a, "a_to_b")
    expected = torch.cat([a, there, system.translate(there, "b_to_a")])
    torch.testing.assert_close(shown["samples_a_to_b"].samples, expected)
    assert shown["samples_a_to_b"].columns == 4


@pytest.mark.parametrize("n", [1, 2])
def test_pictures_have_at_least_one_image_of_each_kind(n: int) -> None:
    a, b = images(0, 4), images(1, 4)
    shown = cyclegan().pictures(n, 0, Unpaired(a, b))
    assert torch.equal(shown["samples_b_to_a"].samples[:1], b[:1])
    system = pix2pix()
    picture = system.pictures(n, 0, Paired(a, b))["samples"]
    assert torch.equal(picture.samples, torch.cat([a[:1], system.translate(a[:1]), b[:1]]))


def test_invalid_arguments() -> None:
    with pytest.raises(UserError, match="Relativistic compares the samples of a batch"):
        cyclegan(Relativistic())
    with pytest.raises(UserError, match="EBGAN needs a discriminator that returns energies, and Patches"):
        cyclegan(EBGAN())
    roles = ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")
    networks: dict[str, nn.Module] = {
        "generator_ab": Map(1, 3),
        "generator_ba": Map(3, 1),
        "discriminator_a": Patches(1),
        "discriminator_b": Patches(3),
    }
    with pytest.raises(UserError) as refused:
        CycleGAN(networks, LeastSquares(), identity_weight=0.5, optimizers=dict.fromkeys(roles, SGD))
    assert refused.value.key == "identity_weight"
