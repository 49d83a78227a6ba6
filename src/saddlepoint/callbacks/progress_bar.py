"""The progress bar, with losses, images per second and the latest scores; plain lines if stderr is not a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pydantic import PositiveFloat
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from saddlepoint.callbacks.periodic import game_of
from saddlepoint.systems.game import Game
from saddlepoint.terminal import console
from saddlepoint.tracking.record import RunRecord

WIDE = 100
"""Columns from which the bar is longer and the elapsed time is shown."""
OTHERS, OTHERS_WIDE = 8 + 1 + 4 + 1 + 1 + 4 + 1 + 7, 20 + 1 + 4 + 1 + 1 + 7 + 1 + 4 + 1 + 7
"""Columns that bar, percentage, times and the spaces between them take."""


class ProgressBar(pl.Callback):
    """Shows the progress of a run.

    Args:
        record: the run's record.
        seconds: seconds between two updates of the bar.
        line_seconds: seconds between two lines if stderr is not a terminal.
    """

    def __init__(self, record: RunRecord, seconds: PositiveFloat = 0.5, line_seconds: PositiveFloat = 60.0) -> None:
        self.record = record
        self.console = console(stderr=True)
        self.seconds = seconds if self.console.is_terminal else line_seconds
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._shown_at = 0.0
        self._speed_since: tuple[float, int] = (0.0, 0)
        self._shown_cards = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the bar."""
        if not trainer.is_global_zero:
            return
        self._shown_at = time.monotonic()
        self._speed_since = (game_of(pl_module).progress.seconds, game_of(pl_module).progress.images_seen)
        if self.console.is_terminal:
            wide = self.console.width >= WIDE
            self._bar = Progress(
                BarColumn(bar_width=20 if wide else 8),
                TextColumn("{task.percentage:3.0f}%"),
                TextColumn("{task.description}", markup=False),
                *([TimeElapsedColumn()] if wide else []),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._task = self._bar.add_task("starting", total=1.0)
            self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Update the bar if it is due."""
        now = time.monotonic()
        if trainer.is_global_zero and now - self._shown_at >= self.seconds:
            self._shown_at = now
            self._show(game_of(pl_module))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the final state and stop the bar."""
        if trainer.is_global_zero:
            self._show(game_of(pl_module))
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stop the bar, which restores the terminal."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, system: Game) -> None:
        if self._bar is not None and self._task is not None:
            room = self.console.width - (OTHERS if self.console.width < WIDE else OTHERS_WIDE)
            text = fitting(self._parts(system), room)
            self._bar.update(self._task, completed=system.budget.fraction(system.progress), description=text)
        else:
            text = "  ".join(text for _, text in self._parts(system))
            self.console.print(f"{system.budget.fraction(system.progress):4.0%} {text}", soft_wrap=True)

    def _parts(self, system: Game) -> list[tuple[int, str]]:
        """Return the parts of the text from left to right, each with its rank of importance, 0 for the highest."""
        progress = system.progress
        seconds, images = progress.seconds - self._speed_since[0], progress.images_seen - self._speed_since[1]
        if seconds > 0:
            self._speed = images / seconds
            self._speed_since = (progress.seconds, progress.images_seen)
        seen = [name for name in system.players if f"{name}/loss" in system.logs]
        losses = " ".join(
            f"{short} {system.logs[f'{name}/loss'].item():.3f}"
            for name, short in zip(seen, initials(seen), strict=True)
        )
        scores = [f"{card.metric} {card.value:.3g}" for card in self.record.headlines()]
        parts = [(3, f"{progress.images_seen:,} images"), (1, f"{self._speed:,.0f}/s"), (0, losses)]
        return parts + [(2 + 2 * place, score) for place, score in enumerate(scores)]

    _speed = 0.0


def fitting(parts: Sequence[tuple[int, str]], room: int) -> str:
    """Join those parts that fit into ``room`` columns, the most important first.

    >>> parts = [(2, "64 images"), (0, "D 1.386"), (1, "fid 12.3")]
    >>> fitting(parts, 40), fitting(parts, 20)
    ('64 images  D 1.386  fid 12.3', 'D 1.386  fid 12.3')
    """
    kept: list[tuple[int, str]] = []
    for part in sorted(parts):
        if sum(len(text) + 2 for _, text in [*kept, part]) - 2 <= room:
            kept.append(part)
    return "  ".join(part[1] for part in parts if part in kept)


def initials(players: Sequence[str]) -> list[str]:
    """Return short names of players: the initial, with more of the name where several have the same initial.

    >>> initials(["generator_ab", "discriminator_a", "discriminator_b"])
    ['G', 'D_a', 'D_b']
    >>> initials(["encoder", "decoder", "discriminator"])
    ['E', 'De', 'Di']
    """
    first = [name[0].upper() for name in players]
    names = []
    for letter, name in zip(first, players, strict=True):
        suffix = f"_{name.partition('_')[2]}" if "_" in name else name[1]
        names.append(f"{letter}{suffix}" if first.count(letter) > 1 else letter)
    return names
