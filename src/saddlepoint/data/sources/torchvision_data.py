"""Data sets of torchvision by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torchvision
from pydantic import PositiveInt

from saddlepoint.data.sources.base import Contents, FileColumn, Labels, Source, Table, digest, digest_of
from saddlepoint.data.sources.splits import split_by_hash
from saddlepoint.data.sources.torchvision_download import downloading
from saddlepoint.data.store import Folder, given_path
from saddlepoint.errors import UserError, choose
from saddlepoint.types import Split

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """How a data set is read.

    Attributes:
        dataset: the class in ``torchvision.datasets``.
        folder: of its files in the root; empty: the root itself.
        train: the arguments of its training parts.
        held_out: the arguments of its held-out parts; none: a tenth is held out by the hashes of names.
        labelled: whether its classes are used.
        files: whether images are read from files; else they are an array, ``data``.
    """

    dataset: str
    folder: str
    train: Sequence[Arguments]
    held_out: Sequence[Arguments] = ()
    labelled: bool = True
    files: bool = False


TRAIN, TEST = {"split": "train"}, {"split": "test"}
# The files of CIFAR-100 are pickles, which can run code. Its constructor first compares their MD5 with that of the
# authors' files, as that of CIFAR-10 does. The others contain no pickles. LSUN is missing, since torchvision unpickles
# a cache that it finds beside the images.
KINDS = {
    "cifar100": Kind("CIFAR100", "cifar-100-python", [{"train": True}], [{"train": False}]),
    "svhn": Kind("SVHN", "", [TRAIN], [TEST]),
    "stl10": Kind("STL10", "stl10_binary", [{"split": "unlabeled"}], [TEST], labelled=False),
    "stl10_labelled": Kind("STL10", "stl10_binary", [TRAIN], [TEST]),
    "celeba": Kind("CelebA", "celeba", [TRAIN], [TEST], labelled=False, files=True),
    "omniglot": Kind(
        "Omniglot", "omniglot-py", [{"background": True}], [{"background": False}], labelled=False, files=True
    ),
    "flowers102": Kind("Flowers102", "flowers-102", [TRAIN, {"split": "val"}, TEST], files=True),
    "food101": Kind("Food101", "food-101", [TRAIN], [TEST], files=True),
    "dtd": Kind("DTD", "dtd", [TRAIN, {"split": "val"}], [TEST], files=True),
    "eurosat": Kind("EuroSAT", "eurosat", [{}], files=True),
}


class Torchvision(Source):
    """A data set of torchvision in the layout that torchvision expects, which is downloaded if it is missing.

    Args:
        root: torchvision's ``root``, the folder that contains the data set's folder or files.
        name: of the data set, a key of :data:`KINDS`.
        crop: side in pixels of the square that is cut from the centre of each file; None: the whole image.
    """

    def __init__(self, root: str, name: str, crop: PositiveInt | None = None):
        self.root = given_path(root)
        self.name = name
        self.crop = crop

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        if self.name not in KINDS:
            raise UserError(f"unknown data set {self.name!r}", "name", choose(self.name, KINDS))
        kind = KINDS[self.name]
        if self.crop is not None and not kind.files:
            raise UserError(f"{self.name} is an array, and only files are cropped", "crop", "remove it")
        missing = f"{self.root}: torchvision's {kind.dataset} is missing there or damaged"
        with downloading(
            self.root / kind.folder, missing, "copy its files there as torchvision expects them, or change data.root"
        ):
            parts = {"train": self._parts(kind, kind.train), "held_out": self._parts(kind, kind.held_out)}
        return self._files(kind, parts) if kind.files else self._arrays(kind, parts)

    def _parts(self, kind: Kind, several: Sequence[Arguments]) -> list[Any]:
        dataset = getattr(torchvision.datasets, kind.dataset)
        loader = {"loader": str} if kind.files and kind.dataset != "CelebA" else {}  # return paths, decode nothing
        return [dataset(root=str(self.root), download=True, **loader, **arguments) for arguments in several]

    def _arrays(self, kind: Kind, parts: dict[str, list[Any]]) -> Contents:
        splits: dict[Split, list[Table]] = {
            "train": [_array_table(parts["train"][0], kind.labelled)],
            "held_out": [_array_table(parts["held_out"][0], kind.labelled)],
        }
        names = getattr(parts["train"][0], "classes", None) or [str(label) for label in range(10)]  # SVHN: digits
        return Contents(splits, tuple(names) if kind.labelled else None, digest_of(splits))

    def _files(self, kind: Kind, parts: dict[str, list[Any]]) -> Contents:
        store = Folder(self.root)
        train, held_out = (
            {path.relative_to(self.root).as_posix(): label for one in parts[split] for path, label in _paths(one)}
            for split in ("train", "held_out")
        )
        files: dict[Split, dict[str, int]] = {"train": train, "held_out": held_out}
        if not held_out:
            files = split_by_hash(train, self.root)
        names = tuple(parts["train"][0].classes) if kind.labelled else None
        splits: dict[Split, list[Table]] = {}
        for split, labels in files.items():
            values: Labels | None = np.array(list(labels.values()), dtype=np.int64) if kind.labelled else None
            splits[split] = [Table({"images": FileColumn(store, tuple(labels), square=self.crop)}, values)]
        return Contents(splits, names, digest([store.digest((*train, *held_out)), str(self.crop)]))


def _array_table(dataset: Any, labelled: bool) -> Table:
    images = dataset.data if dataset.data.shape[3] == 3 else dataset.data.transpose(0, 2, 3, 1)
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    return Table({"images": np.ascontiguousarray(images)}, np.array(labels, dtype=np.int64) if labelled else None)


def _paths(dataset: Any) -> list[tuple[Path, int]]:
    """Return the path and the label of each image of a data set whose loader returns paths, or of CelebA."""
    if isinstance(dataset, torchvision.datasets.CelebA):
        folder = Path(dataset.root, dataset.base_folder, "img_align_celeba")
        return [(folder / name, -1) for name in dataset.filename]
    return [(Path(path), label) for path, label in (dataset[row] for row in range(len(dataset)))]
