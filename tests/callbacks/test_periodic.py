from __future__ import annotations

import time
from typing import Any

import pytest
import pytorch_lightning as pl

from saddlepoint.callbacks.periodic import Periodic
from saddlepoint.systems.game import Game


class Diary(Periodic):
    """Records the images seen whenever it fires."""

    def __init__(self, every_images: int | None = None, at_start: bool = True, seconds: float = 0.0) -> None:
        super().__init__(every_images)
        self.at_start = at_start
        self.seconds = seconds
        self.pages: list[int] = []

    def fire(self, trainer: pl.Trainer, system: Game) -> None:
        self.pages.append(system.progress.images_seen)
        time.sleep(self.seconds)


@pytest.mark.parametrize(
    ("every", "pages"),
    [
        (64, [0, 64, 128, 192, 256, 300]),
        (128, [0, 128, 256, 300]),
        (100, [0, 128, 256, 300]),  # at the end of the batch that passes 100, 200 and 300
        (150, [0, 192, 300]),
        (300, [0, 300]),  # the multiple is also the end: fires once
        (10_000, [0, 300]),
        (1, [0, 64, 128, 192, 256, 300]),  # several multiples in one batch: fires once
    ],
)
def test_it_fires_at_the_start_at_multiples_and_at_the_end(play: Any, every: int, pages: list[int]) -> None:
    diary = Diary(every)
    play([diary], "budget.images=300")
    assert diary.pages == pages


def test_without_the_start(play: Any) -> None:
    diary = Diary(128, at_start=False)
    play([diary], "budget.images=300")
    assert diary.pages == [128, 256, 300]


def test_by_default_ten_times_a_run(play: Any) -> None:
    diary = Diary()
    play([diary], "budget.images=6400")
    assert diary.pages == list(range(0, 6401, 640))


def test_by_default_every_100_000_images_without_a_budget_of_images(play: Any) -> None:
    diary = Diary()
    play([diary], "budget.images=null", "budget.generator_updates=3")
    assert diary.every_images == 100_000
    assert diary.pages == [0, 192]


def test_it_goes_on_where_a_run_stopped(play: Any) -> None:
    """A resumed run does not fire again where the first session ended."""
    diary = Diary(100)
    play([diary], "budget.images=500", images_seen=192)
    assert diary.pages == [256, 320, 448, 500]


def test_what_fires_costs_no_training_time(play: Any) -> None:
    diary = Diary(64, seconds=0.3)
    system = play([diary], "budget.images=256")
    assert len(diary.pages) == 5
    assert system.progress.seconds < 5 * 0.3
