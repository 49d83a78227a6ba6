from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from saddlepoint.callbacks.history import History
from saddlepoint.callbacks.samples import Samples
from saddlepoint.data import DataModule, Digits
from saddlepoint.tracking.local import LocalLogger
from saddlepoint.tracking.record import RunRecord
from saddlepoint.writing import read_json_lines


def rows(play: Any, directory: Path, *overrides: str, every_rounds: int = 5) -> list[dict[str, Any]]:
    play([History(RunRecord(directory, [LocalLogger(directory)]), every_rounds)], *overrides)
    return read_json_lines(directory / "history.jsonl")


def test_a_row_at_the_first_round_and_every_so_many(play: Any, directory: Path) -> None:
    found = rows(play, directory, "budget.images=1280")
    assert [row["images_seen"] for row in found] == [64, 320, 640, 960, 1280]
    assert [row["generator_updates"] for row in found] == [1, 5, 10, 15, 20]
    for row in found:
        assert {
            "discriminator/loss",
            "generator/loss",
            "discriminator/logits_real",
            "generator/logits_fake",
        } <= row.keys()
    assert "images_per_second" not in found[0]
    for before, row in pairwise(found):
        speed = (row["images_seen"] - before["images_seen"]) / (row["seconds"] - before["seconds"])
        assert row["images_per_second"] == pytest.approx(speed, rel=0.2)  # seconds are rounded in the row


@pytest.mark.parametrize(
    ("every_rounds", "before", "expected"),
    [
        (8, 0, [8, 16, 20]),  # a multiple of the rounds per step; the last row is that of the end
        (8, 6, [8, 16, 20]),
        (8, 8, [16, 20]),
        (5, 0, [8, 12, 16, 20]),  # after the steps that pass 5, 10, 15 and 20
        (5, 10, [16, 20]),  # step 12 ends before 15
        (2, 0, [4, 8, 12, 16, 20]),
    ],
)
def test_a_row_after_each_step_that_passes_a_multiple(
    play: Any, directory: Path, every_rounds: int, before: int, expected: list[int]
) -> None:
    """With 4 rounds per step, in a run that is resumed after some rounds."""
    logger = History(RunRecord(directory, [LocalLogger(directory)]), every_rounds)
    play([logger], "budget.images=1280", "trainer.rounds_per_step=4", rounds=before, images_seen=64 * before)
    found = read_json_lines(directory / "history.jsonl")
    assert [row["images_seen"] // 64 for row in found] == expected


def test_learning_rates_are_those_of_the_step(play: Any, directory: Path) -> None:
    """Linear decay: the step that ends at s of S images has the factor 1 - (s - batch)/S."""
    overrides = ["optimizer.schedule=linear", "optimizer.generator.lr=1e-3", "optimizer.discriminator.lr=4e-3"]
    for row in rows(play, directory, "budget.images=1280", *overrides):
        factor = 1 - (row["images_seen"] - 64) / 1280
        assert row["generator/learning_rate"] == pytest.approx(1e-3 * factor)
        assert row["discriminator/learning_rate"] == pytest.approx(4e-3 * factor)


def test_penalties_and_gradient_norms_are_logged(play: Any, directory: Path) -> None:
    found = rows(
        play,
        directory,
        "budget.images=320",
        "regularizer=[gradient_penalty]",
        "norm=none",
        "optimizer.gradient_clip=0.01",
    )
    for row in found:
        assert row["discriminator/gradient_penalty"] > 0
        assert row["discriminator/gradient_norm"] > 0


def test_losses_are_of_the_kind_they_are(play: Any, directory: Path) -> None:
    """Wasserstein: D's loss is the mean of the logits of fakes minus that of reals."""
    for row in rows(play, directory, "budget.images=640", "loss=wasserstein", every_rounds=1):
        expected = row["discriminator/logits_fake"] - row["discriminator/logits_real"]
        assert row["discriminator/loss"] == pytest.approx(expected, abs=1e-6)
        assert row["generator/loss"] == pytest.approx(-row["generator/logits_fake"], abs=1e-6)


def test_samples_show_the_same_latents_as_training_goes_on(play: Any, directory: Path) -> None:
    record, data = RunRecord(directory), DataModule(Digits())
    data.inspect()
    play([Samples(record, data, 320, n=4, seed=5)], "budget.images=640", "model.ema_decay=null")
    files = sorted((directory / "samples").iterdir())
    assert [file.name for file in files] == [f"samples-{i:09d}.png" for i in (0, 320, 640)]
    pictures = [Image.open(file).tobytes() for file in files]
    assert len(set(pictures)) == 3
    other = directory.parent / "other"
    other.mkdir()
    play([Samples(RunRecord(other), data, 320, n=4, seed=5)], "budget.images=640", "model.ema_decay=null")
    assert [Image.open(other / "samples" / file.name).tobytes() for file in files] == pictures
