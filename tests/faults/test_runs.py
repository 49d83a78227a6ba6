"""Runs that start at the same time, and failing jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from saddlepoint.writing import read_json_lines


@pytest.mark.slow
def test_two_runs_in_the_same_second(user: Any) -> None:
    """Of three pairs, at least one starts within the same second; each run has its own folder."""
    command = (*user.tiny, "budget.images=32")
    processes = [user.start(*command) for _ in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    runs = sorted(path.name for path in (user.folder / "outputs").iterdir())
    assert len(runs) == 6
    assert len({name[:19] for name in runs}) < 6
    for name in runs:
        assert [row["images_seen"] for row in user.rows(user.folder / "outputs" / name)] == [16, 32]


@pytest.mark.slow
def test_one_job_of_a_sweep_fails(user: Any, faulty: tuple[str, ...]) -> None:
    options = ("loss.kind=fails for seed 2", "loss.at=3", "budget.images=160")
    process = user.run("-m", *faulty, "seed=1,2,3", *user.tiny, *options)
    assert process.code() == 1
    (sweep,) = (user.folder / "outputs" / "sweeps").iterdir()
    lines = read_json_lines(sweep / "jobs.jsonl")
    assert [line["status"] for line in lines[::2]] == ["started"] * 3
    jobs = lines[1::2]
    assert [job["status"] for job in jobs] == ["done", "failed", "done"]
    assert jobs[1]["error"] == "RuntimeError: seed 2 is cursed"
    finished = [json.loads(path.read_text())["images_seen"] for path in sorted(sweep.glob("*/summary.json"))]
    assert finished == [160, 160]
    assert "failed: RuntimeError: seed 2 is cursed" in process.out
    assert process.err.splitlines()[-1].startswith("error: 1 of 3 jobs failed; to run what has not finished: ")
    assert "Traceback" not in process.err
