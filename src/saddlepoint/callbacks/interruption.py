"""Signals: saves a checkpoint when a run is interrupted."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from saddlepoint import ranks
from saddlepoint.callbacks.checkpoints import Checkpoints
from saddlepoint.callbacks.periodic import game_of
from saddlepoint.program import program

log = logging.getLogger(__name__)


class Interruption(pl.Callback):
    """On SIGTERM, SIGINT or SLURM's SIGUSR1, finishes the round, saves ``last.ckpt`` and exits with 128 + signal.

    On SIGUSR1 the job is requeued, and the exit code is that of SIGTERM. With several ranks, a signal to any of them
    stops all ranks after the same round. A second Ctrl-C stops immediately. Signals after the last round are ignored.
    Must come first in the list of callbacks, so that the signal handlers are installed before the untrained system is
    scored.

    Args:
        checkpoints: the callback that saves ``last.ckpt``.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Lightning's signal handlers, which exit with code 0 or synchronize ranks from within a handler."""
        signals = [signal.SIGTERM, signal.SIGINT, *([signal.SIGUSR1] if "SLURM_JOB_ID" in os.environ else [])]
        self._before = {number: signal.signal(number, self._on_signal) for number in signals}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Stop before the round if this rank or, as agreed in the last step, any rank has received a signal."""
        stepper = game_of(pl_module).stepper
        stepper.stop_requested = self._received is not None
        agreed = stepper.stop_agreed if trainer.world_size > 1 else stepper.stop_requested
        if not agreed:
            return
        received = self._received or 0
        highest = ranks.maximum(received, pl_module.device)
        number = received or highest  # machines do not receive SLURM's signals at the same time, or not at all
        self.checkpoints.save_last(trainer)
        if not trainer.is_global_zero:
            raise SystemExit(0)  # after a failure, the launcher would kill rank 0 while it saves
        images = game_of(pl_module).progress.images_seen
        log.warning(
            "stopped by %s after %s images; continue with: %s %s",
            signal.Signals(number).name, f"{images:,}", program("train"),
            shlex.quote(f"resume={self.checkpoints.record.directory}"),
        )  # fmt: skip
        if number == signal.SIGUSR1:
            _requeue(os.environ["SLURM_JOB_ID"])
        raise SystemExit(128 + (signal.SIGTERM if number == signal.SIGUSR1 else number))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restore the previous signal handlers."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the previous signal handlers."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._received == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = number


def _requeue(job: str) -> None:
    """Ask SLURM to run this job again; containers often do not have its commands."""
    try:
        answer = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        problem = (answer.stderr.strip() or f"exit code {answer.returncode}") if answer.returncode else None
    except OSError as error:
        problem = f"scontrol: {error.strerror}"
    if problem is not None:
        log.warning("the job was not requeued (%s); to requeue it: scontrol requeue %s", problem, job)
