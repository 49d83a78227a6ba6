"""``python train.py``: trains a model and prints a table of its scores."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from saddlepoint import processes
from saddlepoint.assembly import resume
from saddlepoint.commands import closing, sweep
from saddlepoint.config.compose import choices_of, typed
from saddlepoint.config.references import check_references
from saddlepoint.training import Launch, train

log = logging.getLogger(__name__)

SWEEP = "SADDLEPOINT_SWEEP"
"""Environment variable that passes the sweep's folder and the job's number, as JSON, to the processes of a job."""


def run(config: DictConfig) -> float | None:
    """Train a new run or continue one, with one process per device.

    Returns:
        The best value of the monitored score, for Hydra sweepers that optimize; None without scores.
    """
    check_references(OmegaConf.to_container(config, resolve=False))  # checked again when the checkpoint is loaded
    asked = launch()
    if (summary := _continue_job(config, asked)) is not None:
        log.info("job %s has finished before", asked.sweep and asked.sweep[1])
        return _best(summary)
    resumed = None if processes.launched() else resume.find(config, asked.overrides)
    trainer = (config if resumed is None else resumed.config).trainer
    if trainer.devices > 1 and trainer.num_nodes == 1 and not processes.launched():
        return _in_processes(asked, trainer.devices)
    processes.end_with_launcher()
    finished = train(config, asked)
    record = finished.record
    if processes.rank() == 0:
        closing.print_table(record, finished.system)
    return record.best.value if record.best is not None else None


def _continue_job(config: DictConfig, asked: Launch) -> dict[str, Any] | None:
    """In a resumed sweep, or a job that SLURM has requeued, continue the run that this job has begun, if any.

    Returns:
        The summary of the run if it has finished. Otherwise None, and ``resume`` and ``run.dir`` are set.
    """
    requeued = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    if asked.sweep is None or not (config.sweep.resume or requeued):
        return None
    folder = sweep.folder_of(*asked.sweep)
    if folder is None:
        return None
    if summary := sweep.summary(*asked.sweep):
        return summary
    config.resume, config.run.dir = "auto", str(folder)
    return None


def launch() -> Launch:
    """Return the choices, overrides and sweep of this job, from Hydra's config."""
    hydra = HydraConfig.get()
    of_sweep = os.environ.get(SWEEP)
    if of_sweep is not None:
        folder, number = json.loads(of_sweep)
    elif sweep.job_number() is not None:
        folder, number = hydra.sweep.dir, int(hydra.job.num)
    else:
        folder = None
    return Launch(choices_of(hydra), typed(hydra), None if folder is None else (Path(folder), number))


def _in_processes(asked: Launch, number: int) -> float | None:
    sources = HydraConfig.get().runtime.config_sources
    folders = [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]
    folders += [line for line in HydraConfig.get().overrides.hydra if line.lstrip("+").startswith("hydra.searchpath=")]
    environment = {} if asked.sweep is None else {SWEEP: json.dumps([str(asked.sweep[0]), asked.sweep[1]])}
    processes.launch(["train", *folders, *asked.overrides], number, environment)
    return _best({} if asked.sweep is None else sweep.summary(*asked.sweep))


def _best(summary: dict[str, Any]) -> float | None:
    return next(iter((summary.get("best") or {}).values()), None)
