"""Multilayer perceptrons for images and points: Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661.

They use PyTorch's default initialization, except for a generator without normalization, which uses He initialization.
With the default, its activations shrink from layer to layer, and it learns very slowly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.kinds import DiscriminatorConditioning, Fraction, GeneratorConditioning, MinibatchKind, NormKind
from saddlepoint.networks.layers.activations import Activation, make_activation
from saddlepoint.networks.layers.conditioning import (
    ConditionalSequential,
    CriticLabels,
    GeneratorLabels,
)
from saddlepoint.networks.layers.equalized import apply_equalized_rate
from saddlepoint.networks.layers.init import Init, init_weights
from saddlepoint.networks.layers.minibatch import make_minibatch, make_packing
from saddlepoint.networks.layers.precision import ScoreLayer, at_least_float32, full_precision
from saddlepoint.networks.layers.shapes import check_shape
from saddlepoint.networks.layers.spectral_norm import apply_spectral_norm
from saddlepoint.types import CriticOutput


class MLPGenerator(nn.Module):
    """A generator with hidden layers (linear, normalization, activation) and a linear output layer.

    Images are in [-1, 1] by tanh; points are unbounded.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        hidden: Sequence[PositiveInt] = (256, 256),
        activation: Activation = "relu",
        pieces: PositiveInt = 5,
        norm: NormKind = "batch",
        init: Init = "default",
        init_scale: PositiveFloat = 1.0,
        conditioning: GeneratorConditioning = "none",
        num_classes: NonNegativeInt = 0,
        equalized: bool = False,
        spectral_norm: bool = False,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size, or (D,).
            latent_dim: dimension Z of the latents.
            hidden: number of units of each hidden layer.
            activation: activation of the hidden layers.
            pieces: linear pieces of each unit; used only by maxout.
            norm: normalization of every hidden layer.
            init: initialization, see :func:`~saddlepoint.networks.layers.init.init_weights`.
            init_scale: scale of the initialization; ignored for ``default``.
            conditioning: how labels are used (see :class:`saddlepoint.networks.layers.conditioning.GeneratorLabels`).
            num_classes: number of classes of the data; ignored without conditioning.
            equalized: whether to use equalized learning rates.
            spectral_norm: whether to divide every weight by its largest singular value.

        Raises:
            UserError: the shape is neither (C, H, W) nor (D,), the norm is not defined for vectors, or there are
                no labels to be conditioned on.
        """
        super().__init__()
        self.shape, self.latent_dim = check_shape("mlp", shape), latent_dim
        self.labels = GeneratorLabels(conditioning, num_classes, latent_dim)
        self.num_classes = self.labels.num_classes
        norms = [norm] * len(hidden)
        layers = _hidden_layers(self.labels.inputs, hidden, norms, activation, pieces, labels=self.labels)
        self.trunk = ConditionalSequential(*layers)
        self.output = nn.Linear(hidden[-1] if hidden else self.labels.inputs, math.prod(shape))
        if not self.labels.normalises(norm):
            for layer in self.trunk:
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight)  # He et al. 2015, arXiv:1502.01852, equation 10
        init_weights(self, init, init_scale)
        if equalized:
            apply_equalized_rate(self, spectral_norm)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents [N, Z], and labels, long [N], if conditional, to samples [N, *shape]."""
        hidden = self.trunk(*self.labels(latents, labels))
        with full_precision(hidden.device):  # bf16's three significant digits are too few for points
            samples = self.output(at_least_float32(hidden)).unflatten(1, self.shape)
        return torch.tanh(samples) if len(self.shape) == 3 else samples


class MLPDiscriminator(nn.Module):
    """A discriminator with hidden layers and a linear output layer; the features are the last hidden activations."""

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
        init: Init = "default",
        init_scale: PositiveFloat = 1.0,
        conditioning: DiscriminatorConditioning = "none",
        num_classes: NonNegativeInt = 0,
        equalized: bool = False,
        minibatch: MinibatchKind = "none",
        packing: PositiveInt = 1,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size, or (D,).
            hidden: number of units of each hidden layer.
            activation: activation of the hidden layers.
            pieces: linear pieces of each unit; used only by maxout.
            dropout: dropout probability of the hidden layers' outputs.
            input_dropout: dropout probability of the samples' values.
            norm: normalization of every hidden layer but the first (as in DCGAN).
            spectral_norm: whether to divide every weight by its largest singular value.
            init: initialization, see :func:`~saddlepoint.networks.layers.init.init_weights`.
            init_scale: scale of the initialization; ignored for ``default``.
            conditioning: how labels are used (see :class:`saddlepoint.networks.layers.conditioning.CriticLabels`).
            num_classes: number of classes of the data; ignored without conditioning.
            equalized: whether to use equalized learning rates.
            minibatch: layer that compares the features of a batch.
            packing: number of samples per input of the discriminator, PacGAN's m.

        Raises:
            UserError: the shape is neither (C, H, W) nor (D,), the norm is not defined for vectors, there are no
                labels to be conditioned on, or two options are mutually exclusive.
        """
        super().__init__()
        self.shape = check_shape("mlp", shape)
        self.labels, self.pack = CriticLabels(conditioning, num_classes, packing), make_packing(packing)
        inputs = packing * (math.prod(shape) + self.labels.planes)
        norms: list[NormKind] = ["none" if index == 0 else norm for index in range(len(hidden))]
        layers = _hidden_layers(inputs, hidden, norms, activation, pieces, dropout)
        drop_input = [nn.Dropout(input_dropout)] if input_dropout > 0 else []
        self.trunk = nn.Sequential(*drop_input, *layers)
        self.compare, features = make_minibatch(minibatch, hidden[-1] if hidden else inputs)
        self.logits = ScoreLayer(features)
        self.labels.build(features)
        init_weights(self, init, init_scale)
        if equalized:
            apply_equalized_rate(self, spectral_norm)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of samples [N, *shape].

        With packing of m samples, N is divided by m.
        """
        features = self.compare(self.trunk(self.pack(self.labels.join(samples.flatten(1), labels))))
        output: CriticOutput = self.labels(self.logits(features), features, labels)
        return output


def _hidden_layers(
    inputs: int,
    hidden: Sequence[int],
    norms: Sequence[NormKind],
    activation: Activation,
    pieces: int,
    dropout: float = 0.0,
    labels: GeneratorLabels | None = None,
) -> Iterable[nn.Module]:
    """Yield the modules of the hidden layers; for maxout, each unit has ``pieces`` outputs of the linear layer."""
    pieces = pieces if activation == "maxout" else 1
    labels = labels or GeneratorLabels("none", 0, inputs)
    for units, norm in zip(hidden, norms, strict=True):
        yield nn.Linear(inputs, units * pieces, bias=not labels.absorbs_bias(norm))
        if labels.normalises(norm):
            yield labels.make_norm(norm, units * pieces, images=False)
        yield make_activation(activation, pieces)
        if dropout > 0:
            yield nn.Dropout(dropout)
        inputs = units
