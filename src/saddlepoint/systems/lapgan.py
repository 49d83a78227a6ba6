"""Denton et al. 2015, "Deep Generative Image Models using a Laplacian Pyramid of Adversarial Networks".

arXiv:1506.05751.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from saddlepoint.errors import UserError
from saddlepoint.losses.base import AdversarialLoss
from saddlepoint.networks.lapgan import LAPGANDiscriminator, LAPGANGenerator
from saddlepoint.networks.layers.laplacian import gaussian_pyramid, up
from saddlepoint.systems import latents
from saddlepoint.systems.capabilities import Draw, Export, Shown, rows_of
from saddlepoint.systems.labels import check_networks
from saddlepoint.systems.players import OptimizerFactory
from saddlepoint.systems.sampling import Sampling, evaluating
from saddlepoint.turns import Critic, Turn
from saddlepoint.types import Batch, ImageBatch


class LAPGAN(Sampling):
    """A GAN for each level of a Laplacian pyramid; see :mod:`~saddlepoint.networks.layers.laplacian` for I_k, h_k, u.

    Level k < K is a conditional GAN of difference images h_k, given l_k = u(I_{k+1}) (equations 4 and 5). With the
    non-saturating loss, the objectives are

    - D_k: -log D_k(h_k + l_k) - log(1 - D_k(G_k(z_k, l_k) + l_k));
    - G_k: -log D_k(G_k(z_k, l_k) + l_k).

    The paper's D_k takes the pair (h, l). As in the published code, it takes the sum here, which is an image of level
    k. Level K, the coarsest, is an ordinary GAN of images I_K.

    The players ``generator_k`` and ``discriminator_k`` have separate losses and optimizer states. A round is a turn of
    D_k and a turn of G_k for each level, from the coarsest to the finest.

    - ``training="independent"`` (the paper): l_k is always of real images, so no level depends on another one.
    - ``training="together"``: for generated images, l_k comes from the coarser generators, as in sampling, so each
      level learns to refine their output. Gradients do not flow from one level to another.

    Args:
        networks: ``generator`` and ``discriminator``, each with its ``levels``.
        loss: the objectives of all levels; ``NonSaturating`` in the paper.
        optimizers: optimizer factories for ``generator`` and ``discriminator``, used on each level.
        training: whether levels are trained independently or together.
        prior: distribution of the noise of all levels, ``normal`` or ``uniform`` on [-1, 1].
        game: see :class:`~saddlepoint.systems.game.Game`.

    Raises:
        UserError: the networks have no levels or not as many, only one of them is conditional, or the loss compares
            the samples of a batch.
    """

    takes: ClassVar[tuple[type[Batch], ...]] = (ImageBatch,)
    roles: Mapping[str, Sequence[str]] = {}  # set by __init__, since it depends on the number of levels

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        loss: AdversarialLoss,
        optimizers: Mapping[str, OptimizerFactory],
        training: Literal["independent", "together"] = "independent",
        prior: latents.Prior = "uniform",
        **game: Any,
    ) -> None:
        generator, discriminator = networks.get("generator"), networks.get("discriminator")
        if not isinstance(generator, LAPGANGenerator) or not isinstance(discriminator, LAPGANDiscriminator):
            raise UserError("LAPGAN needs networks of several levels", "networks", "choose network lapgan")
        count = len(generator.levels)
        if len(discriminator.levels) != count:
            problem = f"there are {count} levels of the generator, and {len(discriminator.levels)} of the discriminator"
            raise UserError(problem, "networks", "set both to the same number")
        for levels in zip(generator.levels, discriminator.levels, strict=True):
            check_networks(*levels, classifier_trained=False)
        both = {"discriminator": discriminator.levels, "generator": generator.levels}
        names = {f"{role}_{k}": role for k in reversed(range(count)) for role in both}
        self.roles = {name: (name,) for name in names}
        self.averaged = [name for name, role in names.items() if role == "generator"]
        super().__init__(
            {f"{role}_{k}": level for role, levels in both.items() for k, level in enumerate(levels)},
            optimizers={name: optimizers[role] for name, role in names.items() if role in optimizers},
            **game,
        )
        self.loss = loss
        self.check_parts({"loss": loss})
        if loss.needs_real_in_generator or loss.batch_coupled:
            problem = f"LAPGAN needs a loss of single samples, and {type(loss).__name__} compares those of a batch"
            raise UserError(problem, "loss", "choose another loss, such as NonSaturating")
        for part in self.regularizers.values():
            part.check_loss(loss)  # type: ignore[operator]
        self.levels, self.together, self.prior = count, training == "together", prior
        averaged = copy.deepcopy(generator)
        averaged.levels = nn.ModuleList(self.network(f"generator_{k}") for k in range(count))
        self.pyramids = {False: generator, True: averaged}  # not attributes, whose weights would be saved twice

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Run a turn of D_k and one of G_k for each level k."""
        for k in reversed(range(self.levels)):
            self.turn(f"discriminator_{k}", loss=partial(self.discriminator_loss, k), batch=batch)
            self.turn(f"generator_{k}", loss=partial(self.generator_loss, k), batch=batch)
        self.count_generator_update()

    def discriminator_loss(self, k: int, batch: Batch) -> Turn:
        """Return the objective of D_k on images I_k and as many generated ones."""
        real = gaussian_pyramid(batch.samples, k + 1)[k]
        with torch.no_grad():
            z, fake = self.generated(k, batch)
        critic = Critic(self.networks[f"discriminator_{k}"], batch.labels)
        outputs = {name: critic.network(x, batch.labels) for name, x in (("real", real), ("fake", fake))}
        loss = self.loss.discriminator(outputs["real"], outputs["fake"])
        return Turn(loss, self.networks, self.random, real, fake, z, batch.labels, critic, outputs=outputs)

    def generator_loss(self, k: int, batch: Batch) -> Turn:
        """Return the objective of G_k."""
        z, fake = self.generated(k, batch)
        critic = Critic(self.networks[f"discriminator_{k}"], batch.labels)
        outputs = {"fake": critic.network(fake, batch.labels)}
        loss = self.loss.generator(outputs["fake"])
        return Turn(loss, self.networks, self.random, None, fake, z, batch.labels, critic, outputs=outputs)

    def generated(self, k: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return latents z_k, [N, Z_k], and the images l_k + G_k(z_k, l_k), [N, C, H_k, W_k]."""
        coarse = self.coarse(k, batch)
        network = self.networks[f"generator_{k}"]
        z = self.draw_latents(len(batch), int(network.latent_dim))  # type: ignore[arg-type]
        return z, network(z, coarse, batch.labels)

    @torch.no_grad()
    def coarse(self, k: int, batch: Batch) -> Tensor | None:
        """Return l_k, [N, C, H_k, W_k]; None on the coarsest level."""
        if k == self.levels - 1:
            return None
        if self.together:
            pyramid = self.pyramids[False]
            z = self.draw_latents(len(batch), sum(pyramid.latent_dims(k + 1)))
            image = pyramid.stages(z, batch.labels, finest=k + 1)[-1]
        else:
            image = gaussian_pyramid(batch.samples, k + 2)[k + 1]
        return up(image, self.networks[f"generator_{k}"].shape[1:])  # type: ignore[index, arg-type]

    def draw_latents(self, n: int, dim: int) -> Tensor:
        """Return latents [n, dim], drawn from the turn's generator."""
        return latents.draw(self.prior, n, dim, self.random)

    # Public interface ----------------------------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """Number of classes of conditional generators; 0 if they are unconditional."""
        return int(self.networks["generator_0"].num_classes)  # type: ignore[arg-type]

    def draw(self, seed: int, start: int, count: int, truncation: float = 1.0) -> Draw:
        """Return the latents of all levels, z_K … z_0 in one table, and labels, keyed by (seed, sample index)."""
        z = latents.keyed(self.prior, self.pyramids[False].latent_dim, seed, start, count, truncation)
        return Draw(z, self.draw_sample_labels(seed, start, count), truncation=truncation)

    def generate(self, draw: Draw, ema: bool) -> Tensor:
        """Return images, generated from the coarsest level to the finest."""
        pyramid = self.pyramids[ema]
        with evaluating(*pyramid.levels):
            samples: Tensor = pyramid(draw.latents, draw.labels)
        return samples

    def exports(self, ema: bool = True) -> Mapping[str, Export]:
        """Return the generator of all levels, from latents to images."""
        pyramid = self.pyramids[ema]
        inputs = {"latents": torch.zeros(2, pyramid.latent_dim)}
        if self.num_classes:
            inputs["labels"] = torch.zeros(2, dtype=torch.long)
        return {"generator": Export(pyramid, inputs, ("images",), "generator", averaged=ema and bool(self.averages))}

    @torch.no_grad()
    def pictures(self, n: int, seed: int, held_out: Batch | None) -> Mapping[str, Shown]:
        """Return samples, and a picture with a row of some samples on each level, from the coarsest to the finest."""
        shown: dict[str, Shown] = dict(super().pictures(n, seed, held_out))
        draw = self.draw(seed, 0, max(n // self.levels, 1)).to(self.device)
        pyramid = self.pyramids[True]
        with evaluating(*pyramid.levels):
            stages = pyramid.stages(draw.latents, draw.labels)
        size = stages[-1].shape[2:]
        return shown | {"levels": rows_of(*(interpolate(images, size).clamp(-1, 1) for images in stages))}
