"""Fully connected networks, for images and points: Goodfellow et al. 2014, arXiv:1406.2661.

They keep PyTorch's initial weights. Its biases are spread, so the units' kinks are too: on a ring of 8 Gaussians a GAN
found all 8 with each of three seeds, and 4 to 7 of them with Xavier's weights and zero biases. Only a generator without
norms starts from He's weights, for PyTorch's let the latents fade from layer to layer and it hardly learns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.activations import Activation, make_activation
from saddlepoint.networks.layers.norms import NormKind, absorbs_bias, make_norm
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32, full_precision
from saddlepoint.networks.layers.shapes import check_shape
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.types import CriticOutput, Fraction


class MLPGenerator(nn.Module):
    """Latents [N, Z] to samples [N, *shape]: hidden layers of linear, norm and activation, then a linear layer.

    Images end in tanh, in [-1, 1]; points are unbounded.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        hidden: Sequence[PositiveInt] = (256, 256),
        activation: Activation = "relu",
        pieces: PositiveInt = 5,
        norm: NormKind = "batch",
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size, or (D,).
            latent_dim: Z.
            hidden: number of units of each hidden layer.
            activation: of the hidden layers.
            pieces: linear pieces of each unit, for maxout alone.
            norm: of every hidden layer.

        Raises:
            UserError: the shape is neither an image's nor a point's, or the norm has no meaning for vectors.
        """
        super().__init__()
        self.shape, self.latent_dim = check_shape("mlp", shape), latent_dim
        norms = [norm] * len(hidden)
        self.trunk = nn.Sequential(*_hidden_layers(latent_dim, hidden, norms, activation, pieces))
        self.output = nn.Linear(hidden[-1] if hidden else latent_dim, math.prod(shape))
        if norm == "none":
            for layer in self.trunk:
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight)  # He et al. 2015, arXiv:1502.01852, equation 10

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z] to samples [N, *shape]; labels are not used."""
        hidden = self.trunk(latents)
        with full_precision(hidden.device):  # points need more than bf16's three digits
            samples = self.output(at_least_float32(hidden)).unflatten(1, self.shape)
        return torch.tanh(samples) if len(self.shape) == 3 else samples


class MLPDiscriminator(nn.Module):
    """Samples [N, *shape] to one logit each; the features are the last hidden layer's activations."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        hidden: Sequence[PositiveInt] = (256, 256),
        activation: Activation = "leaky_relu",
        pieces: PositiveInt = 5,
        dropout: Fraction = 0.0,
        input_dropout: Fraction = 0.0,
        norm: NormKind = "none",
        spectral_norm: bool = False,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size, or (D,).
            hidden: number of units of each hidden layer.
            activation: of the hidden layers.
            pieces: linear pieces of each unit, for maxout alone.
            dropout: share of each hidden layer's outputs that is dropped in training.
            input_dropout: share of the sample's values that is dropped in training.
            norm: of every hidden layer but the first, which sees the samples themselves (as in DCGAN).
            spectral_norm: normalise every weight by its largest singular value.

        Raises:
            UserError: the shape is neither an image's nor a point's, or the norm has no meaning for vectors.
        """
        super().__init__()
        self.shape = check_shape("mlp", shape)
        norms: list[NormKind] = ["none" if index == 0 else norm for index in range(len(hidden))]
        layers = _hidden_layers(math.prod(shape), hidden, norms, activation, pieces, dropout)
        drop_input = [nn.Dropout(input_dropout)] if input_dropout > 0 else []
        self.trunk = nn.Sequential(*drop_input, *layers)
        self.logits = ScoreLayer(hidden[-1] if hidden else math.prod(shape))
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Judge samples [N, *shape]: logits [N] and features [N, hidden[-1]]; labels are not used."""
        features = self.trunk(samples.flatten(1))
        return CriticOutput(self.logits(features), features)


def _hidden_layers(
    inputs: int,
    hidden: Sequence[int],
    norms: Sequence[NormKind],
    activation: Activation,
    pieces: int,
    dropout: float = 0.0,
) -> Iterable[nn.Module]:
    """Yield linear, norm, activation and dropout for each hidden layer; maxout's linear layer has ``pieces`` a unit."""
    pieces = pieces if activation == "maxout" else 1
    for units, norm in zip(hidden, norms, strict=True):
        yield nn.Linear(inputs, units * pieces, bias=not absorbs_bias(norm))
        if norm != "none":
            yield make_norm(norm, units * pieces, images=False)
        yield make_activation(activation, pieces)
        if dropout > 0:
            yield nn.Dropout(dropout)
        inputs = units
