"""Takes up a run where its checkpoint left it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from saddlepoint.callbacks.periodic import game_of
from saddlepoint.tracking.record import RunRecord


class Resume(pl.Callback):
    """Restores weights, averages, the state of every part, optimizers, scaler and counters.

    Nothing else is needed: the order of the data and every random draw are functions of the counters. Lightning's own
    restoring of loops is left out, for it counts batches within epochs, which a stream of images has not.

    Args:
        checkpoint: as :func:`saddlepoint.tracking.checkpoints.load` returned it.
        record: the run's record.
    """

    def __init__(self, checkpoint: Mapping[str, Any], record: RunRecord) -> None:
        self.checkpoint = checkpoint
        self.record = record

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore, once the optimizers exist and before the first batch is drawn."""
        system = game_of(pl_module)
        system.load_state_dict(self.checkpoint["state_dict"])
        system.on_load_checkpoint(dict(self.checkpoint))
        for optimizer, state in zip(system.raw_optimizers, self.checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and self.checkpoint.get("MixedPrecision"):
            scaler.load_state_dict(self.checkpoint["MixedPrecision"])
        if trainer.is_global_zero:
            self.record.restore(self.checkpoint["saddlepoint"], system.progress)
