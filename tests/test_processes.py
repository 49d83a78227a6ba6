"""Which processes have been started, from the environment variables that torchrun and SLURM set."""

from __future__ import annotations

import os

import pytest

from saddlepoint import processes

VARIABLES = ("TORCHELASTIC", "SLURM", "LOCAL_", "RANK", "WORLD_SIZE")
TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6", "RANK": "3", "LOCAL_RANK": "1"}
SCRIPT = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "job", "SLURM_NTASKS": "6", "SLURM_PROCID": "0"}
STEP = {**SCRIPT, "SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NUM_NODES": "3", "SLURM_PROCID": "3"}
SINGLE = {**SCRIPT, "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1"}


@pytest.mark.parametrize(
    ("environment", "started", "rank"),
    [
        ({}, None, 0),
        (TORCHRUN, (2, 3), 3),
        (STEP, (2, 3), 3),
        (SCRIPT, None, 0),  # the batch script, without srun
        (SINGLE, None, 0),  # one task, as submitit has
        ({**SINGLE, **TORCHRUN}, (2, 3), 3),  # which has started processes itself
    ],
)
def test_started(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], started: tuple[int, int] | None, rank: int
) -> None:
    set_up(monkeypatch, environment)
    assert processes.started() == started
    assert processes.launched() == (started is not None)
    assert processes.rank() == rank


def set_up(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
