"""Normalization layers against their definitions in NumPy."""

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.norms import PixelNorm, make_norm

IMAGES = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3)}
VECTORS = {"batch": (0,), "layer": (1,)}


def normalized(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


@pytest.mark.parametrize("kind", IMAGES)
def test_images(kind: str) -> None:
    x = torch.randn(4, 6, 5, 3) * 3 + 1
    np.testing.assert_allclose(make_norm(kind, 6)(x).detach(), normalized(x.numpy(), IMAGES[kind]), atol=2e-5)


@pytest.mark.parametrize("kind", VECTORS)
def test_vectors(kind: str) -> None:
    x = torch.randn(9, 6) * 3 + 1
    result = make_norm(kind, 6, images=False)(x).detach()
    np.testing.assert_allclose(result, normalized(x.numpy(), VECTORS[kind]), atol=2e-5)


@pytest.mark.parametrize("images", [True, False])
def test_group_and_none(images: bool) -> None:
    norm = make_norm("group", 48, images=images)
    assert (norm.num_groups, norm.num_channels) == (16, 48)
    assert isinstance(make_norm("none", 48, images=images), nn.Identity)


@pytest.mark.parametrize("kind", ["batch", "layer", "instance", "group"])
def test_a_gain_and_a_bias_per_channel(kind: str) -> None:
    assert [parameter.shape for parameter in make_norm(kind, 6).parameters()] == [(6,), (6,)]


def test_instance_norm_of_vectors_is_rejected() -> None:
    with pytest.raises(UserError, match="instance normalization needs images"):
        make_norm("instance", 6, images=False)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 5, 3)])
def test_pixel_norm_has_unit_second_moment(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape) * 3 + 1
    y = PixelNorm()(x)
    torch.testing.assert_close(y.square().mean(1), torch.ones(shape[:1] + shape[2:]))
    torch.testing.assert_close(y, x / x.square().mean(1, keepdim=True).sqrt())
