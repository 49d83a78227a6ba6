"""Donahue et al. 2017, "Adversarial Feature Learning", arXiv:1605.09782: the permutation-invariant networks for MNIST.

Multilayer perceptrons (section 4.1), as in the published code (jeffdonahue/bigan). With n(·) batch normalization
without gain and bias, l LeakyReLU, x in [0, 1] and z the code, they are

    E(x)    = W₃ l(n(W₂ l(W₁ x)))
    G(z)    = σ(W₃ relu(n(W₂ relu(n(W₁ z)) + V z)))
    D(x, z) = w · l(n(W₂ l(W₁ x) + V z))

without biases. For a uniform prior, the output of E is 2 σ(·) - 1. Here images are in [-1, 1]: E and D map them to
[0, 1], and the output of G is 2 σ(a) - 1 = tanh(a/2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.activations import SLOPE
from saddlepoint.networks.layers.init import init_dcgan
from saddlepoint.networks.layers.precision import FullPrecision, ScoreLayer, at_least_float32
from saddlepoint.networks.layers.shapes import check_image
from saddlepoint.types import CriticOutput


class BiGANGenerator(nn.Module):
    """A generator with two hidden layers, both of which take the latents as input."""

    def __init__(self, shape: Sequence[PositiveInt], latent_dim: PositiveInt, units: PositiveInt = 1024) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size.
            latent_dim: dimension Z of the latents; 50 in the paper.
            units: number of units of each hidden layer.

        Raises:
            UserError: the shape is not (C, H, W).
        """
        super().__init__()
        self.shape, self.latent_dim = check_image("bigan", shape), latent_dim
        self.first = nn.Sequential(nn.Linear(latent_dim, units, bias=False), _norm(units), nn.ReLU())
        self.second = nn.Linear(units, units, bias=False)
        self.latents = nn.Linear(latent_dim, units, bias=False)
        self.activate = nn.Sequential(_norm(units), nn.ReLU())
        self.output = nn.Linear(units, math.prod(shape), bias=False)
        init_dcgan(self)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to images [N, C, H, W] in [-1, 1]; the condition is ignored."""
        hidden = self.activate(self.second(self.first(latents)) + self.latents(latents))
        return _bounded(self.output(hidden)).unflatten(1, self.shape)


class BiGANEncoder(nn.Module):
    """An encoder from images to codes [N, Z]; at the optimum it is the inverse of the generator (theorem 2)."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        units: PositiveInt = 1024,
        prior: Literal["uniform", "normal"] = "uniform",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size.
            latent_dim: dimension Z of the latents.
            units: number of units of each hidden layer.
            prior: prior of the latents. For ``uniform``, as in the paper, codes are in [-1, 1] like the latents, so
                that D cannot discriminate by their range; for ``normal`` they are unbounded.

        Raises:
            UserError: the shape is not (C, H, W).
        """
        super().__init__()
        self.shape, self.latent_dim, self.prior = check_image("bigan", shape), latent_dim, prior
        self.trunk = nn.Sequential(
            nn.Linear(math.prod(shape), units, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Linear(units, units, bias=False),
            _norm(units),
            nn.LeakyReLU(SLOPE),
        )
        self.codes = FullPrecision(units, latent_dim, bias=False)
        init_dcgan(self)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to codes [N, Z]; the condition is ignored."""
        codes: Tensor = self.codes(self.trunk(_intensities(samples)))
        return _bounded(codes) if self.prior == "uniform" else codes


class PairDiscriminator(nn.Module):
    """A discriminator of pairs of an image and a code; the features are the second hidden layer's activations."""

    def __init__(self, shape: Sequence[PositiveInt], latent_dim: PositiveInt, units: PositiveInt = 1024) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size.
            latent_dim: dimension Z of the latents.
            units: number of units of each hidden layer.

        Raises:
            UserError: the shape is not (C, H, W).
        """
        super().__init__()
        self.shape, self.latent_dim = check_image("bigan", shape), latent_dim
        self.first = nn.Sequential(nn.Linear(math.prod(shape), units, bias=False), nn.LeakyReLU(SLOPE))
        self.second = nn.Linear(units, units, bias=False)
        self.codes = nn.Linear(latent_dim, units, bias=False)
        self.activate = nn.Sequential(_norm(units), nn.LeakyReLU(SLOPE))
        self.logits = ScoreLayer(units, bias=False)
        init_dcgan(self)

    def forward(self, pair: tuple[Tensor, Tensor], condition: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of pairs.

        Args:
            pair: images [N, C, H, W] in [-1, 1] and codes [N, Z], either (x, E(x)) or (G(z), z).
            condition: ignored.
        """
        samples, codes = pair
        features = self.activate(self.second(self.first(_intensities(samples))) + self.codes(codes))
        return CriticOutput(self.logits(features), features)


def _norm(units: int) -> nn.Module:
    return nn.BatchNorm1d(units, affine=False)


def _intensities(samples: Tensor) -> Tensor:
    """Return images in [-1, 1] as rows in [0, 1]; layers without biases depend on the origin."""
    return (samples.flatten(1) + 1) / 2


def _bounded(x: Tensor) -> Tensor:
    """Return 2 σ(x) - 1, in (-1, 1)."""
    return torch.tanh(at_least_float32(x) / 2)
