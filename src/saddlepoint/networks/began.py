"""Berthelot et al. 2017, "BEGAN: Boundary Equilibrium Generative Adversarial Networks", arXiv:1703.10717, figure 1.

Each level has two 3×3 convolutions with ELU. There is no normalization, dropout or transposed convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.init import init_xavier
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.networks.layers.reconstruction import Distance, reconstruction_error
from saddlepoint.networks.layers.shapes import image_pyramid
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.types import CriticKind, CriticOutput

CODE = 64
"""The paper's N_h."""


class BEGANGenerator(nn.Module):
    """The architecture of the discriminator's decoder, applied to latents, followed by tanh."""

    def __init__(self, shape: Sequence[PositiveInt], latent_dim: PositiveInt, width: PositiveInt = 64) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            latent_dim: dimension Z of the latents; 64 in the paper, the dimension of the code.
            width: channels of every convolution; the paper's n, 64 or 128.

        Raises:
            UserError: the shape is not supported.
        """
        super().__init__()
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.decoder = _decoder(shape, latent_dim, width)
        self.apply(init_xavier)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W] in [-1, 1]; labels are ignored."""
        return torch.tanh(at_least_float32(self.decoder(latents)))


class BEGANDiscriminator(nn.Module):
    """A convolutional autoencoder whose reconstruction error is the energy of an image; the features are its code."""

    critic: CriticKind = "energy"

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 64,
        code: PositiveInt | None = None,
        spectral_norm: bool = False,
        distance: Distance = "l1",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`).
            width: channels of the layer closest to the image, the paper's n, 64 or 128; the encoder adds as many with
                each level.
            code: dimension of the code, the paper's N_h. None is the paper's 64, but at most an eighth of the number of
                values of an image, since an autoencoder without a bottleneck assigns a low energy to every image.
            spectral_norm: whether to divide every weight by its largest singular value.
            distance: distance between an image and its reconstruction
                (see :func:`saddlepoint.networks.layers.reconstruction.reconstruction_error`).

        Raises:
            UserError: the shape is not supported.
        """
        super().__init__()
        self.shape, self.distance = tuple(shape), distance
        code = code or min(CODE, math.prod(shape) // 8)
        self.encoder, self.decoder = _encoder(shape, width, code), _decoder(shape, code, width)
        self.apply(init_xavier)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return energies [N] >= 0 and features [N, code] of images [N, C, H, W]; labels are ignored."""
        code = self.encoder(samples)
        return CriticOutput(reconstruction_error(samples, self.decoder(code), self.distance), code)

    def reconstruct(self, samples: Tensor) -> Tensor:
        """Return the reconstructions of images [N, C, H, W], approximately in [-1, 1]."""
        reconstructions: Tensor = self.decoder(self.encoder(samples))
        return reconstructions


def _halvings(shape: Sequence[int]) -> int:
    """Return the number of halvings: down to 8 to 14 px (8 in the paper), and at least one."""
    return max(image_pyramid("began", shape).levels - 1, 1)


def _base(shape: Sequence[int], channels: int) -> tuple[int, int, int]:
    halvings = _halvings(shape)
    return (channels, shape[1] >> halvings, shape[2] >> halvings)


def _pair(channels: int) -> list[nn.Module]:
    """Return the two convolutions of a level."""
    return [layer for _ in range(2) for layer in (nn.Conv2d(channels, channels, 3, padding=1), nn.ELU())]


def _encoder(shape: Sequence[int], width: int, code: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1), nn.ELU(), *_pair(width)]
    for level in range(1, _halvings(shape) + 1):
        layers += [nn.Conv2d(level * width, (level + 1) * width, 3, stride=2, padding=1), nn.ELU()]
        layers += _pair((level + 1) * width)
    base = _base(shape, (_halvings(shape) + 1) * width)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(math.prod(base), code))


def _decoder(shape: Sequence[int], code: int, width: int) -> nn.Sequential:
    base = _base(shape, width)
    layers: list[nn.Module] = [nn.Linear(code, math.prod(base)), nn.Unflatten(1, base), *_pair(width)]
    for _ in range(_halvings(shape)):
        layers += [nn.Upsample(scale_factor=2, mode="nearest"), *_pair(width)]
    return nn.Sequential(*layers, nn.Conv2d(width, shape[0], 3, padding=1))
