"""The interpolations of a config: which a checkpoint or an export may contain, and the keys that they refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from saddlepoint.errors import UserError

REFERENCE = re.compile(
    r"\$\{\s*("
    r"[\w.\[\]-]+"  # another key
    r"|oc\.select:[\w.,\s\[\]-]+"  # another key, with a default
    r"|oc\.env:\s*SADDLEPOINT_DATA\s*(,[^${}]*)?"  # the only environment variable
    r"|now:[^${}]*"
    r")\s*\}"
)


def check_references(node: Any, path: str = "") -> None:
    """Check that the interpolations of a config refer only to its own keys and to ``SADDLEPOINT_DATA``.

    Any other environment variable could hold a secret, which would then be written to names, records and uploads.

    Args:
        node: the config as plain containers, unresolved.
        path: the key of ``node``.

    Raises:
        UserError: for the first interpolation that refers to anything else.

    >>> check_references({"shape": "${data.shape}", "root": "${oc.env:SADDLEPOINT_DATA,data}"})
    """
    for key, value in _leaves(node, path):
        if not isinstance(value, str) or "${" not in value:
            continue
        rest, before = value, ""
        while rest != before:  # inner references first
            rest, before = REFERENCE.sub("", rest), rest
        if "${" in rest:
            raise UserError(
                f"'{value}' refers to something other than the config's own keys and ${{oc.env:SADDLEPOINT_DATA}}",
                key,
                "write the value itself",
            )


def followed(raw: Any, key: str) -> str:
    """Return the key whose value a key has: its own, or that to which its interpolation refers.

    Args:
        raw: the config as plain containers, unresolved.
        key: a key of the config.

    >>> followed({"norm": {"generator": "batch"}, "network": {"norm": "${norm.generator}"}}, "network.norm")
    'norm.generator'
    """
    while isinstance(value := _at(raw, key), str) and (match := re.fullmatch(r"\$\{([\w.]+)\}", value)):
        key = match[1]
    return key


def _at(node: Any, key: str) -> Any:
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{path}[{index}]")
    else:
        yield path, node
