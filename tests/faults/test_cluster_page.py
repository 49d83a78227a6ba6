"""The scripts and commands of docs/cluster.md, on a SLURM of one node."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm import Cluster

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
SEARCH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""The search path of the commands, as in an activated environment."""
RANKS = ("trainer=ddp", "trainer.devices=2")
SECONDS = 900
"""Timeout of a command or a job."""


def commands_of(title: str) -> list[str]:
    """Return the commands of a section. A command goes on after a backslash or within quotation marks."""
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", SECTIONS[title], re.DOTALL))
    return re.findall(r'^\$ ((?:[^"\\\n]|\\\n|"[^"]*")*)', blocks, re.MULTILINE)


def arguments_of(command: str) -> list[str]:
    """Return the settings of a run, except for its folder, its model, its devices and those of Hydra."""
    words = [word for word in shlex.split(command) if "=" in word and not word.startswith("-")]
    return [word for word in words if not word.startswith(("hydra", "run.dir", "model", "trainer"))]


@dataclass
class Section:
    """The commands of a section of the page; all scripts of the page are in the user's folder."""

    commands: list[str]
    user: Any
    cluster: Cluster
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables for the commands."""

    def run(self, number: int = 0) -> str:
        """Run a command as in the page, check that it succeeds, and return its output."""
        slurm = {"SLURM_CONF": str(self.cluster.folder / "slurm.conf"), **self.settings}
        run = subprocess.run(
            ["bash", "-c", self.commands[number]], cwd=self.user.folder,
            env={**self.user.environment(), "PATH": SEARCH, **slurm},
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert run.returncode == 0, f"{self.commands[number]}\n{run.stdout}{run.stderr[-3000:]}"
        print(f"$ {self.commands[number]}\n{run.stdout}{run.stderr}")  # noqa: T201  # for the page: pytest -s
        return run.stdout

    def submit(self, number: int = 0) -> str:
        """Submit a job and return its number."""
        return self.run(number).split()[-1]

    def until(self, condition: Any) -> None:
        """Wait for a condition; on a timeout, fail with the logs of all jobs."""
        end = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > end:
                pytest.fail("\n".join(path.read_text()[-3000:] for path in self.user.folder.glob("*.log")))
            time.sleep(0.2)

    def finish(self, number: int = 0) -> str:
        """Submit a job, wait for its end, check that it succeeds, and return its number."""
        job = self.submit(number)
        self.until(lambda: self.cluster.ended(job))
        log = "\n".join(path.read_text()[-3000:] for path in self.user.folder.glob("*.log"))
        assert self.cluster.states(job) == {"COMPLETED"}, log
        return job


@pytest.fixture
def section(request: pytest.FixtureRequest, user: Any, cluster: Cluster) -> Section:
    for script, name in re.findall(r"```bash\n(#!/bin/bash\n# (\S+\.sbatch): .*?)```", PAGE, re.DOTALL):
        (user.folder / name).write_text(script)
    return Section(commands_of(request.param), user, cluster)


@pytest.mark.slow
@pytest.mark.parametrize("section", ["A sweep"], indirect=True)
def test_a_sweep(section: Section, user: Any) -> None:
    table = section.run()
    rows = [line.split()[:2] for line in table.splitlines() if re.match(r"\s+\d ", line)]
    assert rows == [["0", "model=dcgan"], ["1", "model=lsgan"]]
    user.finish(*arguments_of(section.commands[0]), "run.dir=alone", seconds=SECONDS)
    assert user.fingerprint(user.folder / "sweep" / "0_dcgan_digits_seed0") == user.fingerprint(user.folder / "alone")


@pytest.mark.slow
@pytest.mark.parametrize("section", ["One run on several devices"], indirect=True)
def test_two_tasks_train_one_run(section: Section, user: Any) -> None:
    section.finish()
    user.finish(*arguments_of(section.commands[0]), *RANKS, "run.dir=alone", seconds=SECONDS)
    assert user.fingerprint(user.folder / "runs" / "ddp") == user.fingerprint(user.folder / "alone")
    assert not (user.folder / "outputs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("section", ["An array of seeds"], indirect=True)
def test_an_array_of_seeds(section: Section, user: Any) -> None:
    section.finish()
    runs = [user.folder / "runs" / "seeds" / str(seed) for seed in range(3)]
    assert len({user.fingerprint(run) for run in runs}) == 3
    user.finish(*arguments_of(section.commands[0]), "seed=2", "run.dir=alone", seconds=SECONDS)
    assert user.fingerprint(runs[2]) == user.fingerprint(user.folder / "alone")
    assert "| 3 " in section.run(1)  # one row of three seeds


@pytest.mark.slow
@pytest.mark.parametrize("section", ["A job that is preempted"], indirect=True)
def test_a_preempted_job_ends_with_the_bits_of_an_undisturbed_run(section: Section, user: Any) -> None:
    job = section.submit()
    rows = user.folder / "runs" / "requeued" / "history.jsonl"
    section.until(lambda: rows.exists() and rows.read_text().count("\n") > 2)
    urgent = section.submit(1)
    section.until(lambda: section.cluster.ended(urgent) and section.cluster.ended(job))
    assert section.cluster.state(job)["JobState"] == "COMPLETED"
    assert section.cluster.state(job)["Restarts"] == "1"
    assert "stopped by SIGTERM after" in section.run(2)
    section.run(3)
    assert section.run(4).endswith(" tensors, 0 differ\n")
    assert user.fingerprint(user.folder / "runs" / "requeued") == user.fingerprint(user.folder / "runs" / "undisturbed")
    history, whole = (user.rows(user.folder / "runs" / name) for name in ("requeued", "undisturbed"))
    assert [row["images_seen"] for row in history] == [row["images_seen"] for row in whole]


@pytest.mark.slow
@pytest.mark.parametrize("section", ["Several machines"], indirect=True)
def test_slurm_on_two_machines(section: Section, user: Any) -> None:
    """Two nodes of SLURM on this machine, whose names no name server knows."""
    section.settings.update(SBATCH_PARTITION="pair", MASTER_ADDR="127.0.0.1")
    section.finish()
    user.finish(*arguments_of(section.commands[0]), *RANKS, "run.dir=alone", seconds=SECONDS)
    trainer = yaml.safe_load((user.folder / "runs" / "ddp" / "config.yaml").read_text())["trainer"]
    assert (trainer["devices"], trainer["num_nodes"]) == (1, 2)
    assert user.fingerprint(user.folder / "runs" / "ddp") == user.fingerprint(user.folder / "alone")


@pytest.mark.slow
def test_torchrun_on_two_machines(user: Any) -> None:
    """Two rendezvous agents on this machine; the weights are those of two processes on one machine."""
    command = commands_of("Several machines")[1]
    environment = {**user.environment(), "PATH": SEARCH, "FIRST": "127.0.0.1"}
    agents = [
        subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=user.folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        errors = [agent.communicate(timeout=SECONDS)[1] for agent in agents]
    finally:
        for agent in agents:
            agent.terminate()
    assert [agent.returncode for agent in agents] == [0, 0], "\n".join(text[-3000:] for text in errors)
    user.finish(*arguments_of(command), *RANKS, "run.dir=alone", seconds=SECONDS)
    assert user.fingerprint(user.folder / "runs" / "machines") == user.fingerprint(user.folder / "alone")
    assert [path.name for path in (user.folder / "runs").iterdir()] == ["machines"]
    assert not (user.folder / "outputs").exists()
