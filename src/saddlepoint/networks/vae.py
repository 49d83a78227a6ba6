"""Kingma & Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114: the multilayer perceptrons of appendix C.

With h the last hidden layer (the only one in the paper, tanh(W x + b)), the output layers are linear:

    q(z|x) = N(z; μ, σ²) and Gaussian p(x|z):  μ = W₁ h + b₁,  log σ² = W₂ h + b₂
    Bernoulli p(x|z):                          log p / (1 - p) = W₁ h + b₁

The paper initializes weights from N(0, 0.01), where 0.01 is the variance. The authors' later code
(dpkingma/nips14-ssl) scales them by 1 / √fan_in, which is close to PyTorch's default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.activations import make_activation
from saddlepoint.networks.layers.init import init_weights
from saddlepoint.networks.layers.precision import FullPrecision
from saddlepoint.networks.layers.shapes import check_shape

HiddenActivation = Literal["tanh", "relu", "leaky_relu"]
"""The activations of the hidden layers."""

Likelihood = Literal["bernoulli", "gaussian"]
"""Distributions p(x|z)."""


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
        logits: log p / (1 - p), where p is the probability of each value, [N, *shape].
    """

    logits: Tensor


class GaussianSamples(NamedTuple):
    """The parameters of a Gaussian p(x|z).

    Attributes:
        mean: mean of each value, [N, *shape], unbounded.
        log_variance: log σ² of each value, [N, *shape].
    """

    mean: Tensor
    log_variance: Tensor


class VAEEncoder(nn.Module):
    """An encoder from samples to the mean and log variance of q(z|x)."""

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
            latent_dim: dimension Z of the latents.
            hidden: number of units of each hidden layer; the paper has one layer, of 500 units for MNIST and 200 for
                Frey faces.
            activation: activation of the hidden layers.
            initial_std: standard deviation of the initial weights, 0.1 in the paper, with biases of zero. None is
                PyTorch's default initialization.

        Raises:
            UserError: the shape is neither (C, H, W) nor (D,).
        """
        super().__init__()
        self.shape, self.latent_dim = check_shape("vae", shape), latent_dim
        self.trunk = _hidden_layers(math.prod(shape), hidden, activation)
        units = hidden[-1] if hidden else math.prod(shape)
        self.mean, self.log_variance = FullPrecision(units, latent_dim), FullPrecision(units, latent_dim)
        if initial_std is not None:
            init_weights(self, "normal", initial_std)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> GaussianCode:
        """Map samples [N, *shape] to means [N, Z] and log variances [N, Z]; the condition is ignored."""
        hidden = self.trunk(samples.flatten(1))
        return GaussianCode(self.mean(hidden), self.log_variance(hidden))


class VAEDecoder(nn.Module):
    """A decoder from latents to the parameters of p(x|z): logits, or means and log variances.

    The means of the Gaussian decoder are unbounded, as in appendix C.2; in the experiment on Frey faces, the paper
    bounds them by a sigmoid (section 5).
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
            latent_dim: dimension Z of the latents.
            hidden: number of units of each hidden layer.
            activation: activation of the hidden layers.
            likelihood: ``bernoulli``, for values in [0, 1], or ``gaussian``, with a variance for each value.
            initial_std: see :class:`VAEEncoder`.

        Raises:
            UserError: the shape is neither (C, H, W) nor (D,), or the likelihood is Bernoulli and the data are points.
        """
        super().__init__()
        if likelihood == "bernoulli" and len(shape) == 1:
            raise UserError("bernoulli is for images, and the data are points", "likelihood", "set it to gaussian")
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
        """Map latents [N, Z] to the parameters of p(x|z), each [N, *shape]; the condition is ignored."""
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
