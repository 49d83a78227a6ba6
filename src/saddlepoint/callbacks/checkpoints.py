"""Saves checkpoints: the last, the previous and the best one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pydantic import PositiveInt

from saddlepoint import __version__
from saddlepoint.callbacks.periodic import Periodic, game_of
from saddlepoint.systems.game import Game
from saddlepoint.tracking import checkpoints
from saddlepoint.tracking.checkpoints import FORMAT
from saddlepoint.tracking.record import RunRecord


class Checkpoints(Periodic):
    """Saves ``checkpoints/last.ckpt`` periodically, and ``checkpoints/best.ckpt`` when the monitored score improves.

    Must come after ``Scores`` in the list of callbacks.

    Args:
        record: the run's record.
        about: the description of the run that each checkpoint contains: config, choices, data, features, reference.
        every_images: images seen between two saves; a tenth of ``budget.images`` by default.
    """

    at_start = False

    def __init__(self, record: RunRecord, about: Mapping[str, Any], every_images: PositiveInt | None = None) -> None:
        super().__init__(every_images)
        self.record = record
        self.about = dict(about)

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Save ``last.ckpt``; the one before is kept as ``previous.ckpt``."""
        self.save_last(trainer)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Save ``last.ckpt`` now."""
        if not trainer.is_global_zero:
            return
        game_of(trainer.lightning_module).stepper.settle()  # raises on NaN, before a finite checkpoint is replaced
        checkpoints.rotate(self.record.directory / "checkpoints" / "last.ckpt")
        trainer.save_checkpoint(self.record.directory / "checkpoints" / "last.ckpt", weights_only=False)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Save ``best.ckpt`` if the score has just improved, and ``last.ckpt`` if it is due."""
        self._save_best(trainer, pl_module)
        super().on_train_batch_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save ``best.ckpt`` if the score has just improved, and ``last.ckpt``."""
        self._save_best(trainer, pl_module)
        super().on_train_end(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the description of the run and its scores."""
        checkpoint["saddlepoint"] = {
            "format": FORMAT,
            "version": __version__,
            **self.about,
            **self.record.state(),
        }

    def _save_best(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        system, best = game_of(module), self.record.best
        if best is not None and self.record.is_best(system.progress) and best is not self._saved:
            system.stepper.settle()
            trainer.save_checkpoint(self.record.directory / "checkpoints" / "best.ckpt", weights_only=False)
            self._saved = best

    _saved: object = None
