"""CIFAR-10, from class folders of images or from its authors' batch files."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torchvision

from saddlepoint.data.archive import open_store
from saddlepoint.data.images import SUFFIXES
from saddlepoint.data.sources.base import Contents, FileColumn, Labels, Source, Table, digest, digest_of
from saddlepoint.data.sources.folders import suffix_of
from saddlepoint.data.sources.torchvision_download import downloading
from saddlepoint.data.store import given_path, status
from saddlepoint.errors import UserError
from saddlepoint.types import Split

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class CIFAR10(Source):
    """50,000 training and 10,000 held-out colour photographs of 32x32 pixels in ten classes (Krizhevsky 2009).

    The files are either ``cifar10/train`` and ``cifar10/test`` under the root, with one folder per class, or zip files
    of these (``train.zip``, ``test.zip``), or torchvision's ``cifar-10-batches-py``, which is downloaded if there are
    none.

    Args:
        root: the folder that contains ``cifar10`` or ``cifar-10-batches-py``.
    """

    name = "cifar10"

    def __init__(self, root: str):
        self.root = given_path(root)

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        return self._open_files() or self._open_batches()

    def _open_files(self) -> Contents | None:
        paths: dict[Split, Path | None] = {"train": self._path("train"), "held_out": self._path("test")}
        found = [path for path in paths.values() if path is not None]
        if not found:
            return None
        if len(found) < 2:
            problem = f"{found[0]}: the other split is missing"
            raise UserError(problem, "root", "put both train and test there")
        splits: dict[Split, list[Table]] = {}
        parts = []
        for split, path in paths.items():
            images, labels = _files(cast(Path, path))
            splits[split] = [Table({"images": images}, labels)]
            parts += [images.store.digest(images.names), "|"]
        return Contents(splits, CLASSES, digest(parts), files_shape=(32, 32, 3))

    def _path(self, name: str) -> Path | None:
        candidates = (self.root / "cifar10" / name, self.root / "cifar10" / f"{name}.zip")
        return next((path for path in candidates if status(path)), None)

    def _open_batches(self) -> Contents:
        # torchvision unpickles these files, and unpickling can run code. It is safe here because its constructor first
        # compares each file's MD5 with that of the authors' file, which is pinned in torchvision: a malicious pickle
        # would have to be a second preimage, which is infeasible.
        missing = f"{self.root}: neither cifar10/train and cifar10/test nor cifar-10-batches-py"
        with downloading(self.root, missing, "put one of them there, or give a folder that has them"):
            train = self._batches(train=True)
            test = self._batches(train=False)
        splits: dict[Split, list[Table]] = {"train": [train], "held_out": [test]}
        return Contents(splits, CLASSES, digest_of(splits))

    def _batches(self, train: bool) -> Table:
        data = torchvision.datasets.CIFAR10(self.root, train=train, download=True)
        return Table({"images": np.ascontiguousarray(data.data)}, np.array(data.targets, dtype=np.int64))


def _files(path: Path) -> tuple[FileColumn, Labels]:
    store = open_store(path, "CIFAR-10 needs cifar10/train and cifar10/test there")
    names = [name for name in store.names() if suffix_of(name) in SUFFIXES]
    folders = [name.split("/")[-2] if "/" in name else "" for name in names]
    if set(folders) != set(CLASSES):
        problem = f"{path}: the class folders are not those of CIFAR-10"
        raise UserError(problem, "root", f"they should be {', '.join(CLASSES)}")
    labels = np.array([CLASSES.index(folder) for folder in folders], dtype=np.int64)
    return FileColumn(store, names), labels
