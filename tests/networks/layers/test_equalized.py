"""Equalized learning rates with gains and multipliers, against plain layers with scaled weights."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, linear

from saddlepoint.networks.layers.conditioning import STYLE_STD, AdaIN
from saddlepoint.networks.layers.equalized import apply_equalized_rate, equalize


@pytest.mark.parametrize(
    ("gain", "multiplier", "bias"), [(1.0, 1.0, 0.0), (math.sqrt(2) / 4, 1.0, 0.5), (1.0, 0.01, 1.0)]
)
def test_an_equalized_layer_is_a_plain_one_with_scaled_weights(gain: float, multiplier: float, bias: float) -> None:
    torch.manual_seed(0)
    layer = equalize(nn.Linear(300, 200), gain, multiplier, bias).double()
    x = torch.randn(7, 300, dtype=torch.float64)
    raw = layer.parametrizations.weight.original
    expected = linear(x, raw * gain * multiplier / math.sqrt(300), torch.full((200,), bias, dtype=torch.float64))
    torch.testing.assert_close(layer(x), expected)
    assert raw.std().item() == pytest.approx(1 / multiplier, rel=0.01)
    assert layer(x).var().item() == pytest.approx(gain**2, rel=0.1)  # in spite of the multiplier


def test_an_equalized_convolution() -> None:
    torch.manual_seed(0)
    layer, x = equalize(nn.Conv2d(3, 5, 3), gain=1.5), torch.randn(2, 3, 6, 6)
    raw = layer.parametrizations.weight.original
    torch.testing.assert_close(layer(x), conv2d(x, raw * 1.5 / math.sqrt(27)))


def test_the_first_step_of_adam_is_multiplied() -> None:
    """Adam's first step is lr for every weight, hence lr·m·g / √fan_in for an effective weight and lr·m for a bias."""
    torch.manual_seed(0)
    layer = equalize(nn.Linear(25, 4), gain=2.0, multiplier=0.1)
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01, eps=0)
    layer(torch.randn(8, 25)).square().sum().backward()
    optimizer.step()
    steps = [(new - old).detach().abs() for new, old in zip((layer.weight, layer.bias), before, strict=True)]
    torch.testing.assert_close(steps[0], torch.full((4, 25), 0.01 * 0.1 * 2 / 5), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(steps[1], torch.full((4,), 0.01 * 0.1), rtol=1e-4, atol=1e-6)


def test_gains_of_adain_start_near_one() -> None:
    torch.manual_seed(0)
    layers = nn.ModuleList([AdaIN(200, 100), nn.Linear(100, 200)])
    apply_equalized_rate(layers)
    style, other = layers[0].affine.weight, layers[1].weight
    assert style.std().item() == pytest.approx(STYLE_STD, rel=0.02)
    assert other.std().item() == pytest.approx(math.sqrt(2 / 100), rel=0.02)
