from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from saddlepoint.callbacks.checkpoints import Checkpoints
from saddlepoint.callbacks.scores import Scores
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.systems.game import Game
from saddlepoint.tracking.checkpoints import FORMAT, load
from saddlepoint.tracking.record import RunRecord
from saddlepoint.writing import read_json_lines


class Distance:
    """A judge whose n-th evaluation returns the n-th value of a list."""

    def __init__(self, *values: float) -> None:
        self.values = iter(values)
        self.weights: list[dict[str, torch.Tensor]] = []

    def pictures(self, system: Game, cards: list[ScoreCard]) -> dict[str, Any]:
        return {}

    def score(self, system: Game) -> list[ScoreCard]:
        self.weights.append({name: value.clone() for name, value in system.state_dict().items()})
        fixed: dict[str, Any] = {
            "splits": None,
            "features_version": "1",
            "resize": "none",
            "labels": "none",
            "ema": True,
        }
        return [
            ScoreCard(
                metric="fid_random",
                value=next(self.values),
                n=8,
                reference="digits",
                features="random",
                batchnorm="none",
                seed=0,
                images_seen=system.progress.images_seen,
                generator_updates=system.progress.generator_updates,
                seconds=0.0,
                revision="abc",
                **fixed,
            )
        ]


class Saves(pl.Callback):
    """Records after each batch which checkpoints exist, and their progress."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seen: list[dict[str, int]] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.seen.append(progress_of(self.directory))


def progress_of(directory: Path) -> dict[str, int]:
    files = {name: directory / "checkpoints" / f"{name}.ckpt" for name in ("last", "best")}
    return {name: load(file)["progress"]["images_seen"] for name, file in files.items() if file.exists()}


def same(weights: dict[str, torch.Tensor], file: Path) -> bool:
    stored = load(file)["state_dict"]
    return stored.keys() == weights.keys() and all(torch.equal(stored[name], weights[name]) for name in weights)


ABOUT = {"config": {"seed": 0}, "choices": {"model": "dcgan"}, "data": {"name": "digits"}, "scoring": None}


def run(play: Any, directory: Path, values: list[float], every_images: int = 128) -> tuple[Distance, Game, Saves]:
    record, scorer, saves = RunRecord(directory, monitor="fid_random"), Distance(*values), Saves(directory)
    callbacks = [Scores(record, scorer, 64), Checkpoints(record, ABOUT, every_images), saves]
    return scorer, play(callbacks, "budget.images=320"), saves


def test_best_is_the_system_at_its_best_score_and_last_the_last(play: Any, directory: Path) -> None:
    scorer, system, saves = run(play, directory, [9.0, 7.0, 4.0, 6.0, 5.0, 8.0])
    # The score of the untrained system, 9, is the best at 0 images, but it is not saved.
    assert saves.seen == [
        {"best": 64},
        {"best": 128, "last": 128},
        {"best": 128, "last": 128},
        {"best": 128, "last": 256},
        {"best": 128, "last": 256},
    ]
    assert progress_of(directory) == {"best": 128, "last": 320}
    assert same(scorer.weights[2], directory / "checkpoints" / "best.ckpt")
    assert same(dict(system.state_dict()), directory / "checkpoints" / "last.ckpt")
    assert [row["fid_random_best"] for row in read_json_lines(directory / "history.jsonl")] == []  # no logger was given
    assert [row["value"] for row in read_json_lines(directory / "scores.jsonl")] == [9.0, 7.0, 4.0, 6.0, 5.0, 8.0]


@pytest.mark.parametrize(("values", "best"), [([9, 8, 7, 6, 5, 4], 320), ([9, 2, 2, 2, 2, 2], 64)])
def test_the_end_can_be_best_and_a_tie_is_no_improvement(
    play: Any, directory: Path, values: list[float], best: int
) -> None:
    run(play, directory, values)
    assert progress_of(directory) == {"best": best, "last": 320}


def test_a_run_that_never_improves_on_the_untrained_network_keeps_only_last(play: Any, directory: Path) -> None:
    run(play, directory, [1.0, 7.0, 7.0, 7.0, 7.0, 7.0])
    assert progress_of(directory) == {"last": 320}


def test_a_checkpoint_describes_itself(play: Any, directory: Path) -> None:
    _, system, _ = run(play, directory, [9.0, 7.0, 4.0, 6.0, 5.0, 8.0])
    content = load(directory / "checkpoints" / "last.ckpt")
    about = content["saddlepoint"]
    assert about["format"] == FORMAT
    assert {key: about[key] for key in ABOUT} == ABOUT
    assert "4.0" in str(about["best"])
    assert content["progress"] == system.progress.state()
    assert len(content["optimizer_states"]) == 2
    assert any(key.startswith("ema_generator.") for key in content["state_dict"])


def test_scores_are_not_counted_as_training(play: Any, directory: Path) -> None:
    record = RunRecord(directory, monitor="fid_random")
    play([Scores(record, Distance(3.0, 2.0), 64, at_start=False)], "budget.images=128")
    assert [row["images_seen"] for row in read_json_lines(directory / "scores.jsonl")] == [64, 128]
    assert record.evaluation_seconds > 0
