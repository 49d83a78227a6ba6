"""Checks a composed config before anything is built from it.

The top level against a typed schema; every part against the signature of its ``_target_``; every ``_target_`` against
an exact list of what a config may name. A config from a stranger can choose among our parts and set their knobs; it
can name nothing else.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

import saddlepoint.augment
import saddlepoint.data
import saddlepoint.losses
import saddlepoint.metrics.features
import saddlepoint.networks
import saddlepoint.regularizers
import saddlepoint.systems
from saddlepoint.errors import UserError, did_you_mean

PART_PACKAGES = (
    saddlepoint.augment,
    saddlepoint.data,
    saddlepoint.losses,
    saddlepoint.metrics.features,
    saddlepoint.networks,
    saddlepoint.regularizers,
    saddlepoint.systems,
)
GROUPS_OF_PARTS: dict[str, set[str]] = {
    "network": set(),
    "optimizer": {"schedule", "gradient_clip"},
    "regularizer": set(),
    "augment": set(),
}
"""Groups that hold several parts, and the keys that the commands read beside them."""

GROUPS_FOR_NETWORKS = {"conditioning", "minibatch"}
"""Groups that only networks read; not every network does."""


@cache
def allowed_targets() -> dict[str, Callable[..., Any]]:
    """Return all that a config may name: what the part packages export, and torch's optimizers."""
    exported = (
        (f"{package.__name__}.{name}", getattr(package, name)) for package in PART_PACKAGES for name in package.__all__
    )
    parts: dict[str, Callable[..., Any]] = {
        name: value for name, value in exported if inspect.isclass(value) and not inspect.isabstract(value)
    }
    optimizers: dict[str, Callable[..., Any]] = {
        f"torch.optim.{name}": value
        for name, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    return parts | optimizers


def resolve_target(target: Any, plugins: Sequence[str] = ()) -> Callable[..., Any]:
    """Return the class that a ``_target_`` names.

    Raises:
        UserError: where it is not on the list, nor in a package that the user named as a plugin.
    """
    allowed = allowed_targets()
    if target in allowed:
        return allowed[target]
    if isinstance(target, str) and any(target.startswith(f"{plugin}.") for plugin in plugins):
        return typing.cast("Callable[..., Any]", _import(target))
    ours = str(target).startswith(("saddlepoint.", "torch.optim."))
    hint = did_you_mean(str(target), allowed) if ours else ""
    raise UserError(f"target '{target}' not allowed{hint or '; name its package in plugins=[…] if you trust it'}")


def _import(target: str) -> Any:
    import importlib

    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"target '{target}' cannot be imported: {error}") from None
    if str(getattr(found, "__module__", "")).partition(".")[0] != target.partition(".")[0]:
        raise UserError(f"target '{target}' not allowed: that package only imports it; trust goes no further")
    return found


def check_schema(config: DictConfig, schema: type[BaseModel]) -> None:
    """Check a config's own keys against their types and ranges.

    Raises:
        UserError: naming the first wrong key.
    """
    try:
        content = OmegaConf.to_container(config, resolve=False)
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from None
    try:
        schema.model_validate(content)
    except ValidationError as error:
        raise UserError(_first_mistake(error, schema)) from None


def _first_mistake(error: ValidationError, schema: type[BaseModel]) -> str:
    mistake = error.errors()[0]
    key = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"unknown key '{key}'{did_you_mean(str(mistake['loc'][-1]), _fields(schema, mistake['loc'][:-1]))}"
    if mistake["type"] == "missing":
        return f"missing key '{key}'"
    return f"{key}={_shown(mistake['input'])}: {_lowered(mistake['msg'])}"


def _fields(schema: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    for part in path:
        inner = schema.model_fields[str(part)].annotation
        if not (inspect.isclass(inner) and issubclass(inner, BaseModel)):
            return []
        schema = inner
    return list(schema.model_fields)


def check_parts(config: DictConfig, provided: Mapping[str, set[str]], plugins: Sequence[str] = ()) -> None:
    """Check every node that has a ``_target_`` against its signature; and that something reads every other key.

    Args:
        config: the config; interpolations that cannot be resolved yet are not looked into.
        provided: for a part's key, the arguments that the code passes to it.
        plugins: packages of the user's own.

    Raises:
        UserError: naming the first wrong key.
    """
    raw = OmegaConf.to_container(config, resolve=False)
    read = set(re.findall(r"\$\{([\w.]+)\}", str(raw)))
    assert isinstance(raw, dict)
    for group, node in raw.items():
        if group in GROUPS_OF_PARTS:
            _check_group(str(group), node or {}, read)
        if group in GROUPS_FOR_NETWORKS:
            _check_read(str(group), node or {}, read)
    parts = [found for group, node in raw.items() for found in _parts(node, str(group))]
    for path, part in parts:  # all keys before all values: a misspelt key is also a value that others miss
        _check_keys(path, part, provided.get(path, set()), read, plugins)
    for path, part in parts:
        _check_values(config, path, part, plugins)


def _check_group(group: str, node: dict[str, Any], read: set[str]) -> None:
    """Check that a group of several parts holds parts, and keys that something reads."""
    for key, value in node.items():
        if isinstance(value, dict) and "_target_" not in value:
            raise UserError(f"missing key '{group}.{key}._target_'")
        if not isinstance(value, dict) and key not in GROUPS_OF_PARTS[group] and f"{group}.{key}" not in read:
            known = [*node, *GROUPS_OF_PARTS[group]]
            raise UserError(f"unknown key '{group}.{key}'{did_you_mean(key, [k for k in known if k != key])}")


def _check_read(group: str, node: dict[str, Any], read: set[str]) -> None:
    """Refuse a choice that the network of this run does not read: it would change nothing, and say nothing."""
    for key, value in node.items():
        if value not in ("none", 1) and f"{group}.{key}" not in read:
            raise UserError(f"{group}.{key}={value}: this network has no such option; take dcgan, resnet or mlp")


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
    known = signature_of(resolve_target(part["_target_"], plugins))
    for key in part:
        if (
            key == "_target_"
            or (key == "_partial_" and path.startswith("optimizer."))
            or key in known
            or key in provided
            or f"{path}.{key}" in read
        ):
            continue
        raise UserError(f"unknown key '{path}.{key}'{did_you_mean(key, set(known) - provided)}")
    if not part.get("_partial_"):
        missing = [k for k, p in known.items() if p.default is p.empty and k not in part and k not in provided]
        if missing:
            raise UserError(f"missing key '{path}.{missing[0]}', which {part['_target_']} needs")


def _check_values(config: DictConfig, path: str, part: dict[str, Any], plugins: Sequence[str]) -> None:
    for key, parameter in signature_of(resolve_target(part["_target_"], plugins)).items():
        if key in part and parameter.annotation is not parameter.empty:
            value = OmegaConf.select(config, f"{path}.{key}", throw_on_missing=False)
            _check_value(f"{path}.{key}", value, parameter.annotation)


def _check_value(key: str, value: Any, annotation: Any) -> None:
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=True)
    if isinstance(value, dict):
        return  # parts in parts are checked as parts
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError):
        return
    try:
        understood = adapter.validate_python(value)
    except ValidationError as error:
        mistakes = error.errors()
        message = next((m["msg"] for m in mistakes if "instance of" not in m["msg"]), mistakes[0]["msg"])
        raise UserError(f"{key}={_shown(value)}: {_lowered(message)}") from None
    if (isinstance(value, str) and not isinstance(understood, str)) or (
        isinstance(value, bool) and not isinstance(understood, bool)
    ):
        raise UserError(f"{key}={_shown(value)}: input should be a number")


@cache
def signature_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return a target's named parameters, annotations evaluated, those behind ``**`` of a base class included."""
    if not inspect.isclass(target):
        return _named(target)
    named: dict[str, inspect.Parameter] = {}
    for cls in target.__mro__:
        init = cls.__dict__.get("__init__")
        if init is None:
            continue
        named = _named(init) | named
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(init).parameters.values()):
            break
    return named


def _named(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError:
        hints = {}
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: p.replace(annotation=hints.get(p.name, p.empty))
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in ("self", "params")
    }


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
