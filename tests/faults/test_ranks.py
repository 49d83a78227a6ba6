"""Two ranks: the weights and buffers are equal on both, and the scores equal those of a single process."""

from __future__ import annotations

import json
from typing import Any

import pytest

RANKS = ("trainer=ddp", "trainer.accelerator=cpu")


@pytest.mark.slow
def test_both_ranks_end_with_the_same_bits(user: Any, faulty: tuple[str, ...]) -> None:
    """Each rank writes a hash of its weights, buffers, averages and optimizers when it ends."""
    command = ("network.width=4", "batch_size=16", "budget.images=500", "callbacks.samples.n=4", "logger=none")
    scored = ("features=random", "callbacks.scores.n=130")
    user.finish(
        *faulty, *command, *scored, "loss.kind=hash at the end", "loss.at=16", *RANKS, "run.dir=run",
        environment={"PYTHONPATH": str(user.folder)},
    )  # fmt: skip
    assert user.started[0].no_orphans()
    hashes = [(user.folder / f"rank{rank}").read_text() for rank in (0, 1)]
    assert len(set(hashes)) == 1
    assert len(hashes[0]) == 64
    assert json.loads((user.folder / "run" / "summary.json").read_text())["device"] == "2 x cpu"
    # Each rank computed the features of a part of the 130 samples; a single process gets the same scores.
    process = user.run(
        "checkpoint=run/checkpoints/last.ckpt", "out=alone.jsonl", "plugins=[faulty]", command="evaluate"
    )
    assert process.code() == 0, process.err
    changing = ("seconds", "checkpoint")
    there, alone = (
        [
            user.rounded({k: v for k, v in json.loads(line).items() if k not in changing})
            for line in (user.folder / name).read_text().splitlines()
        ]
        for name in ("run/scores.jsonl", "alone.jsonl")
    )
    assert [row for row in there if row["images_seen"] == 500] == alone


@pytest.mark.slow
def test_ranks_share_a_budget_of_hours_and_its_schedule(user: Any) -> None:
    """Although their clocks differ, all ranks must end after the same round and use the same learning rates."""
    user.finish(
        *user.tiny, "budget.images=null", "budget.hours=0.0006", "optimizer.schedule=linear", *RANKS, "run.dir=run"
    )
    rows = [json.loads(line) for line in (user.folder / "run" / "history.jsonl").read_text().splitlines()]
    assert 0 < rows[-1]["generator/learning_rate"] < 0.2 * rows[0]["generator/learning_rate"]
    assert rows[-1]["seconds"] >= 0.0006 * 3600


@pytest.mark.slow
def test_ranks_play_on_points_whose_scores_rank_0_computes_alone(user: Any) -> None:
    points = ("data=gaussians", "model=gan", "network=mlp", "batch_size=16", "budget.images=1600", "logger=none")
    user.finish(*points, *RANKS, "callbacks.theory.enabled=false", "run.dir=run")
    cards = [json.loads(line) for line in (user.folder / "run" / "scores.jsonl").read_text().splitlines()]
    assert {card["images_seen"] for card in cards if card["metric"] == "mixture_kl"} >= {0, 1600}
