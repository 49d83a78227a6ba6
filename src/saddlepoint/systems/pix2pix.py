"""Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.systems.adversarial import Adversarial
from saddlepoint.systems.capabilities import Export, Picture, rows_of
from saddlepoint.systems.translating import Translating
from saddlepoint.turns import Bound, Critic, Turn
from saddlepoint.types import Batch, CriticOutput, Paired


class Pix2Pix(Translating, Adversarial):
    """G maps inputs x to targets y; D discriminates (x, y) from (x, G(x)): L_cGAN(G, D) + λ E ‖y - G(x)‖₁ (equation 4).

    Dropout is G's source of noise (section 3.1). D's objective is halved (section 3.3). The distance is a mean over
    values.

    Args:
        networks: ``generator``, from inputs to targets, and ``discriminator``, conditioned on the input.
        loss: the adversarial objectives of D and G.
        l1_weight: the paper's λ.
        adversarial_weight: weight of G's adversarial objective; with 0, G is trained on L1 alone and D is not trained.
        adversarial: see :class:`~saddlepoint.systems.adversarial.Adversarial`. Augments are not supported, since they
            would have to transform inputs and targets in the same way.
    """

    roles: Mapping[str, tuple[str, ...]] = {
        "discriminator": ("discriminator",),
        "generator": ("generator",),
    }
    averaged = ("generator",)
    takes: ClassVar[tuple[type[Batch], ...]] = (Paired,)
    directions: Mapping[str, tuple[str, str]] = {"inputs_to_targets": ("inputs", "targets")}
    translators: Mapping[str, str] = {"inputs_to_targets": "generator"}

    generator: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        loss: AdversarialLoss,
        l1_weight: NonNegativeFloat = 100.0,
        adversarial_weight: NonNegativeFloat = 1.0,
        **adversarial: Any,
    ) -> None:
        if adversarial.pop("augments", None):
            raise UserError("Pix2Pix does not support augments", "augments", "leave them out")
        super().__init__(networks, loss=loss, **adversarial)
        self.l1_weight, self.adversarial_weight = l1_weight, adversarial_weight

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Paired) -> None:
        """Run a turn of D, then a turn of G if it is due."""
        if self.adversarial_weight > 0:
            self.turn("discriminator", loss=self.discriminator_loss, batch=batch)
        if self.adversarial_weight == 0 or self.generator_is_due():
            self.turn("generator", loss=self.generator_loss, batch=batch)
            self.count_generator_update()

    def discriminator_loss(self, batch: Paired) -> Turn:
        """Return half of D's objective on pairs of an input and a real or generated target."""
        with torch.no_grad():
            fake = self.generator(batch.inputs)
        real, generated = self.judge(batch.targets, fake, batch.inputs)
        loss = self.loss.discriminator(self.of_all_ranks(real), self.of_all_ranks(generated)) / 2
        return self.record_of(loss, batch, fake, {"real": real, "fake": generated})

    def generator_loss(self, batch: Paired) -> Turn:
        """Return G's adversarial objective plus λ times the L1 distance from the target."""
        fake = self.generator(batch.inputs)
        distance = (at_least_float32(batch.targets) - at_least_float32(fake)).abs().mean()
        loss, outputs = self.l1_weight * distance, {}
        if self.adversarial_weight > 0:
            if self.needs_real_in_generator:
                with torch.no_grad():
                    outputs["real"] = self.discriminator(batch.targets, batch.inputs)
            outputs["fake"] = self.discriminator(fake, batch.inputs)
            kinds = [kind for kind in ("fake", "real") if kind in outputs]
            adversarial = self.loss.generator(*(self.of_all_ranks(outputs[kind]) for kind in kinds))
            loss = self.adversarial_weight * adversarial + loss
        record = self.record_of(loss, batch, fake, outputs)
        record.logs["l1"] = distance.detach()
        return record

    def record_of(self, loss: Tensor, batch: Paired, fake: Tensor, outputs: Mapping[str, CriticOutput]) -> Turn:
        """Return the record of a turn."""
        return Turn(
            loss,
            self.networks,
            self.random,
            real=batch.targets,
            fake=fake,
            critic=Critic(self.discriminator, batch.inputs),
            generate=Bound(self.generator),
            outputs=outputs,
        )

    # Public interface ----------------------------------------------------------------------------------------------

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the generator."""
        channels = int(self.generator.input_channels)  # type: ignore[arg-type]
        inputs = torch.zeros(2, channels, *self.generator.shape[1:])  # type: ignore[index]
        return {"generator": self.export("generator", {"images": inputs}, ("targets",), ema)}

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Picture]:
        """Return a picture with rows of inputs, their translations and their targets."""
        if not isinstance(held_out, Paired):
            return {}
        count = max(n // 3, 1)
        inputs, targets = held_out.inputs[:count], held_out.targets[:count]
        return {"samples": rows_of(inputs, self.translate(inputs, seed=seed), targets)}
