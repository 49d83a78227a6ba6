"""Sweeps: what each job came to, and the closing table of all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from saddlepoint.tracking.run_directory import append_json_line, read_json_lines

_sweep_directory: Path | None = None


class SweepRecorder(Callback):
    """Hydra's callback: keeps one line a job in ``jobs.jsonl``, whichever launcher ran it."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note where the sweep lies; it stays the same for all its jobs."""
        global _sweep_directory
        _sweep_directory = Path(config.hydra.sweep.dir)
        config.hydra.sweep.dir = str(_sweep_directory)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record the job."""
        if config.hydra.mode is None or config.hydra.mode.name != "MULTIRUN":
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
