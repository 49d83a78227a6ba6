"""``python train.py``: compose, check, build, train; then a table of what came of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from saddlepoint import compilation
from saddlepoint.callbacks.alarms import Alarms
from saddlepoint.callbacks.budget import StopAtBudget
from saddlepoint.callbacks.checkpoints import Checkpoints
from saddlepoint.callbacks.history import History
from saddlepoint.callbacks.hopping import Hopping
from saddlepoint.callbacks.interruption import Interruption
from saddlepoint.callbacks.progress import ProgressBar
from saddlepoint.callbacks.resume import Resume
from saddlepoint.callbacks.samples import Samples
from saddlepoint.callbacks.scores import Scores
from saddlepoint.callbacks.theory import Theory
from saddlepoint.commands import build, closing, failures, restore, resume, sweep
from saddlepoint.commands.check import check_schema
from saddlepoint.commands.composition import redacted
from saddlepoint.commands.schema import TrainConfig
from saddlepoint.commands.scorers import Scorer
from saddlepoint.commands.scoring import build_assistant, build_scorer
from saddlepoint.data import DataModule, Gaussians
from saddlepoint.data.store import given_path
from saddlepoint.errors import UserError
from saddlepoint.systems import distributed
from saddlepoint.systems.game import Game
from saddlepoint.tracking import run_directory, wandb_logger
from saddlepoint.tracking.checkpoints import AtomicCheckpointIO
from saddlepoint.tracking.local import LocalLogger
from saddlepoint.tracking.record import RunRecord
from saddlepoint.types import DataInfo


@dataclass
class Plan:
    """All that a run needs, built and checked before anything is written."""

    config: DictConfig
    choices: dict[str, str]
    data: DataModule
    info: DataInfo
    system: Game
    scorer: Scorer
    trainer: pl.Trainer


def run(config: DictConfig) -> float | None:
    """Train one run, or go on with one.

    Returns:
        The best monitored score, which a sweeper may optimise; None without scores.
    """
    hydra = HydraConfig.get()
    check_schema(config, TrainConfig)
    resumed = resume.find(config, list(hydra.overrides.task))
    if resumed is not None:
        config = resumed.config
    own_files = [f"--config-dir={s.path}" for s in hydra.runtime.config_sources if s.provider == "command-line"]
    arguments = [*own_files, *hydra.overrides.task]
    plan = prepare(config, resumed.choices if resumed is not None else choices_of(hydra), arguments, resumed)
    record = start_record(plan, resumed) if distributed.rank() == 0 else RunRecord(Path())
    trainer = plan.trainer
    trainer.callbacks.extend(build_callbacks(plan, record, resumed))  # type: ignore[attr-defined]
    try:
        with failures.explained(config, record):
            trainer.fit(plan.system, datamodule=plan.data)
        if trainer.is_global_zero:
            summary = closing.summarise(record, plan.system)
            (record.directory / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
            closing.print_table(record, plan.system)
    finally:
        wandb_logger.finish()
        record.release()
    return record.best.value if record.best is not None else None


def prepare(
    config: DictConfig, choices: dict[str, str], overrides: Sequence[str] = (), resumed: resume.Resumed | None = None
) -> Plan:
    """Check what the schema cannot, inspect the data, build the system and the extractor; a user's mistake ends here.

    Args:
        config: composed, of the schema.
        choices: which option of each group was chosen.
        overrides: the command line, which further processes are started with.
        resumed: the run to go on with.

    Raises:
        UserError: for a mistake anywhere in the config or the data.
    """
    if not any(config.budget.values()):
        raise UserError("no budget: set budget.images, budget.generator_updates or budget.hours")
    data, info = build.build_data(config)
    if resumed is not None:
        resume.check_data(resumed.directory, resumed.checkpoint, info)
    system = build.build_system(config)
    if resumed is not None:
        resume.check_weights(resumed.directory, resumed.checkpoint, system)
    if system.num_classes:
        system.learn_labels(data.label_counts())
    if config.init_from:
        restore.initialise(system, restore.find(config.init_from), choices["model"])
    data.configure(
        config.batch_size, config.seed, stop=config.budget.images, start=lambda: system.progress.images_seen,
        rounds_per_step=build.rounds_per_step(config, info), rounds=lambda: system.progress.rounds,
    )  # fmt: skip
    system.images_at = data.images_at
    trainer = build.build_trainer(config, info, overrides, plugins=[AtomicCheckpointIO()])
    if config.get("compile", False):
        compilation.check(trainer.strategy.root_device)
        compilation.compile_networks(system.networks)
    data.prepare_data()
    if distributed.rank() == 0:
        scorer = build_scorer(config, data, info, trainer.strategy.root_device)
    else:
        scorer = build_assistant(config, info)
    return Plan(config, choices, data, info, system, scorer, trainer)


def choices_of(hydra: Any) -> dict[str, str]:
    """Return which option of each group was chosen: ``{"model": "dcgan", …}``."""
    choices = {key: str(value) for key, value in hydra.runtime.choices.items() if "/" not in key}
    return {key: value for key, value in choices.items() if value not in ("None", "null") and key != "hydra"}


def start_record(plan: Plan, resumed: resume.Resumed | None) -> RunRecord:
    """Make the run's directory, or take up a resumed run's; write the config, open the loggers."""
    config, choices = plan.config, plan.choices
    hydra = HydraConfig.get()
    is_job = hydra.mode is not None and hydra.mode.name == "MULTIRUN"
    name = config.run.name or f"{choices['model']}_{choices['data']}_seed{config.seed}"
    if resumed is not None:
        directory = resumed.directory
    elif config.run.dir and not is_job:
        directory = run_directory.claim(given_path(config.run.dir), again=config.resume == "auto")
    elif config.run.dir:
        raise UserError(sweep.ONE_FOLDER)
    elif is_job:
        directory = run_directory.create(Path(hydra.sweep.dir), f"{hydra.job.num}_{name}")
    else:
        stamped = name if config.run.name else f"{run_directory.stamp()}_{name}"
        directory = run_directory.create(given_path(config.run.root), stamped)
    content = plain_config(config)
    text = OmegaConf.to_yaml(OmegaConf.create({**content, "choices": choices}))
    record = RunRecord(directory, monitor=plan.scorer.monitor, release=run_directory.hold(directory))
    try:
        run_directory.write_atomically(directory / "config.yaml", text.encode())
    except OSError as error:
        record.release()
        raise UserError(f"cannot write to {directory}: {error.strerror}; make it writable, or copy the run") from None
    logger = wandb_logger.build(
        directory,
        {**content, "choices": choices, "revision": plan.scorer.revision},
        mode=config.logger.mode,
        project=config.logger.project,
        entity=config.logger.entity,
        name=directory.name,
        group=Path(hydra.sweep.dir).name if is_job else None,
        tags=list(config.logger.tags),
        run_id=None if resumed is None else resumed.checkpoint["saddlepoint"]["wandb_id"],
    )
    record.wandb_id = None if logger is None else str(logger.experiment.id)
    record.loggers = [LocalLogger(directory), *([logger] if logger else [])]
    return record


def plain_config(config: DictConfig) -> dict[str, Any]:
    """Return the config as plain containers, unresolved, for files that others read.

    So neither this machine's environment nor a secret enters them.
    """
    content = redacted(OmegaConf.to_container(config, resolve=False))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def build_callbacks(plan: Plan, record: RunRecord, resumed: resume.Resumed | None) -> list[Any]:
    """Build what happens during training; scores come before the checkpoints that depend on them."""
    settings = plan.config.callbacks
    real = None if plan.info.is_image else plan.data.arrays("held_out").samples
    scores = [Scores(record, plan.scorer, settings.scores.every_images, settings.scores.at_start)]
    checkpoints = Checkpoints(record, describe(plan), settings.checkpoints.every_images)
    return [
        *([Resume(resumed.checkpoint, record)] if resumed is not None else []),
        Interruption(checkpoints),
        StopAtBudget(),
        Samples(record, real, **settings.samples),
        *(scores if plan.scorer.monitor else []),
        checkpoints,
        History(record, settings.history.every_rounds),
        *theory_callbacks(plan, record, real),
        Alarms(record),
        ProgressBar(record, settings.progress.seconds, settings.progress.line_seconds),
    ]


def theory_callbacks(plan: Plan, record: RunRecord, real: Tensor | None) -> list[Any]:
    """Build the pictures of the theory, for data whose density is known."""
    settings, source = plan.config.callbacks.theory, plan.data.source
    if not (settings.enabled and isinstance(source, Gaussians) and real is not None):
        return []
    some = real[: settings.points // 4]
    return [
        Hopping(record, source.means, source.std, settings.modes_every_images),
        Theory(record, source.means, source.std, some, settings.every_images, settings.points),
    ]


def describe(plan: Plan) -> dict[str, Any]:
    """Return what makes a checkpoint self-describing, as plain containers and tensors."""
    info = plan.info
    names = None if info.class_names is None else list(info.class_names)
    data = {**dataclasses.asdict(info), "shape": list(info.shape), "class_names": names, "sizes": dict(info.sizes)}
    return {"config": plain_config(plan.config), "choices": plan.choices, "data": data, **plan.scorer.state()}
