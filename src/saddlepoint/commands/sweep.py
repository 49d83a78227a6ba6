"""Sweeps: the folder, a record of each job, and the table printed at the end."""

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
    """Wraps an exception to pass it through Hydra, which catches every ``Exception`` of callbacks and jobs.

    Args:
        error: the exception that ends the command.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class SweepRecorder(Callback):
    """Hydra callback that checks and stores the folder of a sweep before its first job.

    Args:
        keep: whether the sweep's folder is kept; False for commands whose jobs write elsewhere.
    """

    def __init__(self, keep: bool = True) -> None:
        self.keep = keep

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check that the sweep's folder can be written, and store its name for all jobs."""
        own: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
        given = [override.key_or_group for override in parse(own)]
        if not self.keep and "hydra.sweep.dir" not in given:
            # Hydra writes a file and a folder per job, which are of no use here, so it gets a temporary folder. The
            # override is for the jobs, which compose Hydra's config again.
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
    """Whether ``run.dir`` is set, to one or several values; jobs that differ in other settings would share a folder."""
    return bool(config.run.dir) or any(
        override.key_or_group == "run.dir" and override.is_sweep_override() for override in parse(typed(config.hydra))
    )


@contextmanager
def recorded() -> Iterator[None]:
    """Append a line to ``jobs.jsonl`` when this job has finished or failed, with any of Hydra's launchers."""
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
    """Return an error as one line, with its type unless it is a UserError or a RunError."""
    known = isinstance(error, UserError | RunError)
    return (str(error) if known else f"{type(error).__name__}: {error}").splitlines()[0]


def job_number() -> int | None:
    """Return the number of this job in its sweep, counting from 0, or None outside a sweep."""
    hydra = HydraConfig.get()
    return int(hydra.job.num) if hydra.mode is not None and hydra.mode.name == "MULTIRUN" else None


def own_folder(folder: str) -> Path:
    """Return ``folder``, or in a sweep the job's own subfolder of it."""
    number = job_number()
    return Path(folder) if number is None else Path(folder) / str(number)


def is_running() -> bool:
    """Whether this process runs a sweep."""
    return _sweep_directory is not None


def print_table() -> None:
    """Print a table with one row per job: overrides, scores, images, time and folder, or the error; ends the sweep."""
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
    """Return the summary of a job of the sweep in ``directory``; empty if the job has failed."""
    for path in directory.glob(f"{num}_*/summary.json"):
        return json.loads(path.read_text())
    return {}
