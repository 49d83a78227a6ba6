"""Training and held-out images: by the names of folders, or a tenth by hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from saddlepoint.data.store import raw_name
from saddlepoint.errors import UserError
from saddlepoint.types import Split

T = TypeVar("T")

TRAIN_NAMES = ("train", "training")
HELD_OUT_NAMES = ("held_out", "test", "testing", "val", "valid", "validation", "dev", "eval")
"""The first of these beside the training images is the held-out split; the others are not read."""
HELD_OUT_TENTH = 10

SIDE = re.compile(rf"({'|'.join((*TRAIN_NAMES, *HELD_OUT_NAMES))}|)_?([ab])", re.IGNORECASE)
"""Name of a folder of one side of two, a or b, with an optional split: ``trainA``, ``a``."""


def split_by_folders(relative: Mapping[str, T]) -> dict[Split, dict[str, T]] | None:
    """Return the names in the training and in the held-out folder, relative to them; None if either is missing.

    The case of the folders' names is ignored.

    >>> split_by_folders({"Train/1.png": 1, "Test/2.png": 2})
    {'train': {'1.png': 1}, 'held_out': {'2.png': 2}}
    """
    folders = {name.split("/")[0].lower(): name.split("/")[0] for name in relative if "/" in name}
    train, held_out = (
        next((folders[name] for name in names if name in folders), None) for names in (TRAIN_NAMES, HELD_OUT_NAMES)
    )
    if train is None or held_out is None:
        return None
    return {"train": _under(relative, train), "held_out": _under(relative, held_out)}


def _under(relative: Mapping[str, T], folder: str) -> dict[str, T]:
    return {name[len(folder) + 1 :]: stored for name, stored in relative.items() if name.startswith(f"{folder}/")}


def inside_split(name: str) -> str:
    """Return a relative name without the folder of its split, if it is in one.

    >>> inside_split("train/cat/1.png"), inside_split("cat/1.png")
    ('cat/1.png', 'cat/1.png')
    """
    first, _, rest = name.partition("/")
    return rest if rest and first.lower() in (*TRAIN_NAMES, *HELD_OUT_NAMES) else name


def by_side(relative: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of side a and of side b in the store, keyed by the name without the side; others are omitted.

    >>> by_side({"trainA/1.png": "x", "test/b/1.png": "y"})
    ({'train/1.png': 'x'}, {'test/1.png': 'y'})
    """
    sides: dict[str, dict[str, str]] = {"a": {}, "b": {}}
    for name, stored in relative.items():
        *folders, file = name.split("/")
        for index, folder in enumerate(folders):
            if match := SIDE.fullmatch(folder):
                split, side = match.groups()
                rest = [*folders[:index], *([split] if split else []), *folders[index + 1 :], file]
                sides[side.lower()]["/".join(rest)] = stored
                break
    return sides["a"], sides["b"]


def has_two_domains(folders: Iterable[str]) -> bool:
    """Return whether folders are those of two domains in CycleGAN's layout, such as ``trainA`` and ``trainB``."""
    matches = [SIDE.fullmatch(folder) for folder in folders]
    return all(match and match[1] for match in matches) and {match[2].lower() for match in matches if match} == {*"ab"}


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
