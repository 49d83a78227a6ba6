"""Base classes of callbacks that are called at regular intervals of training."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pydantic import PositiveInt

from saddlepoint.systems.game import Game

DEFAULT_EVENTS = 10
"""Number of events over a budget of images, if ``every_images`` is None."""
DEFAULT_EVERY_IMAGES = 100_000
"""Images between two events without a budget of images, if ``every_images`` is None."""


class Periodic(pl.Callback):
    """Calls :meth:`fire` whenever ``images_seen`` passes a multiple of ``every_images``, and at the end.

    Args:
        every_images: images seen between two calls; by default, a tenth of ``budget.images``, or 100,000 without one.

    Attributes:
        at_start: whether to call :meth:`fire` also before training.
    """

    at_start = True

    def __init__(self, every_images: PositiveInt | None = None) -> None:
        self.every_images = every_images
        self._fired_at = -1

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        """Perform the action; subclasses must implement it."""
        raise NotImplementedError(f"{type(self).__name__} must implement fire()")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fire for the untrained system, if ``at_start``."""
        system = game_of(pl_module)
        if self.every_images is None:
            images = system.budget.images
            self.every_images = max(1, images // DEFAULT_EVENTS) if images else DEFAULT_EVERY_IMAGES
        self._passed = system.progress.images_seen // self.every_images
        if self.at_start and system.progress.images_seen == 0:
            self._fire(trainer, system)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Fire when a multiple is passed."""
        system = game_of(pl_module)
        passed = system.progress.images_seen // (self.every_images or DEFAULT_EVERY_IMAGES)
        if passed > self._passed:
            self._passed = passed
            self._fire(trainer, system)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fire for the trained system, unless the last round has already fired."""
        system = game_of(pl_module)
        if self._fired_at != system.progress.images_seen:
            self._fire(trainer, system)

    def _fire(self, trainer: pl.Trainer, system: Game) -> None:
        self._fired_at = system.progress.images_seen
        system.stopwatch.pause()
        self.fire(trainer, system)
        system.stopwatch.start()


class OverBudget(Periodic):
    """Calls :meth:`fire` at ``events`` equal parts of any kind of budget, unless ``every_images`` is given.

    Attributes:
        events: number of calls over the budget, in addition to the one before training.
    """

    events = DEFAULT_EVENTS

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fire for the untrained system, if ``at_start``."""
        if self.every_images is not None:
            super().on_train_start(trainer, pl_module)
            return
        system = game_of(pl_module)
        self._passed = self._count(system)
        if self.at_start and system.progress.images_seen == 0:
            self._fire(trainer, system)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Fire when the next part of the budget is used up."""
        if self.every_images is not None:
            super().on_train_batch_end(trainer, pl_module)
            return
        system = game_of(pl_module)
        if (passed := self._count(system)) > self._passed:
            self._passed = passed
            self._fire(trainer, system)

    def _count(self, system: Game) -> int:
        return int(system.budget.fraction(system.progress) * self.events)


def game_of(module: pl.LightningModule) -> Game:
    """Return the Lightning module as a :class:`Game`."""
    assert isinstance(module, Game)
    return module
