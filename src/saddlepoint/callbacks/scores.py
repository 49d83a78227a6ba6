"""Scores the system during training."""

from __future__ import annotations

import time

import pytorch_lightning as pl

from saddlepoint.callbacks.periodic import Periodic, game_of
from saddlepoint.evaluation.base import Judge
from saddlepoint.systems.game import Game
from saddlepoint.tracking.record import RunRecord


class Scores(Periodic):
    """Writes score cards to ``scores.jsonl``, and their values and the time they took to the history and W&B.

    Args:
        record: the run's record.
        judge: computes the scores of a system.
        every_images: images seen between two evaluations; a tenth of ``budget.images`` by default.
        at_start: whether to score the untrained system.
    """

    def __init__(self, record: RunRecord, judge: Judge, every_images: int | None = None, at_start: bool = True) -> None:
        super().__init__(every_images)
        self.record = record
        self.judge = judge
        self.at_start = at_start

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the untrained system, unless the run is resumed from a checkpoint that has just been scored."""
        super().on_train_start(trainer, pl_module)
        seen = game_of(pl_module).progress.images_seen
        # Only rank 0 has the record, and all ranks must take part in the same evaluations.
        if trainer.strategy.broadcast(any(card.images_seen == seen for card in self.record.latest.values())):
            self._fired_at = seen

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Compute the scores on all ranks, and record them on rank 0."""
        since = time.monotonic()
        cards = self.judge.score(system)
        if trainer.is_global_zero:
            self.record.add(system.progress, cards, time.monotonic() - since)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the trained system, and save diagnostic pictures of its scores."""
        super().on_train_end(trainer, pl_module)
        system = game_of(pl_module)
        cards = [card for card in self.record.latest.values() if card.images_seen == system.progress.images_seen]
        if trainer.is_global_zero:
            for name, picture in self.judge.pictures(system, cards).items():
                self.record.log_picture(system.progress, name, picture)
