"""Donahue et al. 2017, "Adversarial Feature Learning", arXiv:1605.09782; Dumoulin et al. 2017, arXiv:1606.00704."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.systems.capabilities import Export
from saddlepoint.systems.gan import GAN
from saddlepoint.systems.reconstructing import Reconstructing
from saddlepoint.turns import Bound, Critic, Turn
from saddlepoint.types import Batch


class BiGAN(Reconstructing, GAN):
    """A generator G and an encoder E; D discriminates pairs (x, E(x)) from pairs (G(z), z) (equation 2).

    At the optimum E inverts G (theorem 2). E and G are updated together on D's loss with real and fake swapped, as in
    the published code: for the cross-entropy, E softplus(D(x, E(x))) + E softplus(-D(G(z), z)). The published code
    updates all three networks from one forward pass; here the turn of E and G comes after D's, with new latents.

    Augments are applied only to the samples of a pair, not to the codes.

    Args:
        networks: ``generator``, ``encoder``, and ``discriminator``, which takes the tuple (samples, codes).
        loss: D's loss; it must be a function of the logits.
        gan: see :class:`~saddlepoint.systems.gan.GAN`.
    """

    decoder_role = "generator"
    roles: Mapping[str, tuple[str, ...]] = {
        "discriminator": ("discriminator",),
        "generator": ("generator",),
        "encoder": ("encoder",),
    }
    averaged: Sequence[str] = ("generator", "encoder")

    encoder: nn.Module

    def __init__(self, networks: Mapping[str, nn.Module], loss: AdversarialLoss, **gan: Any) -> None:
        super().__init__(networks, loss, **gan)
        if loss.reads != "logits":
            raise UserError(
                "BiGAN swaps real and fake in D's loss, which must depend on the logits", "loss", "choose another"
            )
        if loss.changes == "generator":
            problem = f"{type(loss).__name__} changes only the generator's loss, which BiGAN does not use"
            raise UserError(problem, "loss", "choose the loss that it wraps")
        if self.generator_batch_multiple > 1:
            raise UserError(
                "BiGAN needs as many generated as real samples in a batch", "generator_batch_multiple", "set it to 1"
            )

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Run a turn of D, then a joint turn of G and E if it is due."""
        self.turn("discriminator", loss=self.discriminator_loss, batch=batch)
        if self.generator_is_due():
            self.turn("generator", "encoder", loss=self.generator_loss, batch=batch)
            self.count_generator_update()

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Return D's objective on pairs."""
        with torch.no_grad():
            real, fake = self.pairs(batch)
        return self.judged(real, fake, swapped=False)

    def generator_loss(self, batch: Batch) -> Turn:
        """Return the objective of G and E: D's objective with real and fake swapped."""
        return self.judged(*self.pairs(batch), swapped=True)

    def pairs(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return (x, E(x)) and (G(z), z)."""
        z = self.draw_latents(len(batch))
        return (batch.samples, self.encoder(batch.samples)), (self.generator(z), z)

    def judged(self, real: Any, fake: Any, swapped: bool) -> Turn:
        """Return the record of a turn on real and generated pairs, swapped in the loss if ``swapped`` is true."""
        outputs = dict(zip(("real", "fake"), self.judge(real, fake, None), strict=True))
        kinds = ("fake", "real") if swapped else ("real", "fake")
        first, second = (self.of_all_ranks(outputs[kind]) for kind in kinds)
        return Turn(
            self.loss.discriminator(first, second),
            self.networks,
            self.random,
            real=real,
            fake=fake,
            latents=fake[1],
            critic=Critic(self.discriminator, None, self.augment),
            generate=Bound(self.generator),
            outputs=outputs,
        )

    def augment(self, pair: Any) -> Any:
        """Return pairs with augmented samples and unchanged codes."""
        samples, codes = pair
        return super().augment(samples), codes

    # Public interface ----------------------------------------------------------------------------------------------

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the generator and the encoder."""
        samples = torch.zeros(2, *self.encoder.shape)  # type: ignore[misc]
        return {**super().exports(ema), "encoder": self.export("encoder", {"samples": samples}, ("latents",), ema)}
