"""Saves pictures of samples from fixed latents during training."""

from __future__ import annotations

import pytorch_lightning as pl
from pydantic import PositiveInt

from saddlepoint.callbacks.periodic import Periodic
from saddlepoint.data import DataModule
from saddlepoint.metrics.quantise import quantise
from saddlepoint.systems.capabilities import Generates, Scatter
from saddlepoint.systems.game import Game
from saddlepoint.tracking import pictures
from saddlepoint.tracking.record import RunRecord


class Samples(Periodic):
    """Saves the system's pictures, or a scatter plot for points, to ``samples/`` and W&B.

    Args:
        record: the run's record.
        data: the run's data, whose first held-out samples are the inputs of systems that encode or translate.
        every_images: images seen between two pictures; a tenth of ``budget.images`` by default.
        n: number of images in a grid.
        points: number of points in a scatter plot.
        seed: seed of the fixed latents.
    """

    def __init__(
        self,
        record: RunRecord,
        data: DataModule,
        every_images: PositiveInt | None = None,
        n: PositiveInt = 100,
        points: PositiveInt = 2500,
        seed: int = 0,
    ) -> None:
        super().__init__(every_images)
        self.record = record
        self.data = data
        self.n = n
        self.points = points
        self.seed = seed

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Save the pictures."""
        if not trainer.is_global_zero:
            return
        if self.data.info.is_image:
            held_out = self.data.batch("held_out", 0, min(self.n, self.data.info.sizes["held_out"]))
            for name, shown in system.pictures(self.n, self.seed, held_out.to(system.device)).items():
                if isinstance(shown, Scatter):
                    picture = pictures.codes(shown.points, shown.labels, shown.prior, _title(system))
                else:
                    picture = pictures.grid(quantise(shown.samples), shown.columns)
                self.record.log_picture(system.progress, name, picture)
        elif isinstance(system, Generates):
            real = self.data.arrays("held_out").samples[: self.points]
            picture = pictures.scatter(system.sample(self.points, seed=self.seed), real, _title(system))
            self.record.log_picture(system.progress, "samples", picture)


def _title(system: Game) -> str:
    return f"{system.progress.images_seen:,} samples seen"
