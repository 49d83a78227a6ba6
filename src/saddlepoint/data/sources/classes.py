"""The order of classes, and their numbering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from saddlepoint.data.sources.base import Labels
from saddlepoint.types import Split


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return different names of classes in the order of their labels: numbers by value, other names alphabetically.

    >>> class_order(["10", "9", "9"]), class_order(["10", "9", "cat"])
    (('9', '10'), ('10', '9', 'cat'))
    """
    different = set(names)
    numbers = all(name.isascii() and name.isdecimal() for name in different)
    return tuple(sorted(different, key=(lambda name: (int(name), name)) if numbers else str))


def number_classes(labels: Mapping[Split, Labels]) -> tuple[tuple[str, ...], dict[Split, Labels]]:
    """Return the names of the classes, which are the sorted values of the labels, and the labels as 0 … K - 1.

    >>> number_classes({"train": np.array([7, 3]), "held_out": np.array([7])})
    (('3', '7'), {'train': array([1, 0]), 'held_out': array([1])})
    """
    values = np.unique(np.concatenate(list(labels.values())))
    numbered = {split: np.searchsorted(values, own).astype(np.int64) for split, own in labels.items()}
    return tuple(map(str, values)), numbered
