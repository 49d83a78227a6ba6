"""Common properties of all networks: sizes, ranges, gradients, precision and memory formats."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from saddlepoint.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)

Z = 5
SIDES = (8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)
SHAPES = [
    *[(1 + index % 4, side, side) for index, side in enumerate(SIDES)],
    *[(3, 64, 32), (1, 32, 64), (2, 8, 128), (4, 48, 80), (3, 28, 20), (1, 20, 128), (3, 128, 64)],
]
FAMILIES: dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
    "dcgan": (
        lambda shape, **options: DCGANGenerator(shape, Z, width=2, **options),
        lambda shape, **options: DCGANDiscriminator(shape, width=2, **options),
    ),
    "resnet": (
        lambda shape, **options: ResNetGenerator(shape, Z, width=1, **options),
        lambda shape, **options: ResNetDiscriminator(shape, width=1, **options),
    ),
    "mlp": (
        lambda shape, **options: MLPGenerator(shape, Z, hidden=[8, 7], **options),
        lambda shape, **options: MLPDiscriminator(shape, hidden=[8, 7], **options),
    ),
}
NORMS = ("batch", "none", "layer", "group", "instance")


def pairs(*shapes: tuple[int, ...]) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return all families with the norms that they support."""
    norms = [(f, n) for f in FAMILIES for n in NORMS if (f, n) != ("mlp", "instance")]
    return [(family, norm, shape) for family, norm in norms for shape in shapes]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_supported_sizes(family: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    make_generator, make_discriminator = FAMILIES[family]
    generator, discriminator = make_generator(shape), make_discriminator(shape)
    assert (generator.shape, generator.latent_dim, discriminator.shape) == (shape, Z, shape)
    samples = generator(torch.randn(3, Z), torch.tensor([0, 1, 2]))
    assert samples.shape == (3, *shape)
    assert samples.abs().max() <= 1
    output = discriminator(samples, torch.tensor([0, 1, 2]))
    assert output.logits.shape == (3,)
    assert output.features.shape[0] == 3
    assert output.features.dim() == 2
    assert output.class_logits is None
    # The features are the input of the last layer.
    weight, bias = discriminator.logits.weight, discriminator.logits.bias
    np.testing.assert_allclose(
        (output.features @ weight.T + bias).detach()[:, 0], output.logits.detach(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("family", "norm", "shape"), pairs((3, 16, 8), (1, 48, 48)))
def test_every_parameter_has_a_gradient(family: str, norm: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    make_generator, make_discriminator = FAMILIES[family]
    generator, discriminator = make_generator(shape, norm=norm), make_discriminator(shape, norm=norm)
    discriminator(generator(torch.randn(4, Z))).logits.square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            if parameter.dim() > 1:  # biases before a norm can have zero gradients
                assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("family", FAMILIES)
def test_spectral_norm_bounds_every_weight(family: str) -> None:
    torch.manual_seed(0)
    critic = FAMILIES[family][1]((3, 16, 16), norm="none", spectral_norm=True)
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        for _ in range(300):
            critic(x)
    critic.eval()
    weighted = [module for module in critic.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(weighted) >= 3
    for module in weighted:
        assert parametrize.is_parametrized(module, "weight")
        largest = np.linalg.svd(module.weight.detach().flatten(1).numpy(), compute_uv=False)[0]
        assert abs(largest - 1) < 1e-3


@pytest.mark.parametrize(("family", "norm", "shape"), pairs((3, 32, 16)))
def test_bf16_and_channels_last(family: str, norm: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    make_generator, make_discriminator = FAMILIES[family]
    generator = make_generator(shape, norm=norm)
    discriminator = make_discriminator(shape, norm=norm, spectral_norm=True)
    latents, x = torch.randn(6, Z), torch.rand(6, *shape) * 2 - 1
    samples, logits = generator(latents), discriminator.eval()(x).logits
    generator.to(memory_format=torch.channels_last)
    discriminator.to(memory_format=torch.channels_last)
    np.testing.assert_allclose(generator(latents).detach(), samples.detach(), atol=2e-5)
    last = x.to(memory_format=torch.channels_last)
    np.testing.assert_allclose(discriminator(last).logits.detach(), logits.detach(), rtol=1e-4, atol=1e-5)
    discriminator.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = generator(latents)
        output = discriminator(half)
    assert half.dtype == output.logits.dtype == torch.float32
    assert (half - samples).abs().mean() < 0.02
    output.logits.sum().backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_same_weights(family: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(FAMILIES[family][1]((3, 16, 16), spectral_norm=True).state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
