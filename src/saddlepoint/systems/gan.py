"""Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661, Algorithm 1.

Variants that differ only in their networks, loss, regularizers, augments or optimizers use this class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from saddlepoint import trees
from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.systems import attention_maps, completion, latents
from saddlepoint.systems.adversarial import Adversarial
from saddlepoint.systems.capabilities import Draw, Export, Shown
from saddlepoint.systems.encoders import FrozenEncoder
from saddlepoint.systems.labels import check_networks, trains_classifier
from saddlepoint.systems.sampling import Sampling, block_of, evaluating
from saddlepoint.turns import Bound, Critic, Turn
from saddlepoint.types import Batch, CriticOutput


class GAN(Sampling, Adversarial):
    """A generator G and a discriminator D with alternating turns: ``discriminator_steps`` of D, then one of G.

    Args:
        networks: ``generator`` and ``discriminator``.
        loss: the objectives of D and G.
        latent_dim: dimension Z of the latents.
        prior: distribution of the latents, ``normal`` or ``uniform`` on [-1, 1].
        ema_decay: decay of the generator's averaged weights per generator update, or None (see
            :class:`~saddlepoint.systems.game.Game` for averages by half-life).
        generator_batch_multiple: number of generated samples in a turn of G relative to a turn of D; conditions are
            repeated.
        adversarial: other arguments, such as ``discriminator_steps`` (the paper's k); see
            :class:`~saddlepoint.systems.adversarial.Adversarial`.

    Raises:
        UserError: the generator takes latents of another dimension, the networks' conditioning is incompatible, or the
            loss does not support ``generator_batch_multiple``.
    """

    roles: Mapping[str, tuple[str, ...]] = {
        "discriminator": ("discriminator",),
        "generator": ("generator",),
    }
    averaged: Sequence[str] = ("generator",)

    generator: nn.Module
    discriminator: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        loss: AdversarialLoss,
        latent_dim: PositiveInt = 128,
        prior: latents.Prior = "normal",
        ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = 0.999,
        generator_batch_multiple: PositiveInt = 1,
        **adversarial: Any,
    ) -> None:
        super().__init__(networks, loss=loss, ema_decay=ema_decay, **adversarial)
        check_networks(self.generator, self.discriminator, trains_classifier(dict(self.regularizers)), loss.reads)
        self.block = block_of(getattr(self.generator, "shape", ()))
        self.latent_dim = latent_dim
        self.prior = prior
        self.generator_batch_multiple = generator_batch_multiple
        if generator_batch_multiple > 1 and loss.needs_real_in_generator:
            raise UserError(
                f"{type(loss).__name__} needs as many generated as real samples",
                "generator_batch_multiple",
                "set it to 1",
            )
        takes = getattr(self.generator, "latent_dim", latent_dim)
        if takes != latent_dim:
            problem = f"the generator takes latents of dimension {takes}, got {latent_dim}"
            raise UserError(problem, "latent_dim", f"set it to {takes}")

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Run a turn of D, then a turn of G if it is due."""
        self.turn("discriminator", loss=self.discriminator_loss, batch=batch)
        if self.generator_is_due():
            self.turn("generator", loss=self.generator_loss, batch=batch)
            self.count_generator_update()

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Return D's objective on a batch of real samples and as many generated ones."""
        z = self.draw_latents(len(batch))
        with torch.no_grad():
            fake, generate = self.generated(z, batch.condition)
        real, generated = self.judge(batch.samples, fake, batch.condition)
        loss = self.loss.discriminator(self.of_all_ranks(real), self.of_all_ranks(generated))
        return self.record_of(loss, batch, fake, z, {"real": real, "fake": generated}, generate)

    def generator_loss(self, batch: Batch) -> Turn:
        """Return G's objective on ``generator_batch_multiple`` generated samples per real sample."""
        z = self.draw_latents(self.generator_batch_multiple * len(batch))
        condition = self.for_generator(batch.condition)
        fake, generate = self.generated(z, condition)
        outputs = {}
        if self.needs_real_in_generator:
            with torch.no_grad():  # D is frozen and real samples do not depend on G
                outputs["real"] = self.discriminator(self.augment(batch.samples), batch.condition)
        outputs["fake"] = self.discriminator(self.augment(fake), condition)
        loss = self.loss.generator(*(self.of_all_ranks(outputs[kind]) for kind in ("fake", "real") if kind in outputs))
        return self.record_of(loss, batch, fake, z, outputs, generate)

    def for_generator(self, condition: trees.Tree) -> trees.Tree:
        """Return the condition of G's samples: the batch's, repeated ``generator_batch_multiple`` times."""
        multiple = self.generator_batch_multiple
        return condition if multiple == 1 else trees.concatenate(*[condition] * multiple)

    def record_of(
        self,
        loss: Tensor,
        batch: Batch,
        fake: Tensor,
        z: Tensor,
        outputs: Mapping[str, CriticOutput],
        generate: Bound,
    ) -> Turn:
        """Return the record of a turn."""
        several = len(fake) > len(batch)
        condition = self.for_generator(batch.condition) if several else batch.condition
        return Turn(
            loss,
            self.networks,
            self.random,
            real=batch.samples,
            fake=fake,
            latents=z,
            labels=self.for_generator(batch.labels) if several else batch.labels,
            critic=Critic(self.discriminator, condition, self.augment),
            generate=generate,
            outputs=outputs,
        )

    def generated(self, z: Tensor, condition: trees.Tree) -> tuple[Tensor, Bound]:
        """Return generated samples, [N, ...], of latents [N, Z] in a turn, and the generator that regularizers call."""
        return self.generator(z, condition), Bound(self.generator, condition)

    def draw_latents(self, n: int) -> Tensor:
        """Return latents [n, Z], drawn from the turn's generator."""
        return latents.draw(self.prior, n, self.latent_dim, self.random)

    # Public interface ----------------------------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """Number of classes of a conditional generator; 0 if it is unconditional."""
        return int(getattr(self.generator, "num_classes", 0))

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return latents, and labels if the generator is conditional, keyed by (seed, sample index)."""
        z = latents.keyed(self.prior, self.latent_dim, seed, start, count, truncation)
        return Draw(z, self.draw_sample_labels(seed, start, count), truncation=truncation)

    def complete(self, images: Tensor, known: Tensor, seed: int = 0, ema: bool = True) -> Tensor:
        """Return completions of images by a search in the latents; see :func:`completion.by_search`.

        Args:
            images: [N, C, H, W] in [-1, 1].
            known: bool [1 or N, 1, H, W].
            seed: of the latents at which the search begins, and of the labels.
            ema: whether to use the averaged weights, if they exist.
        """
        if isinstance(self.frozen_encoder, FrozenEncoder):
            raise UserError("models in another model's latent space do not complete images", "mode", "leave it out")
        draw = self.draw(seed, 0, len(images)).to(self.device)
        with evaluating(self.discriminator):
            return completion.by_search(
                lambda z: self.generate(replace(draw, latents=z), ema),
                lambda x: self.realism(x, draw.labels),
                images.to(self.device),
                known.to(self.device),
                draw.latents,
                limit=1.0 if self.prior == "uniform" else None,
            )

    def realism(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """Return D's scores of samples, [N], higher for real ones; 0 if the loss does not train D's logits."""
        logits: Tensor = self.discriminator(samples, labels).logits
        if self.loss.reads != "logits":
            return torch.zeros_like(logits)
        return -logits if getattr(self.discriminator, "critic", "score") == "energy" else logits

    def generate(self, draw: Draw, ema: bool) -> Tensor:
        """Return samples, generated in evaluation mode so that they do not depend on each other."""
        network = self.network("generator", ema)
        with evaluating(network):
            samples: Tensor = network(draw.latents, draw.labels if draw.condition is None else draw.condition)
        return samples

    def embed_labels(self, labels: Tensor, ema: bool = True) -> Tensor:
        """Return the embeddings of labels, which :meth:`sample` takes as conditions, float [N, E].

        Args:
            labels: long [N].
            ema: whether to use the averaged weights, if they exist.

        Raises:
            UserError: the generator has no embedding of labels.
        """
        network: Any = self.network("generator", ema)
        if not hasattr(network, "embed") or network.embedding is None:
            raise UserError("this generator has no embedding of labels", "labels", "give one class")
        embedded: Tensor = network.embed(labels.to(self.device))
        return embedded

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return a grid of samples, and the attention of a generator with self-attention."""
        return {**super().pictures(n, seed, held_out), **attention_maps.pictures(self, self.network("generator"), seed)}

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the generator."""
        inputs = {"latents": torch.zeros(2, self.latent_dim)}
        if self.num_classes:
            inputs["labels"] = torch.zeros(2, dtype=torch.long)
        output = "images" if len(getattr(self.generator, "shape", (1, 1, 1))) == 3 else "points"
        output = "codes" if isinstance(self.frozen_encoder, FrozenEncoder) else output
        return {"generator": self.export("generator", inputs, (output,), ema)}
