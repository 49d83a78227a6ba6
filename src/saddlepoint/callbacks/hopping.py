"""Mode hopping and oscillating losses: plots over a whole run on a mixture of Gaussians."""

from __future__ import annotations

import json

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import PositiveInt
from torch import Tensor

from saddlepoint.callbacks.periodic import OverBudget, game_of
from saddlepoint.systems.capabilities import Generates
from saddlepoint.systems.game import Game
from saddlepoint.tracking import theory
from saddlepoint.tracking.record import RunRecord
from saddlepoint.writing import append_json_line, read_json_lines, write_atomically

COLUMNS = 100
NEAR = 3.0
"""Standard deviations from a mode within which PacGAN counts a sample as of high quality."""


class Hopping(OverBudget):
    """Writes counts of samples near each mode to ``pictures/modes.jsonl``; plots them and the losses at the end.

    Args:
        record: the run's record.
        means: means of the mixture's modes, [M, D].
        std: standard deviation of each mode.
        every_images: images seen between two counts; by default, a hundredth of the budget.
        points: number of samples per count.
        seed: seed of the latents, which are the same in every count.
    """

    events = COLUMNS

    def __init__(
        self,
        record: RunRecord,
        means: Tensor,
        std: float,
        every_images: PositiveInt | None = None,
        points: PositiveInt = 1_000,
        seed: int = 0,
    ) -> None:
        super().__init__(every_images)
        self.record = record
        self.means, self.std = means.float().cpu(), std
        self.points, self.seed = points, seed

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove rows written after the checkpoint that the run is resumed from."""
        path, seen = self.record.directory / "pictures" / "modes.jsonl", game_of(pl_module).progress.images_seen
        if trainer.is_global_zero and path.exists():
            rows = [row for row in read_json_lines(path) if row["images_seen"] <= seen]
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
        super().on_train_start(trainer, pl_module)

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Append a row with the number of samples near each mode."""
        if not trainer.is_global_zero:
            return
        assert isinstance(system, Generates)
        samples = system.sample(self.points, seed=self.seed, ema=False).float().cpu()
        distance, mode = torch.cdist(samples, self.means, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        counts = torch.bincount(mode[distance <= NEAR * self.std], minlength=len(self.means)).tolist()
        path = self.record.directory / "pictures" / "modes.jsonl"
        path.parent.mkdir(exist_ok=True)
        append_json_line(path, {"images_seen": system.progress.images_seen, "n": self.points, "counts": counts})

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Plot ``modes.png`` and ``losses.png``."""
        super().on_train_end(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        progress, folder = game_of(pl_module).progress, self.record.directory
        rows = read_json_lines(folder / "pictures" / "modes.jsonl")
        if rows:
            shares = np.array([row["counts"] for row in rows], dtype=np.float64) / [[row["n"]] for row in rows]
            picture = theory.hopping([row["images_seen"] for row in rows], shares)
            self.record.log_picture(progress, "modes", picture, folder="pictures", stamped=False)
        history = [row for row in read_json_lines(folder / "history.jsonl") if "generator/loss" in row]
        names = [f"{player}/loss" for player in game_of(pl_module).players]
        history = [row for row in history if all(isinstance(row.get(name), float) for name in names)]
        if len(history) > 1:
            images = np.array([row["images_seen"] for row in history], dtype=np.float64)
            lines = {name: np.array([row[name] for row in history], dtype=np.float64) for name in names}
            self.record.log_picture(progress, "losses", theory.losses(images, lines), folder="pictures", stamped=False)
