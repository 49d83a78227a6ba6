"""What a run writes about itself: its folder, config, loggers, the description in its checkpoints, and its summary."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from saddlepoint import writing
from saddlepoint.assembly import restore
from saddlepoint.config.secrets import redacted
from saddlepoint.data.store import given_path
from saddlepoint.errors import UserError
from saddlepoint.revision import git_revision
from saddlepoint.systems.game import Game
from saddlepoint.tracking import run_directory
from saddlepoint.tracking.record import RunRecord
from saddlepoint.training import loggers
from saddlepoint.training.plan import Plan


def start_record(plan: Plan) -> RunRecord:
    """Create the run's directory (or reuse that of a resumed run), write the config and open the loggers."""
    config, choices, sweep, resumed = plan.config, plan.choices, plan.launch.sweep, plan.resumed
    encoder = restore.encoder_to_keep(config, None if resumed is None else resumed.directory)
    directory = resumed.directory if resumed is not None else _new_directory(plan)
    content = plain_config(config)
    text = OmegaConf.to_yaml(OmegaConf.create({**content, "choices": choices}))
    record = RunRecord(directory, monitor=plan.judge.monitor, release=run_directory.hold(directory))
    try:
        writing.write_atomically(directory / "config.yaml", text.encode())
        if encoder is not None:
            writing.write_atomically(directory / restore.ENCODER, encoder)
    except OSError as error:
        record.release()
        problem = f"cannot write to {directory}: {error.strerror}"
        raise UserError(problem, "run.dir", "make it writable, or copy the run") from None
    run_id = None if resumed is None else resumed.checkpoint["saddlepoint"]["wandb_id"]
    about = {**content, "choices": choices, "revision": git_revision()}
    try:
        for logger in loggers.build(directory, loggers.settings(config), about, sweep and sweep[0].name, run_id):
            record.loggers = [*record.loggers, logger]
    except BaseException:
        record.finish()
        record.release()
        raise
    record.wandb_id = next((logger.run_id for logger in record.loggers if logger.run_id is not None), None)
    return record


def _new_directory(plan: Plan) -> Path:
    config, choices, sweep = plan.config, plan.choices, plan.launch.sweep
    name = config.run.name or f"{choices['model']}_{choices['data']}_seed{config.seed}"
    # A job that is continued has a folder of its own.
    if config.run.dir and sweep is not None and Path(config.run.dir).parent != sweep[0]:
        raise run_directory.one_folder()
    if config.run.dir:
        return run_directory.claim(given_path(config.run.dir), again=config.resume == "auto")
    if sweep is not None:
        return run_directory.create(sweep[0], f"{sweep[1]}_{name}")
    stamped = name if config.run.name else f"{run_directory.stamp()}_{name}"
    return run_directory.create(given_path(config.run.root), stamped)


def plain_config(config: DictConfig) -> dict[str, Any]:
    """Return the config as plain containers, without secrets and with interpolations unresolved.

    Unresolved, it holds no values of environment variables, so it can be written to files that are shared.
    """
    content = redacted(OmegaConf.to_container(config, resolve=False))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def describe(plan: Plan) -> dict[str, Any]:
    """Return the description of the run that its checkpoints contain, as plain containers and tensors."""
    info = plan.info
    data = {
        **dataclasses.asdict(info),
        "shape": list(info.shape),
        "class_names": None if info.class_names is None else list(info.class_names),
        "sizes": dict(info.sizes),
        "columns": None if info.columns is None else {name: list(shape) for name, shape in info.columns.items()},
    }
    config, scoring = plain_config(plan.config), plan.judge.state()
    return {"config": config, "choices": plan.choices, "data": data, "scoring": scoring}


def _device(system: Game) -> str:
    """Return the name of the device, such as ``cpu``, ``NVIDIA H100 80GB HBM3`` or ``2 x NVIDIA …`` for two ranks."""
    device = system.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return name if system.trainer.world_size == 1 else f"{system.trainer.world_size} x {name}"


def summarise(record: RunRecord, system: Game) -> dict[str, Any]:
    """Return the contents of ``summary.json``, which a sweep's table is made from."""
    return {
        "directory": str(record.directory),
        "device": _device(system),
        "images_seen": system.progress.images_seen,
        "generator_updates": system.progress.generator_updates,
        "seconds": round(system.progress.seconds, 1),
        "evaluation_seconds": round(record.evaluation_seconds, 1),
        "untrained": {name: card.value for name, card in record.first.items() if card.images_seen == 0},
        "last": {name: card.value for name, card in record.latest.items()},
        "best": None if record.best is None else {record.best.metric: record.best.value},
        "best_at_images": None if record.best is None else record.best.images_seen,
    }
