"""Kingma & Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.systems import latents
from saddlepoint.systems.capabilities import Draw, Export, LogLikelihood
from saddlepoint.systems.reconstructing import Reconstructing
from saddlepoint.systems.sampling import evaluating
from saddlepoint.turns import Turn
from saddlepoint.types import Batch

AT_ONCE = 2**22
"""Maximum number of values of the samples in one forward pass of importance sampling."""


class VAE(Reconstructing):
    """An encoder q(z|x) and a decoder p(x|z) that maximize a lower bound on log p(x), with p(z) = N(0, I).

    With z = μ + σ ⊙ ε, ε ~ N(0, I) (section 2.4), for each sample x and averaged over L draws:

    - estimator ``A``: log p(x|z) + log p(z) - log q(z|x) (equation 6);
    - estimator ``B``: log p(x|z) - KL(q(z|x) ‖ N(0, I)), the divergence in closed form (equation 7, appendix B).

    Both are unbiased estimators of the bound; B typically has lower variance. Images are in [-1, 1]. A Bernoulli
    decoder models (x + 1) / 2 in [0, 1]: bits if the data is binarised, otherwise intensities that are treated as
    probabilities, in which case the bound is not a likelihood of the images. A Gaussian decoder models the density of
    x. Generated samples are the decoder's means.

    Args:
        networks: ``encoder``, to the mean and log variance of q(z|x), and ``decoder``, to the parameters of p(x|z).
        latent_dim: dimension Z of the latents.
        likelihood: the distribution p(x|z), ``bernoulli`` or ``gaussian``.
        estimator: ``A`` or ``B``.
        draws: the paper's L; 1 is enough for batches of 100 (section 2.3).
        game: see :class:`~saddlepoint.systems.game.Game`.
    """

    roles: Mapping[str, tuple[str, ...]] = {"autoencoder": ("encoder", "decoder")}
    averaged = ("encoder", "decoder")
    prior: latents.Prior = "normal"

    encoder: nn.Module
    decoder: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        latent_dim: PositiveInt = 20,
        likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
        estimator: Literal["A", "B"] = "B",
        draws: PositiveInt = 1,
        **game: Any,
    ) -> None:
        super().__init__(networks, **game)
        self.latent_dim, self.likelihood, self.estimator, self.draws = latent_dim, likelihood, estimator, draws
        of_decoder = getattr(self.decoder, "likelihood", likelihood)
        if of_decoder != likelihood:
            raise UserError(f"must be {likelihood}, as in the system, got {of_decoder}", "decoder.likelihood")

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Run one turn of the autoencoder."""
        self.turn("autoencoder", loss=self.negative_bound, batch=batch)
        self.count_generator_update()

    def negative_bound(self, batch: Batch) -> Turn:
        """Return minus the estimated bound, averaged over the batch, in nats."""
        x = batch.samples
        mean, log_variance = (at_least_float32(part) for part in self.encoder(x))
        divergence = kl_to_standard_normal(mean, log_variance)
        bound = torch.zeros_like(divergence)
        for _ in range(self.draws):
            noise = torch.randn(mean.shape, generator=self.random, device=mean.device, dtype=mean.dtype)
            z = mean + (log_variance / 2).exp() * noise
            reconstruction = self.log_p_of_x(self.decoder(z), x)
            if self.estimator == "A":
                log_prior, log_q = log_normal(z), log_normal(z, mean, log_variance)
                bound = bound + (reconstruction + log_prior - log_q) / self.draws
            else:
                bound = bound + (reconstruction - divergence) / self.draws
        logs = {"divergence": divergence.detach().mean(), "bound": bound.detach().mean()}
        return Turn(-bound.mean(), self.networks, self.random, real=x, latents=z, labels=batch.labels, logs=logs)

    def log_p_of_x(self, decoded: Any, x: Tensor) -> Tensor:
        """Return log p(x|z), [N], in nats.

        Args:
            decoded: the decoder's output for z.
            x: samples, [N, ...].
        """
        x = at_least_float32(x)
        if self.likelihood == "bernoulli":
            logits = at_least_float32(decoded.logits)
            return -binary_cross_entropy_with_logits(logits, (x + 1) / 2, reduction="none").flatten(1).sum(1)
        return log_normal(x, at_least_float32(decoded.mean), at_least_float32(decoded.log_variance))

    # Public interface ----------------------------------------------------------------------------------------------

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return latents from the prior, keyed by (seed, sample index)."""
        z = latents.keyed("normal", self.latent_dim, seed, start, count, truncation)
        return Draw(z, truncation=truncation)

    def code_of(self, encoded: Any) -> Tensor:
        """Return the means of q(z|x)."""
        mean: Tensor = encoded[0]
        return mean

    def samples_of(self, decoded: Any) -> Tensor:
        """Return the means of p(x|z); those of a Bernoulli decoder are in [-1, 1]."""
        means: Tensor = 2 * decoded.logits.sigmoid() - 1 if self.likelihood == "bernoulli" else decoded.mean
        return means

    def likelihood_is_exact(self) -> bool:
        """Return False: :meth:`log_likelihood` returns bounds."""
        return False

    @torch.no_grad()
    def log_likelihood(self, samples: Tensor, importance: int = 0, seed: int = 0, ema: bool = True) -> LogLikelihood:
        """Return a lower bound on log p(x) for each sample.

        With k = 0 it is the evidence lower bound (estimator B with one draw). With k > 0 it is the importance-weighted
        bound log 1/k Σ_i p(x, z_i) / q(z_i|x), z_i ~ q(z|x) (Burda et al. 2016, arXiv:1509.00519, equation 8), which
        approaches log p(x) as k increases.

        Args:
            samples: [N, ...].
            importance: the number k of importance samples.
            seed: seed of the draws of z.
            ema: whether to use the averaged weights, if they exist.
        """
        n, values = len(samples), samples[0].numel()
        random = randomness.generator(samples.device, seed, "importance")
        encoder, decoder = self.network("encoder", ema), self.network("decoder", ema)
        with evaluating(encoder, decoder), torch.autocast(samples.device.type, enabled=False):
            mean, log_variance = encoder(samples)
            size = max(1, AT_ONCE // (n * values))
            log_weights = []
            for start in range(0, max(importance, 1), size):
                k = min(size, max(importance, 1) - start)
                noise = torch.randn((k, *mean.shape), generator=random, device=mean.device)
                z = mean + (log_variance / 2).exp() * noise
                x = samples.expand(k, *samples.shape).flatten(0, 1)
                log_p = self.log_p_of_x(decoder(z.flatten(0, 1)), x).view(k, n)
                log_ratio = (log_normal(z.flatten(0, 1)).view(k, n) - log_normal(noise.flatten(0, 1)).view(k, n)) + (
                    log_variance.sum(1) / 2
                )
                log_weights.append((log_p + log_ratio).double())
            if importance:
                nats = torch.cat(log_weights).logsumexp(0) - math.log(importance)
            else:
                nats = log_p[0].double() - kl_to_standard_normal(mean.double(), log_variance.double())
        density = self.likelihood == "gaussian"
        binary = not density and bool((samples.abs() == 1).all())  # other intensities are taken as probabilities
        return LogLikelihood(nats, "iwae" if importance else "elbo", values, 2 if binary else None, density)

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the encoder and the decoder."""
        samples, codes = torch.zeros(2, *self.encoder.shape), torch.zeros(2, self.latent_dim)  # type: ignore[misc]
        outputs = ("logits",) if self.likelihood == "bernoulli" else ("mean", "log_variance")
        return {
            "encoder": self.export("encoder", {"samples": samples}, ("mean", "log_variance"), ema),
            "decoder": self.export("decoder", {"latents": codes}, outputs, ema),
        }


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(μ, σ²) ‖ N(0, I)) = -½ Σ (1 + log σ² - μ² - σ²) of each row, [N] (appendix B)."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)


def log_normal(x: Tensor, mean: Tensor | float = 0.0, log_variance: Tensor | float = 0.0) -> Tensor:
    """Return log N(x; μ, σ²), summed over the values of each row, [N]."""
    log_variance = torch.as_tensor(log_variance, dtype=x.dtype, device=x.device)
    squares = (x - mean).square() / log_variance.exp()
    return (-0.5 * (math.log(2 * math.pi) + log_variance + squares)).flatten(1).sum(1)
