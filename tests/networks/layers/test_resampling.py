"""Up- and downsampling layers against naive computations, and equalized learning rates."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from saddlepoint.networks.layers.equalized import apply_equalized_rate
from saddlepoint.networks.layers.resampling import make_downsampling, make_upsampling


def bilinear(x: np.ndarray) -> np.ndarray:
    """Return [h, w] upsampled by 2, with pixel centers at (i + ½) / 2 - ½, clamped at the border."""
    h, w = x.shape
    y = np.zeros((2 * h, 2 * w))
    for i in range(2 * h):
        for j in range(2 * w):
            a, b = max((i + 0.5) / 2 - 0.5, 0), max((j + 0.5) / 2 - 0.5, 0)
            i0, j0 = int(a), int(b)
            i1, j1, s, t = min(i0 + 1, h - 1), min(j0 + 1, w - 1), a - int(a), b - int(b)
            y[i, j] = (1 - s) * ((1 - t) * x[i0, j0] + t * x[i0, j1]) + s * ((1 - t) * x[i1, j0] + t * x[i1, j1])
    return y


def single_tap(layer: nn.Module) -> None:
    """Set the layer's 3×3 convolution to the identity."""
    (conv,) = (module for module in layer.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 1, 1] = 1
        conv.bias.zero_()


@pytest.mark.parametrize("kind", ["nearest", "bilinear"])
def test_upsampling_interpolates_and_then_convolves(kind: str) -> None:
    layer = make_upsampling(kind, 1, 1)
    single_tap(layer)
    x = torch.randn(1, 1, 3, 4)
    expected = bilinear(x[0, 0].numpy()) if kind == "bilinear" else x[0, 0].numpy().repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(layer(x)[0, 0].detach(), expected, rtol=1e-5, atol=1e-6)


def test_average_downsampling_is_the_mean_of_four() -> None:
    layer = make_downsampling("average", 1, 1)
    single_tap(layer)
    x = torch.randn(1, 1, 4, 6)
    expected = x[0, 0].numpy().reshape(2, 2, 3, 2).mean((1, 3))
    np.testing.assert_allclose(layer(x)[0, 0].detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["transposed", "nearest", "bilinear"])
def test_every_kind_of_upsampling_has_the_same_sizes(kind: str) -> None:
    torch.manual_seed(0)
    assert make_upsampling(kind, 3, 2)(torch.randn(2, 3, 4, 5)).shape == (2, 2, 8, 10)
    images = DCGANGenerator((1, 16, 8), 5, width=2, upsampling=kind)(torch.randn(2, 5))
    assert images.shape == (2, 1, 16, 8)
    assert images.std() > 1e-4


@pytest.mark.parametrize("kind", ["strided", "average"])
def test_every_downsampling_halves(kind: str) -> None:
    assert make_downsampling(kind, 3, 2)(torch.randn(2, 3, 8, 10)).shape == (2, 2, 4, 5)
    output = DCGANDiscriminator((1, 16, 8), width=2, downsampling=kind)(torch.randn(3, 1, 16, 8))
    assert output.logits.shape == (3,)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [(nn.Linear(50, 400), 50), (nn.Conv2d(8, 64, 3), 72), (nn.ConvTranspose2d(8, 64, 4, stride=2, padding=1), 32)],
)
def test_equalized_weights_are_standard_normal_times_hes_constant(layer: nn.Module, fan_in: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(layer)
    apply_equalized_rate(network)
    raw = layer.parametrizations.weight.original
    assert raw.std().item() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(layer.weight, raw * math.sqrt(2 / fan_in))
    assert not layer.bias.any()
    assert [name for name, _ in network.named_parameters()] == ["0.bias", "0.parametrizations.weight.original"]


def test_gradient_of_an_equalized_layer() -> None:
    """The gradient with respect to W in c·W is c times that with respect to c·W."""
    torch.manual_seed(0)
    layer = nn.Linear(50, 3)
    apply_equalized_rate(nn.Sequential(layer))
    x = torch.randn(7, 50)
    layer(x).sum().backward()
    expected = math.sqrt(2 / 50) * x.sum(0).expand(3, -1)
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, expected)


def test_initial_outputs_of_equalized_networks() -> None:
    torch.manual_seed(0)
    shape = (1, 8, 8)
    for generator, critic in (
        (DCGANGenerator(shape, 6, 8, equalized=True), DCGANDiscriminator(shape, 8, equalized=True)),
        (ResNetGenerator(shape, 6, 8, equalized=True), ResNetDiscriminator(shape, 8, equalized=True)),
        (MLPGenerator(shape, 6, equalized=True), MLPDiscriminator(shape, equalized=True)),
    ):
        images = generator(torch.randn(64, 6))
        assert 0.2 < images.std() < 0.9
        assert 0.05 < critic(images).logits.std() < 20


def test_equalized_rates_and_spectral_norm_are_mutually_exclusive() -> None:
    with pytest.raises(UserError, match=r"^equalized: .* are mutually exclusive"):
        DCGANDiscriminator((1, 8, 8), 4, equalized=True, spectral_norm=True)
