"""External launchers: torchrun, and SLURM on a single node, with requeueing; see also test_cluster_page.py."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from saddlepoint.writing import read_json_lines

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


def sweep(user: Any, cluster: Any, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep by submitit, in the folder ``sweep``."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    command = [sys.executable, "-m", "saddlepoint.commands", "train", "-m", *arguments, "hydra.sweep.dir=sweep"]
    launcher = ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=20", "hydra.launcher.cpus_per_task=1"]
    environment = {**user.environment(), "SLURM_CONF": str(cluster.folder / "slurm.conf")}
    return subprocess.Popen(
        [*command, *launcher], cwd=user.folder, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_sweep_by_submitit_is_an_array_of_jobs(user: Any, cluster: Any) -> None:
    """One of two jobs fails; the other has the bits of a run without SLURM."""
    game = [argument for argument in GAME if not argument.startswith("batch_size=")]
    with sweep(user, cluster, *game, "batch_size=16,5000") as process:
        user.finish(*GAME, "run.dir=ours", seconds=300)
        out, err = process.communicate(timeout=900)
    assert process.returncode == 1, err[-3000:]
    folder = user.folder / "sweep" / "0_dcgan_digits_seed0"
    assert user.fingerprint(folder) == user.fingerprint(user.folder / "ours")
    assert out.splitlines()[-1].startswith("job 1 (batch_size=5000) failed: batch_size: 5000 is more than")
    assert err.splitlines()[-1].startswith("error: 1 of 2 jobs failed")


@pytest.mark.slow
def test_a_preempted_job_of_a_sweep_continues_its_run(user: Any, cluster: Any) -> None:
    game = [*GAME, "budget.images=40000", "callbacks.history.every_rounds=1"]
    folder = user.folder / "sweep" / "0_dcgan_digits_seed1"
    history = folder / "history.jsonl"
    user.finish(*game, "seed=1", "run.dir=ours", seconds=300)
    with sweep(user, cluster, *game, "seed=1") as process:
        until(lambda: history.exists() and history.read_text().count("\n") > 20, user)
        cluster.command("sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=true")
        out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err[-3000:]
    assert len(user.rows(folder)) == 2500
    assert [line["status"] for line in read_json_lines(folder.parent / "jobs.jsonl")] == ["started", "started", "done"]
    assert user.fingerprint(folder) == user.fingerprint(user.folder / "ours")
    assert out.splitlines()[-1].split()[:2] == ["0", "40,000"]  # the number of the job and its images
