"""Secrets: an error on the command line, and removed from configs that are written to files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from saddlepoint.errors import UserError

SECRET = re.compile(r"(api[_-]?key|secret|token|password|passwd|credential)", re.IGNORECASE)
"""Matches keys of secrets."""


def refuse_secrets(overrides: Iterable[str]) -> None:
    """Check that no override sets a secret, since other users can see command lines and shells store them.

    Raises:
        UserError: for the first such key; the message does not contain the value.
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
    """Return plain containers in which the values of secrets are replaced by ``…``.

    >>> redacted({"logger": {"api_key": "abc", "project": "x"}})
    {'logger': {'api_key': '…', 'project': 'x'}}
    """
    if isinstance(node, dict):
        return {key: "…" if value and SECRET.search(str(key)) else redacted(value) for key, value in node.items()}
    return [redacted(value) for value in node] if isinstance(node, list) else node
