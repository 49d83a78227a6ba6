"""The end of a sweep: a table with one row per job, and the failures below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from saddlepoint.commands import sweep
from saddlepoint.metrics.cards import short
from saddlepoint.terminal import console
from saddlepoint.writing import read_json_lines

WIDTH = 80
"""Width of the table in columns if it is not printed to a terminal."""

UNFINISHED = "it has not ended; its process was killed, or is still running"


@dataclass(frozen=True)
class Job:
    """A job of a sweep.

    Attributes:
        number: its number, counting from 0.
        overrides: its overrides.
        error: why it failed, as one line; None if it has finished.
        summary: the contents of its ``summary.json``; empty if it has failed.
    """

    number: int
    overrides: Sequence[str]
    error: str | None
    summary: Mapping[str, Any]

    @property
    def best(self) -> tuple[str, float] | None:
        """The name of the monitored score and its best value, or None without scores."""
        return next(iter((self.summary.get("best") or {}).items()), None)


def read(directory: Path) -> list[Job]:
    """Return the jobs of the sweep in ``directory`` that have started, by number."""
    latest = {line["num"]: line for line in read_json_lines(directory / sweep.JOBS)}
    jobs = []
    for number, line in sorted(latest.items()):
        error = line["error"] if line["status"] != "started" else UNFINISHED
        jobs.append(Job(number, line["overrides"], error, {} if error else sweep.summary(directory, number)))
    return jobs


def differing(jobs: Sequence[Job]) -> list[str]:
    """Return for each job those of its overrides that not all jobs have.

    >>> one, two = (Job(i, ["model=dcgan", f"seed={i}"], None, {}) for i in range(2))
    >>> differing([one, two]), differing([one])
    (['seed=0', 'seed=1'], [''])
    """
    common = set.intersection(*(set(job.overrides) for job in jobs)) if jobs else set()
    return [" ".join(override for override in job.overrides if override not in common) for job in jobs]


def show(directory: Path) -> list[Job]:
    """Print the table of the sweep in ``directory`` and a line for each failed job.

    Returns:
        All jobs that have started.
    """
    jobs = read(directory)
    if not jobs:
        return jobs
    settings = differing(jobs)
    out = console(width=WIDTH)
    number = f"{len(jobs)} jobs" if len(jobs) > 1 else "1 job"
    out.print(f"{number} in {directory}", soft_wrap=True)
    out.print(_table(jobs, settings))
    for job, own in zip(jobs, settings, strict=True):
        if job.error is not None:
            which = f"job {job.number}" + (f" ({own})" if own else "")
            out.print(Text.assemble((f"{which} failed:", "red"), f" {job.error}"), soft_wrap=True)
    return jobs


def _table(jobs: Sequence[Job], settings: Sequence[str]) -> Table:
    scores = list(dict.fromkeys(job.best[0] for job in jobs if job.best is not None))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("job", justify="right", no_wrap=True)
    table.add_column("settings", overflow="fold")
    if scores:
        table.add_column(scores[0] if len(scores) == 1 else "score", justify="right", overflow="fold")
        table.add_column("best", justify="right", no_wrap=True)
    table.add_column("images", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for job, own in zip(jobs, settings, strict=True):
        table.add_row(
            str(job.number),
            own,
            *(_scores(job, named=len(scores) > 1) if scores else ()),
            Text("failed", "red") if job.error is not None else f"{job.summary.get('images_seen', 0):,}",
            str(timedelta(seconds=round(job.summary["seconds"]))) if job.summary else "",
        )
    return table


def _scores(job: Job, named: bool) -> tuple[str, str]:
    """Return the last and the best value of the monitored score; with its name if the jobs differ in it."""
    if job.best is None:
        return "", ""
    name, best = job.best
    return (f"{name} " if named else "") + short(job.summary["last"][name]), short(best)
