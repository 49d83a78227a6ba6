"""Pairs of images: side by side in one file, or with the same name in two folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

from saddlepoint.data.sources.base import Contents, FileColumn, Half, Source, Table, digest
from saddlepoint.data.sources.folders import find_images
from saddlepoint.data.sources.splits import by_side, split_by_folders, split_by_hash
from saddlepoint.data.store import given_path, real_name
from saddlepoint.errors import UserError

REMEDY = "give a folder or zip file with train/ and one of held_out/, test/ and val/"


class PairedFolder(Source):
    """Pairs of images in one folder or zip file (Isola et al. 2017, arXiv:1611.07004).

    ``train/`` and the first of :data:`~saddlepoint.data.sources.splits.HELD_OUT_NAMES` that exists are the
    splits; without them a tenth of the pairs is held out by the hashes of their names, as in
    :class:`~saddlepoint.data.sources.image_folder.ImageFolder`.

    Args:
        root: the folder or zip file.
        layout: ``side_by_side``: the left half of each image is a, the right half b. ``folders``: a and b are images
            with the same name, apart from the suffix, in ``trainA/`` and ``trainB/`` or in ``train/a/`` and
            ``train/b/``.
        direction: ``a_to_b`` if a is the input and b the target, or ``b_to_a``.
    """

    def __init__(
        self,
        root: str,
        layout: Literal["side_by_side", "folders"] = "side_by_side",
        direction: Literal["a_to_b", "b_to_a"] = "a_to_b",
    ):
        self.root = given_path(root)
        self.layout = layout
        self.direction = direction
        self.name = real_name(self.root, (".zip",))

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        found = find_images(self.root, REMEDY)
        store, relative = found.store, found.images
        halves: tuple[Half | None, Half | None] = (None, None)
        if self.layout == "side_by_side":
            halves = "left", "right"
            pairs = {name: (stored, stored) for name, stored in relative.items()}
        else:
            pairs = self._matched(relative)
        splits, used = {}, set[str]()
        for split, files in (split_by_folders(pairs) or split_by_hash(pairs, self.root)).items():
            a, b = (FileColumn(store, [pair[i] for pair in files.values()], halves[i]) for i in range(2))
            used.update(*files.values())
            inputs, targets = (a, b) if self.direction == "a_to_b" else (b, a)
            splits[split] = [Table({"inputs": inputs, "targets": targets})]
        parts = [store.digest(tuple(relative.values())), self.layout, self.direction]
        return Contents(splits, None, digest(parts), left_out=found.left_out(used))

    def _matched(self, relative: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Return pairs (a, b) of names in the store, keyed by their common name without its suffix."""
        a, b = (self._by_stem(side) for side in by_side(relative))
        if not (a or b):
            problem = f"{self.root}: no folders for the sides a and b"
            raise UserError(problem, "root", "name them trainA and trainB, or a and b in each split")
        if alone := sorted(a.keys() ^ b.keys()):
            stored = a.get(alone[0]) or b[alone[0]]
            problem = f"{self.root}: {stored} and {len(alone) - 1} more have no counterpart of the same name"
            raise UserError(problem, "root", "add the missing images, or remove these")
        return {name: (stored, b[name]) for name, stored in a.items()}

    def _by_stem(self, side: Mapping[str, str]) -> dict[str, str]:
        stems: dict[str, str] = {}
        for name, stored in side.items():
            stem = str(PurePosixPath(name).with_suffix(""))
            if (other := stems.setdefault(stem, stored)) != stored:
                problem = f"{self.root}: {other} and {stored} differ only in their suffix"
                raise UserError(problem, "root", "remove one of them")
        return stems
