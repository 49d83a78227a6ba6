"""What a source returns: its files, opened, as two fixed splits of tables."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from saddlepoint.data.store import Store
from saddlepoint.types import Split

Labels = NDArray[np.int64]
Array = NDArray[np.uint8] | NDArray[np.float32]
Half = Literal["left", "right"]


@dataclass(frozen=True)
class FileColumn:
    """Images in encoded files.

    Attributes:
        store: the folder or archive.
        names: the file in the store that each row lies in.
        half: which half of its file a row is, where two images lie side by side in one file; None for the whole file.
    """

    store: Store
    names: Sequence[str]
    half: Half | None = None

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, rows: slice) -> FileColumn:
        """Return some of the rows."""
        return replace(self, names=self.names[rows])

    def where(self, index: int) -> str:
        """Return the place of a row, for messages."""
        return f"{self.store.path}: {self.names[index]}"


Column = Array | FileColumn


@dataclass(frozen=True)
class Table:
    """Columns whose rows belong together. In training, all columns of a table share order, crop and flip.

    Attributes:
        columns: by name, in the order of :data:`saddlepoint.types.BATCHES`. Images are uint8 [N, H, W, C] or files;
            points and embeddings are float32 [N, D].
        labels: int64 [N], or None.
    """

    columns: Mapping[str, Column]
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True)
class Contents:
    """An opened source.

    Attributes:
        splits: the tables of "train" and of "held_out": one, or two for unpaired data. Each has at least one row; only
            what is never trained on may hold out none.
        class_names: the labels' names in order; None where labels are no conditions, or where there are none.
        digest: a hash of the content, wherever it lies.
        files_shape: (H, W, C) where the source knows it of all files, so that no header need be read.
        aligned: whether rows of the held-out tables belong together; False for unpaired data whose true counterparts
            are unknown.
    """

    splits: Mapping[Split, Sequence[Table]]
    class_names: tuple[str, ...] | None
    digest: str
    files_shape: tuple[int, int, int] | None = None
    aligned: bool = True

    def columns(self, split: Split) -> dict[str, Column]:
        """Return the columns of all tables of a split."""
        return {name: column for table in self.splits[split] for name, column in table.columns.items()}


class Source(ABC):
    """A data set's files. A new source is this class with a ``name`` and an ``open``."""

    name: str

    @abstractmethod
    def open(self) -> Contents:
        """Find the files (download where missing) and return what they hold.

        Raises:
            UserError: files are missing, empty or broken. Its key, if any, is an argument of the source.
        """


def digest(parts: Iterable[bytes | str | NDArray[np.generic]]) -> str:
    """Hash a sequence of byte strings, texts and arrays, and where each of them ends.

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


def digest_of(splits: Mapping[Split, Sequence[Table]]) -> str:
    """Hash the values and labels of tables in memory."""
    return digest(
        part
        for name, tables in sorted(splits.items())
        for table in tables
        for part in (
            name,
            *(column for column in table.columns.values() if isinstance(column, np.ndarray)),
            "no labels" if table.labels is None else table.labels,
        )
    )
