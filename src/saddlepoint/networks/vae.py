"""Kingma & Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114: the perceptrons of appendix C.

With the last hidden layer h (one layer in the paper, tanh(W x + b)), each network ends in linear layers:

    q(z|x) = N(z; μ, σ²) and Gaussian p(x|z):  μ = W₁ h + b₁,  log σ² = W₂ h + b₂
    Bernoulli p(x|z):                          log p / (1 - p) = W₁ h + b₁

The paper draws the first weights from N(0, 0.01), where 0.01 is the variance; the authors' later code
(dpkingma/nips14-ssl) scales them by 1 / √fan_in, which is close to PyTorch's initial values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.networks.layers.activations import make_activation
from saddlepoint.networks.layers.init import init_weights
from saddlepoint.networks.layers.precision import FullPrecision
from saddlepoint.networks.layers.shapes import check_shape

HiddenActivation = Literal["tanh", "relu", "leaky_relu"]
"""The activations of the hidden layers."""

Likelihood = Literal["bernoulli", "gaussian"]
"""What p(x|z) can be."""


class GaussianCode(NamedTuple):
    """The parameters of q(z|x).

    Attributes:
        mean: [N, Z].
        log_variance: log σ², [N, Z].
    """

    mean: Tensor
    log_variance: Tensor


class BernoulliSamples(NamedTuple):
    """The parameters of a Bernoulli p(x|z) of values x in [0, 1].

    Attributes:
        logits: log p / (1 - p) of each value's probability p, [N, *shape]; p itself is their sigmoid.
    """

    logits: Tensor


class GaussianSamples(NamedTuple):
    """The parameters of a Gaussian p(x|z).

    Attributes:
        mean: of each value, [N, *shape], unbounded.
        log_variance: log σ² of each value, [N, *shape].
    """

    mean: Tensor
    log_variance: Tensor


class VAEEncoder(nn.Module):
    """Samples [N, *shape] to the mean and the log variance of q(z|x)."""

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        hidden: Sequence[PositiveInt] = (500,),
        activation: HiddenActivation = "tanh",
        initial_std: PositiveFloat | None = None,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size, or (D,).
            latent_dim: Z.
            hidden: number of units of each hidden layer; the paper's is one of 500 for MNIST and of 200 for Frey faces.
            activation: of the hidden layers.
            initial_std: standard deviation of the first weights, with biases of zero; the paper: 0.1. None: PyTorch's
                initial values.

        Raises:
            UserError: the shape is neither an image's nor a point's.
        """
        super().__init__()
        self.shape, self.latent_dim = check_shape("vae", shape), latent_dim
        self.trunk = _hidden_layers(math.prod(shape), hidden, activation)
        units = hidden[-1] if hidden else math.prod(shape)
        self.mean, self.log_variance = FullPrecision(units, latent_dim), FullPrecision(units, latent_dim)
        if initial_std is not None:
            init_weights(self, "normal", initial_std)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> GaussianCode:
        """Map samples [N, *shape] to means [N, Z] and log variances [N, Z]; a condition is not used."""
        hidden = self.trunk(samples.flatten(1))
        return GaussianCode(self.mean(hidden), self.log_variance(hidden))


class VAEDecoder(nn.Module):
    """Latents [N, Z] to the parameters of p(x|z): logits, or means and log variances.

    The paper bounds the means of its Gaussian decoder of Frey faces by a sigmoid (section 5); here they are linear, as
    in appendix C.2, and so suit values of any range.
    """

    def __init__(
        self,
        shape: Sequence[PositiveInt],
        latent_dim: PositiveInt,
        hidden: Sequence[PositiveInt] = (500,),
        activation: HiddenActivation = "tanh",
        likelihood: Likelihood = "bernoulli",
        initial_std: PositiveFloat | None = None,
    ) -> None:
        """Build the network.

        Args:
            shape: (C, H, W) of any size, or (D,).
            latent_dim: Z.
            hidden: number of units of each hidden layer.
            activation: of the hidden layers.
            likelihood: ``bernoulli``, for values in [0, 1], or ``gaussian`` with a variance for each value.
            initial_std: as the encoder's.

        Raises:
            UserError: the shape is neither an image's nor a point's.
        """
        super().__init__()
        self.shape, self.latent_dim, self.likelihood = check_shape("vae", shape), latent_dim, likelihood
        self.trunk = _hidden_layers(latent_dim, hidden, activation)
        units, values = hidden[-1] if hidden else latent_dim, math.prod(shape)
        if likelihood == "bernoulli":
            self.logits = FullPrecision(units, values)
        else:
            self.mean, self.log_variance = FullPrecision(units, values), FullPrecision(units, values)
        if initial_std is not None:
            init_weights(self, "normal", initial_std)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> BernoulliSamples | GaussianSamples:
        """Map latents [N, Z] to the parameters of p(x|z), each [N, *shape]; a condition is not used."""
        hidden = self.trunk(latents)
        if self.likelihood == "bernoulli":
            return BernoulliSamples(self.logits(hidden).unflatten(1, self.shape))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        return GaussianSamples(mean.unflatten(1, self.shape), log_variance.unflatten(1, self.shape))


def _hidden_layers(inputs: int, hidden: Sequence[int], activation: HiddenActivation) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(inputs, units), make_activation(activation)]
        inputs = units
    return nn.Sequential(*layers)
