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

TYPES = ("str", "int", "float", "bool", "list", "literal")


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
    mistake = error.errors()[0]
    # Pydantic appends the types of a union and positions in lists, as in ("labels", "str") and ("format", 0).
    parts = takewhile(lambda part: isinstance(part, str) and part.partition("[")[0] not in TYPES, mistake["loc"])
    key = ".".join(map(str, parts))
    if mistake["type"] == "extra_forbidden":
        return UserError("unknown key", key, suggestion(str(mistake["loc"][-1]), _fields(schema, mistake["loc"][:-1])))
    if mistake["type"] == "missing":
        return UserError("missing key", key)
    return wrong_value(key, mistake["input"], mistake["msg"])


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
