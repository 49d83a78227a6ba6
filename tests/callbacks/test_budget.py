from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl

from saddlepoint.systems.game import Game


class Batches(pl.Callback):
    """Records the number of images of each round."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._seen = 0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, Game)
        self.sizes.append(pl_module.progress.images_seen - self._seen)
        self._seen = pl_module.progress.images_seen


@pytest.mark.parametrize("images", [64, 66, 128, 300, 1472, 1500, 3001])
def test_a_budget_of_images_is_exact(play: Any, images: int) -> None:
    """Also beyond an epoch of 1,472 images, and if the last batch is partial."""
    batches = Batches()
    system = play([batches], f"budget.images={images}")
    assert system.progress.images_seen == images
    assert sum(batches.sizes) == images
    assert set(batches.sizes[:-1]) <= {64}
    assert 2 <= batches.sizes[-1] <= 65  # BatchNorm needs two: a single last image joins the previous batch


@pytest.mark.parametrize(("steps", "updates"), [(1, 7), (3, 4)])
def test_a_budget_of_generator_updates_is_exact(play: Any, steps: int, updates: int) -> None:
    system = play([], "budget.images=null", f"budget.generator_updates={updates}", f"model.discriminator_steps={steps}")
    assert system.progress.generator_updates == updates
    assert system.progress.turns == {"discriminator": updates * steps, "generator": updates}
    assert system.progress.images_seen == updates * steps * 64


def test_a_budget_of_hours_ends_after_the_round_that_uses_it_up(play: Any) -> None:
    hours = 0.2 / 3600
    system = play([], "budget.images=null", f"budget.hours={hours}")
    assert system.progress.seconds >= 0.2
    assert system.progress.rounds > 1


def test_the_first_limit_ends_the_run(play: Any) -> None:
    system = play([], "budget.images=10000", "budget.generator_updates=3", "budget.hours=1")
    assert system.progress.generator_updates == 3
    system = play([], "budget.images=100", "budget.generator_updates=3000", "budget.hours=1")
    assert system.progress.images_seen == 100
