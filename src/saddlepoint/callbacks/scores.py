"""Scores the generator as training goes on."""

from __future__ import annotations

import time

import pytorch_lightning as pl

from saddlepoint.callbacks.periodic import Periodic, game_of
from saddlepoint.evaluation.base import Judge
from saddlepoint.systems.game import Game
from saddlepoint.tracking.record import RunRecord


class Scores(Periodic):
    """Writes score cards to ``scores.jsonl`` and their values to the history and W&B, with what they cost.

    Args:
        record: the run's record.
        judge: scores a system.
        every_images: images seen between two evaluations.
        at_start: score the untrained system too.
    """

    def __init__(self, record: RunRecord, judge: Judge, every_images: int | None = None, at_start: bool = True) -> None:
        super().__init__(every_images)
        self.record = record
        self.judge = judge
        self.at_start = at_start

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the untrained system; a resumed one is not scored again where it was when its checkpoint was saved."""
        super().on_train_start(trainer, pl_module)
        seen = game_of(pl_module).progress.images_seen
        # Rank 0 alone keeps the record, and all ranks must score at the same moments.
        if trainer.strategy.broadcast(any(card.images_seen == seen for card in self.record.latest.values())):
            self._fired_at = seen

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Score: every rank does its share, and rank 0 has the cards."""
        since = time.monotonic()
        cards = self.judge.score(system)
        if trainer.is_global_zero:
            self.record.add(system.progress, cards, time.monotonic() - since)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the finished system, and draw what its scores rest on."""
        super().on_train_end(trainer, pl_module)
        system = game_of(pl_module)
        cards = [card for card in self.record.latest.values() if card.images_seen == system.progress.images_seen]
        if trainer.is_global_zero:
            for name, picture in self.judge.pictures(system, cards).items():
                self.record.log_picture(system.progress, name, picture)
