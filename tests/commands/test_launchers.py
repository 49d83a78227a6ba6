"""Sweeps by Hydra's launcher plugins, whose jobs run in processes of their own."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.writing import read_json_lines

INSTALLED = all(importlib.util.find_spec(f"hydra_plugins.hydra_{name}_launcher") for name in ("joblib", "submitit"))
LAUNCHERS = {
    "joblib": ("hydra.launcher.n_jobs=2",),
    "submitit_local": ("hydra.launcher.timeout_min=10",),
}


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="needs saddlepoint[sweeps]")
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_one_of_three_jobs_fails(
    invoke: Any, tiny: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    quick = ("budget.images=128", "features=random", "logger=none", "network=mlp", "hydra.sweep.dir=sweep")
    chosen = (f"hydra/launcher={launcher}", *LAUNCHERS[launcher])
    outcome = invoke("train", "-m", "batch_size=64,5000,32", *tiny[:2], *tiny[3:], *quick, *chosen)
    assert outcome.code == 1, outcome.err
    sweep = tmp_path / "sweep"
    jobs = {job["num"]: job for job in read_json_lines(sweep / "jobs.jsonl")}
    assert [jobs[i]["status"] for i in range(3)] == ["done", "failed", "done"]
    for i in (0, 2):
        (folder,) = sweep.glob(f"{i}_*")
        assert json.loads((folder / "summary.json").read_text())["images_seen"] == 128
    *_, first, failed, last, failure = outcome.out.rstrip().splitlines()
    assert first.split()[:2] == ["0", "batch_size=64"]
    assert failed.split() == ["1", "batch_size=5000", "failed"]
    assert last.split()[:2] == ["2", "batch_size=32"]
    assert failure.startswith("job 1 (batch_size=5000) failed: batch_size: 5000 is more than")
    assert outcome.err.splitlines()[-1] == (
        "error: 1 of 3 jobs failed; to run what has not finished: saddlepoint train sweep.resume=sweep"
    )
