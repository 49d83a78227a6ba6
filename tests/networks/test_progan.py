"""ProGAN's networks: the parameters of table 2, and continuity while a level is faded in."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d, interpolate

from saddlepoint.networks import ProGANDiscriminator, ProGANGenerator
from saddlepoint.networks.progan import Growing, down, up

SHAPE, Z = (3, 64, 32), 6


def networks() -> tuple[ProGANGenerator, ProGANDiscriminator]:
    torch.manual_seed(0)
    return ProGANGenerator(SHAPE, Z, 8, 96), ProGANDiscriminator(SHAPE, 8, 96)


def test_numbers_of_parameters_at_1024_px() -> None:
    """23.1 M each, and the rows of table 2, which has only the last layer to colors and the first from colors."""
    with torch.device("meta"):
        generator, discriminator = ProGANGenerator((3, 1024, 1024)), ProGANDiscriminator((3, 1024, 1024))

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    weights = [p.numel() for p in generator.parameters() if p.dim() == 4]
    assert weights[:4] == [4_194_304, 2_359_296, 2_359_296, 2_359_296]  # 4.2M, 2.4M, 2.4M, 2.4M
    pairs = [(512, 512)] * 3 + [(512, 256), (256, 128), (128, 64), (64, 32), (32, 16)]
    assert [count(block) for block in generator.blocks] == [9 * (i * o + o * o) + 2 * o for i, o in pairs]
    assert count(generator.to_rgb[-1]) == 51
    assert count(discriminator.from_rgb[-1]) == 64
    assert count(discriminator.logits) == 513
    total = count(generator) - count(generator.to_rgb) + 51
    assert (total, round(total / 1e6, 1)) == (23_071_507, 23.1)
    total = count(discriminator) - count(discriminator.from_rgb) + 64
    assert (total, round(total / 1e6, 1)) == (23_077_137, 23.1)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_new_level_begins_as_the_upsampled_old_one(level: int) -> None:
    generator, critic = networks()
    z = torch.randn(8, Z)

    generator.grow(level - 1, 1.0)
    old = generator(z)
    generator.grow(level, 0.0)
    assert generator(z).shape == (8, 3, 4 << level + 1, 4 << level)
    assert torch.equal(generator(z), up(old))
    x = torch.randn(8, 3, 4 << level + 1, 4 << level)
    critic.grow(level - 1, 1.0)
    expected = critic(down(x)).logits
    critic.grow(level, 0.0)
    assert torch.equal(critic(x).logits, expected)
    nearly = 1 - 1e-7
    for network, inputs in ((generator, z), (critic, x)):
        network.grow(level, 1.0)
        whole = network(inputs)
        network.grow(level, nearly)
        close = network(inputs)
        a, b = (whole, close) if isinstance(whole, Tensor) else (whole.logits, close.logits)
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("level", "alpha"), [(0, 1.0), (2, 0.0), (2, 0.25), (2, 1.0), (3, 1.0)])
def test_only_used_layers_have_gradients(level: int, alpha: float) -> None:
    generator, critic = networks()
    generator.grow(level, alpha)
    critic.grow(level, alpha)
    critic(generator(torch.randn(8, Z))).logits.sum().backward()
    for network, colors in ((generator, generator.to_rgb), (critic, critic.from_rgb)):
        for k in range(4):
            old, new = k == level - 1 and alpha < 1, k == level
            for parameter in colors[k].parameters():
                assert (parameter.grad is not None) == (old or new), k
            if k < 3:
                for parameter in network.blocks[k].parameters():
                    assert (parameter.grad is not None) == (k < level)
                    if k == level - 1 and alpha == 0:
                        assert not parameter.grad.any()


@pytest.mark.parametrize(("level", "alpha"), [(0, 1.0), (2, 0.25), (3, 1.0)])
def test_images_have_the_full_size_in_evaluation_mode(level: int, alpha: float) -> None:
    generator, critic = networks()
    generator.grow(level, alpha)
    critic.grow(level, alpha)
    z = torch.randn(4, Z)
    small, full = generator(z), generator.eval()(z)
    torch.testing.assert_close(full, interpolate(small, SHAPE[1:], mode="nearest").clamp(-1, 1))
    torch.testing.assert_close(critic(interpolate(small, SHAPE[1:], mode="nearest")).logits, critic(small).logits)
    loaded, _ = networks()
    loaded.load_state_dict(generator.state_dict())  # the level is in a buffer
    torch.testing.assert_close(loaded.eval()(z), full)


def test_the_first_layer_has_the_papers_gain() -> None:
    """√2 / 4 times 1 / √512 for 4×4 pixels; latents are normalized."""
    generator = ProGANGenerator((3, 8, 8), 512, 16)
    first, z = generator.first[1], torch.randn(2, 512)
    raw = first.parametrizations.weight.original  # type: ignore[union-attr]
    unit = z / z.square().mean(1, keepdim=True).sqrt()
    expected = conv_transpose2d(unit[:, :, None, None], raw * math.sqrt(2) / 4 / math.sqrt(512))  # type: ignore[operator]
    torch.testing.assert_close(first(generator.first[0](z)[:, :, None, None]), expected)
    assert abs(raw.std().item() - 1) < 0.01  # type: ignore[operator]


def test_labels() -> None:
    generator = ProGANGenerator(SHAPE, Z, 8, conditioning="concat", num_classes=3)
    critic = ProGANDiscriminator(SHAPE, 8, conditioning="auxiliary", num_classes=3)
    z, labels = torch.randn(4, Z), torch.tensor([0, 1, 2, 0])
    images = generator(z, labels)
    assert not torch.equal(images, generator(z, labels.roll(1)))
    output = critic(images, labels)
    assert output.class_logits is not None
    assert output.class_logits.shape == (4, 3)
    assert isinstance(critic, Growing)
