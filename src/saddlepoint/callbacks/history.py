"""Logs losses, critic outputs, gradient norms, learning rates, speed and the memory of a GPU."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pydantic import PositiveInt

from saddlepoint.callbacks.periodic import game_of
from saddlepoint.systems.game import Game
from saddlepoint.tracking.record import RunRecord


class History(pl.Callback):
    """Logs a row after each step that passes a multiple of ``every_rounds``; only then does it wait for the device.

    The first round is logged too, if it is a step of its own.

    Args:
        record: the run's record.
        every_rounds: number of rounds between two rows.
    """

    def __init__(self, record: RunRecord, every_rounds: PositiveInt = 50) -> None:
        self.record = record
        self.every_rounds = every_rounds
        self._since: tuple[float, int] | None = None
        self._logged_round = 0
        self._passed = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the multiples that earlier sessions of the run have passed."""
        self._passed = game_of(pl_module).progress.rounds // self.every_rounds

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Log a row if it is due."""
        system = game_of(pl_module)
        passed = system.progress.rounds // self.every_rounds
        if passed > self._passed or system.progress.rounds == 1:
            self._passed = passed
            self._log(system)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the last round, unless it has been logged."""
        system = game_of(pl_module)
        if system.logs and self._logged_round != system.progress.rounds:
            self._log(system)

    def _log(self, system: Game) -> None:
        self._logged_round = system.progress.rounds
        self.record.log(system.progress, self._row(system))

    def _row(self, system: Game) -> dict[str, float]:
        logs = dict(system.logs)
        for name, player in system.players.items():
            if (norm := player.gradient_norm()) is not None:  # computed here only, unless gradients are clipped
                logs.setdefault(f"{name}/weight_gradient_norm", norm)
        names, values = zip(*((key, value.float().mean()) for key, value in logs.items()), strict=True)
        row = dict(zip(names, torch.stack(values).tolist(), strict=True))  # a single transfer from the device
        for name, optimizer in zip(system.players, system.raw_optimizers, strict=True):
            row[f"{name}/learning_rate"] = optimizer.param_groups[0]["lr"]
        seconds, images = system.progress.seconds, system.progress.images_seen
        if self._since is not None and seconds > self._since[0]:
            row["images_per_second"] = (images - self._since[1]) / (seconds - self._since[0])
        self._since = (seconds, images)
        if system.device.type == "cuda":  # PyTorch's own count, which does not wait for the device
            row["gpu_memory_gib"] = torch.cuda.max_memory_allocated(system.device) / 2**30
        return row
