"""The loggers of a run, as ``logger=`` names them. Their packages are imported only if they are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from saddlepoint.config.schema import LoggerConfig
from saddlepoint.errors import UserError
from saddlepoint.tracking.local import LocalLogger
from saddlepoint.tracking.run_logger import RunLogger


def settings(config: DictConfig) -> LoggerConfig:
    """Return the settings of the loggers, with the defaults of those that have not been chosen."""
    return LoggerConfig.model_validate(OmegaConf.to_container(config.logger, resolve=True))


def check(config: DictConfig) -> None:
    """Check that the packages of the chosen loggers are installed.

    Raises:
        UserError: if one is not.
    """
    if settings(config).tensorboard and find_spec("tensorboard") is None:
        raise UserError("tensorboard is not installed", "logger", "pip install 'saddlepoint[tensorboard]'")


def build(
    directory: Path, chosen: LoggerConfig, about: Mapping[str, Any], group: str | None, run_id: str | None
) -> Iterator[RunLogger]:
    """Open the local history and the chosen loggers.

    Args:
        directory: the run's directory.
        chosen: the settings of the loggers.
        about: the run's config, choices and code revision, as plain containers.
        group: name of the sweep, which groups its runs.
        run_id: id of the W&B run to continue, or None for a new one.
    """
    yield LocalLogger(directory)
    if chosen.csv:
        from saddlepoint.tracking.csv_logger import CSVRunLogger

        yield CSVRunLogger(directory)
    if chosen.tensorboard:
        from saddlepoint.tracking.tensorboard_logger import TensorBoardRunLogger

        yield TensorBoardRunLogger(directory)
    if chosen.mode != "disabled":
        from saddlepoint.tracking import wandb_logger

        logger = wandb_logger.build(
            directory,
            about,
            mode=chosen.mode,
            project=chosen.project,
            entity=chosen.entity,
            name=directory.name,
            group=group,
            tags=chosen.tags,
            notes=chosen.notes,
            run_id=run_id,
        )
        if logger is not None:
            yield logger
