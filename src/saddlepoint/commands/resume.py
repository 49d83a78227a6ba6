"""``resume=``: continue a run in its own folder, under its own config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from saddlepoint.commands import safety
from saddlepoint.commands.check import check_schema
from saddlepoint.commands.schema import TrainConfig
from saddlepoint.errors import UserError
from saddlepoint.tracking import checkpoints

MAY_CHANGE = ("budget", "trainer", "compile", "logger")
"""Parts of a config that a resumed run may set anew; only identical settings promise identical bits."""
SAYS_WHERE = ("resume", "run", "plugins", "callbacks.progress", "hydra")


@dataclass(frozen=True)
class Resumed:
    """A run to take up.

    Attributes:
        directory: the run's own.
        checkpoint: the newest sound one.
        config: the run's config, with what may change taken from this command line.
        choices: the run's.
    """

    directory: Path
    checkpoint: dict[str, Any]
    config: DictConfig
    choices: dict[str, str]


def find(config: DictConfig, overrides: Sequence[str]) -> Resumed | None:
    """Return the run that ``resume`` names, or None where this is a new run.

    ``resume=auto`` takes up the run in ``run.dir`` if it has come to a checkpoint, and else starts it: the same command
    line serves a job's first start and every requeue.

    Raises:
        UserError: where there is nothing to resume, or the command line changes what may not change.
    """
    if not config.resume:
        return None
    if config.resume == "auto":
        if not config.run.dir:
            raise UserError("resume=auto needs run.dir=FOLDER, the run to take up or to start")
        directory = Path(config.run.dir)
        if not any((directory / "checkpoints").glob("*.ckpt")):
            return None
    else:
        directory = Path(config.resume).expanduser()
    if directory.is_file():
        checkpoint = checkpoints.load(directory)
        directory = directory.parent.parent if directory.parent.name == "checkpoints" else directory.parent
    elif directory.is_dir():
        _, checkpoint = checkpoints.load_newest(directory / "checkpoints")
    else:
        raise UserError(f"resume={directory}: no such run or checkpoint")
    about = checkpoint["saddlepoint"]
    changed = [] if config.resume == "auto" else _changed(overrides)
    try:
        safety.check_references(about["config"])
        merged = _merged(about["config"], config, changed)
        choices = dict(about["choices"])
        check_schema(merged, TrainConfig)
    except UserError as error:
        raise UserError(f"resume={directory}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"resume={directory}: the checkpoint's config does not fit this version: {type(error).__name__}"
        ) from None
    return Resumed(directory, checkpoint, merged, choices)


def _changed(overrides: Sequence[str]) -> list[str]:
    """Return the keys that the command line sets anew.

    Raises:
        UserError: for one that may not change.
    """
    keys = [override.split("=", 1)[0].lstrip("+~") for override in overrides]
    changed = [key for key in keys if not key.startswith(SAYS_WHERE)]
    for key in changed:
        if key.split(".")[0] not in MAY_CHANGE:
            raise UserError(
                f"{key} cannot change in a resumed run, which keeps its own config (only {', '.join(MAY_CHANGE)} may); "
                "to start a new run from its weights use init_from"
            )
    return changed


def _merged(stored: dict[str, Any], asked: DictConfig, changed: Sequence[str]) -> DictConfig:
    config = OmegaConf.create({**stored})
    for key in changed:
        if "." in key:
            OmegaConf.update(config, key, OmegaConf.select(asked, key))
        else:  # a whole group, such as trainer=ddp
            config[key] = asked[key]
    with open_dict(config):
        config.resume, config.run, config.plugins = asked.resume, asked.run, asked.plugins
    return config
