"""A training run, from a checked config to its last checkpoint; used by ``train.py`` and :func:`saddlepoint.train`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from saddlepoint import failures, processes
from saddlepoint.assembly import lightning
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
from saddlepoint.callbacks.singular_values import SingularValues
from saddlepoint.callbacks.theory import Theory
from saddlepoint.data import Gaussians
from saddlepoint.data.store import given_path
from saddlepoint.errors import UserError
from saddlepoint.systems.capabilities import Generates
from saddlepoint.systems.game import Game
from saddlepoint.tracking import run_directory
from saddlepoint.tracking.record import RunRecord
from saddlepoint.training import loggers
from saddlepoint.training.plan import Launch, Plan, prepare
from saddlepoint.training.recording import describe, start_record, summarise
from saddlepoint.writing import write_atomically


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
    first, trainer = processes.rank() == 0, plan.trainer
    before = run_directory.contents(given_path(plan.config.run.dir)) if first and plan.config.run.dir else None
    record = start_record(plan) if first else RunRecord(Path())
    trainer.callbacks.extend(build_callbacks(plan, record))  # type: ignore[attr-defined]
    try:
        with failures.explained(plan.config, record):
            _fit(plan)
        if trainer.is_global_zero:
            summary = json.dumps(summarise(record, plan.system), indent=2)
            with failures.explained(plan.config, record):
                write_atomically(record.directory / "summary.json", f"{summary}\n".encode())
            if loggers.settings(plan.config).artifacts == "best":
                from saddlepoint.training import artifacts  # imports what exporting needs

                artifacts.store(record, list(plan.config.plugins))
        return Run(record.directory, plan.system, record)
    except UserError:  # a part cannot be applied to its first turn; nothing has been trained
        record.finish()
        if plan.resumed is None and plan.system.progress.rounds == 0 and first:
            run_directory.discard(record.directory, before)
        raise
    finally:
        record.finish()
        record.release()


def _fit(plan: Plan) -> None:
    """Train. If a regularizer cannot be applied to a turn, the error names its key in the config."""
    try:
        plan.trainer.fit(plan.system, datamodule=plan.data)
    except UserError as error:
        if not str(error.key).startswith("regularizers."):
            raise
        raise located(error, "model", OmegaConf.to_container(plan.config, resolve=False)) from None


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
        *singular_values(plan, record),
        Alarms(record),
        ProgressBar(record, settings.progress.seconds, settings.progress.line_seconds),
    ]


def singular_values(plan: Plan, record: RunRecord) -> list[Any]:
    """Build the callback that logs singular values, if it is enabled; runs of earlier versions have no settings."""
    settings = plan.config.callbacks.get("singular_values")
    if settings is None or not settings.enabled:
        return []
    return [SingularValues(record, settings.top, settings.every_images)]


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
