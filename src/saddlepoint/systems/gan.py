"""The GAN: a generator against a discriminator. Goodfellow et al. 2014, arXiv:1406.2661, Algorithm 1.

Every variant that differs only in its parts (network, loss, regularizers, optimizer) is this class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from saddlepoint import ranks
from saddlepoint.augment.base import Augment
from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.networks.layers.statistics import compares_samples
from saddlepoint.parts import Part
from saddlepoint.systems import ema, latents
from saddlepoint.systems.game import Game
from saddlepoint.systems.labels import check_networks, trains_classifier
from saddlepoint.types import Batch, CriticOutput, Turn

Critic = Callable[[Tensor, Tensor | None], CriticOutput]
"""Samples [N, ...] and labels, long [N] or None, to what is said of them."""


class GAN(Game):
    """min_G max_D, alternating: ``discriminator_steps`` turns of D, then one of G.

    Args:
        networks: ``generator`` and ``discriminator``.
        loss: the two objectives.
        augments: what D's inputs pass through, by name, in this order.
        discriminator_steps: the paper's k: D's turns, each on a batch of its own, for each turn of G.
        latent_dim: dimension Z of the latents.
        prior: the latents' law, ``normal`` or ``uniform`` on [-1, 1].
        ema_decay: of the generator's averaged weights, per generator update; None keeps no average.
        generator_batch_multiple: fakes of G's turn for each of D's, whose labels are repeated.
        game: see :class:`~saddlepoint.systems.game.Game`.
    """

    roles = {"discriminator": ("discriminator",), "generator": ("generator",)}  # noqa: RUF012

    generator: nn.Module
    discriminator: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        loss: AdversarialLoss,
        augments: Mapping[str, Augment] | None = None,
        discriminator_steps: PositiveInt = 1,
        latent_dim: PositiveInt = 128,
        prior: latents.Prior = "normal",
        ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = 0.999,
        generator_batch_multiple: PositiveInt = 1,
        **game: Any,
    ) -> None:
        super().__init__(networks, **game)
        self.loss = loss
        self.augments = nn.ModuleDict(dict(augments or {}))
        self.check_parts({"loss": loss, **self.augments})
        check_networks(self.generator, self.discriminator, trains_classifier(dict(self.regularizers)), loss.reads)
        parts = (loss, *self.regularizers.values(), *self.augments.values())
        for part in parts:
            assert isinstance(part, Part)
            part.check_loss(loss)
        self.needs_real_in_generator = any(part.needs_real_in_generator for part in parts)
        self.discriminator_steps = discriminator_steps
        self.latent_dim = latent_dim
        self.prior = prior
        self.ema_decay = ema_decay
        self.generator_batch_multiple = generator_batch_multiple
        if generator_batch_multiple > 1 and loss.needs_real_in_generator:
            raise UserError(
                f"model.generator_batch_multiple={generator_batch_multiple}: {type(loss).__name__} holds G's samples "
                "against as many real ones: leave it at 1"
            )
        self.ema_generator = None if ema_decay is None else ema.frozen_copy(self.generator)
        self.averaged: ema.Tensors | None = None
        # BatchNorm must see real and fake apart (Radford et al. 2015); any other critic judges both in one pass.
        self.judges_together = not compares_samples(self.discriminator)

    def on_fit_start(self) -> None:
        """List what is averaged, on the device where it trains."""
        super().on_fit_start()
        if self.ema_generator is not None:
            self.averaged = ema.tensors_of(self.ema_generator, self.generator)

    def round(self, batch: Batch) -> None:
        """One turn of D; then one of G, when it is due."""
        self.turn("discriminator", self.discriminator_loss, batch)
        if self.generator_is_due():
            self.turn("generator", self.generator_loss, batch)
            self.count_generator_update()

    def count_generator_update(self) -> None:
        """Count a step of G, and move the averaged generator after it."""
        self.progress.generator_updates += 1
        if self.averaged is not None and self.ema_decay is not None:
            ema.update(self.averaged, self.ema_decay, self.progress.updates_before + self.progress.generator_updates)

    def generator_is_due(self) -> bool:
        """Whether D has had its k turns."""
        return self.progress.turns["discriminator"] % self.discriminator_steps == 0

    def discriminator_loss(self, batch: Batch) -> Turn:
        """D's objective on a batch of real samples and as many fakes."""
        z = self.draw_latents(len(batch.samples))
        with torch.no_grad():
            fake = self.generator(z, batch.labels)
        real, generated = self.judge(batch.samples, fake, batch.labels)
        loss = self.loss.discriminator(self.of_all_ranks(real), self.of_all_ranks(generated))
        return self.record_of(loss, batch, fake, z, {"real": real, "fake": generated})

    def generator_loss(self, batch: Batch) -> Turn:
        """G's objective on as many fakes as the batch has real samples, or a multiple of them."""
        multiple = self.generator_batch_multiple
        z = self.draw_latents(multiple * len(batch.samples))
        labels = batch.labels if batch.labels is None or multiple == 1 else batch.labels.repeat(multiple)
        fake = self.generator(z, labels)
        outputs = {}
        if self.needs_real_in_generator:
            with torch.no_grad():  # apart from the fakes: no gradient passes here, as D stands still
                outputs["real"] = self.discriminator(self.augment(batch.samples), batch.labels)
        outputs["fake"] = self.discriminator(self.augment(fake), labels)
        loss = self.loss.generator(*(self.of_all_ranks(outputs[kind]) for kind in ("fake", "real") if kind in outputs))
        return self.record_of(loss, type(batch)(batch.samples, labels), fake, z, outputs)

    def judge(
        self, real: Tensor, fake: Tensor, labels: Tensor | None, critic: Critic | None = None
    ) -> tuple[CriticOutput, CriticOutput]:
        """Pass real and fake through the augments and the discriminator: together where its layers allow.

        Args:
            real: [N, ...].
            fake: [N, ...].
            labels: of both, long [N], or None.
            critic: judges in the discriminator's place.
        """
        critic = critic or self.discriminator
        real, fake = self.augment(real), self.augment(fake)
        if not self.judges_together:
            return critic(real, labels), critic(fake, labels)
        both = critic(torch.cat([real, fake.to(real.dtype)]), None if labels is None else torch.cat([labels, labels]))
        n = len(real)
        return (
            CriticOutput(*(None if part is None else part[:n] for part in both)),  # type: ignore[arg-type]
            CriticOutput(*(None if part is None else part[n:] for part in both)),  # type: ignore[arg-type]
        )

    def augment(self, samples: Tensor) -> Tensor:
        """Pass samples through the augments, with fresh draws of this turn's randomness."""
        if self.augments:
            samples = at_least_float32(samples)
            for augment in self.augments.values():
                samples = augment(samples, self.random)
        return samples

    def of_all_ranks(self, output: CriticOutput) -> CriticOutput:
        """Gather what a loss that compares the samples of a batch must see at once."""
        if not self.loss.batch_coupled or ranks.world_size() == 1:
            return output
        return CriticOutput(*(None if part is None else ranks.gather(part) for part in output))  # type: ignore[arg-type]

    def record_of(
        self, loss: Tensor, batch: Batch, fake: Tensor, z: Tensor, outputs: Mapping[str, CriticOutput]
    ) -> Turn:
        """Return the record of a turn, for regularizers and logs."""
        return Turn(
            loss, self.networks, self.random, batch.samples, fake, z, batch.labels, outputs, augment=self.augment
        )

    def draw_latents(self, n: int) -> Tensor:
        """Draw latents [n, Z] for this turn."""
        return latents.draw(self.prior, n, self.latent_dim, self.random)

    def draw_sample_latents(self, seed: int, start: int, count: int, truncation: float) -> Tensor:
        """Return latents keyed by (seed, sample index)."""
        return latents.keyed(self.prior, self.latent_dim, seed, start, count, truncation)

    def sample_block(self, latents: Tensor, labels: Tensor | None, ema: bool) -> Tensor:
        """Generate in evaluation mode, so that a sample does not depend on its neighbours."""
        network = self.ema_generator if ema and self.ema_generator is not None else self.generator
        training = network.training
        network.eval()
        try:
            samples: Tensor = network(latents, labels)
        finally:
            network.train(training)
        return samples
