"""Fixtures: short runs of a tiny GAN on digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from saddlepoint.assembly import build
from saddlepoint.assembly.lightning import AtomicCheckpointIO
from saddlepoint.callbacks.budget import StopAtBudget
from saddlepoint.config.compose import compose_config
from saddlepoint.systems.game import Game

Play = Callable[..., Game]


@pytest.fixture
def play() -> Play:
    """Train on digits with batches of 64 until the budget is used up, and return the system."""

    def run(callbacks: Sequence[pl.Callback], *overrides: str, **counters: Any) -> Game:
        quick = ["network=mlp", "network.width=8", "batch_size=64"]
        config = compose_config("train", [*quick, *overrides])
        data, _ = build.build_data(config)
        system = build.build_system(config)
        for name, value in counters.items():
            setattr(system.progress, name, value)
        data.configure(
            config.batch_size, config.seed, config.budget.images, lambda: system.progress.images_seen,
            config.trainer.rounds_per_step or 1, lambda: system.progress.rounds,
        )  # fmt: skip
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[StopAtBudget(), *callbacks],
            plugins=[AtomicCheckpointIO()],
        )
        trainer.fit(system, datamodule=data)
        return system

    return run


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"
