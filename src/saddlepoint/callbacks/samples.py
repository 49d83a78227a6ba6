"""Pictures of what the generator makes from the same latents, as training goes on."""

from __future__ import annotations

import math

import pytorch_lightning as pl
from PIL.Image import Image
from pydantic import PositiveInt
from torch import Tensor

from saddlepoint.callbacks.periodic import Periodic
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.game import Game
from saddlepoint.tracking import pictures
from saddlepoint.tracking.record import RunRecord


class Samples(Periodic):
    """Saves a grid of images, with a row a class for a conditional generator, or a scatter of points.

    They go to ``samples/`` and W&B.

    Args:
        record: the run's record.
        real: real points to draw behind generated ones; None for images.
        every_images: images seen between two pictures.
        n: images in a grid.
        points: points in a scatter.
        seed: of the fixed latents.
    """

    def __init__(
        self,
        record: RunRecord,
        real: Tensor | None = None,
        every_images: PositiveInt | None = None,
        n: PositiveInt = 100,
        points: PositiveInt = 2500,
        seed: int = 0,
    ) -> None:
        super().__init__(every_images)
        self.record = record
        self.real = real
        self.n = n
        self.points = points
        self.seed = seed

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Draw the picture."""
        if not trainer.is_global_zero:
            return
        if self.real is None:
            picture = self._classes(system) if system.num_classes else self._grid(system)
        else:
            points = system.sample(self.points, seed=self.seed)
            title = f"{system.progress.images_seen:,} samples seen"
            picture = pictures.scatter(points, self.real[: self.points], title)
        self.record.log_picture(system.progress, "samples", picture)

    def _grid(self, system: Game) -> Image:
        return pictures.grid(quantise(system.sample(self.n, seed=self.seed)))

    def _classes(self, system: Game) -> Image:
        """Draw a row a class, for as many classes as there are columns at least."""
        rows = min(system.num_classes, math.isqrt(self.n))
        columns = self.n // rows
        return pictures.grid(quantise(system.sample_classes(range(rows), columns, self.seed)), columns)
