"""Unpaired images of two domains: one folder with trainA and trainB, or two folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from saddlepoint.data.sources.base import Contents, FileColumn, Source, Table, digest
from saddlepoint.data.sources.folders import IMAGES, Found, find_images
from saddlepoint.data.sources.splits import by_side, split_by_folders, split_by_hash
from saddlepoint.data.store import given_path, real_name
from saddlepoint.errors import UserError
from saddlepoint.types import Split

REMEDY = f"give a folder or zip file of {IMAGES}"


class UnpairedFolder(Source):
    """Images of two domains, a and b, in folders or zip files (Zhu et al. 2017, arXiv:1703.10593).

    Either one root with ``trainA``, ``trainB``, ``testA``, ``testB``, or two folders. In each domain, ``train`` and the
    first of :data:`~saddlepoint.data.sources.splits.HELD_OUT_NAMES` that exists are the splits; without them a tenth
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
            found = {"a": find_images(self.root, REMEDY)}
            sides = self._one_root(found["a"])
        elif self.root is None and self.a is not None and self.b is not None:
            found = {"a": find_images(self.a, REMEDY, "a"), "b": find_images(self.b, REMEDY, "b")}
            sides = {side: _columns(of, of.images) for side, of in found.items()}
        else:
            raise UserError("either root alone or both a and b must be given", "root", "set one of these")
        splits: dict[Split, list[Table]] = {
            split: [Table({side: columns[split]}) for side, columns in sides.items()] for split in ("train", "held_out")
        }
        files = [column for columns in sides.values() for column in columns.values()]
        used = {name for column in files for name in column.names}
        left_out = sum((Counter(of.left_out(used)) for of in found.values()), Counter[str]())
        parts = [column.store.digest(column.names) for column in files]
        return Contents(splits, None, digest(parts), aligned=False, left_out=left_out)

    def _one_root(self, found: Found) -> dict[str, dict[Split, FileColumn]]:
        sides = by_side(found.images)
        if not all(sides):
            problem = f"{self.root}: no images of two domains"
            raise UserError(problem, "root", "name its folders trainA, trainB, testA and testB")
        untrained = [
            side
            for side, files in zip("AB", sides, strict=True)
            if not any(n.lower().startswith(("train/", "training/")) for n in files)
        ]
        if len(untrained) == 1:  # otherwise the other domain's held-out images would be split, and trained on
            raise UserError(f"{self.root}: no images in train{untrained[0]}", "root", "add them")
        return {side: _columns(found, files) for side, files in zip("ab", sides, strict=True)}


def _columns(found: Found, files: Mapping[str, str]) -> dict[Split, FileColumn]:
    splits = split_by_folders(files) or split_by_hash(files, found.store.path)
    return {split: FileColumn(found.store, tuple(of.values())) for split, of in splits.items()}
