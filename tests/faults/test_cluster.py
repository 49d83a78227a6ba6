"""External launchers: torchrun, and SLURM on a single node, with requeueing; see also test_cluster_page.py."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

GAME = (
    "network.width=4",
    "batch_size=16",
    "budget.images=512",
    "features=none",
    "logger=none",
    "callbacks.samples.n=4",
    "trainer.accelerator=cpu",
)
RANKS = ("trainer=ddp", "trainer.devices=2")


@pytest.mark.slow
def test_torchrun_gives_the_bits_of_our_own_launcher(user: Any) -> None:
    user.finish(*GAME, *RANKS, "run.dir=ours", seconds=300)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29613"]
    run = subprocess.run(
        [*command, "-m", "saddlepoint.commands", "train", *GAME, *RANKS, "run.dir=theirs"],
        cwd=user.folder, env=user.environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert user.fingerprint(user.folder / "theirs") == user.fingerprint(user.folder / "ours")
    assert sorted(path.name for path in user.folder.iterdir() if path.name in ("ours", "theirs", "outputs")) == [
        "ours",
        "theirs",
    ]


def batch(user: Any, cluster: Any, *arguments: str) -> str:
    """Submit a run of one task that may be requeued, and return the number of the job."""
    words = " ".join([sys.executable, "-m", "saddlepoint.commands", "train", *arguments, "run.dir=run", "resume=auto"])
    script: Path = user.folder / "job.sh"
    script.write_text(
        "#!/bin/bash\n#SBATCH --ntasks=1\n#SBATCH --requeue\n#SBATCH --open-mode=append\n#SBATCH --output=job.out\n"
        f"srun {words}\n"
    )
    submitted = cluster.command(
        "sbatch", "--parsable", f"--chdir={user.folder}", str(script), environment=user.environment()
    )
    return str(submitted.stdout).strip()


def until(condition: Any, user: Any, seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            out = user.folder / "job.out"
            pytest.fail(out.read_text()[-3000:] if out.exists() else "no job.out")
        time.sleep(0.2)


@pytest.mark.slow
def test_slurm_requeues_a_run_that_goes_on_to_the_same_bits(user: Any, cluster: Any) -> None:
    """On SIGUSR1, a task that has started two processes saves and requeues its job, which ends as if undisturbed."""
    long = [*GAME, *RANKS, "budget.images=20000", "callbacks.history.every_rounds=1"]
    user.finish(*long, "run.dir=whole", seconds=300)
    job = batch(user, cluster, *long)
    history = user.folder / "run" / "history.jsonl"
    until(lambda: history.exists() and history.read_text().count("\n") > 20, user)
    cluster.command("scancel", "--signal=USR1", job)
    until(lambda: cluster.state(job).get("Restarts") == "1" and cluster.ended(job), user, seconds=400)
    assert cluster.states(job) == {"COMPLETED"}
    output = (user.folder / "job.out").read_text()
    assert "stopped by SIGUSR1" in output
    assert user.fingerprint(user.folder / "run") == user.fingerprint(user.folder / "whole")
    rows = user.rows(user.folder / "run")
    assert [row["images_seen"] for row in rows] == sorted({row["images_seen"] for row in rows})


@pytest.mark.slow
def test_a_cancelled_job_saves_and_exits_with_143(user: Any, cluster: Any) -> None:
    job = batch(user, cluster, *GAME, "budget.images=10_000_000", "callbacks.history.every_rounds=1")
    history = user.folder / "run" / "history.jsonl"
    until(lambda: history.exists() and history.read_text().count("\n") > 20, user)
    cluster.command("scancel", "--signal=TERM", job)
    until(lambda: cluster.ended(job), user)
    assert cluster.state(job)["ExitCode"].split(":")[0] == "143"
    assert "stopped by SIGTERM" in (user.folder / "job.out").read_text()
    assert user.fingerprint(user.folder / "run")


@pytest.mark.slow
def test_a_sweep_by_submitit_is_an_array_of_jobs(user: Any, cluster: Any) -> None:
    """One of two jobs fails; the other has the bits of a run without SLURM."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    game = [argument for argument in GAME if not argument.startswith("batch_size=")]
    user.finish(*GAME, "run.dir=ours", seconds=300)
    command = [sys.executable, "-m", "saddlepoint.commands", "train", "-m", "batch_size=16,5000", *game]
    launcher = ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=20", "hydra.launcher.cpus_per_task=1"]
    run = subprocess.run(
        [*command, *launcher, "hydra.sweep.dir=sweep"], cwd=user.folder,
        env={**user.environment(), "SLURM_CONF": str(cluster.folder / "slurm.conf")},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stderr[-3000:]
    sweep = user.folder / "sweep"
    assert user.fingerprint(sweep / "0_dcgan_digits_seed0") == user.fingerprint(user.folder / "ours")
    assert run.stdout.splitlines()[-1].startswith("job 1 (batch_size=5000) failed: batch_size: 5000 is more than")
    assert run.stderr.splitlines()[-1].startswith("error: 1 of 2 jobs failed")
