"""Resuming runs: continuing, overrides that may not change, and missing checkpoints."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.tracking.checkpoints import load

SCORED = (
    "network.width=4", "batch_size=16", "logger=none", "callbacks.samples.n=4", "features=random",
    "callbacks.scores.n=64", "callbacks.history.every_rounds=1", "callbacks.checkpoints.every_images=64",
)  # fmt: skip


def scores(user: Any, name: str) -> list[dict[str, Any]]:
    rows = (user.folder / name / "scores.jsonl").read_text().splitlines()
    return [user.rounded({k: v for k, v in json.loads(row).items() if k != "seconds"}) for row in rows]


@pytest.mark.slow
def test_the_best_card_is_taken_up_and_later_rows_are_dropped(user: Any) -> None:
    command = (*SCORED, "budget.images=640", "callbacks.scores.every_images=48")
    user.finish(*command, "run.dir=alone")
    process = user.start(*command, "run.dir=run")
    process.until(lambda: len(user.rows(user.folder / "run")) >= 20)
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    # Rows written after the checkpoint, which the resumed run must remove.
    for name in ("history.jsonl", "scores.jsonl"):
        with (user.folder / "run" / name).open("a") as file:
            file.write('{"images_seen": 639, "metric": "fid_random", "value": -1.0}\n{"images_seen": 64')
    user.finish("resume=run")
    assert scores(user, "run") == scores(user, "alone")
    assert not any(row["images_seen"] == 639 for row in user.rows(user.folder / "run"))
    texts = [(user.folder / name / "summary.json").read_text() for name in ("run", "alone")]
    summaries = [user.rounded(json.loads(text)) for text in texts]
    for key in ("best", "best_at_images", "last", "untrained", "images_seen", "generator_updates"):
        assert summaries[0][key] == summaries[1][key], key
    for name in ("last", "best"):
        assert user.fingerprint(user.folder / "run", name) == user.fingerprint(user.folder / "alone", name)


@pytest.mark.slow
def test_a_finished_run_is_finished(user: Any) -> None:
    user.finish(*SCORED, "budget.images=100", "run.dir=run")
    before = scores(user, "run"), user.fingerprint(user.folder / "run"), len(user.rows(user.folder / "run"))
    assert "100 images" in user.finish("resume=run", seconds=60).out
    assert before == (scores(user, "run"), user.fingerprint(user.folder / "run"), len(user.rows(user.folder / "run")))


@pytest.mark.slow
def test_auto_starts_and_then_goes_on(user: Any) -> None:
    command = (*user.tiny, "resume=auto", "run.dir=run", "callbacks.checkpoints.every_images=64")
    user.finish(*command, "budget.images=160")
    assert load(user.folder / "run" / "checkpoints" / "last.ckpt")["progress"]["rounds"] == 10
    assert "is ignored" not in user.finish(*command, "budget.images=160").err
    assert [row["images_seen"] for row in user.rows(user.folder / "run")] == list(range(16, 161, 16))


@pytest.mark.slow
def test_auto_takes_a_larger_budget_and_warns_of_what_cannot_change(user: Any) -> None:
    command = (*user.tiny, "resume=auto", "run.dir=run")
    user.finish(*command, "budget.images=160", "model.ema_decay=0.9")
    process = user.finish(*command, "budget.images=320", "model.ema_decay=0.5", "loss=hinge")
    state = load(user.folder / "run" / "checkpoints" / "last.ckpt")
    assert state["progress"]["images_seen"] == 320
    assert state["saddlepoint"]["config"]["model"]["ema_decay"] == 0.9
    assert "continues with its own model.ema_decay=0.9; 0.5 on this command line is ignored" in process.err
    assert "continues with its own loss=nonsaturating; hinge on this command line is ignored" in process.err


@pytest.mark.slow
def test_auto_starts_anew_what_was_stopped_before_its_first_checkpoint(user: Any) -> None:
    command = (*user.tiny, "resume=auto", "run.dir=run", "budget.images=16_000")
    process = user.start(*command, "callbacks.checkpoints.every_images=16_000")
    process.until(lambda: len(user.rows(user.folder / "run")) >= 3)
    process.send(signal.SIGKILL)
    process.wait()
    assert not list((user.folder / "run").rglob("*.ckpt"))
    refused = user.run("resume=run")
    assert refused.code() == 2
    assert "no checkpoint in run/checkpoints: the run was stopped before the first was written" in refused.err
    user.finish(*user.tiny, "resume=auto", "run.dir=run", "budget.images=64")
    assert [row["images_seen"] for row in user.rows(user.folder / "run")] == [16, 32, 48, 64]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("network.width=8", "network.width: cannot be changed when a run is resumed"),
        ("seed=1", "seed: cannot be changed when a run is resumed"),
        ("resume=gone", "resume: no run or checkpoint at gone"),
        ("resume=auto", "run.dir: required by resume=auto"),
    ],
)
def test_what_is_refused(user: Any, finished: Path, arguments: str, named: str) -> None:
    before = user.fingerprint(finished)
    process = user.run(*(() if arguments.startswith("resume") else ("resume=run",)), arguments)
    assert process.code() == 2
    assert process.err.splitlines()[-1].startswith(f"error: {named}")
    assert "Traceback" not in process.err
    assert user.fingerprint(finished) == before
