"""The plan of a run: everything that it needs, built and checked before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig

from saddlepoint import compilation, processes
from saddlepoint.assembly import build, lightning, restore, resume
from saddlepoint.data import DataModule
from saddlepoint.data.labelled import labelled_batch
from saddlepoint.errors import UserError
from saddlepoint.evaluation.base import Panel, Settings
from saddlepoint.evaluation.panel import assistants, panel
from saddlepoint.systems import checks
from saddlepoint.systems.capabilities import Generates, UsesLabelled
from saddlepoint.systems.game import Game
from saddlepoint.terminal import say
from saddlepoint.training import loggers
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
    loggers.check(config)
    data, info = build.build_data(config)
    if processes.rank() == 0:
        say(data.summary())
    if resumed is not None:
        resume.check_data(resumed.directory, resumed.checkpoint, info)
    build.check_data_kind(config, info, choices)
    build.check_encoder(config, choices)
    encoder = restore.encoder_of(config, info, run=None if resumed is None else resumed.directory)
    if encoder is not None:
        build.fill(config, info, encoder.shape_of(info.shape))
    system = build.build_system(config, () if resumed is not None else launch.overrides, encoder)
    checks.check_batch_size(config.batch_size, system.networks)
    if resumed is not None:
        resume.check_weights(resumed.directory, resumed.checkpoint, system)
    if isinstance(system, Generates) and system.num_classes:
        system.learn_labels(data.label_counts())
    if config.model.get("frozen_blocks") and not config.init_from:
        raise UserError("blocks with random weights would be frozen", "model.frozen_blocks", "set init_from")
    if config.init_from and resumed is None:
        restore.initialize(system, restore.find(config.init_from, "init_from"), choices["model"])
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
    set_labelled(system, data)
    judge = build_judge(config, system, data, trainer)
    return Plan(config, launch, choices, data, info, system, judge, trainer, resumed)


def set_labelled(system: Game, data: DataModule) -> None:
    """Give the system the labelled subset of the training data, if it uses one; it is the same in a resumed run.

    Raises:
        UserError: a class has too few samples.
    """
    if isinstance(system, UsesLabelled) and system.labelled is not None:
        try:
            system.set_labelled(labelled_batch(data, system.labelled))
        except UserError as error:
            raise error.at(f"model.{error.key}") from None


def build_judge(config: DictConfig, system: Game, data: DataModule, trainer: pl.Trainer) -> Panel:
    """Build the panel that scores the run; on ranks other than 0, one that only computes its share of the features.

    The feature extractor is moved to the training device: on a CPU, Inception takes hours for 50,000 images.
    """
    scores = config.callbacks.scores
    extractor = build.build_extractor(config)
    if extractor is not None:
        extractor.to(trainer.strategy.root_device)
    metrics = None if scores.metrics is None else list(scores.metrics)
    if processes.rank() > 0:
        return assistants(system, data, extractor, metrics)
    try:
        return panel(system, data, Settings(scores.n, scores.seed, scores.splits, metrics), extractor)
    except UserError as error:
        raise error.at(f"callbacks.scores.{error.key}" if error.key in scores else error.key) from None
