"""Standing statistics against their definition and PyTorch's own re-estimation of BatchNorm."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.losses import NonSaturating
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator
from saddlepoint.systems import GAN
from saddlepoint.systems.standing import standing_statistics

SGD = partial(torch.optim.SGD, lr=0.1)


class Normalized(nn.Module):
    """BatchNorm of a linear map of the latents; a second BatchNorm has no part in sampling."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.other = nn.Linear(3, 2), nn.BatchNorm1d(2, affine=False), nn.BatchNorm1d(2)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        normalized: Tensor = self.norm(self.linear(latents))
        return normalized


def gan(generator: nn.Module, shape: tuple[int, ...], latent_dim: int) -> GAN:
    discriminator = MLPDiscriminator(shape, hidden=[4]) if len(shape) == 1 else DCGANDiscriminator(shape, 4)
    networks = {"generator": generator, "discriminator": discriminator}
    return GAN(networks, NonSaturating(), latent_dim=latent_dim, optimizers=dict.fromkeys(networks, SGD))


def batches(system: GAN, seed: int, truncation: float, number: int) -> list[Tensor]:
    drawn = system.draw(randomness.key(seed, "standing statistics"), 0, number * system.block, truncation)
    return list(drawn.latents.split(system.block))


@pytest.mark.parametrize("truncation", [1.0, 0.5])
def test_they_are_means_over_batches_of_means_and_unbiased_variances(truncation: float) -> None:
    torch.manual_seed(0)
    system = gan(Normalized(), (2,), 3)
    network: Any = system.network("generator")
    inputs = [network.linear(z).double() for z in batches(system, 5, truncation, 7)]
    mean, variance = (torch.stack([f(x, 0) for x in inputs]).mean(0) for f in (torch.mean, torch.var))
    z = torch.randn(4, 3)
    with standing_statistics(system, 5, truncation, batches=7):
        torch.testing.assert_close(network.norm.running_mean.double(), mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(network.norm.running_var.double(), variance, rtol=1e-5, atol=1e-6)
        expected = (network.linear(z).double() - mean) / (variance + network.norm.eps).sqrt()
        torch.testing.assert_close(system.sample(4, latents=z).double(), expected, rtol=1e-4, atol=1e-5)
        assert network.other.num_batches_tracked == 0
        assert torch.equal(network.other.running_var, torch.ones(2))


def test_batches_are_as_large_for_large_images() -> None:
    """Samples above 128 px are generated in smaller blocks, whose variances would be smaller."""
    torch.manual_seed(0)
    system = gan(Normalized(), (2,), 3)
    with standing_statistics(system, 5, 1.0, batches=7):
        expected = system.network("generator").norm.running_var.clone()
    system.block = 4
    with standing_statistics(system, 5, 1.0, batches=7):
        assert torch.equal(system.network("generator").norm.running_var, expected)
        assert system.block == 4


def test_all_layers_equal_those_of_update_bn() -> None:
    torch.manual_seed(0)
    system = gan(DCGANGenerator((1, 8, 8), 6, 8), (1, 8, 8), 6)
    expected = copy.deepcopy(system.network("generator"))
    update_bn(batches(system, 0, 0.7, 5), expected)
    with standing_statistics(system, 0, 0.7, batches=5):
        for (name, found), buffer in zip(system.network("generator").named_buffers(), expected.buffers(), strict=True):
            torch.testing.assert_close(found, buffer, msg=name)
        samples = system.sample(100, seed=3)
        assert torch.equal(samples[70:75], system.sample(5, seed=3, start=70))


def test_the_network_is_restored() -> None:
    torch.manual_seed(0)
    system = gan(DCGANGenerator((1, 8, 8), 6, 8, norm="batch"), (1, 8, 8), 6)
    for training in (True, False):
        system.train(training)
        before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
        modes = [(module.training, getattr(module, "momentum", None)) for module in system.modules()]
        samples = system.sample(70, seed=1, ema=False)
        with standing_statistics(system, 0, ema=False, batches=2):
            assert not torch.equal(system.sample(70, seed=1, ema=False), samples)
            assert [(module.training) for module in system.modules()] == [mode for mode, _ in modes]
        assert torch.equal(system.sample(70, seed=1, ema=False), samples)
        assert all(torch.equal(tensor, before[name]) for name, tensor in system.state_dict().items())
        assert [(module.training, getattr(module, "momentum", None)) for module in system.modules()] == modes


def test_a_generator_without_batch_normalization_is_refused() -> None:
    system = gan(DCGANGenerator((1, 8, 8), 6, 8, norm="none"), (1, 8, 8), 6)
    with pytest.raises(UserError) as caught, standing_statistics(system, 0, batches=1):
        pass
    assert str(caught.value) == "batchnorm: this generator has no batch normalization; leave it out"
