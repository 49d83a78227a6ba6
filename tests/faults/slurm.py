"""A SLURM cluster on this machine, for tests; run as a program, this installs SLURM."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "squeue")
CONFIG = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=cred_expire=10
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MinJobAge=600
KillWait=30
BatchStartTimeout=60
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 Port=16821 CPUs={cpus} State=UNKNOWN
NodeName=first NodeHostname={host} NodeAddr=127.0.0.1 Port=16822 CPUs=1 State=UNKNOWN
NodeName=second NodeHostname={host} NodeAddr=127.0.0.1 Port=16823 CPUs=1 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=high Nodes={host} PriorityTier=2 PreemptMode=OFF MaxTime=INFINITE State=UP
PartitionName=pair Nodes=first,second MaxTime=INFINITE State=UP
"""
"""The configuration: a node with this machine's cores for all tests but one, which takes a pair of nodes.

A requeued job waits for the credential of its last start to expire, here 10 seconds, usually 120.
"""
NODES = (socket.gethostname(), "first", "second")
PACKAGES = ("slurm-wlm", "munge")
"""Debian's packages of SLURM."""
SYSTEM = f"{os.environ['PATH']}:/usr/sbin:/sbin"
"""The search path of the daemons."""
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}
"""The states of a job that will not run again."""


def missing() -> str:
    """Return the reason why SLURM cannot run on this machine, or an empty string."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=SYSTEM) is None]
    if absent:
        return f"needs Debian's {' and '.join(PACKAGES)} ({', '.join(absent)} not installed)"
    return "" if os.geteuid() == 0 else "needs root, to start a cluster"


@dataclass
class Cluster:
    """SLURM whose nodes are all this machine: munged, slurmctld and one slurmd per node."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start the daemons and wait until jobs can run."""
        (self.folder / "state").mkdir(parents=True)
        text = CONFIG.format(host=NODES[0], folder=self.folder, cpus=os.cpu_count())
        (self.folder / "slurm.conf").write_text(text)
        if not _munge_answers():  # otherwise it is a service of this machine
            account = pwd.getpwnam("munge")
            runtime = Path("/run/munge")
            runtime.mkdir(exist_ok=True)
            os.chown(runtime, account.pw_uid, account.pw_gid)
            self._spawn(["munged", "--foreground"], user="munge", group="munge")
            self._until(_munge_answers)
        self._spawn(["slurmctld", "-D"])
        for node in NODES:
            self._spawn(["slurmd", "-D", "-N", node])
        self._until(lambda: self.command("srun", "-n2", "true", check=False).returncode == 0)
        self._until(lambda: self.command("srun", "-ppair", "-N2", "true", check=False).returncode == 0)

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

    def states(self, job: str) -> set[str]:
        """Return the states of a job, or of all jobs of an array."""
        return set(re.findall(r"JobState=(\w+)", self.command("scontrol", "-o", "show", "job", job).stdout))

    def ended(self, job: str) -> bool:
        """Whether a job, or all jobs of an array, have ended and will not run again."""
        return self.states(job) <= ENDED

    def _spawn(self, command: list[str], **account: str) -> None:
        environment = {**self.environment(), "PATH": SYSTEM}
        with (self.folder / f"{command[0]}-{len(self.daemons)}.out").open("wb") as out:
            self.daemons.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out, **account))

    def _until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                logs = "\n".join(path.read_text()[-1500:] for path in self.folder.glob("*.out"))
                pytest.fail(f"SLURM did not start\n{logs}")
            time.sleep(0.5)


def _munge_answers() -> bool:
    return subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0


def install() -> None:
    """Install SLURM by apt if it is missing, or exit with the reason why that is not possible."""
    if not missing():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"{missing()}; run this as root on Debian or Ubuntu, or in a container of theirs")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", "--quiet", *command], env=environment, check=True)
    if missing():
        sys.exit(missing())


if __name__ == "__main__":
    install()
