"""Signals: a run that is stopped keeps a checkpoint of the very round, and says by its exit code how it ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from saddlepoint.callbacks.checkpoints import Checkpoints
from saddlepoint.callbacks.periodic import game_of

log = logging.getLogger(__name__)


class Interruption(pl.Callback):
    """On SIGTERM, Ctrl-C or SLURM's warning: finish the round, save ``last.ckpt``, exit with 128 plus the signal.

    With several ranks, a signal to any of them stops all after the same round. A second Ctrl-C stops at once. A signal
    that comes after the last round changes nothing: the run is about to end. Comes first in the list of callbacks, so
    that signals are taken over before the untrained system is scored.

    Args:
        checkpoints: saves.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over from Lightning, which would exit with 0, or wait for ranks from within a handler."""
        signals = [signal.SIGTERM, signal.SIGINT, *([signal.SIGUSR1] if "SLURM_JOB_ID" in os.environ else [])]
        self._before = {number: signal.signal(number, self._on_signal) for number in signals}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Stop between two rounds, where all ranks know of a signal."""
        stepper = game_of(pl_module).stepper
        stepper.stop_requested = self._received is not None
        agreed = stepper.stop_agreed if trainer.world_size > 1 else stepper.stop_requested
        if not agreed:
            return
        number = self._received or signal.SIGTERM
        self.checkpoints.save_last(trainer)
        if not trainer.is_global_zero:
            raise SystemExit(0)  # launchers end the other ranks, also rank 0 while it saves, when one ends in an error
        images = game_of(pl_module).progress.images_seen
        log.warning(
            "stopped by %s after %s images; go on with: python train.py resume=%s",
            signal.Signals(number).name, f"{images:,}", self.checkpoints.record.directory,
        )  # fmt: skip
        if number == signal.SIGUSR1:
            subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False)
        raise SystemExit(128 + (signal.SIGTERM if number == signal.SIGUSR1 else number))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._received == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = number
