"""Sweeps: what each job came to, and the closing table of all of them."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from saddlepoint.commands import writing
from saddlepoint.errors import UserError
from saddlepoint.tracking.run_directory import append_json_line, read_json_lines

ONE_FOLDER = "run.dir is one folder, and a sweep has a run a job; with -m, say hydra.sweep.dir="
"""What a run of a sweep with ``run.dir`` is refused with."""

_sweep_directory: Path | None = None


class SweepRecorder(Callback):
    """Hydra's callback: keeps one line a job in ``jobs.jsonl``, whichever launcher ran it.

    Args:
        keep: False where jobs write where they are told to, and nothing of the sweep itself shall stay.
    """

    def __init__(self, keep: bool = True) -> None:
        self.keep = keep

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Find out that the sweep can be written, and note where; it stays the same for all its jobs."""
        typed = any(override.lstrip("+").startswith("hydra.sweep.dir=") for override in config.hydra.overrides.hydra)
        if not self.keep and not typed:
            # Hydra wants a folder, for a file and a folder a job that nobody asked for; jobs compose it anew.
            scratch = tempfile.mkdtemp(prefix="saddlepoint-")
            weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
            config.hydra.sweep.dir = scratch
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{scratch}'")
            return
        directory = Path(config.hydra.sweep.dir)
        try:
            if self.keep and _names_one_folder(config):
                raise UserError(ONE_FOLDER)
            with writing.folder(directory, [], "set hydra.sweep.dir to a folder that can be written"):
                pass
        except UserError as error:  # which Hydra would make a warning of
            sys.stderr.write(f"error: {error}\n")
            sys.exit(2)
        config.hydra.sweep.dir = str(directory)
        if self.keep:
            global _sweep_directory
            _sweep_directory = directory

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record the job."""
        if not self.keep or config.hydra.mode is None or config.hydra.mode.name != "MULTIRUN":
            return
        failed = job_return.status.name == "FAILED"
        error = job_return._return_value if failed else None
        record = {
            "num": config.hydra.job.num,
            "overrides": list(config.hydra.overrides.task),
            "status": "failed" if failed else "done",
            "error": f"{type(error).__name__}: {error}".splitlines()[0] if failed else None,
        }
        append_json_line(Path(config.hydra.sweep.dir) / "jobs.jsonl", record)


def _names_one_folder(config: DictConfig) -> bool:
    """Whether ``run.dir`` is set, also to several folders: with anything else varied, jobs would share them."""
    return bool(config.run.dir) or any(re.match(r"\+*run\.dir=.*,", o) for o in config.hydra.overrides.task)


def job_number() -> int | None:
    """Return which job of a sweep this is, from 0 on; None without ``-m``."""
    hydra = HydraConfig.get()
    return int(hydra.job.num) if hydra.mode is not None and hydra.mode.name == "MULTIRUN" else None


def own_folder(folder: str) -> Path:
    """Return ``folder``, or the one of this job in it: no two jobs of a sweep write to the same."""
    number = job_number()
    return Path(folder) if number is None else Path(folder) / str(number)


def is_running() -> bool:
    """Whether this process runs a sweep."""
    return _sweep_directory is not None


def print_table() -> None:
    """Print a row a job: what was varied, its scores, images, time and folder, or why it failed."""
    global _sweep_directory
    directory, _sweep_directory = _sweep_directory, None
    jobs = sorted(read_json_lines(directory / "jobs.jsonl"), key=lambda job: job["num"]) if directory else []
    if directory is None or not jobs:
        return
    rows = [(job, _summary(directory, job["num"])) for job in jobs]
    metrics = list(dict.fromkeys(m for _, summary in rows for m in summary.get("last", {})))[:6]
    table = Table(title=f"{len(jobs)} jobs in {directory}", title_justify="left")
    for heading in ("job", "overrides"):
        table.add_column(heading)
    for metric in metrics:
        table.add_column(metric, justify="right")
    for heading in ("images", "time", "run"):
        table.add_column(heading, justify="right" if heading != "run" else "left", overflow="fold")
    for job, summary in rows:
        last = summary.get("last", {})
        table.add_row(
            str(job["num"]),
            " ".join(job["overrides"]),
            *(f"{last[m]:.4g}" if m in last else "" for m in metrics),
            f"{summary['images_seen']:,}" if summary else "",
            f"{summary['seconds']:.0f} s" if summary else "",
            Path(summary["directory"]).name if summary else f"[red]failed: {job['error']}",
        )
    Console(width=None if Console().is_terminal else 160).print(table)


def _summary(directory: Path, num: int) -> dict[str, Any]:
    for path in directory.glob(f"{num}_*/summary.json"):
        return json.loads(path.read_text())
    return {}
