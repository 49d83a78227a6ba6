"""Sweeps: their folder, a record of each job, and the closing table."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from saddlepoint import writing
from saddlepoint.config.compose import typed
from saddlepoint.config.overrides import parse, quote
from saddlepoint.errors import RunError, UserError
from saddlepoint.tracking import run_directory
from saddlepoint.writing import append_json_line, read_json_lines

_sweep_directory: Path | None = None


class Carried(BaseException):
    """Carries an error out of Hydra, which catches every ``Exception`` of callbacks and jobs.

    Args:
        error: what ends the command.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class SweepRecorder(Callback):
    """Hydra's callback that finds the folder of a sweep before its first job.

    Args:
        keep: False where jobs write where they are told to, and nothing of the sweep itself shall stay.
    """

    def __init__(self, keep: bool = True) -> None:
        self.keep = keep

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Find out that the sweep's folder can be written, and keep it for all jobs."""
        own: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
        given = [override.key_or_group for override in parse(own)]
        if not self.keep and "hydra.sweep.dir" not in given:
            # Hydra needs a folder, for a file and a folder a job that nobody asked for. Jobs compose it anew.
            scratch = tempfile.mkdtemp(prefix="saddlepoint-")
            weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
            config.hydra.sweep.dir = scratch
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quote(scratch)}")
            return
        directory = Path(config.hydra.sweep.dir)
        try:
            if self.keep and _names_one_folder(config):
                raise run_directory.one_folder()
            with writing.folder(directory, [], "set hydra.sweep.dir to a folder that can be written"):
                pass
        except UserError as error:
            raise Carried(error) from None
        config.hydra.sweep.dir = str(directory)
        if self.keep:
            global _sweep_directory
            _sweep_directory = directory


def _names_one_folder(config: DictConfig) -> bool:
    """Whether ``run.dir`` is set, also to several folders: with anything else varied, jobs would share them."""
    return bool(config.run.dir) or any(
        override.key_or_group == "run.dir" and override.is_sweep_override() for override in parse(typed(config.hydra))
    )


@contextmanager
def recorded() -> Iterator[None]:
    """Append a line to ``jobs.jsonl`` when this job is done or has failed, whichever launcher runs it."""
    hydra = HydraConfig.get()
    path = Path(hydra.sweep.dir) / "jobs.jsonl"
    job = {"num": hydra.job.num, "overrides": typed(hydra)}
    try:
        yield
    except Exception as error:
        append_json_line(path, {**job, "status": "failed", "error": described(error)})
        raise
    append_json_line(path, {**job, "status": "done", "error": None})


def described(error: Exception) -> str:
    """Return an error in one line, with its type unless it is one of ours."""
    known = isinstance(error, UserError | RunError)
    return (str(error) if known else f"{type(error).__name__}: {error}").splitlines()[0]


def job_number() -> int | None:
    """Return the number of this job in its sweep, from 0; None where there is no sweep."""
    hydra = HydraConfig.get()
    return int(hydra.job.num) if hydra.mode is not None and hydra.mode.name == "MULTIRUN" else None


def own_folder(folder: str) -> Path:
    """Return ``folder``, or in a sweep a folder of this job's own in it."""
    number = job_number()
    return Path(folder) if number is None else Path(folder) / str(number)


def is_running() -> bool:
    """Whether this process runs a sweep."""
    return _sweep_directory is not None


def print_table() -> None:
    """Print a row a job: what was varied, its scores, images, time and folder, or why it failed; once."""
    global _sweep_directory
    directory, _sweep_directory = _sweep_directory, None
    jobs = sorted(read_json_lines(directory / "jobs.jsonl"), key=lambda job: job["num"]) if directory else []
    if directory is None or not jobs:
        return
    rows = [(job, summary(directory, job["num"])) for job in jobs]
    metrics = list(dict.fromkeys(m for _, ended in rows for m in ended.get("last", {})))[:6]
    table = Table(title=f"{len(jobs)} jobs in {directory}", title_justify="left")
    for heading in ("job", "overrides"):
        table.add_column(heading)
    for metric in metrics:
        table.add_column(metric, justify="right")
    for heading in ("images", "time", "run"):
        table.add_column(heading, justify="right" if heading != "run" else "left", overflow="fold")
    for job, ended in rows:
        last = ended.get("last", {})
        table.add_row(
            str(job["num"]),
            escape(" ".join(job["overrides"])),
            *(f"{last[m]:.4g}" if m in last else "" for m in metrics),
            f"{ended['images_seen']:,}" if ended else "",
            f"{ended['seconds']:.0f} s" if ended else "",
            Path(ended["directory"]).name if ended else f"[red]failed: {escape(job['error'])}",
        )
    Console(width=None if Console().is_terminal else 160).print(table)


def summary(directory: Path, num: int) -> dict[str, Any]:
    """Return the summary of a job in a sweep's folder; empty if the job has failed."""
    for path in directory.glob(f"{num}_*/summary.json"):
        return json.loads(path.read_text())
    return {}
