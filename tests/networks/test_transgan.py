"""TransGAN's networks against the sizes of the published code and their closed forms."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from saddlepoint.errors import UserError
from saddlepoint.networks import TransGANDiscriminator, TransGANGenerator
from saddlepoint.networks.layers.transformer import Attention, shuffle_up, to_map, to_tokens


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def in_matrices(network: nn.Module) -> int:
    return sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Linear))


def block(dim: int, side: int = 0, heads: int = 4) -> int:
    """Return the parameters of a block: attention 4D² + D, MLP 8D² + 5D, two norms 4D, and a table of biases."""
    return 12 * dim**2 + 10 * dim + (heads * (2 * side - 1) ** 2 if side else 0)


def test_parameters_for_cifar10() -> None:
    """The matrices of the published networks have 82.9 and 10.1 million values."""
    with torch.device("meta"):
        generator, discriminator = TransGANGenerator((3, 32, 32), 256), TransGANDiscriminator((3, 32, 32))
    stages = [(5, 8, 1024), (4, 16, 256), (2, 32, 64)]
    blocks = sum(depth * block(dim, side) + side**2 * dim for depth, side, dim in stages)
    assert count(generator) == (256 + 1) * 8 * 8 * 1024 + blocks + (64 + 1) * 3
    assert round(in_matrices(generator) / 1e6, 1) == 82.9
    noise = 3 + 3 + 1
    patches = (3 * 2 * 2 + 1) * 288 + (3 * 4 * 4 + 1) * 96
    scales = 3 * block(288, 16) + 16**2 * 288 + 3 * block(384, 8) + 8**2 * 384
    assert count(discriminator) == patches + scales + block(384) + 384 + 2 * 384 + 385 + noise
    assert round(in_matrices(discriminator) / 1e6, 1) == 10.1


@pytest.mark.parametrize(
    ("side", "grids"), [(8, [8]), (16, [8, 16]), (28, [14, 28]), (48, [12, 24, 48]), (64, [8, 16, 32, 64])]
)
def test_grids_of_other_sizes(side: int, grids: list[int]) -> None:
    with torch.device("meta"):
        generator = TransGANGenerator((3, side, side), 8, width=512, depths=[2, 1], heads=2)
    assert generator.grids == [(grid, grid) for grid in grids]
    assert [len(stage) - 1 for stage in generator.stages] == [2, *[1] * (len(grids) - 1)]
    attentions = [module for module in generator.modules() if isinstance(module, Attention)]
    assert [layer.window[0] for layer in attentions][1:] == [min(grid, 16) if grid > 32 else grid for grid in grids]


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 16, 8), (2, 28, 20), (4, 32, 64), (3, 64, 128), (3, 128, 128)], ids=str
)
def test_shapes(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    generator = TransGANGenerator(shape, 5, width=256, depths=[1], heads=1)
    discriminator = TransGANDiscriminator(shape, width=8, depth=1, heads=2)
    images = generator(torch.randn(2, 5))
    output = discriminator(images)
    assert images.shape == (2, *shape)
    assert (output.logits.shape, output.features.shape) == ((2,), (2, 8))
    assert generator.eval()(torch.randn(2, 5)).abs().max() <= 1


def test_the_generator_by_its_parts() -> None:
    torch.manual_seed(0)
    generator, z = TransGANGenerator((1, 16, 16), 5, width=16, depths=[2, 1], heads=2), 3 * torch.randn(2, 5)
    first, second = generator.stages
    x = (generator.project.weight @ z.T + generator.project.bias[:, None]).T.reshape(2, 64, 16) + first[0].vectors
    x = shuffle_up(first[2](first[1](x)), (8, 8)) + second[0].vectors
    x = second[1](x) @ generator.output.weight.flatten(1).T + generator.output.bias
    expected = to_map(x, (16, 16))
    np.testing.assert_allclose(generator(z).detach(), expected.detach(), atol=1e-5)
    assert expected.abs().max() > 1
    np.testing.assert_allclose(generator.eval()(z).detach(), expected.clamp(-1, 1).detach(), atol=1e-5)


def test_the_discriminator_by_its_parts() -> None:
    torch.manual_seed(0)
    critic, x = TransGANDiscriminator((2, 8, 12), width=16, depth=1, heads=2, noise=False), torch.randn(3, 2, 8, 12)
    rows = x.reshape(3, 2, 4, 2, 6, 2).permute(0, 2, 4, 1, 3, 5).reshape(3, 24, 8)
    fine = rows @ critic.fine_patches.weight.flatten(1).T + critic.fine_patches.bias
    fine = critic.fine[1](fine + critic.fine[0].vectors)
    coarse = to_tokens(critic.coarse_patches(x))
    tokens = torch.cat([to_tokens(avg_pool2d(to_map(fine, (4, 6)), 2)), coarse], 2) + critic.coarse[0].vectors
    tokens = torch.cat([critic.last[0].vector.expand(3, 1, 16), critic.coarse[1](tokens)], 1)
    features = critic.norm(critic.last[1](tokens))[:, 0]
    output = critic(x)
    np.testing.assert_allclose(output.features.detach(), features.detach(), atol=1e-5)
    expected = features @ critic.logits.weight.T + critic.logits.bias
    np.testing.assert_allclose(output.logits.detach(), expected[:, 0].detach(), atol=1e-6)


def test_noise_is_only_in_training_mode_and_zero_at_first() -> None:
    torch.manual_seed(0)
    critic, x = TransGANDiscriminator((1, 8, 8), width=16, depth=1, heads=2), torch.randn(3, 1, 8, 8)
    assert torch.equal(critic(x).logits, critic(x).logits)
    strengths = [value for name, value in critic.named_parameters() if name.endswith("strength")]
    assert len(strengths) == 3
    for strength in strengths:
        nn.init.ones_(strength)
    assert not torch.equal(critic(x).logits, critic(x).logits)
    assert torch.equal(critic.eval()(x).logits, critic(x).logits)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="width: 3 stages with 4 heads need a multiple of 64, got 100; set it to 128"):
        TransGANGenerator((3, 32, 32), 8, width=100)
    with pytest.raises(UserError, match="width: must be a multiple of 16 for 4 heads, got 100; set it to 96"):
        TransGANDiscriminator((3, 32, 32), width=100)
    with pytest.raises(UserError, match="multiples of 4, got 10x10; set it to 8"):
        TransGANDiscriminator((3, 10, 10))
