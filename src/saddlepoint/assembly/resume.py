"""``resume=``: continues a run in its own folder, with its own config."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from saddlepoint.assembly.restore import data_info, within
from saddlepoint.config.references import check_references
from saddlepoint.config.schema import TrainConfig
from saddlepoint.config.strict import check_schema
from saddlepoint.data.store import given_path, is_file
from saddlepoint.errors import UserError
from saddlepoint.systems.game import Game
from saddlepoint.tracking import checkpoints
from saddlepoint.types import DataInfo

log = logging.getLogger(__name__)

MAY_CHANGE = (
    "budget",
    "trainer",
    "compile",
    "logger",
    "data.root",
    "data.a",
    "data.b",
    "data.held_out",
    "data.labels",
    "data.cache_dir",
)
"""Keys that may change when a run is resumed. Paths of data and labels may change because their content is checked. The
results are bit-identical to those of an uninterrupted run only if nothing changes."""
RECORD = ("best", "first", "latest", "evaluation_seconds", "wandb_id")
"""Entries of a checkpoint that restore the run's record."""
NOT_COMPARED = ("resume", "run", "sweep", "plugins", "callbacks.progress", "hydra")


@dataclass(frozen=True)
class Resumed:
    """A run to continue.

    Attributes:
        directory: the run's folder.
        checkpoint: the newest intact checkpoint.
        config: the run's config, updated with those overrides of this command line that may change.
        choices: the option chosen for each group when the run was started.
    """

    directory: Path
    checkpoint: dict[str, Any]
    config: DictConfig
    choices: dict[str, str]


def find(config: DictConfig, overrides: Sequence[str]) -> Resumed | None:
    """Return the run to resume, or None for a new run.

    ``resume=auto`` continues the run in ``run.dir`` if it has a checkpoint, and starts a new run otherwise, so that the
    same command line can be used when a job is first started and whenever it is requeued. Overrides that differ from
    the run's config are applied if they may change, such as a larger budget; the others are ignored with a warning.

    Raises:
        UserError: if there is nothing to resume, or the command line changes a key that may not change (unless
            ``resume=auto``).
    """
    if not config.resume:
        return None
    if config.resume == "auto":
        if not config.run.dir:
            raise UserError("required by resume=auto", "run.dir", "set it to the folder of the run")
        directory = given_path(config.run.dir)
        if not any((directory / "checkpoints").glob("*.ckpt")):
            return None
    else:
        directory = given_path(config.resume)
    if is_file(directory):
        checkpoint, folder = checkpoints.load(directory), directory.resolve().parent
        if folder.name != "checkpoints" or not (folder.parent / "config.yaml").is_file():
            raise UserError(
                f"{directory} is not in the folder of a run",
                "resume",
                "give the folder that holds its config.yaml and checkpoints/, or start a new run with init_from",
            )
        directory = folder.parent
    elif directory.is_dir():
        _, checkpoint = checkpoints.load_newest(directory / "checkpoints")
    else:
        raise UserError(f"no run or checkpoint at {directory}", "resume")
    checkpoints.check_complete(checkpoint, directory)
    about = checkpoint["saddlepoint"]
    own = about.get("choices")
    changed = _changed(overrides, own if isinstance(own, dict) else {}, leave=config.resume == "auto")
    try:
        check_references(about["config"])
        if config.resume == "auto":
            _warn_of_ignored(overrides, config, about)
        merged = _merged(about["config"], config, changed)
        choices = dict(about["choices"])
        data_info(about["data"])
        _ = [about[name] for name in RECORD]
        check_schema(merged, TrainConfig)
    except UserError as error:
        raise within(directory, "resume", error) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"the checkpoint in {directory} is not compatible with this version ({type(error).__name__}: {error})",
            "resume",
        ) from None
    return Resumed(directory, checkpoint, merged, choices)


def check_data(directory: Path, checkpoint: Mapping[str, Any], info: DataInfo) -> None:
    """Check that the data are those that the run was started with; with others, it could not be reproduced.

    Raises:
        UserError: if the content, the shape or the classes differ.
    """
    stored = data_info(checkpoint["saddlepoint"]["data"])
    theirs, ours = ((one.fingerprint, one.shape, one.class_names) for one in (stored, info))
    if theirs != ours:
        now, before = info.fingerprint[:8], stored.fingerprint[:8]
        raise UserError(
            f"{info.name} differs from the data that {directory} was trained on (fingerprint {now}, was {before})",
            "resume",
            "restore the data, or start a new run from its weights with init_from",
        )


def check_weights(directory: Path, checkpoint: Mapping[str, Any], system: Game) -> None:
    """Check that the checkpoint matches the run's networks, before anything is written.

    Raises:
        UserError: if weights are missing, unexpected or of other shapes, or the number of optimizers differs.
    """
    states = checkpoint["optimizer_states"]
    try:
        system.load_state_dict(checkpoint["state_dict"])
        if len(states) != len(system.players):
            raise RuntimeError(f"{len(states)} optimizers for {len(system.players)} players")
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"the checkpoint in {directory} does not match its own config: {first}", "resume") from None


def _changed(overrides: Sequence[str], choices: Mapping[str, str], leave: bool) -> list[str]:
    """Return the keys that the command line changes.

    Args:
        overrides: the overrides of the command line.
        choices: the run's choices, which the command line may repeat: ``data.root`` requires ``data``, for example.
        leave: ignore keys that may not change instead of raising an error, for ``resume=auto``.

    Raises:
        UserError: if a key may not change.
    """
    typed = _typed(overrides)
    kept = [key for key, value in typed if not _may_change(key) and not _is_choice(key, value, choices)]
    if kept and not leave:
        raise UserError(
            f"cannot be changed when a run is resumed (only {', '.join(MAY_CHANGE)} can)",
            kept[0],
            "leave it out, or start a new run from its weights with init_from",
        )
    return [key for key, _ in typed if _may_change(key)]


def _is_choice(key: str, value: str, choices: Mapping[str, str]) -> bool:
    own, now = (re.sub(r"[\s'\"]", "", str(text)) for text in (choices.get(key), value))
    return key in choices and own == now


def _may_change(key: str) -> bool:
    return f"{key}.".startswith(tuple(f"{name}." for name in MAY_CHANGE))


def _typed(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Return the keys and values of the overrides, without those in ``NOT_COMPARED``, which are not compared."""
    pairs = [override.partition("=")[::2] for override in overrides]
    stripped = [(key.lstrip("+~"), value) for key, value in pairs]
    return [(key, value) for key, value in stripped if not key.startswith(NOT_COMPARED)]


def _warn_of_ignored(overrides: Sequence[str], asked: DictConfig, about: Mapping[str, Any]) -> None:
    """Warn of each override that differs from the run's config and may not change."""
    stored = OmegaConf.create(about["config"])
    for key, value in _typed(overrides):
        if _may_change(key):
            continue
        if key in about["choices"]:
            own, now = about["choices"][key], value
            same = _is_choice(key, value, about["choices"])
        else:
            own, now = OmegaConf.select(stored, key), OmegaConf.select(asked, key)
            same = None in (own, now) or own == now
        if not same:
            log.warning("the run continues with its own %s=%s; %s on this command line is ignored", key, own, now)


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
