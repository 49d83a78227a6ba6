"""Compiled systems against the same systems uncompiled: gradients, statistics, samples."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from saddlepoint import compilation
from saddlepoint.augment.base import Augment
from saddlepoint.losses import Hinge, NonSaturating, Wasserstein
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator, ResNetDiscriminator, ResNetGenerator
from saddlepoint.networks.layers.statistics import frozen_statistics
from saddlepoint.regularizers import CR, R1, GradientPenalty, PathLength
from saddlepoint.systems import GAN
from saddlepoint.turns import Critic, sample_scores
from saddlepoint.types import CriticOutput, ImageBatch

Z = 6
SGD = partial(torch.optim.SGD, lr=0.1)


class Batches:
    """An iterable of batches; Lightning would combine the batches of a list."""

    def __init__(self, samples: Tensor, n: int) -> None:
        self.samples, self.n = samples, n

    def __iter__(self) -> Iterator[ImageBatch]:
        return (ImageBatch(batch) for batch in self.samples.split(self.n))


class Brighter(Augment):
    """An augment with random draws and a derivative other than 1: scales each sample by a random number."""

    def forward(self, samples: Tensor, random: torch.Generator) -> Tensor:
        return samples * (0.5 + torch.rand(len(samples), 1, 1, 1, generator=random))


def dcgan() -> GAN:
    """Return a DCGAN with BatchNorm in both networks and spectral normalization in the critic."""
    networks = {
        "generator": DCGANGenerator((1, 8, 8), Z, 4),
        "discriminator": DCGANDiscriminator((1, 8, 8), 4, spectral_norm=True),
    }
    return game(networks, NonSaturating())


def wgan_gp() -> GAN:
    networks = {
        "generator": ResNetGenerator((1, 8, 8), Z, 2),
        "discriminator": ResNetDiscriminator((1, 8, 8), 4, pooling="mean"),
    }
    return game(networks, Wasserstein(), regularizers={"gradient_penalty": GradientPenalty()})


def sngan() -> GAN:
    """Return an SNGAN with an augment, penalties of both kinds on the critic, and one on the generator."""
    networks = {
        "generator": ResNetGenerator((1, 8, 8), Z, 2, norm="layer"),
        "discriminator": ResNetDiscriminator((1, 8, 8), 4, spectral_norm=True),
    }
    penalties = {"r1": R1(), "cr": CR(shift=1), "path_length": PathLength(interval=1)}
    return game(networks, Hinge(), regularizers=penalties, augments={"brighter": Brighter()})


GAMES = {"dcgan": dcgan, "wgan_gp": wgan_gp, "sngan": sngan}


def game(networks: Mapping[str, nn.Module], loss: Any, **options: Any) -> GAN:
    optimizers = {"generator": SGD, "discriminator": SGD}
    return GAN(networks, loss, latent_dim=Z, optimizers=optimizers, ema_decay=0.5, **options)


def play(name: str, backend: str | None, rounds: int = 2, precision: Any = "32-true") -> GAN:
    torch.manual_seed(0)
    system = GAMES[name]()
    if backend is not None:
        compilation.compile_networks(system.networks, backend)
    images = torch.rand(rounds * 8, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    trainer = pl.Trainer(
        accelerator="cpu",
        precision=precision,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(system, Batches(images, 8))
    return system


@pytest.fixture(autouse=True)
def _nothing_stays_compiled() -> Iterator[None]:
    """Reset the compiled functions and PyTorch's counters after each test."""
    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.config.recompile_limit = limit
    compilation._gradients.clear()
    torch.compiler.reset()


def difference(ours: Tensor, theirs: Tensor, floor: float = 1e-3) -> float:
    """Return the largest difference relative to the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(floor))


def check_equal_to_eager(name: str, backend: str, tolerance: float) -> None:
    """Compare the gradients of the last turns of D and G, and the state after training."""
    eager, compiled = play(name, None), play(name, backend)
    counted = torch._dynamo.utils.counters
    assert counted["stats"]["unique_graphs"] >= 4  # each network in each player's turn
    assert counted["graph_break"] == {}
    gradients = {key: p.grad for key, p in compiled.named_parameters() if p.grad is not None}
    expected = {key: p.grad for key, p in eager.named_parameters() if p.grad is not None}
    assert expected.keys() <= gradients.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert largest > 1e-2
    for key, gradient in expected.items():  # the gradient of a bias before BatchNorm is rounding error
        assert difference(gradients[key], gradient, floor=largest / 10) < tolerance, key
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    for (key, value), other in zip(compiled.state_dict().items(), eager.state_dict().values(), strict=True):
        assert difference(value.float(), other.float()) < tolerance, key
    for key, value in eager.logs.items():
        assert difference(compiled.logs[key], value) < tolerance, key


@pytest.mark.parametrize("name", ["dcgan", pytest.param("wgan_gp", marks=pytest.mark.slow)])
def test_gradients_and_state_equal_those_of_eager_mode(name: str) -> None:
    check_equal_to_eager(name, "aot_eager", tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
def test_gradients_and_state_equal_those_of_eager_mode_with_inductor(name: str) -> None:
    check_equal_to_eager(name, "inductor", tolerance=1e-4)


def test_second_derivatives_equal_those_of_eager_mode() -> None:
    """In float64, with an augment, which is not compiled."""
    torch.manual_seed(0)
    critic = DCGANDiscriminator((1, 8, 8), 4, norm="layer", spectral_norm=True).double()
    twin = copy.deepcopy(critic)
    compilation.compile_networks({"discriminator": critic}, "aot_eager")
    samples = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    found = []
    for network in (critic, twin):
        with frozen_statistics(network):
            (gradient,) = compilation.score_gradient(network, torch.sin, samples, None, sample_scores)
        gradient.square().sum().backward()
        found.append((gradient.detach(), {key: p.grad for key, p in network.named_parameters()}))
    (ours, mine), (theirs, its) = found
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    for key, expected in its.items():
        if expected is not None:
            torch.testing.assert_close(mine[key], expected, rtol=1e-8, atol=1e-10, msg=key)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


class OfPairs(nn.Module):
    """A critic of pairs with a vector as condition."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = nn.Linear(8, 5), nn.Linear(5, 1)

    def forward(self, pair: tuple[Tensor, Tensor], condition: Tensor) -> CriticOutput:
        features = torch.tanh(self.trunk(torch.cat([pair[0].flatten(1), pair[1]], 1)) + condition)
        return CriticOutput(self.head(features).squeeze(1), features)


@pytest.mark.parametrize("augmented", [False, True])
def test_second_derivatives_of_a_conditional_critic_of_pairs(augmented: bool) -> None:
    torch.manual_seed(0)
    critic, condition = OfPairs().double(), torch.randn(6, 5, dtype=torch.float64)
    twin = copy.deepcopy(critic)
    compilation.compile_networks({"discriminator": critic}, "aot_eager")
    x, z = torch.randn(4, 1, 5, 1, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    options = {"augment": lambda pair: (torch.sin(pair[0]), pair[1])} if augmented else {}
    found = []
    for network in (critic, twin):
        gradient = Critic(network, condition, **options).gradient((x, z))
        assert gradient.shape == (4, 8)
        gradient.square().sum().backward()
        found.append([gradient.detach(), network.trunk.weight.grad, network.head.weight.grad])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_second_derivatives_of_a_compiled_network_need_uncompiled() -> None:
    """PyTorch raises an error otherwise."""
    critic = ResNetDiscriminator((1, 8, 8), 4)
    compilation.compile_networks({"discriminator": critic}, "aot_eager")
    samples = torch.randn(2, 1, 8, 8, requires_grad=True)

    def twice() -> None:
        (gradient,) = torch.autograd.grad(critic(samples).logits.sum(), samples, create_graph=True)
        gradient.square().sum().backward()

    with pytest.raises(RuntimeError, match="double backward"):
        twice()
    with compilation.uncompiled():
        twice()
    assert all(p.grad is not None for p in critic.blocks.parameters() if p.dim() > 1)


def test_backward_of_a_float32_layer_is_computed_in_float32_under_autocast() -> None:
    """The layer of the logits; by default, autocast would cast the backward pass of a compiled network."""
    torch.manual_seed(0)
    critic = DCGANDiscriminator((1, 8, 8), 4)
    compilation.compile_networks({"discriminator": critic}, "aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        output = critic(torch.randn(8, 1, 8, 8))
        loss = (output.logits * torch.linspace(0.1, 1.3, 8)).sum()
    loss.backward()
    expected = torch.linspace(0.1, 1.3, 8) @ output.features.detach().float()
    torch.testing.assert_close(critic.logits.weight.grad[0], expected, rtol=1e-6, atol=1e-7)


def test_samples_copies_and_state_dict_keys_equal_those_of_an_uncompiled_network() -> None:
    torch.manual_seed(0)
    system = dcgan()
    before, keys = system.sample(5, seed=1, ema=False), list(system.state_dict())
    compilation.compile_networks(system.networks, "aot_eager")
    assert torch.equal(system.sample(5, seed=1, ema=False), before)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0
    assert list(system.state_dict()) == keys
    latents = torch.randn(3, Z)
    with torch.no_grad():
        copy.deepcopy(system.generator)(latents)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0
        system.generator(latents)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
