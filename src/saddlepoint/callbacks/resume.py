"""Restores the state of training from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from saddlepoint.callbacks.periodic import game_of
from saddlepoint.tracking.record import RunRecord


class Resume(pl.Callback):
    """Restores weights, averages, the state of every part, optimizers, gradient scaler, counters and scores.

    The order of the data and all random numbers are functions of the counters. Lightning's own loop state is not used,
    since it counts batches within epochs, and training is not divided into epochs.

    Args:
        checkpoint: the checkpoint, from :func:`saddlepoint.tracking.checkpoints.load`.
        record: the run's record.
    """

    def __init__(self, checkpoint: Mapping[str, Any], record: RunRecord) -> None:
        self.checkpoint = checkpoint
        self.record = record

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the state, after the optimizers have been created and before the first batch is loaded."""
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
