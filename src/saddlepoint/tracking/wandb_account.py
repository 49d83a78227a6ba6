"""W&B's server and the user's account: whether they can be used, and W&B's public API."""

from __future__ import annotations

import netrc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb

from saddlepoint.errors import UserError

SECONDS_TO_CONNECT = 5.0
SECONDS_TO_ANSWER = 30
NO_KEY = "no API key found"
FIRST_SERVER = "api.wandb.ai"
"""The machine under which wandb before 0.31 has stored the keys of what is now the default server."""


def unusable() -> str | None:
    """Return why W&B's server cannot be used, as a clause, or None if there are an API key and a network."""
    given = os.environ.get("WANDB_BASE_URL")
    server = urlsplit(given or wandb.Settings().base_url)
    if not _has_key([server.netloc] if given else [server.netloc, FIRST_SERVER]):
        return NO_KEY
    port = server.port or (80 if server.scheme == "http" else 443)
    try:
        with socket.create_connection((server.hostname or "", port), timeout=SECONDS_TO_CONNECT):
            return None
    except OSError:
        return f"{server.hostname} cannot be reached"


def _has_key(machines: list[str]) -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        known = netrc.netrc(path)
    except (OSError, netrc.NetrcParseError):
        return False
    return any(known.authenticators(machine) is not None for machine in machines)


@contextmanager
def api(key: str) -> Iterator[Any]:
    """Provide W&B's public API, whose errors become one line.

    Args:
        key: the setting that needs it, which errors name.

    Raises:
        UserError: there is no API key or no network, or the server refuses a request.
    """
    if (reason := unusable()) is not None:
        remedy = "run `wandb login`" if reason == NO_KEY else "try again when it can be reached"
        raise UserError(f"W&B cannot be used: {reason}", key, remedy)
    wandb.setup(wandb.Settings(silent=True))
    try:
        yield wandb.Api(timeout=SECONDS_TO_ANSWER)
    except UserError:
        raise
    except Exception as error:  # W&B raises its own errors, ValueError, those of requests, and some that are not public
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"W&B's server: {first}", key) from None
