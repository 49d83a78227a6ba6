"""Scores the generator as training goes on."""

from __future__ import annotations

import time
from typing import Protocol

import pytorch_lightning as pl

from saddlepoint.callbacks.periodic import Periodic, _game
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.systems.game import Game
from saddlepoint.tracking.record import RunRecord


class SystemScorer(Protocol):
    """Whatever turns a system into score cards."""

    def score(self, system: Game) -> list[ScoreCard]:
        """Sample from the system and score the samples."""


class Scores(Periodic):
    """Writes score cards to ``scores.jsonl`` and their values to the history and W&B, with what they cost.

    Args:
        record: the run's record.
        scorer: scores a system.
        every_images: images seen between two evaluations.
        at_start: score the untrained system too.
    """

    def __init__(
        self, record: RunRecord, scorer: SystemScorer, every_images: int | None = None, at_start: bool = True
    ) -> None:
        super().__init__(every_images)
        self.record = record
        self.scorer = scorer
        self.at_start = at_start

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the untrained system; a resumed one is not scored again where it was when its checkpoint was saved."""
        super().on_train_start(trainer, pl_module)
        if any(card.images_seen == _game(pl_module).progress.images_seen for card in self.record.latest.values()):
            self._fired_at = _game(pl_module).progress.images_seen

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Score."""
        if not trainer.is_global_zero:
            return
        since = time.monotonic()
        cards = self.scorer.score(system)
        self.record.add(system.progress, cards, time.monotonic() - since)
