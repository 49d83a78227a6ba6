"""Filtered resampling against convolutions with the kernel and zero insertion."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from saddlepoint.networks.layers.filtered import blur, filter_down, filter_up


def convolved(x: Tensor, padding: int, stride: int = 1, gain: float = 1.0) -> Tensor:
    """Convolve each channel with the 4×4 kernel."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = gain * torch.outer(taps, taps) / 64
    flat = conv2d(x.flatten(0, 1).unsqueeze(1), kernel[None, None], padding=padding, stride=stride)
    return flat.view(*x.shape[:2], *flat.shape[2:])


@pytest.mark.parametrize(("padding", "stride", "gain"), [(1, 1, 4.0), (2, 1, 1.0), (1, 2, 1.0), (0, 1, 1.0)])
def test_blur_is_a_convolution(padding: int, stride: int, gain: float) -> None:
    x = torch.randn(2, 3, 7, 10, dtype=torch.float64)
    torch.testing.assert_close(blur(x, padding, stride, gain), convolved(x, padding, stride, gain))


def test_filter_down_keeps_every_second_pixel() -> None:
    x = torch.randn(2, 3, 8, 10, dtype=torch.float64)
    assert filter_down(x).shape == (2, 3, 4, 5)
    torch.testing.assert_close(filter_down(x), convolved(x, 1, 2))


def test_filter_up_inserts_zeros_and_filters() -> None:
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    spread = torch.zeros(2, 3, 8, 12, dtype=torch.float64)
    spread[:, :, ::2, ::2] = x
    expected = convolved(spread, 2, gain=4.0)[:, :, :8, :12]  # two zeros before the image and one after it
    torch.testing.assert_close(filter_up(x), expected)


def test_a_constant_stays_constant_inside() -> None:
    x = torch.ones(1, 1, 6, 6)
    up = filter_up(x)
    torch.testing.assert_close(up[:, :, 1:-1, 1:-1], torch.ones(1, 1, 10, 10))
    torch.testing.assert_close(up[0, 0, 0, 1:-1], torch.full((10,), 0.75))  # zeros beyond the border
    assert up.mean().item() == pytest.approx((11.5 / 12) ** 2)
    torch.testing.assert_close(filter_down(up)[:, :, 1:-1, 1:-1], torch.ones(1, 1, 4, 4))
    torch.testing.assert_close(blur(x, 0), torch.ones(1, 1, 3, 3))


def test_second_derivatives() -> None:
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: filter_down(filter_up(x).square()), (x,))
