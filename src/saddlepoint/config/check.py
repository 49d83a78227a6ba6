"""Validates the parts of a composed config before anything is built from it.

The arguments of each part are checked against the signature of its ``_target_``, and each ``_target_`` against the list
of allowed classes. The keys outside of parts have been checked by :mod:`saddlepoint.config.strict`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from saddlepoint.config.overrides import parse
from saddlepoint.config.references import followed
from saddlepoint.config.schema import ConditioningConfig, MinibatchConfig, NormConfig
from saddlepoint.config.signatures import signature_of
from saddlepoint.config.strict import wrong_value
from saddlepoint.config.targets import resolve_target
from saddlepoint.errors import UserError, suggestion
from saddlepoint.schedules import Ramp

GROUPS_OF_PARTS: dict[str, set[str]] = {
    "network": set(),
    "optimizer": {"schedule", "gradient_clip"},
    "regularizer": set(),
    "augment": set(),
}
"""Groups that consist of several parts, with the keys that they may hold besides parts."""

GROUPS_OF_OPTIONS: dict[str, BaseModel] = {
    "norm": NormConfig(),
    "conditioning": ConditioningConfig(),
    "minibatch": MinibatchConfig(),
}
"""Groups of options that parts refer to by interpolation (``norm: ${norm.discriminator}``), with their defaults."""


def check_parts(
    config: DictConfig, provided: Mapping[str, set[str]], plugins: Sequence[str] = (), typed: Sequence[str] = ()
) -> None:
    """Check the arguments of each part against its signature, and that all other keys are referenced.

    Args:
        config: the config; values whose interpolations cannot be resolved yet are not checked.
        provided: the arguments that the code passes to parts, by the keys of the parts.
        plugins: trusted packages.
        typed: the overrides of the command line, which :func:`check_options` checks more strictly than the values in
            files; empty for the config of a checkpoint.

    Raises:
        UserError: for the first invalid key.
    """
    raw: Any = OmegaConf.to_container(config, resolve=False)
    read = set(re.findall(r"\$\{([\w.]+)\}", str(raw)))
    for group, node in raw.items():
        if group in GROUPS_OF_PARTS:
            _check_group(str(group), node or {}, read)
    check_options(raw, read, typed)
    parts = [found for group, node in raw.items() for found in _parts(node, str(group))]
    for path, part in parts:  # all keys before all values: a misspelt key can also make a value invalid elsewhere
        _check_keys(path, part, provided.get(path, set()), read, plugins)
    for path, part in parts:
        try:
            check_values(config, path, part, plugins)
        except UserError as error:
            raise error.at(followed(raw, error.key or path)) from None


def _check_group(group: str, node: dict[str, Any], read: set[str]) -> None:
    """Check that a group consists of parts and of keys that are referenced."""
    for key, value in node.items():
        if isinstance(value, dict) and "_target_" not in value:
            raise UserError("missing key", f"{group}.{key}._target_")
        if not isinstance(value, dict) and key not in GROUPS_OF_PARTS[group] and f"{group}.{key}" not in read:
            known = [*node, *GROUPS_OF_PARTS[group]]
            raise UserError("unknown key", f"{group}.{key}", suggestion(key, [k for k in known if k != key]))


def check_options(raw: Mapping[str, Any], read: set[str], typed: Sequence[str] = ()) -> None:
    """Check that the options set in ``norm``, ``conditioning`` and ``minibatch`` are used by a part.

    An option is *set* if its value is neither the default nor ``none`` or false. The rules are:

    * If an override of one of these groups or of its keys sets options, at least one of them must be used.
    * Every option that is set in ``conditioning`` or ``minibatch`` must be used, also if a file sets it, because
      another model would be trained otherwise.
    * An option that a model's file sets in ``norm`` may be unused, so that the model's networks can be replaced.

    Args:
        raw: the config as plain containers, unresolved.
        read: the keys that interpolations in the config refer to.
        typed: the overrides of the command line.

    Raises:
        UserError: for the first unused group or key.

    >>> raw = {"norm": {"generator": "batch", "discriminator": "layer", "spectral_norm": False}}
    >>> check_options(raw, {"norm.spectral_norm"}, ["seed=1"])
    >>> check_options(raw, {"norm.spectral_norm"}, ["norm=layer"])
    Traceback (most recent call last):
    ...
    saddlepoint.errors.UserError: norm: no part of this run uses norm.discriminator; leave it out, or choose another \
network
    """
    options = {group: _set_options(group, raw.get(group) or {}) for group in GROUPS_OF_OPTIONS}
    for override in parse(typed):
        group, _, key = override.key_or_group.partition(".")
        keys = [one for one in options.get(group, []) if not key or one == f"{group}.{key}"]
        if keys and not override.is_delete() and not any(_is_read(one, read) for one in keys):
            raise _unused(override.key_or_group, keys)
    for key in (*options["conditioning"], *options["minibatch"]):
        if not _is_read(key, read):
            raise _unused(key, [key])


def _set_options(group: str, node: Mapping[str, Any]) -> list[str]:
    default = GROUPS_OF_OPTIONS[group].model_dump()
    return [
        f"{group}.{key}" for key, value in node.items() if value != default.get(key) and value not in ("none", False)
    ]


def _is_read(key: str, read: set[str]) -> bool:
    """Whether an interpolation refers to a key or to its whole group."""
    return key in read or key.partition(".")[0] in read


def _unused(key: str, keys: Sequence[str]) -> UserError:
    return UserError(f"no part of this run uses {' or '.join(keys)}", key, "leave it out, or choose another network")


def _parts(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _parts(value, f"{path}.{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _parts(value, f"{path}[{i}]")


def _check_keys(path: str, part: dict[str, Any], provided: set[str], read: set[str], plugins: Sequence[str]) -> None:
    known = signature_of(resolve_target(part["_target_"], plugins, path))
    for key in part:
        if (
            key == "_target_"
            or (key == "_partial_" and path.startswith("optimizer."))
            or key in known
            or key in provided
            or f"{path}.{key}" in read
        ):
            continue
        raise UserError("unknown key", f"{path}.{key}", suggestion(key, set(known) - provided))
    if not part.get("_partial_"):
        missing = [k for k, p in known.items() if p.default is p.empty and k not in part and k not in provided]
        if missing:
            raise UserError(f"missing key, required by {part['_target_']}", f"{path}.{missing[0]}")


def check_values(config: DictConfig, path: str, part: Mapping[str, Any], plugins: Sequence[str]) -> None:
    """Check the types and ranges of the values of one part.

    Raises:
        UserError: for the first invalid value.
    """
    for key, parameter in signature_of(resolve_target(part["_target_"], plugins, path)).items():
        if key in part and parameter.annotation is not parameter.empty:
            value = OmegaConf.select(config, f"{path}.{key}", throw_on_missing=False)
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True)
            ends = [_end(value, end, plugins) for end in ("start", "end")]
            takes_ramps = path.startswith("optimizer.") or Ramp in get_args(parameter.annotation)
            if ends != [value, value] and not takes_ramps:
                raise UserError("does not support ramps", f"{path}.{key}", "set it to a number")
            for end in ends:
                _check_value(f"{path}.{key}", end, parameter.annotation)


def _end(value: Any, end: str, plugins: Sequence[str]) -> Any:
    """Return a value in which each ramp is replaced by its value at one end."""
    if isinstance(value, list):
        return [_end(one, end, plugins) for one in value]
    if isinstance(value, dict) and "_target_" in value and resolve_target(value["_target_"], plugins) is Ramp:
        return value[end]
    return value


def _check_value(key: str, value: Any, annotation: Any) -> None:
    if isinstance(value, dict):
        return  # a nested part, which is checked as a part
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError):
        return
    try:
        understood = adapter.validate_python(value)
    except ValidationError as error:
        found = error.errors()
        mistake = next((one for one in found if one["type"] != "is_instance_of"), found[0])
        raise wrong_value(key, value, mistake["msg"]) from None
    if (isinstance(value, str) and not isinstance(understood, str)) or (
        isinstance(value, bool) and not isinstance(understood, bool)
    ):
        raise wrong_value(key, value, "Input should be a number")
