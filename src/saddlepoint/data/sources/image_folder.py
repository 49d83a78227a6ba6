"""A folder or zip file of images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from saddlepoint.data.sources.base import Contents, FileColumn, Labels, Source, Table, digest
from saddlepoint.data.store import Store, given_path, open_store, raw_name, real_name
from saddlepoint.errors import UserError
from saddlepoint.types import Split

T = TypeVar("T")

# The first of these folders beside ``train/`` is the held-out split; the others are not read.
HELD_OUT_FOLDERS = ("held_out", "test", "val", "valid", "validation")
HELD_OUT_TENTH = 10

REMEDY = "give a folder or zip file of PNG, JPEG, WebP or BMP images"


class ImageFolder(Source):
    """PNG, JPEG, WebP and BMP images of any size and mode under one folder or in one zip file.

    Outer folders that contain all images, as they often exist in zip files, are ignored. Then ``train/`` and the first
    of ``held_out/``, ``test/``, ``val/``, ``valid/``, ``validation/`` that exists are the splits. Without them, the
    images whose relative name hashes to 0 modulo 10 are held out, so that adding images does not move others to the
    other split; each split has at least two images, or one if there are fewer than four in all. Within a split, an
    image's class is its first folder; images outside folders have no labels.

    Args:
        root: the folder or zip file.
        labels: ``folders`` as above, or ``none`` to ignore class folders.
    """

    def __init__(self, root: str, labels: Literal["folders", "none"] = "folders"):
        self.root = given_path(root)
        self.labels = labels
        self.name = real_name(self.root).removesuffix(".zip")

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        store, relative = open_images(self.root, REMEDY)
        splits = split_by_folders(relative) or split_by_hash(relative, self.root)
        classes = self._classes(splits)
        return Contents(
            splits={split: [file_table(store, files, classes)] for split, files in splits.items()},
            class_names=classes,
            digest=digest([store.digest(tuple(relative.values())), self.labels]),
        )

    def _classes(self, splits: Mapping[Split, Mapping[str, str]]) -> tuple[str, ...] | None:
        inside = [name for files in splits.values() for name in files]
        flat = [name for name in inside if "/" not in name]
        if self.labels == "none" or len(flat) == len(inside):
            return None
        if flat:
            problem = f"{self.root}: {flat[0]} and {len(flat) - 1} more are in no class folder, but others are"
            raise UserError(problem, "labels", "move them, or set it to none")
        return tuple(sorted({name.split("/")[0] for name in inside}))


def open_images(path: Path, remedy: str, key: str = "root") -> tuple[Store, dict[str, str]]:
    """Open a folder or zip file of images, and return its store and names as :func:`unwrapped`.

    Args:
        path: the folder or file.
        remedy: what the user should do if ``path`` cannot be used.
        key: the argument that the path was given as.

    Raises:
        UserError: ``path`` cannot be opened or has no images.
    """
    store = open_store(path, remedy, key)
    names = store.names()
    if not names:
        raise UserError(f"{path}: no images inside", key, remedy)
    return store, unwrapped(names)


def unwrapped(names: Sequence[str]) -> dict[str, str]:
    """Return the names in the store, keyed by the name without the outer folders that all names share."""
    parts = [name.split("/") for name in names]
    depth = 0
    while all(len(part) > depth + 1 and part[depth] == parts[0][depth] for part in parts):
        depth += 1
    return {"/".join(part[depth:]): name for part, name in zip(parts, names, strict=True)}


def split_by_folders(relative: Mapping[str, T]) -> dict[Split, dict[str, T]] | None:
    """Return the names in ``train/`` and in the held-out folder, relative to them; None if either is missing."""
    folders = {name.split("/")[0] for name in relative if "/" in name}
    held_out = next((folder for folder in HELD_OUT_FOLDERS if folder in folders), None)
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


def file_table(store: Store, files: Mapping[str, str], classes: tuple[str, ...] | None) -> Table:
    """Return a table of ``files``, names in the store keyed by relative name, whose first folder is the label."""
    labels: Labels | None = None
    if classes is not None:
        index = {name: position for position, name in enumerate(classes)}
        labels = np.array([index[name.split("/")[0]] for name in files], dtype=np.int64)
    return Table({"images": FileColumn(store, tuple(files.values()))}, labels)
