"""Residual networks against the papers' tables, naive forward passes and variances in closed form."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import ResNetDiscriminator, ResNetGenerator
from saddlepoint.networks.resnet import DownBlock, FirstBlock, UpBlock


def conv(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


def up(inputs: int, outputs: int) -> int:
    return conv(inputs, outputs, 3) + conv(outputs, outputs, 3) + conv(inputs, outputs, 1) + 2 * inputs + 2 * outputs


def down(inputs: int, outputs: int, skip: bool = True) -> int:
    return conv(inputs, inputs, 3) + conv(inputs, outputs, 3) + (conv(inputs, outputs, 1) if skip else 0)


def first(outputs: int) -> int:
    return conv(3, outputs, 3) + conv(outputs, outputs, 3) + conv(3, outputs, 1)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_miyatos_cifar10_networks() -> None:
    # G: dense 4·4·256, three up-blocks of 256, norm, 3×3 to 3. D: four blocks of 128 (two down-blocks), dense to 1.
    generator = (128 + 1) * 4 * 4 * 256 + 3 * up(256, 256) + 2 * 256 + conv(256, 3, 3)
    discriminator = first(128) + down(128, 128) + 2 * down(128, 128, skip=False) + 128 + 1
    assert count(ResNetGenerator((3, 32, 32), 128)) == generator
    assert count(ResNetDiscriminator((3, 32, 32))) == discriminator
    assert count(ResNetDiscriminator((3, 32, 32), spectral_norm=True)) == discriminator


def test_parameters_of_miyatos_imagenet_networks() -> None:
    widths = [1024, 1024, 512, 256, 128, 64]
    blocks = sum(up(a, b) for a, b in pairwise(widths))
    assert count(ResNetGenerator((3, 128, 128), 128)) == 129 * 4 * 4 * 1024 + blocks + 2 * 64 + conv(64, 3, 3)
    halving = sum(down(a, b) for a, b in [(64, 128), (128, 256), (256, 512), (512, 1024)])
    expected = first(64) + halving + down(1024, 1024, skip=False) + 1025
    assert count(ResNetDiscriminator((3, 128, 128))) == expected


@pytest.mark.parametrize(
    ("side", "halved", "last", "final"),
    [
        (48, 4, down(512, 1024), 3),  # the paper's table for STL-10
        (64, 4, down(512, 1024), 2),  # the published code for ImageNet at 64 px
    ],
)
def test_the_critics_at_48_and_64_px(side: int, halved: int, last: int, final: int) -> None:
    critic = ResNetDiscriminator((3, side, side))
    assert count(critic) == first(64) + down(64, 128) + down(128, 256) + down(256, 512) + last + 1025
    assert count(critic) == 10_141_441
    small = ResNetDiscriminator((3, side, side), width=2)
    sizes: list[int] = []
    for block in small.blocks:
        block.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    small(torch.zeros(1, 3, side, side))
    assert sizes[:halved] == [side >> level for level in range(1, halved + 1)]
    assert sizes[halved:] == [final]


def test_parameters_of_wgan_gp_at_32_px() -> None:
    # Gulrajani et al. 2017: all blocks have 128 channels.
    generator = 129 * 4 * 4 * 128 + 3 * up(128, 128) + 2 * 128 + conv(128, 3, 3)
    assert count(ResNetGenerator((3, 32, 32), 128, width=32)) == generator


@pytest.mark.parametrize("halve", [True, False])
@pytest.mark.parametrize("outputs", [4, 6])
def test_down_block(halve: bool, outputs: int) -> None:
    torch.manual_seed(0)
    block, x = DownBlock(4, outputs, "layer", halve), torch.randn(2, 4, 6, 8)
    h = block.conv2(F.relu(block.norm2(block.conv1(F.relu(block.norm1(x))))))
    h = h + block.skip(x)  # convolution at full size and average of the sum, an equivalent formulation
    expected = F.avg_pool2d(h, 2) if halve else h
    np.testing.assert_allclose(block(x).detach(), expected.detach(), atol=1e-5)
    assert isinstance(block.skip, nn.Identity) == (not halve and outputs == 4)


def test_first_block() -> None:
    torch.manual_seed(0)
    block, x = FirstBlock(3, 5), torch.randn(2, 3, 8, 6)
    expected = F.avg_pool2d(block.conv2(F.relu(block.conv1(x))) + block.skip(x), 2)
    np.testing.assert_allclose(block(x).detach(), expected.detach(), atol=1e-5)


def test_up_block() -> None:
    torch.manual_seed(0)
    block, x = UpBlock(4, 6, "batch"), torch.randn(3, 4, 5, 6)
    wide = F.relu(block.norm1(x)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    h = block.conv2(F.relu(block.norm2(block.conv1(wide))))
    expected = h + block.skip(x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    np.testing.assert_allclose(block(x).detach(), expected.detach(), atol=1e-5)


def test_pooling() -> None:
    shape, x = (1, 16, 24), torch.randn(2, 1, 16, 24)
    torch.manual_seed(0)
    total = ResNetDiscriminator(shape, width=2)
    torch.manual_seed(0)
    mean = ResNetDiscriminator(shape, width=2, pooling="mean")
    np.testing.assert_allclose(total(x).features.detach(), 4 * 6 * mean(x).features.detach(), rtol=1e-5)


def test_initial_weights_have_xavier_variances() -> None:
    torch.manual_seed(0)
    block = UpBlock(64, 128, "batch")
    for layer, kernel, gain in [(block.conv1, 9, math.sqrt(2)), (block.skip, 1, 1.0)]:
        expected = gain * math.sqrt(2 / (kernel * (64 + 128)))
        np.testing.assert_allclose(layer.weight.std().item(), expected, rtol=0.02)
        assert layer.weight.abs().max() <= expected * math.sqrt(3) + 1e-6  # uniform
        assert layer.bias.abs().max() == 0


def test_the_first_block_has_no_norm() -> None:
    discriminator = ResNetDiscriminator((3, 32, 32), width=2, norm="layer")
    assert not any(isinstance(module, nn.GroupNorm) for module in discriminator.blocks[0].modules())
    assert all(isinstance(block.norm1, nn.GroupNorm) for block in discriminator.blocks[1:])


def test_unsupported_sizes_are_rejected() -> None:
    with pytest.raises(UserError, match=r"network 'resnet'.*got 33x33; set it to 32"):
        ResNetDiscriminator((3, 33, 33))
