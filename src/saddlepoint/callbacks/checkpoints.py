"""Keeps the last checkpoint, the one before it, and the best one."""

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
    """Writes ``checkpoints/last.ckpt``, and ``checkpoints/best.ckpt`` when the monitored score has just improved.

    Comes after the scores in the list of callbacks.

    Args:
        record: the run's record.
        about: what makes the file self-describing: config, choices, data, features, reference.
        every_images: images seen between two saves.
    """

    at_start = False

    def __init__(self, record: RunRecord, about: Mapping[str, Any], every_images: PositiveInt | None = None) -> None:
        super().__init__(every_images)
        self.record = record
        self.about = dict(about)

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Save last; the one before stays as ``previous.ckpt``."""
        self.save_last(trainer)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Save last, whatever the cadence."""
        if not trainer.is_global_zero:
            return
        game_of(trainer.lightning_module).stepper.settle()  # or the last sound file would give way to NaN
        checkpoints.rotate(self.record.directory / "checkpoints" / "last.ckpt")
        trainer.save_checkpoint(self.record.directory / "checkpoints" / "last.ckpt", weights_only=False)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Save best where the scores have just improved, then last when it is time."""
        self._save_best(trainer, pl_module)
        super().on_train_batch_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save both."""
        self._save_best(trainer, pl_module)
        super().on_train_end(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Make the file self-describing."""
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
