"""Modulated convolutions against a convolution of each sample with its own weights."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from saddlepoint.networks.layers.filtered import blur
from saddlepoint.networks.layers.modulated import ModulatedConv2d

CASES = [(3, False, True), (1, False, True), (1, False, False), (3, True, True)]


def by_sample(layer: ModulatedConv2d, x: Tensor, w: Tensor) -> Tensor:
    """Convolve each sample with its own scaled and demodulated weights (equations 1 and 3)."""
    styles, outputs = layer.affine(w), []
    for sample, style in zip(x, styles, strict=True):
        weight = layer.weight / math.sqrt(layer.weight[0].numel()) * style[None, :, None, None]
        if layer.demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if layer.up:
            outputs.append(blur(conv_transpose2d(sample[None], weight.transpose(0, 1), stride=2), 1, gain=4))
        else:
            outputs.append(conv2d(sample[None], weight, padding=layer.weight.shape[2] // 2))
    return torch.cat(outputs)


@pytest.mark.parametrize(("size", "up", "demodulate"), CASES)
def test_values_and_gradients(size: int, up: bool, demodulate: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(4, 6, size, 5, up, demodulate).double()
    torch.nn.init.normal_(layer.affine.bias)
    x = torch.randn(3, 4, 5, 7, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    inputs = [x, w, *layer.parameters()]
    ours, theirs = layer(x, w), by_sample(layer, x, w)
    assert ours.shape == (3, 6, 10, 14) if up else (3, 6, 5, 7)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad((ours * weights).sum(), inputs),
        torch.autograd.grad((theirs * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_unit_variance_for_any_style() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(32, 48, 3, 8)
    x, w = torch.randn(4, 32, 34, 34), 3 * torch.randn(4, 8)
    inside = layer(x, w)[:, :, 1:-1, 1:-1]
    assert inside.std(dim=(1, 2, 3)).tolist() == pytest.approx([1] * 4, rel=0.02)


def test_the_scale_of_styles_and_weights_cancels() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(4, 6, 3, 5).double()
    x, w = torch.randn(2, 4, 5, 5, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    before = layer(x, w)
    with torch.no_grad():
        layer.weight.mul_(3)
        for parameter in layer.affine.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(layer(x, w), before, rtol=1e-6, atol=1e-6)
