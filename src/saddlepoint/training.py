"""A training run, from a checked config to its last checkpoint; used by ``train.py`` and :func:`saddlepoint.train`."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from saddlepoint import compilation, failures, processes, writing
from saddlepoint.assembly import build, lightning, restore, resume
from saddlepoint.assembly.parts import located
from saddlepoint.callbacks.alarms import Alarms
from saddlepoint.callbacks.budget import StopAtBudget
from saddlepoint.callbacks.checkpoints import Checkpoints
from saddlepoint.callbacks.history import History
from saddlepoint.callbacks.hopping import Hopping
from saddlepoint.callbacks.interruption import Interruption
from saddlepoint.callbacks.progress_bar import ProgressBar
from saddlepoint.callbacks.resume import Resume
from saddlepoint.callbacks.samples import Samples
from saddlepoint.callbacks.scores import Scores
from saddlepoint.callbacks.theory import Theory
from saddlepoint.config.secrets import redacted
from saddlepoint.data import DataModule, Gaussians
from saddlepoint.data.store import given_path
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import Panel, Settings
from saddlepoint.evaluation.panel import assistants, panel
from saddlepoint.revision import git_revision
from saddlepoint.systems.capabilities import Generates
from saddlepoint.systems.game import Game
from saddlepoint.tracking import run_directory, wandb_logger
from saddlepoint.tracking.local import LocalLogger
from saddlepoint.tracking.record import RunRecord
from saddlepoint.types import DataInfo


@dataclass(frozen=True)
class Launch:
    """The choices and overrides that a run was launched with.

    Attributes:
        choices: the option chosen for each group, such as ``{"model": "dcgan"}``.
        overrides: the overrides of the command line; when a run is resumed, they are compared with its config.
        sweep: the sweep's folder and the job's number, or None outside a sweep.
    """

    choices: dict[str, str]
    overrides: Sequence[str] = ()
    sweep: tuple[Path, int] | None = None


@dataclass
class Plan:
    """Everything that a run needs, built and checked before anything is written."""

    config: DictConfig
    launch: Launch
    choices: dict[str, str]
    data: DataModule
    info: DataInfo
    system: Game
    judge: Panel
    trainer: pl.Trainer
    resumed: resume.Resumed | None = None


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        directory: the run's folder.
        system: the trained system, in training mode, on the training device.
        record: the run's scores.
    """

    directory: Path
    system: Game
    record: RunRecord = field(repr=False)


def train(config: DictConfig, launch: Launch) -> Run:
    """Train a new run, or continue one.

    Args:
        config: the composed config, checked against the schema.
        launch: the choices and overrides of the command line.

    Raises:
        UserError: if the config or the data are invalid; nothing has been written.
        RunError: if the run fails after it has started.
    """
    with lightning.quiet():
        return _train(prepare(config, launch))


def _train(plan: Plan) -> Run:
    record, trainer = start_record(plan) if processes.rank() == 0 else RunRecord(Path()), plan.trainer
    trainer.callbacks.extend(build_callbacks(plan, record))  # type: ignore[attr-defined]
    try:
        with failures.explained(plan.config, record):
            _fit(plan)
        if trainer.is_global_zero:
            summary = json.dumps(summarise(record, plan.system), indent=2)
            (record.directory / "summary.json").write_text(summary + "\n")
        return Run(record.directory, plan.system, record)
    except UserError:  # a part cannot be applied to its first turn; nothing has been trained
        wandb_logger.finish()
        if plan.resumed is None and plan.system.progress.rounds == 0 and processes.rank() == 0:
            shutil.rmtree(record.directory)
        raise
    finally:
        wandb_logger.finish()
        record.release()


def _fit(plan: Plan) -> None:
    """Train. If a regularizer cannot be applied to a turn, the error names its key in the config."""
    try:
        plan.trainer.fit(plan.system, datamodule=plan.data)
    except UserError as error:
        if not str(error.key).startswith("regularizers."):
            raise
        raise located(error, "model", OmegaConf.to_container(plan.config, resolve=False)) from None


def prepare(config: DictConfig, launch: Launch) -> Plan:
    """Check what the schema cannot, inspect the data, and build the system and its judges.

    Raises:
        UserError: if the config or the data are invalid.
    """
    choices = launch.choices
    resumed = resume.find(config, list(launch.overrides))
    if resumed is not None:
        config, choices = resumed.config, resumed.choices
    if not any(config.budget.values()):
        raise UserError("no limit is set", "budget", "set budget.images, budget.generator_updates or budget.hours")
    data, info = build.build_data(config)
    if resumed is not None:
        resume.check_data(resumed.directory, resumed.checkpoint, info)
    build.check_data_kind(config, info, choices)
    build.check_encoder(config, choices)
    encoder = restore.encoder_of(config, info, run=None if resumed is None else resumed.directory)
    if encoder is not None:
        build.fill(config, info, encoder.shape_of(info.shape))
    system = build.build_system(config, () if resumed is not None else launch.overrides, encoder)
    if resumed is not None:
        resume.check_weights(resumed.directory, resumed.checkpoint, system)
    if isinstance(system, Generates) and system.num_classes:
        system.learn_labels(data.label_counts())
    if config.init_from:
        restore.initialise(system, restore.find(config.init_from), choices["model"])
    data.configure(
        config.batch_size, config.seed, stop=config.budget.images, start=lambda: system.progress.images_seen,
        rounds_per_step=lightning.rounds_per_step(config, info), rounds=lambda: system.progress.rounds,
    )  # fmt: skip
    system.images_at = data.images_at
    trainer = lightning.build_trainer(config, info)
    if config.get("compile", False):
        compilation.check(trainer.strategy.root_device)
        compilation.compile_networks(system.networks)
    data.prepare_data()
    judge = build_judge(config, system, data, trainer)
    return Plan(config, launch, choices, data, info, system, judge, trainer, resumed)


def build_judge(config: DictConfig, system: Game, data: DataModule, trainer: pl.Trainer) -> Panel:
    """Build the panel that scores the run; on ranks other than 0, one that only computes its share of the features.

    The feature extractor is moved to the training device: on a CPU, Inception takes hours for 50,000 images.
    """
    scores = config.callbacks.scores
    extractor = build.build_extractor(config)
    if extractor is not None:
        extractor.to(trainer.strategy.root_device)
    if processes.rank() > 0:
        return assistants(system, data, extractor)
    metrics = None if scores.metrics is None else list(scores.metrics)
    try:
        return panel(system, data, Settings(scores.n, scores.seed, scores.splits, metrics), extractor)
    except UserError as error:
        raise error.at(f"callbacks.scores.{error.key}" if error.key in scores else error.key) from None


def start_record(plan: Plan) -> RunRecord:
    """Create the run's directory (or reuse that of a resumed run), write the config and open the loggers."""
    config, choices, sweep, resumed = plan.config, plan.choices, plan.launch.sweep, plan.resumed
    directory = resumed.directory if resumed is not None else _new_directory(plan)
    content = plain_config(config)
    text = OmegaConf.to_yaml(OmegaConf.create({**content, "choices": choices}))
    record = RunRecord(directory, monitor=plan.judge.monitor, release=run_directory.hold(directory))
    try:
        writing.write_atomically(directory / "config.yaml", text.encode())
        restore.keep_encoder(config, directory)
    except OSError as error:
        record.release()
        problem = f"cannot write to {directory}: {error.strerror}"
        raise UserError(problem, "run.dir", "make it writable, or copy the run") from None
    logger = wandb_logger.build(
        directory,
        {**content, "choices": choices, "revision": git_revision()},
        mode=config.logger.mode,
        project=config.logger.project,
        entity=config.logger.entity,
        name=directory.name,
        group=None if sweep is None else sweep[0].name,
        tags=list(config.logger.tags),
        run_id=None if resumed is None else resumed.checkpoint["saddlepoint"]["wandb_id"],
    )
    record.wandb_id = None if logger is None else str(logger.experiment.id)
    record.loggers = [LocalLogger(directory), *([logger] if logger else [])]
    return record


def _new_directory(plan: Plan) -> Path:
    config, choices, sweep = plan.config, plan.choices, plan.launch.sweep
    name = config.run.name or f"{choices['model']}_{choices['data']}_seed{config.seed}"
    if config.run.dir and sweep is not None:
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


def build_callbacks(plan: Plan, record: RunRecord) -> list[Any]:
    """Build the callbacks, in the order in which they are called: checkpoints depend on scores, so they come after."""
    settings, resumed = plan.config.callbacks, plan.resumed
    checkpoints = Checkpoints(record, describe(plan), settings.checkpoints.every_images)
    scores = [Scores(record, plan.judge, settings.scores.every_images, settings.scores.at_start)]
    return [
        *([Resume(resumed.checkpoint, record)] if resumed is not None else []),
        Interruption(checkpoints),
        StopAtBudget(),
        Samples(record, plan.data, **settings.samples),
        *(scores if plan.judge.judges else []),
        checkpoints,
        History(record, settings.history.every_rounds),
        *theory_callbacks(plan, record),
        Alarms(record),
        ProgressBar(record, settings.progress.seconds, settings.progress.line_seconds),
    ]


def theory_callbacks(plan: Plan, record: RunRecord) -> list[Any]:
    """Build the callbacks that compare training with theory; they require data of known density."""
    settings, source = plan.config.callbacks.theory, plan.data.source
    if not (settings.enabled and isinstance(source, Gaussians) and isinstance(plan.system, Generates)):
        return []
    some: Tensor = plan.data.arrays("held_out").samples[: settings.points // 4]
    return [
        Hopping(record, source.means, source.std, settings.modes_every_images),
        Theory(record, source.means, source.std, some, settings.every_images, settings.points),
    ]


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


def summarise(record: RunRecord, system: Game) -> dict[str, Any]:
    """Return the contents of ``summary.json``, which a sweep's table is made from."""
    return {
        "directory": str(record.directory),
        "images_seen": system.progress.images_seen,
        "generator_updates": system.progress.generator_updates,
        "seconds": round(system.progress.seconds, 1),
        "evaluation_seconds": round(record.evaluation_seconds, 1),
        "untrained": {name: card.value for name, card in record.first.items() if card.images_seen == 0},
        "last": {name: card.value for name, card in record.latest.items()},
        "best": None if record.best is None else {record.best.metric: record.best.value},
        "best_at_images": None if record.best is None else record.best.images_seen,
    }
