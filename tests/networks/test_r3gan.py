"""R3GAN's networks against parameter counts, dense convolutions, closed forms at initialization and naive formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import R3GANDiscriminator, R3GANGenerator
from saddlepoint.networks.layers.filtered import filter_down, filter_up
from saddlepoint.networks.r3gan import Block

SHAPE, Z = (2, 16, 16), 5


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def trained(network: nn.Module) -> nn.Module:
    """Return the network with other last convolutions of the blocks, which are zero at first, and other biases."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, Block):
            nn.init.normal_(module.contract.weight, 0.0, 0.1)
            nn.init.normal_(module.expand.bias)
            nn.init.normal_(module.mix.bias)
    return network


def test_parameters_of_the_published_networks() -> None:
    """CIFAR-10: eight blocks of 768 channels, with 96 groups of 16 channels in the 3×3 convolutions."""
    block = 768 * 1536 + 1536 + 1536 * 16 * 9 + 1536 + 1536 * 768
    with torch.device("meta"):
        conditional = {"num_classes": 10}
        generator = R3GANGenerator((3, 32, 32), 64, conditioning="concat", **conditional)
        discriminator = R3GANDiscriminator((3, 32, 32), conditioning="projection", **conditional)
        assert count(generator) == 8 * block + 10 * 64 + 128 * 768 + 768 * 16 + 3 * 768 == 20_781_952
        assert count(discriminator) == 8 * block + 3 * 768 + 768 * 16 + 768 * 768 + 10 * 768 == 21_280_512
        assert count(R3GANDiscriminator((3, 32, 32))) == 8 * block + 3 * 768 + 768 * 16 + 768
        assert [b.mix.groups for b in generator.modules() if isinstance(b, Block)] == [96] * 8
        # FFHQ of 64 px: stages of 768, 768, 768, 768 and 384 channels, with a 1×1 convolution between the last two.
        half = 384 * 768 + 768 + 768 * 16 * 9 + 768 + 768 * 384
        expected = 8 * block + 2 * half + 768 * 384 + 64 * 768 + 768 * 16 + 3 * 384
        assert count(R3GANGenerator((3, 64, 64), 64)) == expected
        assert count(R3GANDiscriminator((3, 64, 64))) == expected - 64 * 768 + 768
        imagenet = R3GANGenerator((3, 64, 64), 64, width=1536, flat_up_to=64, group_channels=32)
        assert [(b.expand.in_channels, b.mix.groups) for b in imagenet.modules() if isinstance(b, Block)] == [
            (1536, 96)
        ] * 10


def test_each_block_is_the_identity_at_first() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(Block(8, 4, 6)(x), x)
    generator, discriminator = R3GANGenerator(SHAPE, Z, 8, 8, 4), R3GANDiscriminator(SHAPE, 8, 8, 4)
    z = torch.randn(3, Z)
    x = (z @ generator.project.weight.T)[:, :, None, None] * generator.base
    for transition in generator.transitions:
        x = filter_up(transition(x))
    torch.testing.assert_close(generator(z), generator.output(x))
    y = F.conv2d(generator(z), discriminator.input.weight)
    for transition in discriminator.transitions:
        y = transition(filter_down(y))
    features = torch.einsum("nchw,chw->nc", y, discriminator.basis)
    output = discriminator(generator(z))
    torch.testing.assert_close(output.features, features)
    torch.testing.assert_close(output.logits, features @ discriminator.logits.weight[0])


def test_a_block_is_its_formula_with_dense_block_diagonal_convolutions() -> None:
    channels, group = 6, 4
    block = trained(Block(channels, group, 3)).double()
    x = torch.randn(2, channels, 5, 7, dtype=torch.float64)
    dense = torch.zeros(12, 12, 3, 3, dtype=torch.float64)
    for index in range(3):
        rows = slice(index * group, (index + 1) * group)
        dense[rows, rows] = block.mix.weight[rows].detach()

    def activated(values: Tensor, bias: Tensor) -> Tensor:
        values = values + bias[:, None, None]
        return torch.where(values > 0, values, 0.2 * values)

    hidden = activated(torch.einsum("oc,nchw->nohw", block.expand.weight[:, :, 0, 0], x), block.expand.bias)
    hidden = activated(F.conv2d(hidden, dense, padding=1), block.mix.bias)
    expected = x + torch.einsum("oc,nchw->nohw", block.contract.weight[:, :, 0, 0], hidden)
    torch.testing.assert_close(block(x), expected)


def test_variances_of_the_initial_weights() -> None:
    """He's variance for slope 0.2, divided by √L for L blocks; the second moment of a branch is then 1/L before W₃."""
    torch.manual_seed(0)
    block = Block(256, 16, 9)
    for layer, fan_in in ((block.expand, 256), (block.mix, 16 * 9)):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 1.04 / fan_in) / 9**0.25, rel=0.02)
        assert not layer.bias.any()
    x = torch.randn(16, 256, 8, 8)
    hidden = F.leaky_relu(block.mix(F.leaky_relu(block.expand(x), 0.2)), 0.2)
    inside = hidden[:, :, 1:-1, 1:-1]  # pixels without zero padding
    assert inside.square().mean().item() == pytest.approx(1 / 9, rel=0.05)
    generator, discriminator = R3GANGenerator((3, 32, 32), 64, 256), R3GANDiscriminator((3, 32, 32), 256)
    for weight, std in (
        (generator.base, 1), (generator.project.weight, 64**-0.5), (generator.output.weight, 256**-0.5),
        (discriminator.basis, 0.25), (discriminator.input.weight, 3**-0.5), (discriminator.logits.weight, 256**-0.5),
    ):  # fmt: skip
        assert weight.std().item() == pytest.approx(std, rel=0.12)


def test_labels_are_embedded() -> None:
    torch.manual_seed(0)
    options = {"width": 8, "num_classes": 3}
    generator = trained(R3GANGenerator(SHAPE, Z, conditioning="concat", **options))
    discriminator = trained(R3GANDiscriminator(SHAPE, conditioning="projection", **options))
    z, labels = torch.randn(4, Z), torch.tensor([0, 2, 1, 2])
    plain = trained(R3GANGenerator(SHAPE, 2 * Z, width=8))
    plain.load_state_dict({k: v for k, v in generator.state_dict().items() if k != "embedding.weight"})
    joined = torch.cat([z, generator.embedding.weight[labels]], 1)
    assert torch.equal(generator(z, labels), plain(joined))
    samples = torch.randn(4, *SHAPE)
    output = discriminator(samples, labels)
    expected = [
        output.features[i] @ discriminator.logits.weight.T @ discriminator.embedding.weight[y]
        for i, y in enumerate(labels)
    ]
    torch.testing.assert_close(output.logits, torch.stack(expected))
    assert (generator.num_classes, R3GANGenerator(SHAPE, Z, 8, num_classes=3).num_classes) == (3, 0)
    with pytest.raises(UserError, match="got no labels"):
        generator(z)


@pytest.mark.parametrize(
    ("shape", "flat_up_to", "widths"),
    [
        ((1, 28, 28), 32, [16, 16, 16]),
        ((1, 28, 28), 14, [16, 16, 8]),
        ((1, 28, 28), 8, [16, 8, 4]),
        ((3, 64, 32), 8, [16, 16, 8, 4]),
        ((3, 128, 128), 32, [16, 16, 16, 16, 8, 4]),
        ((1, 8, 12), 32, [16, 16]),
    ],
)
def test_channels_of_each_stage(shape: tuple[int, ...], flat_up_to: int, widths: list[int]) -> None:
    generator = trained(R3GANGenerator(shape, Z, 16, flat_up_to, 8))
    discriminator = trained(R3GANDiscriminator(shape, 16, flat_up_to, 8))
    assert [stage[0].expand.in_channels for stage in generator.stages] == widths
    assert [stage[0].expand.in_channels for stage in discriminator.stages] == widths[::-1]
    samples = generator(torch.randn(2, Z))
    assert samples.shape == (2, *shape)
    logits = discriminator(samples).logits
    logits.sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


def test_images_are_clamped_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    generator = trained(R3GANGenerator(SHAPE, Z, 8))
    z = 100 * torch.randn(4, Z)
    images = generator(z)
    assert images.abs().max() > 1
    assert torch.equal(generator.eval()(z), images.clamp(-1, 1))


def test_samples_are_independent_and_autocast_computes_the_ends_in_float32() -> None:
    torch.manual_seed(0)
    generator, discriminator = trained(R3GANGenerator(SHAPE, Z, 8)), trained(R3GANDiscriminator(SHAPE, 8))
    z = torch.randn(4, Z)
    np.testing.assert_allclose(generator(z)[1:2].detach(), generator(z[1:2]).detach(), rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(z)
        output = discriminator(images)
    assert {images.dtype, output.logits.dtype, output.features.dtype} == {torch.float32}
    torch.testing.assert_close(images, generator(z), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (12, 3), (24, 3), (16, 2)])
def test_groups_have_the_greatest_common_divisor(channels: int, groups: int) -> None:
    assert Block(channels, 16, 1).mix.groups == groups
