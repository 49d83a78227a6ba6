"""Zhao et al. 2017, "Energy-based Generative Adversarial Network", arXiv:1609.03126: autoencoders as discriminators.

For images, the encoder has strided convolutions down to a base of 8 to 14 px, and the decoder is its mirror image
(appendix D); the paper's discriminator for 64 px has 64, 128 and 256 channels. For points, both are multilayer
perceptrons, like the paper's networks for MNIST.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.kinds import NormKind
from saddlepoint.networks.layers.activations import SLOPE
from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.norms import absorbs_bias, make_norm
from saddlepoint.networks.layers.precision import FullPrecision, at_least_float32
from saddlepoint.networks.layers.reconstruction import Distance, reconstruction_error
from saddlepoint.networks.layers.shapes import check_shape, image_pyramid
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.types import CriticKind, CriticOutput

UNITS = 4
"""Units of a hidden layer for points, as a multiple of the width."""


class AutoencoderGenerator(nn.Module):
    """A linear layer from latents to a code, followed by the discriminator's decoder, with tanh for images."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        width: PositiveInt = 64,
        norm: NormKind = "batch",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`), or (D,).
            latent_dim: dimension Z of the latents.
            width: channels of the layer closest to the image; they double with each level. For points, a quarter of the
                units of each hidden layer.
            norm: normalization of every layer but the output.

        Raises:
            UserError: the shape is not supported, or the norm is not defined for vectors.
        """
        super().__init__()
        self.shape, self.latent_dim = check_shape("autoencoder", shape), latent_dim
        self.code = _code_shape(self.shape, width)
        images, bias = len(shape) == 3, not absorbs_bias(norm)
        start = nn.Linear(latent_dim, math.prod(self.code), bias=bias)
        self.project = nn.Sequential(
            start, nn.Unflatten(1, self.code), make_norm(norm, self.code[0], images=images), nn.ReLU()
        )
        self.decoder = _decoder(self.shape, width, norm)
        if images:
            init_dcgan(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to samples [N, *shape], images in [-1, 1]; labels are ignored."""
        samples = at_least_float32(self.decoder(self.project(latents)))
        return torch.tanh(samples) if len(self.shape) == 3 else samples


class AutoencoderDiscriminator(nn.Module):
    """An autoencoder whose reconstruction error is the energy of a sample (equation 3); the features are its code."""

    critic: CriticKind = "energy"

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: NormKind = "none",
        spectral_norm: bool = False,
        distance: Distance = "l2",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W), 8 to 128 px (see :func:`saddlepoint.networks.layers.shapes.image_pyramid`), or (D,).
            width: channels of the layer closest to the image; they double with each level. For points, the units of the
                code, and a quarter of the units of each hidden layer.
            norm: normalization of every layer but the first and the last.
            spectral_norm: whether to divide every weight by its largest singular value.
            distance: distance between a sample and its reconstruction
                (see :func:`saddlepoint.networks.layers.reconstruction.reconstruction_error`).

        Raises:
            UserError: the shape is not supported, or the norm is not defined for vectors.
        """
        super().__init__()
        self.shape, self.distance = check_shape("autoencoder", shape), distance
        self.encoder = _encoder(self.shape, width, norm)
        self.decoder = _decoder(self.shape, width, norm)
        if len(shape) == 3:
            init_dcgan(self)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return energies [N] >= 0 and features [N, F], the code, of samples [N, *shape]; labels are ignored."""
        code = self.encoder(samples)
        return CriticOutput(reconstruction_error(samples, self.decoder(code), self.distance), code.flatten(1))

    def reconstruct(self, samples: Tensor) -> Tensor:
        """Return the reconstructions of samples [N, *shape]; those of images are approximately in [-1, 1]."""
        reconstructions: Tensor = self.decoder(self.encoder(samples))
        return reconstructions


def _halvings(shape: Sequence[int]) -> int:
    """Return the number of halvings: down to 8 to 14 px, as in the paper, and at least one."""
    return max(image_pyramid("autoencoder", shape).levels - 1, 1)


def _channels(shape: Sequence[int], width: int) -> list[int]:
    """Return the channels of each layer, starting at the image; there are at least two layers."""
    return [width * 2**level for level in range(max(_halvings(shape), 2))]


def _code_shape(shape: tuple[int, ...], width: int) -> tuple[int, ...]:
    if len(shape) == 1:
        return (width,)
    return (_channels(shape, width)[-1], shape[1] >> _halvings(shape), shape[2] >> _halvings(shape))


def _encoder(shape: tuple[int, ...], width: int, norm: NormKind) -> nn.Sequential:
    if len(shape) == 1:
        hidden = UNITS * width
        return nn.Sequential(
            FullPrecision(shape[0], hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, hidden, bias=not absorbs_bias(norm)),
            make_norm(norm, hidden, images=False),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, width),
        )
    channels = _channels(shape, width)
    layers: list[nn.Module] = [nn.Conv2d(shape[0], channels[0], 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
    size, stride = (3, 1) if _halvings(shape) == 1 else (4, 2)
    for inputs, outputs in pairwise(channels):
        layers.append(nn.Conv2d(inputs, outputs, size, stride, padding=1, bias=not absorbs_bias(norm)))
        layers += [make_norm(norm, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


def _decoder(shape: tuple[int, ...], width: int, norm: NormKind) -> nn.Sequential:
    bias = not absorbs_bias(norm)
    if len(shape) == 1:
        layers: list[nn.Module] = []
        for inputs in (width, UNITS * width):
            layers += [nn.Linear(inputs, UNITS * width, bias=bias), make_norm(norm, UNITS * width, images=False)]
            layers.append(nn.ReLU())
        return nn.Sequential(*layers, FullPrecision(UNITS * width, shape[0]))
    channels = _channels(shape, width)[::-1]
    layers = []
    for inputs, outputs in pairwise(channels):
        if _halvings(shape) == 1:
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
        else:
            layers.append(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias))
        layers += [make_norm(norm, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], shape[0], 4, stride=2, padding=1))
