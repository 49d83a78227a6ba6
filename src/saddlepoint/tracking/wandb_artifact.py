"""Checkpoints from W&B: downloads the artifact that ``logger.artifacts=best`` has stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from saddlepoint.errors import UserError

PREFIX = "wandb:"
NAME = re.compile(r"wandb:(?P<name>[^/:\s]+/[^/:\s]+/[^/:\s]+:[^/:\s]+)")


def download(reference: str, key: str) -> Path:
    """Download the checkpoint of an artifact, unless it has been downloaded before.

    Args:
        reference: ``wandb:ENTITY/PROJECT/NAME:ALIAS``.
        key: the setting that names it, for errors.

    Returns:
        A folder of the user's cache that contains the artifact's checkpoint files.

    Raises:
        UserError: the reference is malformed, W&B cannot be used, or there is no such artifact or no checkpoint in it.
    """
    name = parse(reference, key)
    from saddlepoint.tracking import wandb_account  # imports wandb, which takes a second

    with wandb_account.api(key) as api:
        artifact = api.artifact(name)
        files = checkpoint_files(artifact.manifest.entries)
        if not files:
            raise UserError(f"artifact {name} contains no checkpoint", key, "choose an artifact of type checkpoint")
        # Named by content, since an alias may come to mean another version.
        content = hashlib.sha256(str(artifact.digest).encode()).hexdigest()[:16]
        folder = Path(platformdirs.user_cache_dir("saddlepoint")) / "wandb" / content
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            artifact.get_entry(file).download(str(folder), skip_cache=True)
    return folder


def parse(reference: str, key: str) -> str:
    """Return the name ``ENTITY/PROJECT/NAME:ALIAS`` of an artifact.

    >>> parse("wandb:me/saddlepoint/checkpoint-1a2b3c4d:best", "checkpoint")
    'me/saddlepoint/checkpoint-1a2b3c4d:best'

    Raises:
        UserError: the reference is malformed.
    """
    found = NAME.fullmatch(reference)
    if found is None:
        remedy = "a run's NAME is checkpoint-RUN_ID, and its ALIAS is best or last"
        raise UserError(f"'{reference}' is not of the form wandb:ENTITY/PROJECT/NAME:ALIAS", key, remedy)
    return found["name"]


def checkpoint_files(entries: Mapping[str, Any]) -> list[str]:
    """Return the names of an artifact's checkpoint files.

    Files in folders are left out, and so are references: they name files of this machine or addresses in its network,
    which the author of the artifact may not be able to read.

    Args:
        entries: the entries of the artifact's manifest by path.
    """
    return [path for path, entry in entries.items() if re.fullmatch(r"[^/\\]+\.ckpt", path) and entry.ref is None]
