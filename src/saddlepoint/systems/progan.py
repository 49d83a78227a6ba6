"""Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation".

arXiv:1710.10196.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks.progan import Growing, ProGANDiscriminator, down, up
from saddlepoint.systems.gan import GAN
from saddlepoint.types import Batch, ImageBatch

log = logging.getLogger(__name__)


class ProGAN(GAN):
    """A GAN whose networks grow: each level is trained, then the next one is faded in.

    Args:
        networks: ``generator``, a :class:`~saddlepoint.networks.ProGANGenerator`, and ``discriminator``, a
            :class:`~saddlepoint.networks.ProGANDiscriminator`.
        stabilise_images: number of images for which a level is trained before the next one is faded in.
        fade_images: number of images in which α of a new level rises from 0 to 1.
        gan: other arguments; see :class:`~saddlepoint.systems.gan.GAN`.

    Raises:
        UserError: the networks do not grow.
    """

    takes: ClassVar[tuple[type[Batch], ...]] = (ImageBatch,)
    generator: Any
    discriminator: Any

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        stabilise_images: PositiveInt = 800_000,
        fade_images: PositiveInt = 800_000,
        **gan: Any,
    ) -> None:
        for role in ("generator", "discriminator"):
            if not isinstance(networks.get(role), Growing):
                raise UserError(f"ProGAN needs a {role} that grows", f"networks.{role}", "choose network progan")
        super().__init__(networks, **gan)
        self.stabilise_images, self.fade_images = stabilise_images, fade_images
        for network in (*self.networks.values(), *self.averages.values()):
            network.grow(*self.growth(0))  # type: ignore[operator]
        self._phase: tuple[int, bool] | None = None

    # The algorithm -------------------------------------------------------------------------------------------------

    def round(self, batch: Batch) -> None:
        """Run a turn of D and one of G at the current level, on real images that are faded like generated ones."""
        self.grow()
        super().round(replace(batch, images=self.faded(batch.samples)))  # type: ignore[type-var]
        self.logs["generator/level"] = self.generator.grown.sum() - 1

    def growth(self, images_seen: int) -> tuple[int, float]:
        """Return the newest level and its weight α after a number of images."""
        phase, within = divmod(images_seen, self.stabilise_images + self.fade_images)
        if phase >= self.generator.levels:
            return self.generator.levels, 1.0
        if within < self.stabilise_images:
            return phase, 1.0
        return phase + 1, (within - self.stabilise_images) / self.fade_images

    def grow(self) -> None:
        """Set the level and α; reset the optimizers' moments when a fade begins or ends, as in the authors' code."""
        if self._phase is None:  # of the checkpoint, if the run continues
            if self.progress.images_seen == 0 and self.global_rank == 0:
                self.warn_of_short_budget()
            level, alpha = self.generator.grown.tolist()
            self._phase = int(level), alpha < 1
        for role in ("generator", "discriminator"):
            self.networks[role].grow(*self.growth(self.progress.images_seen))  # type: ignore[operator]
        phase = self.generator.level, self.generator.fading
        if phase != self._phase:
            for optimizer in self.raw_optimizers:
                optimizer.state.clear()
        self._phase = phase

    def warn_of_short_budget(self) -> None:
        """Warn if the run ends before images of the full size have been trained without a fade."""
        images, levels = self.budget.images, self.generator.levels
        needed = levels * (self.stabilise_images + self.fade_images)
        if images is None or images > needed:
            return
        level, alpha = self.growth(images)
        side = min(self.generator.shape[1:])
        log.warning(
            "with budget.images=%d, training ends with %s%d px, before images of %d px are fully grown; to train "
            "these, set model.stabilise_images and model.fade_images to %d, or budget.images to more than %d",
            images,
            "a fade to " if alpha < 1 else "",
            side >> levels - level,
            side,
            max(images // (2 * levels + 1), 1),
            needed,
        )

    @torch.no_grad()
    def faded(self, images: Tensor) -> Tensor:
        """Return real images [N, C, H, W] in the size of the newest level, (1 - α)·up(down(x)) + α·x."""
        critic: ProGANDiscriminator = self.discriminator
        images = critic.reduce(images)
        return critic.faded(up(down(images)), images) if critic.fading else images
