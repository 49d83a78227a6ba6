"""Stops a run when its budget is used up, counted in images, generator updates or hours."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from saddlepoint.callbacks.periodic import game_of


class StopAtBudget(pl.Callback):
    """Lightning's own ``max_steps`` counts optimizer steps, so that one round of WGAN would count six times."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; a finished run that is resumed has no batch left to stop after."""
        game_of(pl_module).stopwatch.start()
        self.on_train_batch_end(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Stop after the round that reaches a limit."""
        system = game_of(pl_module)
        if system.budget.reached(system.progress):
            trainer.should_stop = True
