"""Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks".

arXiv:1703.10593.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn

from saddlepoint import trees
from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.networks.layers.precision import at_least_float32
from saddlepoint.systems.capabilities import Export, Picture, rows_of
from saddlepoint.systems.pool import ImagePool
from saddlepoint.systems.translating import Translating
from saddlepoint.turns import Critic, Turn
from saddlepoint.types import Batch, Unpaired


@dataclass(frozen=True)
class Judged(Batch):
    """Inputs of a discriminator: real and generated images, float [N, C, H, W] each."""

    real: Tensor
    fake: Tensor
    labels: Tensor | None = None


class CycleGAN(Translating):
    """Generators G: A → B and F: B → A, trained on unpaired images with discriminators D_B and D_A (equation 3).

    L(G, F) = L_GAN(G, D_B) + L_GAN(F, D_A) + λ (E ‖F(G(a)) - a‖₁ + E ‖G(F(b)) - b‖₁), plus the optional identity loss
    λ_id λ (E ‖G(b) - b‖₁ + E ‖F(a) - a‖₁) (section 5.2). Distances are means over values. The discriminators are
    trained on generated images from a pool of recent ones (section 4).

    As in the published code, both generators are updated in one turn, before the discriminators.

    Args:
        networks: ``generator_ab`` (G), ``generator_ba`` (F), ``discriminator_a``, ``discriminator_b``.
        loss: the adversarial objectives of D and G; least squares in the paper.
        cycle_weight: the paper's λ.
        identity_weight: λ_id, relative to ``cycle_weight``; requires images of the same shape in both domains.
        adversarial_weight: weight of the generators' adversarial objective. The default of 2 cancels the factor ½ of
            ``LeastSquares``. In the paper, only D's objective has this factor.
        pool_size: number of generated images in each discriminator's pool.
        game: see :class:`~saddlepoint.systems.game.Game`.
    """

    roles: Mapping[str, tuple[str, ...]] = {
        "generator_ab": ("generator_ab",),
        "generator_ba": ("generator_ba",),
        "discriminator_a": ("discriminator_a",),
        "discriminator_b": ("discriminator_b",),
    }
    averaged = ("generator_ab", "generator_ba")
    takes: ClassVar[tuple[type[Batch], ...]] = (Unpaired,)
    directions: Mapping[str, tuple[str, str]] = {"a_to_b": ("a", "b"), "b_to_a": ("b", "a")}
    translators: Mapping[str, str] = {"a_to_b": "generator_ab", "b_to_a": "generator_ba"}

    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module
    discriminator_b: nn.Module

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        loss: AdversarialLoss,
        cycle_weight: NonNegativeFloat = 10.0,
        identity_weight: NonNegativeFloat = 0.0,
        adversarial_weight: NonNegativeFloat = 2.0,
        pool_size: NonNegativeInt = 50,
        **game: Any,
    ) -> None:
        super().__init__(networks, **game)
        self.loss = loss
        if loss.needs_real_in_generator or loss.batch_coupled:
            raise UserError(
                f"CycleGAN needs a loss of single samples, and {type(loss).__name__} compares the samples of a batch",
                "loss",
                "choose another loss, such as LeastSquares",
            )
        self.check_parts({"loss": loss})
        for part in self.regularizers.values():
            part.check_loss(loss)  # type: ignore[operator]
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.adversarial_weight = adversarial_weight
        shape_a, shape_b = (tuple(self.networks[f"generator_{way}"].shape) for way in ("ba", "ab"))  # type: ignore[arg-type]
        if identity_weight > 0 and shape_a != shape_b:
            raise UserError(
                f"the identity loss requires images of the same shape in both domains, got {shape_a} and {shape_b}",
                "identity_weight",
                "set it to 0",
            )
        self.pool_of = {"a": ImagePool(pool_size, shape_a), "b": ImagePool(pool_size, shape_b)}
        self.pools = nn.ModuleDict(self.pool_of)

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Unpaired) -> None:
        """Run a joint turn of the generators, then a turn of each discriminator."""
        self.fakes: list[Unpaired] = []
        self.turn("generator_ab", "generator_ba", loss=self.generators_loss, batch=batch)
        self.count_generator_update()
        fakes = trees.concatenate(*self.fakes)
        for domain, real, fake in (("a", batch.a, fakes.a), ("b", batch.b, fakes.b)):
            player = f"discriminator_{domain}"
            shown = self.pool_of[domain].exchange(fake, self.seed, domain, self.progress.turns.get(player, 0))
            self.turn(player, loss=partial(self.discriminator_loss, domain), batch=Judged(real, shown))

    def generators_loss(self, batch: Unpaired) -> Turn:
        """Return the objective of G and F."""
        a, b = batch.a, batch.b
        fake_b, fake_a = self.generator_ab(a), self.generator_ba(b)
        self.fakes.append(Unpaired(fake_a.detach(), fake_b.detach()))
        judged = {"fake_a": self.discriminator_a(fake_a), "fake_b": self.discriminator_b(fake_b)}
        adversarial = self.loss.generator(judged["fake_a"]) + self.loss.generator(judged["fake_b"])
        cycle = distance(self.generator_ba(fake_b), a) + distance(self.generator_ab(fake_a), b)
        loss = self.adversarial_weight * adversarial + self.cycle_weight * cycle
        logs = {"adversarial": adversarial.detach(), "cycle": cycle.detach()}
        if self.identity_weight > 0:
            identity = distance(self.generator_ab(b), b) + distance(self.generator_ba(a), a)
            loss = loss + self.identity_weight * self.cycle_weight * identity
            logs["identity"] = identity.detach()
        return Turn(loss, self.networks, self.random, outputs=judged, logs=logs)

    def discriminator_loss(self, domain: str, batch: Judged) -> Turn:
        """Return the objective of a domain's discriminator on real images and on generated ones from the pool."""
        critic = self.networks[f"discriminator_{domain}"]
        outputs = {"real": critic(batch.real), "fake": critic(batch.fake)}
        return Turn(
            self.loss.discriminator(outputs["real"], outputs["fake"]),
            self.networks,
            self.random,
            real=batch.real,
            fake=batch.fake,
            critic=Critic(critic),
            outputs=outputs,
        )

    # Public interface ----------------------------------------------------------------------------------------------

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return both generators."""
        shape_a, shape_b = (tuple(self.networks[f"generator_{way}"].shape) for way in ("ba", "ab"))  # type: ignore[arg-type]
        return {
            "generator_ab": self.export("generator_ab", {"images": torch.zeros(2, *shape_a)}, ("targets",), ema),
            "generator_ba": self.export("generator_ba", {"images": torch.zeros(2, *shape_b)}, ("targets",), ema),
        }

    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Picture]:
        """Return a picture per direction: rows of real images, their translations and their reconstructions."""
        if not isinstance(held_out, Unpaired):
            return {}
        shown = {}
        for way, back, real in (("a_to_b", "b_to_a", held_out.a), ("b_to_a", "a_to_b", held_out.b)):
            real = real[: max(n // 3, 1)]
            there = self.translate(real, way, seed)
            shown[f"samples_{way}"] = rows_of(real, there, self.translate(there, back, seed))
        return shown


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean absolute difference of two tensors, a scalar."""
    return (at_least_float32(x) - at_least_float32(y)).abs().mean()
