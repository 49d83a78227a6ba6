"""External launchers: torchrun, and SLURM on a single node, with requeueing."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "squeue")
CONFIG = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MinJobAge=600
KillWait=30
BatchStartTimeout=60
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return the reason why SLURM cannot run on this machine, or an empty string."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if absent:
        return f"needs Debian's slurm-wlm and munge ({', '.join(absent)} not installed)"
    return "" if os.geteuid() == 0 else "needs root, to start a cluster"


@dataclass
class Cluster:
    """SLURM on this machine as the only node: munged, slurmctld and slurmd."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start the daemons and wait until jobs can run."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        text = CONFIG.format(host=socket.gethostname(), folder=self.folder, cpus=os.cpu_count())
        (self.folder / "slurm.conf").write_text(text)
        account = pwd.getpwnam("munge")
        runtime = Path("/run/munge")
        runtime.mkdir(exist_ok=True)
        os.chown(runtime, account.pw_uid, account.pw_gid)
        self._spawn(["munged", "--foreground"], user="munge", group="munge")
        self._until(lambda: subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0)
        self._spawn(["slurmctld", "-D"])
        self._spawn(["slurmd", "-D"])
        self._until(lambda: self.command("srun", "-n2", "true", check=False).returncode == 0)

    def stop(self) -> None:
        """Stop the daemons in reverse order."""
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def command(
        self, *arguments: str, environment: Mapping[str, str] | None = None, check: bool = True, seconds: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a SLURM command."""
        run = subprocess.run(
            arguments, env={**self.environment(), **(environment or {})}, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
        assert not check or run.returncode == 0, f"{arguments}: {run.stdout[-2000:]}{run.stderr[-2000:]}"
        return run

    def state(self, job: str) -> dict[str, str]:
        """Return SLURM's state of a job."""
        text = self.command("scontrol", "-o", "show", "job", job).stdout
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def _spawn(self, command: list[str], **account: str) -> None:
        environment = {**self.environment(), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        with (self.folder / f"{command[0]}.out").open("wb") as out:
            self.daemons.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out, **account))

    def _until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                logs = "\n".join(path.read_text()[-1500:] for path in self.folder.glob("*.out"))
                pytest.fail(f"SLURM did not start\n{logs}")
            time.sleep(0.5)


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
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := missing():
        pytest.skip(reason)
    one = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        one.start()
        yield one
    finally:
        one.stop()


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


@pytest.mark.slow
def test_two_tasks_of_slurm_play_one_game(user: Any, cluster: Cluster) -> None:
    user.finish(*GAME, *RANKS, "run.dir=ours", seconds=300)
    command = [sys.executable, "-m", "saddlepoint.commands", "train", *GAME, *RANKS, "run.dir=theirs"]
    cluster.command("srun", "--ntasks-per-node=2", f"--chdir={user.folder}", *command, environment=user.environment())
    assert user.fingerprint(user.folder / "theirs") == user.fingerprint(user.folder / "ours")
    assert not (user.folder / "outputs").exists()


def batch(user: Any, cluster: Cluster, *arguments: str) -> str:
    """Submit a run that may be requeued and is signalled 30 s before its time limit."""
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
def test_slurm_requeues_a_run_that_goes_on_to_the_same_bits(user: Any, cluster: Cluster) -> None:
    """On SIGUSR1 the run saves and requeues itself; when resumed, it ends with the bits of an uninterrupted run."""
    long = [*GAME, "budget.images=40000", "callbacks.history.every_rounds=1", "callbacks.samples.every_images=1000000"]
    user.finish(*long, "run.dir=whole", seconds=300)
    job = batch(user, cluster, *long)
    history = user.folder / "run" / "history.jsonl"
    until(lambda: history.exists() and history.read_text().count("\n") > 20, user)
    cluster.command("scancel", "--signal=USR1", job)
    until(lambda: int(cluster.state(job).get("Restarts", "0")) == 1, user)
    # Shortens SLURM's delay of two minutes; without any, the node confuses the job with the one that just ended.
    time.sleep(5)
    cluster.command("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
    until(lambda: cluster.state(job)["JobState"] in ENDED, user, seconds=400)
    assert cluster.state(job)["JobState"] == "COMPLETED"
    output = (user.folder / "job.out").read_text()
    assert "stopped by SIGUSR1" in output
    assert user.fingerprint(user.folder / "run") == user.fingerprint(user.folder / "whole")
    rows = user.rows(user.folder / "run")
    assert [row["images_seen"] for row in rows] == sorted({row["images_seen"] for row in rows})


@pytest.mark.slow
def test_a_cancelled_job_saves_and_exits_with_143(user: Any, cluster: Cluster) -> None:
    job = batch(user, cluster, *GAME, "budget.images=10_000_000", "callbacks.history.every_rounds=1")
    history = user.folder / "run" / "history.jsonl"
    until(lambda: history.exists() and history.read_text().count("\n") > 20, user)
    cluster.command("scancel", "--signal=TERM", job)
    until(lambda: cluster.state(job)["JobState"] in ENDED, user)
    assert cluster.state(job)["ExitCode"].split(":")[0] == "143"
    assert "stopped by SIGTERM" in (user.folder / "job.out").read_text()
    assert user.fingerprint(user.folder / "run")


@pytest.mark.slow
def test_a_sweep_by_submitit_is_an_array_of_jobs(user: Any, cluster: Cluster) -> None:
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
