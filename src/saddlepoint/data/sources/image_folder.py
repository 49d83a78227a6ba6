"""A folder, zip file or array of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from saddlepoint.data.sources import image_arrays
from saddlepoint.data.sources.base import Contents, FileColumn, Labels, Source, Table, digest
from saddlepoint.data.sources.splits import split_by_folders, split_by_hash
from saddlepoint.data.store import Store, given_path, open_store, real_name
from saddlepoint.errors import UserError
from saddlepoint.types import Split

T = TypeVar("T")

REMEDY = "give a folder or zip file of PNG, JPEG, WebP or BMP images, or an .npz or .npy file"


class ImageFolder(Source):
    """PNG, JPEG, WebP and BMP images of any size and mode under one folder or in one zip file, or those of an array.

    Outer folders that contain all images, as they often exist in zip files, are ignored. Then ``train/`` and the first
    of ``held_out/``, ``test/``, ``val/``, ``valid/``, ``validation/`` that exists are the splits. Without them, the
    images whose relative name hashes to 0 modulo 10 are held out, so that adding images does not move others to the
    other split; each split has at least two images, or one if there are fewer than four in all. Within a split, an
    image's class is its first folder; images outside folders have no labels. For ``.npz`` and ``.npy`` files, see
    :func:`~saddlepoint.data.sources.image_arrays.open_arrays`.

    Args:
        root: the folder, zip file, ``.npz`` or ``.npy``.
        labels: ``folders`` as above, or ``none`` to ignore class folders and labels.
    """

    def __init__(self, root: str, labels: Literal["folders", "none"] = "folders"):
        self.root = given_path(root)
        self.labels = labels
        self.name = real_name(self.root, (".zip", *image_arrays.SUFFIXES))

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        if self.root.suffix in image_arrays.SUFFIXES:
            return image_arrays.open_arrays(self.root, self.labels != "none")
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


def file_table(store: Store, files: Mapping[str, str], classes: tuple[str, ...] | None) -> Table:
    """Return a table of ``files``, names in the store keyed by relative name, whose first folder is the label."""
    labels: Labels | None = None
    if classes is not None:
        index = {name: position for position, name in enumerate(classes)}
        labels = np.array([index[name.split("/")[0]] for name in files], dtype=np.int64)
    return Table({"images": FileColumn(store, tuple(files.values()))}, labels)
