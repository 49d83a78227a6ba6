"""What no config may do, whoever wrote it: name code to Hydra itself, or read what lies outside the config.

Hydra instantiates callbacks, launchers and sweepers, configures logging and sets environment variables from the config
before a command sees it. So every config is checked where it is composed: :class:`CheckedLoader` takes the place of
Hydra's own. Parts are checked by ``check`` before they are built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra._internal.hydra
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saddlepoint.errors import UserError

REFERENCE = re.compile(
    r"\$\{\s*("
    r"[\w.\[\]-]+"  # another key
    r"|oc\.select:[\w.,\s\[\]-]+"  # the same, with a default
    r"|oc\.env:\s*SADDLEPOINT_DATA\s*(,[^${}]*)?"  # the one variable that enters a config
    r"|now:[^${}]*"
    r")\s*\}"
)
HYDRAS_OWN = re.compile(
    r"hydra\._internal\.core_plugins\.basic_(launcher\.BasicLauncher|sweeper\.BasicSweeper)"
    r"|hydra_plugins\.\w+\.\w+\.\w+(Launcher|Sweeper)"
    r"|optuna\.samplers\.\w+Sampler"
    r"|saddlepoint\.commands\.sweep\.SweepRecorder"
)
"""What Hydra may instantiate: launchers and sweepers, its own and of plugins that are installed, and our recorder."""

TYPED_ONLY = re.compile(r"[+~]*(plugins|hydra)\b.*")
"""Keys that count on the command line only: a file's sweep may not vary them."""

SILENT = {"version": 1, "root": None, "disable_existing_loggers": False}


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader; no config leaves it unchecked: not the command's, not a sweep's jobs', not ``--cfg``'s."""

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a config, and check it.

        Raises:
            UserError: for one that must not be used.
        """
        config = super().load_configuration(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        check_hydra(config.hydra)
        if len(config.hydra.overrides.task) + len(config.hydra.overrides.hydra) != len(overrides):
            raise UserError("hydra.overrides cannot be set: what was typed would not be told from what a file says")
        content = OmegaConf.to_container(config, resolve=False)
        assert isinstance(content, dict)
        check_references({key: value for key, value in content.items() if key != "hydra"})
        _check_trust(config, content, overrides)
        _check_choices(config, config_name, overrides)
        return config


@contextmanager
def checking() -> Iterator[None]:
    """Let Hydra compose through :class:`CheckedLoader` meanwhile."""
    before = hydra._internal.hydra.ConfigLoaderImpl  # type: ignore[attr-defined]
    hydra._internal.hydra.ConfigLoaderImpl = CheckedLoader  # type: ignore[attr-defined]
    try:
        yield
    finally:
        hydra._internal.hydra.ConfigLoaderImpl = before  # type: ignore[attr-defined]


def check_references(node: Any, path: str = "") -> None:
    """Check that a config refers to its own keys and the data root only: to no variable, and to no resolver's work.

    A secret that a stranger's file refers to would else be written into names, records and uploads.

    Args:
        node: plain containers, unresolved.
        path: the node's key.

    Raises:
        UserError: naming the key.
    """
    for key, value in _leaves(node, path):
        if not isinstance(value, str) or "${" not in value:
            continue
        rest, before = value, ""
        while rest != before:  # inner references first
            rest, before = REFERENCE.sub("", rest), rest
        if "${" in rest:
            raise UserError(
                f"{key}={value}: a config may refer to its own keys and to ${{oc.env:SADDLEPOINT_DATA}} only; "
                "write the value itself"
            )


def check_hydra(config: DictConfig) -> None:
    """Check Hydra's own part of a config.

    Raises:
        UserError: where it names code, sets the environment, or hides what it says behind a reference.
    """
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    check_references(content, "hydra")
    for key, value in _leaves(content, "hydra"):
        if key.endswith("._target_") and not (isinstance(value, str) and HYDRAS_OWN.fullmatch(value)):
            raise UserError(f"{key}: target '{value}' not allowed; Hydra may build launchers and sweepers only")
    for key in ("job_logging", "hydra_logging"):
        if content[key] != SILENT:
            raise UserError(f"hydra.{key} cannot be set, since logging settings can name code; leave it out")
    if content["job"]["env_set"] or content["job"]["env_copy"]:
        raise UserError("hydra.job.env_set and env_copy cannot be set by a config; set variables in the shell")
    for key in content["sweeper"].get("params") or {}:
        if TYPED_ONLY.fullmatch(str(key)):
            raise UserError(f"hydra.sweeper.params: {key} can be named on the command line only; leave it out")
    for key in _references_to_containers(config, "hydra"):
        raise UserError(f"{key} refers to a part of the config; Hydra's own settings must be written out")


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{path}[{index}]")
    else:
        yield path, node


def _references_to_containers(node: DictConfig | ListConfig, path: str) -> Iterator[str]:
    keys: Sequence[Any] = list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
    for key in keys:
        if OmegaConf.is_missing(node, key):
            continue
        referred = OmegaConf.is_interpolation(node, key)
        try:
            value = node[key]
        except OmegaConfBaseException:  # to what only a running job has
            continue
        if OmegaConf.is_config(value):
            if referred:
                yield f"{path}.{key}"
            else:
                yield from _references_to_containers(value, f"{path}.{key}")


def _check_trust(config: DictConfig, content: dict[Any, Any], overrides: Sequence[str]) -> None:
    """Packages, and launchers that start programs, are trusted by whoever types the command, not by a file."""
    typed = {override.split("=", 1)[0].lstrip("+") for override in overrides}
    if content.get("plugins") and "plugins" not in typed:
        raise UserError("plugins can be named on the command line only: plugins=[…] says which packages you trust")
    for group in ("hydra/launcher", "hydra/sweeper"):
        choice = config.hydra.runtime.choices.get(group)
        if choice != "basic" and group not in typed:
            raise UserError(f"{group}={choice} can be named on the command line only, since it may start programs")


def _check_choices(config: DictConfig, command: str | None, overrides: Sequence[str]) -> None:
    """Check that each group that takes one choice has one: Hydra would compose a list of them one over the other."""
    from saddlepoint.commands.main import config_directory

    file = config_directory() / f"{command}.yaml"
    if not file.exists():  # a user's own, by --config-name
        return
    defaults = yaml.safe_load(file.read_text())["defaults"]
    single = [key for entry in defaults if isinstance(entry, dict) for key, value in entry.items() if value != []]
    for group in single:
        if "override " not in group and group not in config.hydra.runtime.choices and f"~{group}" not in overrides:
            raise UserError(f"{group} takes one choice, not a list; to run several, {group}=a,b with -m")
