"""All images of a folder or file as one split, for evaluation without a model."""

from __future__ import annotations

import numpy as np

from saddlepoint.data import npz
from saddlepoint.data.images import SUFFIXES
from saddlepoint.data.sources import image_arrays
from saddlepoint.data.sources.base import Contents, Source, taken
from saddlepoint.data.sources.folders import Found, find_images, suffix_of
from saddlepoint.data.sources.image_folder import REMEDY, Splits, contents
from saddlepoint.data.sources.labels import from_folders
from saddlepoint.data.sources.splits import split_by_folders
from saddlepoint.data.store import Folder, given_path, is_file, real_name
from saddlepoint.errors import UserError


class ImageSet(Source):
    """All images of a folder, a zip file or an ``.npz``, or one image file, as the split "train"; none are held out.

    Labels are those of class folders, of a ``dataset.json`` or of the ``.npz``, if there are any.

    Args:
        root: the folder or file.
        splits: if a folder or zip file contains both ``train/`` and a held-out folder, use them as the two splits, as
            :class:`~saddlepoint.data.sources.image_folder.ImageFolder` does.
    """

    def __init__(self, root: str, splits: bool = False):
        self.root = given_path(root)
        self.splits = splits
        self.name = real_name(self.root, (".zip", *image_arrays.SUFFIXES))

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        if self.root.suffix in image_arrays.SUFFIXES:
            return self._arrays()
        if suffix_of(self.root.name) in SUFFIXES and is_file(self.root):
            found = Found(Folder(self.root.parent), {self.root.name: self.root.name}, {})
        else:
            found = find_images(self.root, REMEDY)
        splits: Splits = (split_by_folders(found.images) if self.splits else None) or {
            "train": found.images, "held_out": {},
        }  # fmt: skip
        try:
            classes = from_folders(found, splits.values(), strict=False)
        except UserError as error:  # of a dataset.json
            raise UserError(error.problem, "root", "correct dataset.json, or remove it") from None
        return contents(found, splits, classes, "splits" if self.splits else "whole")

    def _arrays(self) -> Contents:
        if self.root.suffix == ".npy":
            images, labels = npz.read_array(self.root), None
        else:
            images, labels = npz.read_images(self.root)
        none = np.empty(0, dtype=np.int64)
        return image_arrays.contents(
            {"train": (images, labels), "held_out": (taken(images, none), None if labels is None else none)}
        )
