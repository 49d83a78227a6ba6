"""Secrets: an error on the command line, and removed from configs that are written to files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from saddlepoint.errors import UserError

SECRET = re.compile(r"api[_-]?key|secret|password|passwd|credential", re.IGNORECASE)
"""Matches keys of secrets."""
TOKEN = re.compile(r"tokens?$", re.IGNORECASE)
"""Matches keys of secrets if their values are text, since ``num_tokens`` is a number."""
REFERENCE = re.compile(r"\$\{(oc\.env:\w+|[\w.]+)\}")
"""Matches values that only name where a secret is; configs are written without resolving them."""
NUMBER = re.compile(r"[-+.\deE]+|true|false|null", re.IGNORECASE)


def refuse_secrets(overrides: Iterable[str]) -> None:
    """Check that no override sets a secret, since other users can see command lines and shells store them.

    Raises:
        UserError: for the first such key; the message does not contain the value.
    """
    for override in overrides:
        key, equals, value = override.partition("=")
        value = value.strip("'\"")
        secret = SECRET.search(key) or (TOKEN.search(key) and not NUMBER.fullmatch(value))
        if equals and secret and not REFERENCE.fullmatch(value):
            raise UserError(
                "this looks like a secret, and command lines are not private",
                key.lstrip("+~"),
                "use an environment variable",
            )


def redacted(node: Any) -> Any:
    """Return plain containers in which the values of secrets are replaced by ``…``.

    >>> redacted({"logger": {"api_key": "abc", "project": "x"}, "num_tokens": 16})
    {'logger': {'api_key': '…', 'project': 'x'}, 'num_tokens': 16}
    """
    if isinstance(node, dict):
        return {key: "…" if _is_secret(str(key), value) else redacted(value) for key, value in node.items()}
    return [redacted(value) for value in node] if isinstance(node, list) else node


def _is_secret(key: str, value: Any) -> bool:
    if not value or (isinstance(value, str) and REFERENCE.fullmatch(value)):
        return False
    if SECRET.search(key):
        return True
    part = isinstance(value, dict) and "_target_" in value  # a layer called token, for instance
    return bool(TOKEN.search(key)) and not part and not isinstance(value, int | float)
