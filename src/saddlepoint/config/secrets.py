"""Secrets: refused on a command line, and removed from configs that are written to files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from saddlepoint.errors import UserError

SECRET = re.compile(r"(api[_-]?key|secret|token|password|passwd|credential)", re.IGNORECASE)
"""Keys that name secrets."""


def refuse_secrets(overrides: Iterable[str]) -> None:
    """Refuse overrides whose key names a secret: other users can read a command line, and shells keep it.

    Raises:
        UserError: the first such key; the value is not shown.
    """
    for override in overrides:
        key, equals, _ = override.partition("=")
        if equals and SECRET.search(key):
            raise UserError(
                "this looks like a secret, and command lines are not private",
                key.lstrip("+~"),
                "use an environment variable",
            )


def redacted(node: Any) -> Any:
    """Return plain containers with the values of keys that name secrets replaced by ``…``.

    >>> redacted({"logger": {"api_key": "abc", "project": "x"}})
    {'logger': {'api_key': '…', 'project': 'x'}}
    """
    if isinstance(node, dict):
        return {key: "…" if value and SECRET.search(str(key)) else redacted(value) for key, value in node.items()}
    return [redacted(value) for value in node] if isinstance(node, list) else node
