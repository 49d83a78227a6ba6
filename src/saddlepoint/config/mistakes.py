"""Converts errors of Hydra and OmegaConf to UserErrors that name the setting and a remedy.

Errors are distinguished by their types and attributes. If those do not identify the invalid override, the overrides are
compared with the groups, options and keys that exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from saddlepoint.config.directory import defaults, groups, is_choice, options
from saddlepoint.config.overrides import HELP, CommandLine, parse, quote, text_keys, unquoted
from saddlepoint.errors import UserError, choose, nearest
from saddlepoint.program import program

COMPOSING = (HydraException, OmegaConfBaseException, yaml.MarkedYAMLError, ValueError)
"""Exceptions that composing a config can raise; ValueError if a group is set to a number, for example."""

LAUNCHERS = ("joblib", "submitit_local", "submitit_slurm")
"""Launchers of the optional dependencies."""

Compose = Callable[[Sequence[str]], dict[str, Any]]
"""Composes the command's config from overrides, as plain containers; may raise any of ``COMPOSING``."""


def in_composing(error: Exception, line: CommandLine, compose: Compose) -> UserError | None:
    """Convert an error of composing; return None if the command line and the files did not cause it.

    Args:
        error: one of ``COMPOSING``.
        line: the command line that was composed.
        compose: composes other overrides, to find the keys that exist.
    """
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = "a config file" if mark is None else f"{mark.name}, line {mark.line + 1}"
        return UserError(f"{where}: invalid YAML ({error.problem})")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, choice = _split(error.missing_cfg_file, line)
        if any(one.key_or_group == group and _lists_another(one, choice) for one in parse(line.overrides)):
            return one_choice(group)  # a file of the list has defaults, which Hydra does not find from within a list
        return _unknown_choice(
            group, choice, options(group, line.folder) or sorted(filter(is_choice, error.options or ()))
        )
    if (wrong := _wrong_override(line, compose)) is not None:
        return wrong
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, OmegaConfBaseException):
        return in_reading(cause)
    if isinstance(error, HydraException):
        return UserError(f"cannot compose the config: {_first_line(error)}")
    return None


def one_choice(group: str) -> UserError:
    """Return the error of a list for a group that takes a single choice."""
    return UserError("this group takes one choice, not a list", group, f"use {group}=a,b with -m to run several")


def _lists_another(override: Override, choice: str) -> bool:
    """Return whether the value of an override is a list without the choice."""
    value = None if override.is_sweep_override() else override.value()
    return isinstance(value, list) and choice not in value


def _split(file: str, line: CommandLine) -> tuple[str, str]:
    """Return the group and the choice of a config file."""
    for group in defaults(line.config or line.command):
        if file.startswith(f"{group}/"):
            return group, file.removeprefix(f"{group}/")
    group, _, choice = file.rpartition("/")
    return group, choice


def in_reading(error: OmegaConfBaseException) -> UserError:
    """Convert an error of OmegaConf: a missing value, or one that cannot be resolved."""
    if isinstance(error, MissingMandatoryValue | InterpolationToMissingValueError):
        key = _missing_key(error)
        return UserError("missing value", key, f"set {key}=…")
    if isinstance(error, InterpolationKeyError) and (reference := _missing_key(error)).startswith("model."):
        group = str(error.full_key).partition(".")[0]
        return UserError(f"this choice needs {reference}, which the model does not have", group, "choose another one")
    return UserError(_first_line(error), error.full_key or None)


def _missing_key(error: OmegaConfBaseException) -> str:
    """Return the key that is missing or has no value: the one that the key named by the error refers to."""
    if OmegaConf.is_dict(error.parent_node):
        raw: Any = OmegaConf.to_container(error.parent_node, resolve=False)
        for name in str(error.key).split("."):
            raw = raw.get(name) if isinstance(raw, dict) else None
        if match := re.fullmatch(r"\$\{([\w.]+)\}", str(raw)):
            return match[1]
    return str(error.full_key)


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    first = next((line for line in lines if line), type(error).__name__)
    return first[:1].lower() + first[1:]


def _wrong_override(line: CommandLine, compose: Compose) -> UserError | None:
    """Return the error of the first invalid override, or None if all are valid."""
    overrides = parse(line.overrides)
    if not line.multirun:
        for override in overrides:
            if override.is_sweep_override():
                return _several(override, line.command)
    single = [override for override in overrides if not override.is_sweep_override()]
    known = groups(line.folder)
    chosen = [one for one in single if _is_choice(one, known)]
    for override in chosen:
        if (wrong := _wrong_choice(override, line)) is not None:
            return wrong
    choices = [str(one.input_line) for one in chosen]
    return _wrong_key([one for one in single if one not in chosen], choices, line.command, compose)


def _is_choice(override: Override, known: set[str]) -> bool:
    key = override.key_or_group
    return (key in known or key.startswith("hydra/")) and not isinstance(override.value(), dict)


def _several(override: Override, command: str) -> UserError:
    key, value = override.key_or_group, override.get_value_string()
    tip = f", or quote it if it is a single value: \"{key}='…'\"" if key in text_keys(command) else ""
    return UserError(f"several values ({value})", key, f"add -m to run them all{tip}")


def _wrong_choice(override: Override, line: CommandLine) -> UserError | None:
    group, value = override.key_or_group, override.value()
    by_default = defaults(line.config or line.command)
    if (override.is_add() or override.is_force_add()) and group in by_default:
        return UserError("this group already has a choice", group, "leave out the +")
    if not override.is_delete() and not isinstance(value, str | list):
        empty = ", or [] for none" if by_default.get(group) == [] else ""
        shown = override.get_value_string()
        listed = ", ".join(options(group, line.folder))
        return UserError(f"{shown} is not a choice", group, f"choose from {listed}{empty}")
    return None


def _wrong_key(
    overrides: Sequence[Override], choices: Sequence[str], command: str, compose: Compose
) -> UserError | None:
    """Return the error of the first override that changes a missing key or adds an existing one."""
    config = _composed(choices, compose)
    for override in overrides:
        key, value = override.key_or_group, override.value()
        if "[" in key:
            continue
        there = _lookup(config, key)
        if not (override.is_add() or override.is_force_add()):
            for inner in _leaves(key, value):
                if not _lookup(config, inner):
                    return _unknown_key(inner, config, choices, command)
        if override.is_add() and there and there[0] not in (None, "???") and not isinstance(value, dict | list):
            return UserError("this key already exists", key, "leave out the +")
        _assign(config, key, value)
    return None


def _composed(choices: Sequence[str], compose: Compose) -> dict[str, Any]:
    """Return the config of these choices, or that of the default choices if these do not compose."""
    try:
        return compose(choices)
    except COMPOSING:
        return compose([])


def _lookup(config: dict[str, Any], key: str) -> list[Any]:
    """Return a list with the value of a key, or an empty list if there is no such key."""
    node: Any = config
    for name in key.split("."):
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            return []
    return [node]


def _leaves(key: str, value: Any) -> Iterator[str]:
    """Yield the keys that an override sets: its own, or those of a dict value."""
    if not isinstance(value, dict) or not value:
        yield key
        return
    for name, content in value.items():
        yield from _leaves(f"{key}.{name}", content)


def _assign(config: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    node: Any = config
    for name in path:
        node = node.setdefault(name, {}) if isinstance(node, dict) else None
    if isinstance(node, dict):
        before = node.get(last)
        node[last] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value


def _unreadable(override: str) -> UserError:
    key, equals, value = override.partition("=")
    if not equals:
        return UserError(f"cannot parse {' '.join(override.split())}", None, HELP)
    quoted = f'"{key}={quote(unquoted(value))}"'
    problem = f"cannot parse {' '.join(value.split())}"
    return UserError(problem, key, f"close its brackets and quotes, or quote the value: {quoted}")


def _unknown_choice(group: str, choice: str, known: Sequence[str]) -> UserError:
    if group == "hydra/launcher" and choice in LAUNCHERS:
        return UserError(f"the launcher '{choice}' is not installed", group, "pip install 'saddlepoint[sweeps]'")
    return UserError(f"unknown choice '{choice}'", group or None, choose(choice, known) if known else None)


def _unknown_key(key: str, config: dict[str, Any], choices: Sequence[str], command: str) -> UserError:
    """Suggest a key with a similar spelling or a similar last part, or else how to list the keys of these choices."""
    known = [one for one in _keys(config) if one.startswith("hydra.") == key.startswith("hydra.")]
    known = [one for one in known if not f"{key}.".startswith(f"{one}.")]
    near = nearest(key, known)
    if near is None:
        last = {one.rsplit(".", 1)[-1]: one for one in known}
        near = last.get(nearest(key.rsplit(".", 1)[-1], last) or "")
    if near is not None:
        return UserError("unknown key", key, f"did you mean '{near}'?")
    name = program(command)
    shows = f"`{' '.join([name, *choices])} --cfg job` shows" if choices else f"`{name} --help` lists"
    return UserError("unknown key", key, f"{shows} the keys")


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the groups and the keys that hold values, without the nodes in between."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not prefix or not isinstance(value, dict):
                yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")
