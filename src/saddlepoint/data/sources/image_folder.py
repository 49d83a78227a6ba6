"""A folder, zip file or array of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from saddlepoint.data.sources import image_arrays
from saddlepoint.data.sources.base import Contents, FileColumn, Labels, Source, Table, digest
from saddlepoint.data.sources.classes import class_order
from saddlepoint.data.sources.folders import IMAGES, Found, find_images
from saddlepoint.data.sources.labels import Classes, from_folders, from_table
from saddlepoint.data.sources.splits import split_by_folders, split_by_hash
from saddlepoint.data.store import given_path, real_name
from saddlepoint.errors import UserError
from saddlepoint.types import Split

REMEDY = f"give a folder or zip file of {IMAGES}, or an .npz or .npy file"

Splits = Mapping[Split, Mapping[str, str]]
"""The names in the store of the images of each split, by their names within it."""


class ImageFolder(Source):
    """Images of any size and mode under one folder or in one zip file, or those of an array.

    The formats are PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF, JPEG 2000 and PPM, and HEIC with the extra ``heic``. Outer
    folders that contain all images, as they often exist in zip files, are ignored. Then ``train/`` and the first of
    ``held_out/``, ``test/``, ``val/``, ``valid/``, ``validation/``, ``dev/``, ``eval/`` are the splits, in any case,
    also as ``training/`` and ``testing/``. Without them, the images whose relative name hashes to 0 modulo 10 are held
    out, so that adding images does not move others to the other split; each split has at least two images, or one if
    there are fewer than four in all. Within a split, an image's class is its first folder; images outside folders have
    no labels. Classes whose names are numbers are ordered by value. The labels of a ``dataset.json``, as in archives of
    StyleGAN's tools, replace those of folders.

    For ``.npz`` and ``.npy`` files, see :func:`~saddlepoint.data.sources.image_arrays.open_arrays`.

    Args:
        root: the folder, zip file, ``.npz`` or ``.npy``.
        labels: ``folders`` as above; ``none`` for no labels; or a ``.csv``, ``.tsv`` or ``.jsonl`` file, in the working
            directory or in ``root``, with a row for each image.
        file_column: the column of this file with names of images; None: ``file_name``, ``filename``, ``image`` ….
        label_column: the column with labels, names or integers; None: ``label``, ``class``, ``category`` ….
        ignore: files to leave out: suffixes such as ``.txt`` or patterns of names such as ``*_mask.png``. Other files
            that are not images are an error in class folders, and are counted elsewhere.
    """

    def __init__(
        self,
        root: str,
        labels: str = "folders",
        file_column: str | None = None,
        label_column: str | None = None,
        ignore: Sequence[str] = (),
    ):
        self.root = given_path(root)
        self.labels, self.file_column, self.label_column = labels, file_column, label_column
        self.ignore = tuple(ignore)
        self.name = real_name(self.root, (".zip", *image_arrays.SUFFIXES))

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        if self.root.suffix in image_arrays.SUFFIXES:
            if self.labels not in ("folders", "none"):
                raise UserError(f"{self.root} holds its own labels", "labels", "leave it out, or set it to none")
            return image_arrays.open_arrays(self.root, self.labels != "none")
        found = find_images(self.root, REMEDY, ignore=self.ignore)
        splits = split_by_folders(found.images) or split_by_hash(found.images, self.root)
        return contents(found, splits, self._classes(found, splits), "none" if self.labels == "none" else "folders")

    def _classes(self, found: Found, splits: Splits) -> Classes:
        if self.labels == "none":
            return Classes(None)
        if self.labels == "folders":
            return from_folders(found, splits.values())
        return from_table(found, given_path(self.labels), self.file_column, self.label_column)


def contents(found: Found, splits: Splits, classes: Classes, mode: str) -> Contents:
    """Return image files and their classes as the contents of a source.

    Args:
        found: the files.
        splits: the names of the images of each split.
        classes: the classes of all of them.
        mode: part of the digest, for ways of reading a folder that differ in splits or labels.
    """
    images = {stored for files in splits.values() for stored in files.values()}
    named = classes.named
    names = None if named is None else class_order(named[stored] for stored in images)
    tables = {split: [_table(found, tuple(files.values()), named, names)] for split, files in splits.items()}
    parts: list[str | Labels] = [found.store.digest(tuple(found.images.values())), mode]
    if classes.stated or list(names or ()) != sorted(names or ()):  # names of files do not determine the labels
        parts += [*(names or ()), *(of[0].labels for of in tables.values() if of[0].labels is not None)]
    return Contents(tables, names, digest(parts), left_out=found.left_out(images.union(classes.used)))


def _table(found: Found, files: Sequence[str], named: Mapping[str, str] | None, classes: Sequence[str] | None) -> Table:
    labels: Labels | None = None
    if named is not None and classes is not None:
        index = {name: position for position, name in enumerate(classes)}
        labels = np.array([index[named[stored]] for stored in files], dtype=np.int64)
    return Table({"images": FileColumn(found.store, files)}, labels)
