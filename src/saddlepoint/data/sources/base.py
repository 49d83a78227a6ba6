"""What a source promises: its files, opened, as two fixed splits."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saddlepoint.data.store import Store
from saddlepoint.types import Split

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ArraySplit:
    """A split that a source holds in memory.

    Attributes:
        values: images, uint8 [N, H, W, C], or points, float32 [N, D].
        labels: int64 [N], or None.
    """

    values: NDArray[np.uint8] | NDArray[np.float32]
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class FileSplit:
    """A split that still lies in encoded image files.

    Attributes:
        store: the folder or archive.
        names: the files' names in the store, in their fixed order.
        labels: int64 [N], or None.
    """

    store: Store
    names: Sequence[str]
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Contents:
    """An opened source.

    Attributes:
        splits: "train" and "held_out", each of at least one sample; only what is never trained on may hold out none.
        class_names: the labels' names in order; None where labels are no conditions, or where there are none.
        digest: a hash of the content, whatever folder it lies in.
        files_shape: (H, W, C) where the source knows it of all files, so that no header need be read.
    """

    splits: Mapping[Split, ArraySplit | FileSplit]
    class_names: tuple[str, ...] | None
    digest: str
    files_shape: tuple[int, int, int] | None = None


class Source(ABC):
    """A data set's files. A new source is this class with a ``name`` and an ``open``."""

    name: str

    @abstractmethod
    def open(self) -> Contents:
        """Find the files (download where missing) and say what they hold.

        Raises:
            UserError: files are missing, empty or broken.
        """


def digest(parts: Iterable[bytes | str | NDArray[np.generic]]) -> str:
    """Hash a sequence of byte strings, texts and arrays; where one ends and the next begins counts.

    >>> digest(["ab", "c"]) == digest(["a", "bc"])
    False
    """
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype.str}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).data)
            continue
        raw = part.encode() if isinstance(part, str) else part
        state.update(len(raw).to_bytes(8, "little"))
        state.update(raw)
    return state.hexdigest()


def digest_of(splits: Mapping[Split, ArraySplit]) -> str:
    """Hash the values and labels of splits in memory."""
    return digest(
        part
        for name, split in sorted(splits.items())
        for part in (name, split.values, "no labels" if split.labels is None else split.labels)
    )
