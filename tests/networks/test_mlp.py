"""Multilayer perceptrons: Goodfellow's networks, points, maxout and dropout."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import MLPDiscriminator, MLPGenerator
from saddlepoint.networks.layers.activations import Maxout


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_goodfellows_mnist_networks() -> None:
    generator = MLPGenerator((1, 28, 28), 100, hidden=[1200, 1200], norm="none")
    assert count(generator) == 101 * 1200 + 1201 * 1200 + 1201 * 784
    discriminator = MLPDiscriminator(
        (1, 28, 28), hidden=[240, 240], activation="maxout", pieces=5, dropout=0.5, input_dropout=0.2
    )
    assert count(discriminator) == 785 * 240 * 5 + 241 * 240 * 5 + 241
    shares = [module.p for module in discriminator.modules() if isinstance(module, nn.Dropout)]
    assert shares == [0.2, 0.5, 0.5]


def test_maxout_is_a_maximum_over_affine_pieces() -> None:
    torch.manual_seed(0)
    network = MLPDiscriminator((3,), hidden=[4], activation="maxout", pieces=5)
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    linear = network.trunk[0]
    weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
    expected = np.empty((6, 4), np.float32)
    for n in range(6):
        for unit in range(4):
            pieces = range(unit * 5, unit * 5 + 5)
            expected[n, unit] = max(weight[piece] @ x[n] + bias[piece] for piece in pieces)
    np.testing.assert_allclose(network(torch.from_numpy(x)).features.detach(), expected, rtol=1e-5, atol=1e-6)
    assert isinstance(network.trunk[1], Maxout)


def test_points_are_unbounded_and_images_are_not() -> None:
    torch.manual_seed(0)
    for shape, bounded in [((2,), False), ((2, 3, 5), True)]:
        generator = MLPGenerator(shape, 4, hidden=[16])
        with torch.no_grad():
            generator.output.bias.fill_(3.0)
            generator.output.weight.mul_(0.01)
        samples = generator(torch.randn(8, 4)).detach()
        assert samples.shape == (8, *shape)
        np.testing.assert_allclose(samples, math.tanh(3) if bounded else 3.0, atol=0.2)


def test_without_hidden_layers_it_is_linear() -> None:
    critic, x = MLPDiscriminator((2,), hidden=[]), torch.randn(7, 2)
    output = critic(x)
    np.testing.assert_allclose(output.features, x)
    weight, bias = critic.logits.weight.detach().numpy(), critic.logits.bias.detach().numpy()
    np.testing.assert_allclose(output.logits.detach(), x.numpy() @ weight[0] + bias[0], rtol=1e-5, atol=1e-6)


def test_all_hidden_layers_but_the_critics_first_have_norms() -> None:
    kinds = (nn.BatchNorm1d, nn.LayerNorm)
    critic = MLPDiscriminator((2,), hidden=[4, 4, 4], norm="layer")
    generator = MLPGenerator((2,), 3, hidden=[4, 4, 4])
    assert sum(isinstance(module, kinds) for module in critic.modules()) == 2
    assert sum(isinstance(module, kinds) for module in generator.modules()) == 3
    assert not isinstance(critic.trunk[1], kinds)


def test_activations_do_not_shrink_in_a_generator_without_norms() -> None:
    # He et al. 2015: with weights of variance 2 / fan_in and no biases, ReLU layers preserve the second moment.
    torch.manual_seed(0)
    generator = MLPGenerator((2,), 256, hidden=[512] * 4, norm="none")
    hidden = generator.trunk(torch.randn(512, 256)).detach()
    np.testing.assert_allclose(hidden.square().mean(), 1, rtol=0.15)


def test_invalid_shapes_and_norms_are_rejected() -> None:
    with pytest.raises(UserError, match="network 'mlp' supports images"):
        MLPGenerator((3, 4), 2)
    with pytest.raises(UserError, match="instance normalization"):
        MLPGenerator((2,), 2, norm="instance")


def test_initialization_options() -> None:
    torch.manual_seed(0)
    generator = MLPGenerator(
        (2,), 64, hidden=[128, 128], activation="tanh", norm="none", init="orthogonal", init_scale=1.4
    )
    for layer in [layer for layer in generator.modules() if isinstance(layer, nn.Linear)]:
        weight = layer.weight.detach()
        short = weight if weight.shape[0] <= weight.shape[1] else weight.T
        np.testing.assert_allclose(short @ short.T, 1.4**2 * torch.eye(len(short)), atol=1e-5)
        assert layer.bias is not None
        assert layer.bias.count_nonzero() == 0
    latents = torch.randn(5, 64)
    expected = latents
    for layer in [layer for layer in generator.trunk if isinstance(layer, nn.Linear)]:
        expected = (expected @ layer.weight.T).tanh()
    np.testing.assert_allclose(generator(latents).detach(), (expected @ generator.output.weight.T).detach(), atol=1e-5)
    critic = MLPDiscriminator((2,), hidden=[200, 200], activation="maxout", init="normal", init_scale=0.02)
    np.testing.assert_allclose(critic.trunk[2].weight.detach().std(), 0.02, rtol=0.02)
