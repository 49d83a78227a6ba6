"""Unpaired images of two domains: one folder with trainA and trainB, or two folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from saddlepoint.data.sources.base import Contents, FileColumn, Source, Table, digest
from saddlepoint.data.sources.image_folder import open_images
from saddlepoint.data.sources.paired_folder import by_side
from saddlepoint.data.sources.splits import split_by_folders, split_by_hash
from saddlepoint.data.store import Store, given_path, real_name
from saddlepoint.errors import UserError
from saddlepoint.types import Split

REMEDY = "give a folder or zip file of PNG, JPEG, WebP or BMP images"


class UnpairedFolder(Source):
    """Images of two domains, a and b, in folders or zip files (Zhu et al. 2017, arXiv:1703.10593).

    Either one root with ``trainA``, ``trainB``, ``testA``, ``testB``, or two folders. In each domain, ``train`` and the
    first of ``held_out``, ``test``, ``val``, ``valid``, ``validation`` that exists are the splits; without them a tenth
    is held out by the hashes of the names, as in :class:`~saddlepoint.data.sources.image_folder.ImageFolder`.

    Args:
        root: the folder with both domains; None if ``a`` and ``b`` are given.
        a: the folder of the first domain.
        b: the folder of the second domain, whose images are the samples.
    """

    def __init__(self, root: str | None = None, a: str | None = None, b: str | None = None):
        self.root, self.a, self.b = (None if path is None else given_path(path) for path in (root, a, b))
        places = [path for path in (self.root, self.a, self.b) if path is not None]
        self.name = "-".join(real_name(path, (".zip",)) for path in places)

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        if self.root is not None and self.a is None and self.b is None:
            sides = self._one_root(self.root)
        elif self.root is None and self.a is not None and self.b is not None:
            sides = {"a": _side(self.a, "a"), "b": _side(self.b, "b")}
        else:
            raise UserError("either root alone or both a and b must be given", "root", "set one of these")
        splits: dict[Split, list[Table]] = {
            split: [Table({side: columns[split]}) for side, columns in sides.items()] for split in ("train", "held_out")
        }
        parts = [column.store.digest(column.names) for columns in sides.values() for column in columns.values()]
        return Contents(splits, None, digest(parts), aligned=False)

    def _one_root(self, root: Path) -> dict[str, dict[Split, FileColumn]]:
        store, relative = open_images(root, REMEDY)
        sides = by_side(relative)
        if not all(sides):
            problem = f"{root}: no images of two domains"
            raise UserError(problem, "root", "name its folders trainA, trainB, testA and testB")
        untrained = [
            side for side, files in zip("AB", sides, strict=True) if not any(n.startswith("train/") for n in files)
        ]
        if len(untrained) == 1:  # otherwise the other domain's held-out images would be split, and trained on
            raise UserError(f"{root}: no images in train{untrained[0]}", "root", "add them")
        return {side: _columns(store, files, root) for side, files in zip("ab", sides, strict=True)}


def _side(path: Path, key: str) -> dict[Split, FileColumn]:
    store, relative = open_images(path, REMEDY, key)
    return _columns(store, relative, path)


def _columns(store: Store, relative: Mapping[str, str], path: Path) -> dict[Split, FileColumn]:
    splits = split_by_folders(relative) or split_by_hash(relative, path)
    return {split: FileColumn(store, tuple(files.values())) for split, files in splits.items()}
