"""``resume=``: continue a run in its own folder, under its own config."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from saddlepoint.assembly.restore import data_info, within
from saddlepoint.config.check import check_schema
from saddlepoint.config.references import check_references
from saddlepoint.config.schema import TrainConfig
from saddlepoint.data.store import given_path, is_file
from saddlepoint.errors import UserError
from saddlepoint.systems.game import Game
from saddlepoint.tracking import checkpoints
from saddlepoint.types import DataInfo

log = logging.getLogger(__name__)

MAY_CHANGE = ("budget", "trainer", "compile", "logger", "data.root", "data.a", "data.b", "data.cache_dir")
"""What a resumed run may change. Data may have moved, since their content is checked. Only identical settings give
identical bits."""
RECORD = ("best", "first", "latest", "evaluation_seconds", "wandb_id")
"""What a checkpoint keeps of the run's record."""
SAYS_WHERE = ("resume", "run", "plugins", "callbacks.progress", "hydra")


@dataclass(frozen=True)
class Resumed:
    """A run to continue.

    Attributes:
        directory: the run's own.
        checkpoint: its newest intact one.
        config: the run's config, with what may change taken from this command line.
        choices: the run's.
    """

    directory: Path
    checkpoint: dict[str, Any]
    config: DictConfig
    choices: dict[str, str]


def find(config: DictConfig, overrides: Sequence[str]) -> Resumed | None:
    """Return the run that ``resume`` names, or None where this is a new run.

    ``resume=auto`` continues the run in ``run.dir`` if that has a checkpoint, and else starts it: the same command line
    serves a job's first start and every requeue. If the command line has changed since, what may change is taken from
    it, such as a larger budget, and a warning names what may not.

    Raises:
        UserError: there is nothing to resume, or the command line changes what may not change.
    """
    if not config.resume:
        return None
    if config.resume == "auto":
        if not config.run.dir:
            raise UserError("resume=auto needs the folder of the run to continue or to start", "run.dir", "set it")
        directory = given_path(config.run.dir)
        if not any((directory / "checkpoints").glob("*.ckpt")):
            return None
    else:
        directory = given_path(config.resume)
    if is_file(directory):
        checkpoint, folder = checkpoints.load(directory), directory.resolve().parent
        if folder.name != "checkpoints" or not (folder.parent / "config.yaml").is_file():
            raise UserError(
                f"{directory} is not in a run's folder, where the run would continue",
                "resume",
                "give the folder that holds its config.yaml and checkpoints/, or start a new run with init_from",
            )
        directory = folder.parent  # also of a link, or of a name within checkpoints/
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
            f"the checkpoint in {directory} does not fit this version ({type(error).__name__}: {error})", "resume"
        ) from None
    return Resumed(directory, checkpoint, merged, choices)


def check_data(directory: Path, checkpoint: Mapping[str, Any], info: DataInfo) -> None:
    """Refuse data other than the run's own, of which every random draw would select other samples.

    Raises:
        UserError: the content, the shape or the classes differ.
    """
    stored = data_info(checkpoint["saddlepoint"]["data"])
    theirs, ours = ((one.fingerprint, one.shape, one.class_names) for one in (stored, info))
    if theirs != ours:
        now, before = info.fingerprint[:8], stored.fingerprint[:8]
        raise UserError(
            f"{info.name} is not what {directory} was trained on (content {before}, and now {now})",
            "resume",
            "restore the data, or start a new run from its weights with init_from",
        )


def check_weights(directory: Path, checkpoint: Mapping[str, Any], system: Game) -> None:
    """Refuse a checkpoint that does not fit the run's own networks, before anything is written.

    Raises:
        UserError: weights are missing, unknown or of other shapes, or the number of optimizers differs.
    """
    states = checkpoint["optimizer_states"]
    try:
        system.load_state_dict(checkpoint["state_dict"])
        if len(states) != len(system.players):
            raise RuntimeError(f"{len(states)} optimizers for {len(system.players)} players")
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"the checkpoint in {directory} does not fit its own config: {first}", "resume") from None


def _changed(overrides: Sequence[str], choices: Mapping[str, str], leave: bool) -> list[str]:
    """Return the keys that the command line changes.

    Args:
        overrides: as they were typed.
        choices: the run's, which may be repeated: data.root exists only beside data.
        leave: leave out those that may not change, since the command line is the one that started the run.

    Raises:
        UserError: one may not change.
    """
    typed = _typed(overrides)
    kept = [key for key, value in typed if not _may_change(key) and not _is_choice(key, value, choices)]
    if kept and not leave:
        raise UserError(
            f"a resumed run keeps its own value (only {', '.join(MAY_CHANGE)} may change)",
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
    """Return the keys and values of the overrides that set what the run is, not where it is."""
    pairs = [override.partition("=")[::2] for override in overrides]
    stripped = [(key.lstrip("+~"), value) for key, value in pairs]
    return [(key, value) for key, value in stripped if not key.startswith(SAYS_WHERE)]


def _warn_of_ignored(overrides: Sequence[str], asked: DictConfig, about: Mapping[str, Any]) -> None:
    """Warn of each typed key that differs from the run's own and may not change."""
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
