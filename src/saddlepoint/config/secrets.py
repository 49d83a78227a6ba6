"""Secrets: an error on the command line, and removed from configs that are written to files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from saddlepoint.errors import UserError

SECRET = re.compile(r"api[_-]?key|secret|token$|password|passwd|credential", re.IGNORECASE)
"""Matches keys of secrets, but not ``num_tokens`` or ``tokenizer``."""

INTERPOLATION = re.compile(r"\$\{[^}]*\}")
"""Matches values that name where a secret is stored; configs are written without resolving them."""


def refuse_secrets(overrides: Iterable[str]) -> None:
    """Check that no override sets a secret, since other users can see command lines and shells store them.

    Raises:
        UserError: for the first such key; the message does not contain the value.
    """
    for override in overrides:
        key, equals, value = override.partition("=")
        if equals and SECRET.search(key) and not INTERPOLATION.fullmatch(value.strip("'\"")):
            raise UserError(
                "this looks like a secret, and command lines are not private",
                key.lstrip("+~"),
                "use an environment variable",
            )


def redacted(node: Any) -> Any:
    """Return plain containers in which the values of secrets, which are strings, are replaced by ``…``.

    >>> redacted({"logger": {"api_key": "abc", "project": "x"}, "class_token": True})
    {'logger': {'api_key': '…', 'project': 'x'}, 'class_token': True}
    """
    if isinstance(node, dict):
        return {key: "…" if _is_secret(str(key), value) else redacted(value) for key, value in node.items()}
    return [redacted(value) for value in node] if isinstance(node, list) else node


def _is_secret(key: str, value: Any) -> bool:
    if not SECRET.search(key):
        return False
    if isinstance(value, list):
        return any(_is_secret(key, one) for one in value)
    return isinstance(value, str) and bool(value) and not INTERPOLATION.fullmatch(value)
