"""Warnings of collapse and divergence, each given once, in the log and by the loggers. They do not affect the run."""

from __future__ import annotations

import logging
from typing import Any

import pytorch_lightning as pl

from saddlepoint.callbacks.periodic import game_of
from saddlepoint.tracking.record import RunRecord

log = logging.getLogger(__name__)

DUPLICATES = 0.5
"""Share of samples with a near duplicate above which the generator counts as collapsed; near 0 for real images."""
START = 0.3
"""Share of the budget before which samples may look alike in successful runs too."""
LOSS = 1e4
"""Absolute value of a loss above which the run counts as diverged."""


class Alarms(pl.Callback):
    """Warns of diverging losses, and of near-duplicate samples after the first part of the run.

    Args:
        record: the run's record, whose rows and score cards are checked.
    """

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.raised: set[str] = set()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Check the latest row and score cards."""
        if not trainer.is_global_zero:
            return
        system = game_of(pl_module)
        for name, value in self.record.row.items():
            if name.endswith("/loss") and abs(value) > LOSS:
                self._raise("divergence", f"{name} is {value:.3g} after {system.progress.images_seen:,} images")
        if system.budget.fraction(system.progress) < START:
            return
        for name, card in self.record.latest.items():
            if name.startswith("duplicates") and card.value > DUPLICATES and (card.real or 0.0) < DUPLICATES / 2:
                text = (
                    f"{card.value:.0%} of the samples have a near duplicate ({name}) after {card.images_seen:,} images"
                )
                self._raise("collapse", text)

    def _raise(self, kind: str, text: str) -> None:
        if kind in self.raised:
            return
        self.raised.add(kind)
        log.warning("alarm, %s: %s", kind, text)
        self.record.alert(kind, text)
