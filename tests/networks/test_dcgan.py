"""DCGAN against the paper's figure and published numbers of parameters."""

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import DCGANDiscriminator, DCGANGenerator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_pytorch_example() -> None:
    # PyTorch's DCGAN example at 64 px (nz=100, ngf=ndf=64) has 3,576,704 and 2,765,568 parameters, without biases of
    # convolutions. Here layers without a norm have biases: G's output (3), D's first (64) and last layer (1).
    assert count(DCGANGenerator((3, 64, 64), 100, width=64)) == 3_576_704 + 3
    assert count(DCGANDiscriminator((3, 64, 64), width=64)) == 2_765_568 + 64 + 1


def test_channels_of_figure_1() -> None:
    generator = DCGANGenerator((3, 64, 64), 100, width=128)
    assert generator.base == (1024, 4, 4)
    convolutions = [module for module in generator.modules() if isinstance(module, nn.ConvTranspose2d)]
    assert [module.out_channels for module in convolutions] == [512, 256, 128, 3]


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((1, 8, 8), [4, 8]), ((1, 28, 28), [4, 8]), ((3, 32, 64), [4, 8, 16]), ((3, 128, 128), [4, 8, 16, 32, 32])],
)
def test_channels_double_with_each_level(shape: tuple[int, int, int], channels: list[int]) -> None:
    discriminator = DCGANDiscriminator(shape, width=4)
    convolutions = [module for module in discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert [module.out_channels for module in convolutions] == channels


def test_all_layers_but_those_at_the_image_have_norms() -> None:
    generator, discriminator = DCGANGenerator((3, 64, 64), 10, width=2), DCGANDiscriminator((3, 64, 64), width=2)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in generator.modules()) == 4
    assert sum(isinstance(module, nn.BatchNorm2d) for module in discriminator.modules()) == 3
    assert not isinstance(discriminator.trunk[1], nn.BatchNorm2d)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    for network in (DCGANGenerator((3, 64, 64), 100, width=32), DCGANDiscriminator((3, 64, 64), width=32)):
        weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.dim() > 1])
        gains = torch.cat([m.weight.detach() for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
        np.testing.assert_allclose([weights.mean(), weights.std()], [0, 0.02], atol=1e-4)
        np.testing.assert_allclose([gains.mean(), gains.std()], [1, 0.02], atol=4e-3)
        biases = [m.bias for m in network.modules() if getattr(m, "bias", None) is not None]
        assert all(bias.abs().max() == 0 for bias in biases)


def test_unsupported_sizes_are_rejected() -> None:
    with pytest.raises(UserError, match=r"network 'dcgan'.*30x30; set it to 32"):
        DCGANGenerator((3, 30, 30), 10)
    with pytest.raises(UserError, match="choose a network for points"):
        DCGANDiscriminator((2,))
