"""Stops a run when its budget of images, generator updates or hours is used up."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from saddlepoint.callbacks.periodic import game_of


class StopAtBudget(pl.Callback):
    """Stops training when the budget is used up.

    Lightning's ``max_steps`` counts optimizer steps, of which a round of WGAN has six.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the stopwatch; stop at once if a finished run is resumed."""
        game_of(pl_module).stopwatch.start()
        self.on_train_batch_end(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Stop after the round that reaches a limit."""
        system = game_of(pl_module)
        if system.budget.reached(system.progress):
            trainer.should_stop = True
