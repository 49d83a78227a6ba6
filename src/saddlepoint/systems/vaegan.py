"""Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric", arXiv:1512.09300."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.systems import latents
from saddlepoint.systems.adversarial import Adversarial
from saddlepoint.systems.capabilities import Draw, Export
from saddlepoint.systems.reconstructing import Reconstructing
from saddlepoint.systems.vae import kl_to_standard_normal
from saddlepoint.turns import Critic, Turn
from saddlepoint.types import Batch, CriticOutput


class VAEGAN(Reconstructing, Adversarial):
    """A VAE whose reconstruction error is measured in a layer of a discriminator of samples, Dis_l (section 2).

    With z ~ q(z|x), the reconstruction x̃ = Dec(z), a sample x_p = Dec(z_p), z_p ~ N(0, I), and

    - L_prior = KL(q(z|x) ‖ N(0, I));
    - L_ll = -log p(Dis_l(x)|z) = ½ ‖Dis_l(x) - Dis_l(x̃)‖² + const., a normal distribution of unit variance;
    - L_GAN = log Dis(x) + ½ log(1 - Dis(x̃)) + ½ log(1 - Dis(x_p)),

    the objectives that the players minimize are (algorithm 1)

    - encoder: L_prior + L_ll;
    - decoder: γ L_ll / F + L_GAN, where F is the number of values of Dis_l and L_GAN stands for the loss's generator
      objective, which is L_GAN for ``Minimax``;
    - discriminator: -L_GAN.

    The paper's L_GAN is the sum of both terms of generated samples; here each has the weight ½, so that real and
    generated samples have equal weights. The paper's γ multiplies L_ll, and corresponds to γ / F here. The paper
    computes all gradients in one forward pass; here each player has its own turn, with a new forward pass and new draws
    of z and z_p, after the other players' steps. Dis takes x, x̃ and x_p in separate passes.

    Args:
        networks: ``encoder``, to the mean and log variance of q(z|x); ``decoder``; and ``discriminator``, whose
            features are Dis_l.
        loss: the objectives of the discriminator and of the decoder, functions of the logits. The paper's is
            ``Minimax``.
        latent_dim: dimension Z of the latents.
        gamma: weight γ of the reconstruction in the decoder's objective.
        adversarial: other arguments; see :class:`~saddlepoint.systems.adversarial.Adversarial`.
    """

    roles: Mapping[str, tuple[str, ...]] = {
        "discriminator": ("discriminator",),
        "encoder": ("encoder",),
        "decoder": ("decoder",),
    }
    averaged: Sequence[str] = ("encoder", "decoder")
    prior: latents.Prior = "normal"

    encoder: nn.Module
    decoder: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        loss: AdversarialLoss,
        latent_dim: PositiveInt = 128,
        gamma: NonNegativeFloat = 1.0,
        **adversarial: Any,
    ) -> None:
        super().__init__(networks, loss=loss, **adversarial)
        if loss.reads != "logits":
            raise UserError("the discriminator's features measure reconstructions", "loss", "choose a loss of logits")
        if self.augments:
            problem = "VAEGAN does not support augments, since it compares the features of images"
            raise UserError(problem, "augments", "leave it out")
        self.latent_dim, self.gamma = latent_dim, gamma

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Run a turn of the discriminator, then, if they are due, one of the encoder and one of the decoder."""
        self.turn("discriminator", loss=self.discriminator_loss, batch=batch)
        if self.generator_is_due():
            self.turn("encoder", loss=self.encoder_loss, batch=batch)
            self.turn("decoder", loss=self.decoder_loss, batch=batch)
            self.count_generator_update()

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Return -L_GAN."""
        x, critic = batch.samples, self.discriminator
        with torch.no_grad():
            z, _ = self.posterior(x)
            decoded, z_p = self.decoder(z), self.draw_latents(len(x))
            sampled = self.decoder(z_p)
        real = critic(x)
        loss = self.of_fakes(self.loss.discriminator, real, critic(decoded), outputs := critic(sampled))
        return self.record_of(loss, x, sampled, z_p, {"real": real, "fake": outputs})

    def encoder_loss(self, batch: Batch) -> Turn:
        """Return L_prior + L_ll."""
        x = batch.samples
        z, divergence = self.posterior(x)
        decoded = self.decoder(z)
        with torch.no_grad():  # Dis is frozen, and x does not depend on the encoder
            target = self.discriminator(x)
        dissimilarity = self.dissimilarity(target, self.discriminator(decoded))
        logs = {"divergence": divergence.detach(), "dissimilarity": dissimilarity.detach()}
        return self.record_of(divergence + dissimilarity, x, decoded, z, {}, logs)

    def decoder_loss(self, batch: Batch) -> Turn:
        """Return γ L_ll / F plus the generator's objective on reconstructions and samples."""
        x, critic = batch.samples, self.discriminator
        with torch.no_grad():
            z, _ = self.posterior(x)
            real = critic(x)
        z_p = self.draw_latents(len(x))
        decoded, sampled = self.decoder(z), self.decoder(z_p)
        outputs = critic(decoded), critic(sampled)
        dissimilarity = self.dissimilarity(real, outputs[0]) / real.features.shape[1]
        adversarial = self.of_fakes(lambda real, fake: self.loss.generator(fake, real), real, *outputs)
        logs = {"dissimilarity": dissimilarity.detach(), "adversarial": adversarial.detach()}
        loss = self.gamma * dissimilarity + adversarial
        return self.record_of(loss, x, sampled, z_p, {"real": real, "fake": outputs[1]}, logs)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return draws of q(z|x), [N, Z], and L_prior averaged over the batch."""
        mean, log_variance = (at_least_float32(part) for part in self.encoder(x))
        noise = torch.randn(mean.shape, generator=self.random, device=mean.device, dtype=mean.dtype)
        return mean + (log_variance / 2).exp() * noise, kl_to_standard_normal(mean, log_variance).mean()

    def dissimilarity(self, target: CriticOutput, decoded: CriticOutput) -> Tensor:
        """Return L_ll = ½ ‖Dis_l(x) - Dis_l(x̃)‖², averaged over the batch."""
        difference = at_least_float32(target.features) - at_least_float32(decoded.features)
        return difference.square().sum(1).mean() / 2

    def of_fakes(self, objective: Any, real: CriticOutput, decoded: CriticOutput, sampled: CriticOutput) -> Tensor:
        """Return the mean of an objective of real and generated samples over reconstructions and samples."""
        x = self.of_all_ranks(real)
        first, second = (objective(x, self.of_all_ranks(fake)) for fake in (decoded, sampled))
        mean: Tensor = (first + second) / 2
        return mean

    def record_of(
        self,
        loss: Tensor,
        real: Tensor,
        fake: Tensor,
        z: Tensor,
        outputs: Mapping[str, CriticOutput],
        logs: dict[str, Tensor] | None = None,
    ) -> Turn:
        """Return the record of a turn."""
        return Turn(
            loss,
            self.networks,
            self.random,
            real=real,
            fake=fake,
            latents=z,
            critic=Critic(self.discriminator),
            outputs=outputs,
            logs=logs or {},
        )

    def draw_latents(self, n: int) -> Tensor:
        """Return latents [n, Z] from N(0, I), drawn from the turn's generator."""
        return latents.draw("normal", n, self.latent_dim, self.random)

    # Public interface ----------------------------------------------------------------------------------------------

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return latents from the prior, keyed by (seed, sample index)."""
        z = latents.keyed("normal", self.latent_dim, seed, start, count, truncation)
        return Draw(z, truncation=truncation)

    def code_of(self, encoded: Any) -> Tensor:
        """Return the means of q(z|x)."""
        mean: Tensor = encoded[0]
        return mean

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the encoder and the decoder."""
        samples, codes = torch.zeros(2, *self.encoder.shape), torch.zeros(2, self.latent_dim)  # type: ignore[misc]
        return {
            "encoder": self.export("encoder", {"samples": samples}, ("mean", "log_variance"), ema),
            "decoder": self.export("decoder", {"latents": codes}, ("images",), ema),
        }
