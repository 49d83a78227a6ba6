"""Makhzani et al. 2015, "Adversarial Autoencoders", arXiv:1511.05644: the multilayer perceptrons for MNIST.

Encoder, decoder and discriminator have two hidden layers of 1000 units with ReLU each. The code is linear, and the
output of the decoder is a sigmoid. For images in [-1, 1] it becomes 2 σ(a) - 1 = tanh(a / 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import one_hot

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import FullPrecision, ScoreLayer
from saddlepoint.networks.layers.shapes import check_image
from saddlepoint.types import CriticOutput

Labels = Literal["none", "prior", "semi"]
"""How an adversarial autoencoder uses labels."""


class EncodedImage(NamedTuple):
    """The output of the encoder.

    Attributes:
        style: the continuous code, [N, Z].
        class_logits: logits of the categorical code, [N, K]; None without it.
    """

    style: Tensor
    class_logits: Tensor | None


class AAEEncoder(nn.Module):
    """A deterministic encoder from images to a continuous code, and to a categorical code for ``labels="semi"``."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        units: PositiveInt = 1000,
        labels: Labels = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size.
            latent_dim: dimension Z of the continuous code.
            units: number of units of each hidden layer.
            labels: how labels are used; only ``semi`` has a categorical code.
            num_classes: number K of categories, which are the classes of the data; ignored without a categorical code.

        Raises:
            UserError: the shape is not (C, H, W), or labels are needed and the data has none.
        """
        super().__init__()
        self.shape, self.latent_dim = check_image("aae", shape), latent_dim
        self.num_classes = _classes(labels, num_classes) if labels == "semi" else 0
        self.trunk = _hidden_layers(math.prod(shape), units)
        self.style = FullPrecision(units, latent_dim)
        self.class_logits = FullPrecision(units, num_classes) if self.num_classes else None

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> EncodedImage:
        """Map images [N, C, H, W] to their code; the condition is ignored."""
        hidden = self.trunk(samples.flatten(1))
        return EncodedImage(self.style(hidden), None if self.class_logits is None else self.class_logits(hidden))


class AAEDecoder(nn.Module):
    """A decoder from codes to images; for ``labels="semi"``, codes are [continuous code, K class probabilities]."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        units: PositiveInt = 1000,
        labels: Labels = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the network; see :class:`AAEEncoder` for the arguments and errors."""
        super().__init__()
        self.shape = check_image("aae", shape)
        self.latent_dim = latent_dim + (_classes(labels, num_classes) if labels == "semi" else 0)
        self.trunk = _hidden_layers(self.latent_dim, units)
        self.output = FullPrecision(units, math.prod(shape))

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map codes [N, Z] or [N, Z + K] to images [N, C, H, W] in [-1, 1]; the condition is ignored."""
        return torch.tanh(self.output(self.trunk(latents)) / 2).unflatten(1, self.shape)


class CodeDiscriminator(nn.Module):
    """A discriminator of codes; the features are the last hidden layer's activations.

    For ``labels="prior"``, its input is joined with one of K + 1 one-hot labels, where label K stands for an unknown
    class (section 2.3).
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        units: PositiveInt = 1000,
        labels: Labels = "none",
        num_classes: NonNegativeInt = 0,
    ) -> None:
        """Build the network.

        Args:
            latent_dim: dimension of the codes.
            units: number of units of each hidden layer.
            labels: how labels are used; only for ``prior`` they are an input.
            num_classes: number K of classes of the data; ignored if labels are not an input.

        Raises:
            UserError: labels are needed and the data has none.
        """
        super().__init__()
        self.shape = (latent_dim,)
        self.num_classes = _classes(labels, num_classes) if labels == "prior" else 0
        self.trunk = _hidden_layers(latent_dim + (self.num_classes + 1 if self.num_classes else 0), units)
        self.logits = ScoreLayer(units)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CriticOutput:
        """Return logits [N] and features [N, F] of codes.

        Args:
            samples: codes, [N, Z].
            labels: long [N], in 0 … K; used only if the discriminator takes labels.
        """
        if self.num_classes:
            assert labels is not None
            samples = torch.cat([samples, one_hot(labels, self.num_classes + 1).to(samples.dtype)], 1)
        features = self.trunk(samples)
        return CriticOutput(self.logits(features), features)


class CategoryDiscriminator(CodeDiscriminator):
    """The discriminator of categorical codes [N, K] for ``labels="semi"``.

    Without a categorical code it is not used; it then has one category, so that one file describes all networks.
    """

    def __init__(self, units: PositiveInt = 1000, labels: Labels = "none", num_classes: NonNegativeInt = 0) -> None:
        """Build the network; see :class:`CodeDiscriminator` for the arguments and errors."""
        super().__init__(_classes(labels, num_classes) if labels == "semi" else 1, units)


def _hidden_layers(inputs: int, units: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())


def _classes(labels: Labels, num_classes: int) -> int:
    """Return the number of classes.

    Raises:
        UserError: the data has no labels.
    """
    if num_classes == 0:
        raise UserError(f"'{labels}' needs labels, and the data has none", "labels", "set it to none")
    return num_classes
