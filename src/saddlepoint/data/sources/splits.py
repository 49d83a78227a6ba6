"""Training and held-out images: by the names of folders, or a tenth by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from saddlepoint.data.store import raw_name
from saddlepoint.errors import UserError
from saddlepoint.types import Split

T = TypeVar("T")

HELD_OUT_NAMES = ("held_out", "test", "val", "valid", "validation")
"""The first of these beside ``train`` is the held-out split; the others are not read."""
HELD_OUT_TENTH = 10


def split_by_folders(relative: Mapping[str, T]) -> dict[Split, dict[str, T]] | None:
    """Return the names in ``train/`` and in the held-out folder, relative to them; None if either is missing."""
    folders = {name.split("/")[0] for name in relative if "/" in name}
    held_out = next((folder for folder in HELD_OUT_NAMES if folder in folders), None)
    if "train" not in folders or held_out is None:
        return None
    return {"train": _under(relative, "train"), "held_out": _under(relative, held_out)}


def _under(relative: Mapping[str, T], folder: str) -> dict[str, T]:
    return {name[len(folder) + 1 :]: stored for name, stored in relative.items() if name.startswith(f"{folder}/")}


def split_by_hash(relative: Mapping[str, T], root: Path) -> dict[Split, dict[str, T]]:
    """Hold out a tenth of the names by their hashes.

    Raises:
        UserError: there is only one name.
    """
    if len(relative) < 2:
        raise UserError(f"{root}: one image cannot be split into training and held-out images", "root", "add images")
    hashes = {
        name: int.from_bytes(hashlib.blake2b(raw_name(name), digest_size=8).digest(), "little") for name in relative
    }
    held_out = {name for name, value in hashes.items() if value % HELD_OUT_TENTH == 0}
    by_hash = sorted(hashes, key=hashes.__getitem__)
    least = 2 if len(relative) >= 4 else 1  # statistics of held-out images need at least two
    if len(held_out) < least:
        held_out |= set(by_hash[:least])
    if len(relative) - len(held_out) < least:
        held_out -= set(by_hash[-least:])
    return {
        "train": {name: stored for name, stored in relative.items() if name not in held_out},
        "held_out": {name: stored for name, stored in relative.items() if name in held_out},
    }
