"""GRAN's networks against plain loops and the layers of the published code."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import GRANDiscriminator, GRANGenerator
from saddlepoint.networks.gran import StepNorm

SHAPE, Z, T, N, UNITS = (1, 16, 16), 6, 3, 4, 5


def build(noise: Any = "shared", feedback: Any = "increment", steps: int = T) -> GRANGenerator:
    torch.manual_seed(0)
    return GRANGenerator(SHAPE, Z, steps, 2, UNITS, noise, feedback)


def apply(layers: Any, x: Tensor) -> Tensor:
    """Return the output of layers in training mode; BatchNorm is computed from its definition."""
    for layer in layers:
        if isinstance(layer, StepNorm):
            axes = [axis for axis in range(x.dim()) if axis != 1]
            shape = (-1, *[1] * (x.dim() - 2))
            normal = (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()
            x = normal * layer.gain.view(shape) + layer.bias.view(shape)
        else:
            x = layer(x)
    return x


def loop(copies: list[GRANGenerator], z: Tensor) -> Iterator[Tensor]:
    """Yield the canvas after each step; step t uses the weights of copy t."""
    per_step, canvas, increment = copies[0].noise == "per_step", torch.zeros(N, *SHAPE), torch.zeros(N, *SHAPE)
    for t, network in enumerate(copies):
        part = z[:, t * Z // T : (t + 1) * Z // T] if per_step else z
        h_z = apply(network.project, part)
        h_c = torch.zeros(N, UNITS)
        if t > 0:
            h_c = apply(network.encoder, increment if network.feedback == "increment" else canvas)
        increment = apply(network.decoder, torch.cat([h_z, h_c], 1))
        canvas = canvas + increment
        yield 2 * torch.sigmoid(canvas) - 1


@pytest.mark.parametrize("feedback", ["increment", "canvas"])
@pytest.mark.parametrize("noise", ["shared", "per_step"])
def test_canvases_equal_a_plain_loop(noise: str, feedback: str) -> None:
    network, z = build(noise, feedback), torch.randn(N, Z)
    found, expected = network.canvases(z), torch.stack(list(loop([network] * T, z)))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(network(z), expected[-1])
    assert (expected[1:] - expected[:-1]).abs().amax((1, 2, 3, 4)).min() > 0.1  # each step draws


def test_the_gradient_is_the_sum_over_the_steps() -> None:
    """Against a network of T copies of the weights, one for each step."""
    network, z, direction = build(), torch.randn(N, Z), torch.randn(N, *SHAPE)
    copies = [copy.deepcopy(network) for _ in range(T)]
    (network(z) * direction).sum().backward()
    (list(loop(copies, z))[-1] * direction).sum().backward()
    for name, parameter in network.named_parameters():
        parts = [dict(one.named_parameters())[name].grad for one in copies]
        total = torch.stack([part for part in parts if part is not None]).sum(0)
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, total, rtol=1e-4, atol=1e-5, msg=name)
        if name.startswith("decoder.0"):
            assert all(part is not None and part.abs().max() > 1e-3 for part in parts)


def test_a_step_depends_on_the_noise_of_earlier_steps_only() -> None:
    network, z = build("per_step").eval(), torch.randn(N, Z)
    before = network.increments(z)
    changed = z.clone()
    changed[:, 4:] += 1  # the third of three parts
    after = network.increments(changed)
    assert torch.equal(before[:2], after[:2])
    assert not torch.equal(before[2], after[2])


def test_one_step_is_a_plain_generator() -> None:
    network, z = build(steps=1), torch.randn(N, Z)
    hidden = torch.cat([apply(network.project, z), torch.zeros(N, UNITS)], 1)
    torch.testing.assert_close(network(z), torch.tanh(apply(network.decoder, hidden) / 2))


def test_each_step_has_its_running_statistics() -> None:
    network = build()
    network(torch.randn(N, Z))
    norm: Any = network.decoder[1]
    means = torch.stack([one.running_mean for one in norm.norms])
    assert means.shape == (T, 4 * 4 * 4)
    assert (means[1:] - means[:-1]).abs().amax(1).min() > 1e-3
    network.eval()
    z = torch.randn(N, Z)
    torch.testing.assert_close(network(z)[:1], network(z[:1]))


def test_parameters_of_the_published_networks_for_mnist() -> None:
    """Base of 7 px; a decoder of 256 and 128 channels; a discriminator of 40 and 80."""
    generator, discriminator = GRANGenerator((1, 28, 28), 100), GRANDiscriminator((1, 28, 28))
    base = 256 * 7 * 7
    project = 100 * 100 + 2 * 100
    decoder = 200 * base + 2 * base + (256 * 25 * 128 + 128) + (128 * 25 + 1)
    encoder = 25 * 128 + 2 * 128 + (128 * 25 * 256 + 256) + base * 100 + 2 * 100
    assert sum(p.numel() for p in generator.parameters()) == project + decoder + encoder
    convolutions = 25 * 40 + 2 * 40 + 40 * 25 * 80 + 2 * 80
    head = 80 * 7 * 7 * 100 + 100 + 101
    assert sum(p.numel() for p in discriminator.parameters()) == convolutions + head
    encoder_of_cifar10 = GRANGenerator((3, 32, 32), 100, 2, 256).encoder
    channels = [layer.out_channels for layer in encoder_of_cifar10 if isinstance(layer, nn.Conv2d)]
    assert channels == [256, 512, 1024]


def test_latents_that_cannot_be_divided_are_rejected() -> None:
    with pytest.raises(UserError) as refused:
        GRANGenerator(SHAPE, 7, 3, noise="per_step")
    assert refused.value.key == "latent_dim"
    assert "set it to 9" in str(refused.value)
