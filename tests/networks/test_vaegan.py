"""The networks of the VAE/GAN against the published code's sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saddlepoint.errors import UserError
from saddlepoint.networks import VAEGANDecoder, VAEGANDiscriminator, VAEGANEncoder


def convolutions(network: nn.Module) -> list[tuple[int, int, int]]:
    """Return input channels, output channels and stride of each convolution."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    found = [module for module in network.modules() if isinstance(module, kinds)]
    assert all(one.kernel_size == (5, 5) for one in found)
    return [(one.in_channels, one.out_channels, one.stride[0]) for one in found]


def test_channels_of_64_px() -> None:
    """Those of the published code, and one more strided convolution, from 8 to 4 px."""
    shape = (3, 64, 64)
    assert convolutions(VAEGANEncoder(shape, 128)) == [(3, 64, 2), (64, 128, 2), (128, 256, 2), (256, 256, 2)]
    assert convolutions(VAEGANDecoder(shape, 128)) == [
        *((256, 256, 2), (256, 256, 2), (256, 128, 2), (128, 32, 2)),
        (32, 3, 1),
    ]
    assert convolutions(VAEGANDiscriminator(shape)) == [
        (3, 32, 1),
        *((32, 128, 2), (128, 256, 2), (256, 256, 2), (256, 256, 2)),
    ]


@pytest.mark.parametrize(("side", "features"), [(64, 256 * 8 * 8), (32, 256 * 8 * 8), (28, 128 * 14 * 14)])
def test_the_layer_of_the_reconstruction(side: int, features: int) -> None:
    """The third strided convolution for 64 px and the second for 32 px have maps of 8 px."""
    critic = VAEGANDiscriminator((1, side, side), units=4)
    assert critic(torch.zeros(2, 1, side, side)).features.shape == (2, features)


def test_the_features_are_the_output_of_a_convolution_before_the_norm() -> None:
    torch.manual_seed(0)
    critic: Any = VAEGANDiscriminator((1, 16, 16), 4, 8)
    x = torch.rand(5, 1, 16, 16)

    def norm(x: Tensor) -> Tensor:
        dims = [0, 2, 3] if x.dim() == 4 else [0]
        return (x - x.mean(dims, keepdim=True)) / (x.var(dims, correction=0, keepdim=True) + 1e-5).sqrt()

    for module in critic.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    hidden = F.relu(F.conv2d(x, critic.layer[0].weight, critic.layer[0].bias, padding=2))
    layer = F.conv2d(hidden, critic.layer[2].weight, stride=2, padding=2)
    hidden = F.relu(norm(layer))
    hidden = F.relu(norm(F.conv2d(hidden, critic.trunk[2].weight, stride=2, padding=2))).flatten(1)
    hidden = F.relu(norm(hidden @ critic.trunk[6].weight.T))
    output = critic(x)
    torch.testing.assert_close(output.features, layer.flatten(1))
    torch.testing.assert_close(output.logits, hidden @ critic.logits.weight[0] + critic.logits.bias)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 20), (1, 16, 32), (3, 128, 128)], ids=str)
def test_images_of_any_supported_size(shape: tuple[int, int, int]) -> None:
    encoder, decoder, critic = (
        VAEGANEncoder(shape, 5, 2, 4),
        VAEGANDecoder(shape, 5, 2),
        VAEGANDiscriminator(shape, 2, 4),
    )
    code = encoder(torch.rand(2, *shape))
    assert code.mean.shape == code.log_variance.shape == (2, 5)
    images = decoder(code.mean)
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1
    assert critic(images).logits.shape == (2,)
    with pytest.raises(UserError, match="supports only images"):
        VAEGANDecoder((2,), 5)
