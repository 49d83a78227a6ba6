"""Images in an ``.npz`` or ``.npy`` file, such as those of MedMNIST and of ``sample.py``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from saddlepoint.data import npz
from saddlepoint.data.sources.base import Contents, Labels, Table, digest_of, taken
from saddlepoint.data.sources.classes import number_classes
from saddlepoint.data.sources.splits import HELD_OUT_NAMES, split_by_hash
from saddlepoint.errors import UserError
from saddlepoint.types import Split

SUFFIXES = (".npz", ".npy")

Read = tuple[npz.Images, Labels | None]
"""Images and their labels."""


def open_arrays(path: Path, labelled: bool = True) -> Contents:
    """Return the images of an ``.npz`` or ``.npy``, and the labels of an ``.npz``.

    If an ``.npz`` has ``train_images`` and, for instance, ``test_images`` or another of
    :data:`~saddlepoint.data.sources.splits.HELD_OUT_NAMES`, these are the splits. Otherwise the images are in
    ``images`` or ``arr_0``, and those whose number hashes to 0 modulo 10 are held out. Labels are in ``labels`` or, for
    instance, ``train_labels``, integers [N] or [N, 1].

    Args:
        path: the file.
        labelled: whether to read the labels.

    Raises:
        UserError: the file cannot be read, or its arrays have another type or shape.
    """
    if path.suffix == ".npy":
        return contents(_split(path, npz.read_array(path), None))
    names = npz.names(path)
    held_out = next((name for name in HELD_OUT_NAMES if f"{name}_images" in names), None)
    if "train_images" not in names or held_out is None:
        return contents(_split(path, *npz.read_images(path, labelled=labelled)))
    read: dict[Split, Read] = {
        "train": npz.read_images(path, "train_", labelled),
        "held_out": npz.read_images(path, f"{held_out}_", labelled),
    }
    if (read["train"][1] is None) != (read["held_out"][1] is None):
        raise UserError(f"{path}: only one of its splits has labels", "labels", "set it to none, or save both")
    return contents(read)


def contents(read: Mapping[Split, Read]) -> Contents:
    """Return images and labels as the contents of a source. The values of the labels become the names of classes."""
    found = {split: labels for split, (_, labels) in read.items() if labels is not None}
    classes, numbered = number_classes(found) if found else (None, {})
    splits = {split: [Table({"images": images}, numbered.get(split))] for split, (images, _) in read.items()}
    return Contents(splits, classes, digest_of(splits))


def _split(path: Path, images: npz.Images, labels: Labels | None) -> dict[Split, Read]:
    """Hold out a tenth of the images."""
    rows = split_by_hash({str(row): row for row in range(len(images))}, path)
    chosen = {split: np.array(list(of.values())) for split, of in rows.items()}
    return {split: (taken(images, of), None if labels is None else labels[of]) for split, of in chosen.items()}
