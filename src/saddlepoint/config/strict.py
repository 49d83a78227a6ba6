"""Validates the keys of a composed config, outside of parts, against a typed schema."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from saddlepoint.config import mistakes
from saddlepoint.errors import UserError, suggestion

TYPES = ("str", "int", "float", "bool", "list", "literal", "constrained-float")


def check_schema(config: DictConfig, schema: type[BaseModel]) -> None:
    """Check a config against a schema: its keys, and the types and ranges of their values.

    Raises:
        UserError: for the first invalid key.
    """
    try:
        content = OmegaConf.to_container(config, resolve=False)
    except OmegaConfBaseException as error:
        raise mistakes.in_reading(error) from None
    try:
        schema.model_validate(content)
    except ValidationError as error:
        raise _first_mistake(error, schema) from None


def _first_mistake(error: ValidationError, schema: type[BaseModel]) -> UserError:
    mistakes = error.errors()
    path = _path(mistakes[0]["loc"])
    # Of the alternatives of a union, the one that is followed furthest is meant: of a list, its wrong element.
    mistake = max((one for one in mistakes if _path(one["loc"]) == path), key=lambda one: len(one["loc"]))
    key = ".".join(path)
    if mistake["type"] == "extra_forbidden":
        return UserError("unknown key", key, suggestion(str(mistake["loc"][-1]), _fields(schema, mistake["loc"][:-1])))
    if mistake["type"] == "missing":
        return UserError("missing key", key)
    if mistake["type"] == "model_type":
        keys = ", ".join(f"{key}.{field}" for field in _fields(schema, path))
        return UserError(f"a group of keys, which cannot be set to {mistake['input']}", key, f"set its keys: {keys}")
    return wrong_value(key, mistake["input"], mistake["msg"])


def _path(location: Sequence[str | int]) -> list[str]:
    """Return the keys of a location, to which Pydantic appends the types of a union and positions in lists.

    >>> _path(("labels", "str")), _path(("format", 0))
    (['labels'], ['format'])
    """
    return [str(part) for part in takewhile(_is_key, location)]


def _is_key(part: str | int) -> bool:
    return isinstance(part, str) and part.partition("[")[0] not in TYPES


def _fields(schema: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    for part in path:
        inner = schema.model_fields[str(part)].annotation
        if not (inspect.isclass(inner) and issubclass(inner, BaseModel)):
            return []
        schema = inner
    return list(schema.model_fields)


def wrong_value(key: str, value: Any, message: str) -> UserError:
    """Return an error such as ``batch_size: input should be greater than 0, got -1``."""
    return UserError(f"{message[:1].lower()}{message[1:]}, got {value!r}", key)
