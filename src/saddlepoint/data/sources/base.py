"""The interface of data sources, and the tables and splits that they return."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from saddlepoint.data.store import Store
from saddlepoint.types import Split

Labels = NDArray[np.int64]
Array = NDArray[np.uint8] | NDArray[np.float32]
Half = Literal["left", "right"]


@dataclass(frozen=True)
class FileColumn:
    """A column of images in encoded files.

    Attributes:
        store: the folder or archive.
        names: the name in the store of each row's file.
        half: the half of its file that a row consists of, if files contain two images side by side; else None.
        square: side in pixels of the square in the centre of its file that a row consists of; None: the whole file.
    """

    store: Store
    names: Sequence[str]
    half: Half | None = None
    square: int | None = None

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, rows: slice) -> FileColumn:
        """Return a slice of the rows."""
        return replace(self, names=self.names[rows])

    def take(self, rows: NDArray[np.int64]) -> FileColumn:
        """Return the rows of the given indices."""
        return replace(self, names=[self.names[row] for row in rows])

    def where(self, index: int) -> str:
        """Return the location of a row's file, for error messages."""
        return f"{self.store.path}: {self.names[index]}"


@dataclass(frozen=True)
class ArrayColumn:
    """A column of images in an uncompressed array that stays on disk.

    Attributes:
        path: the file.
        offset: position of the array in the file, in bytes.
        shape: of the array, uint8 [N, H, W, C] in row-major order.
        chosen: the indices in the array of this column's rows.
    """

    path: Path
    offset: int
    shape: tuple[int, int, int, int]
    chosen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chosen)

    def rows(self, rows: slice) -> ArrayColumn:
        """Return a slice of the rows."""
        return replace(self, chosen=self.chosen[rows])

    def take(self, rows: NDArray[np.int64]) -> ArrayColumn:
        """Return the rows of the given indices."""
        return replace(self, chosen=self.chosen[rows])

    def where(self, index: int) -> str:
        """Return the location of a row, for error messages."""
        return f"{self.path}: image {self.chosen[index]}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return one image, uint8 [H, W, C]."""
        size = math.prod(self.shape[1:])
        start = self.offset + int(self.chosen[index]) * size
        return np.fromfile(self.path, np.uint8, size, offset=start).reshape(self.shape[1:])

    def digest(self) -> str:
        """Return a hash of the array's shape and of 256 evenly spaced rows of this column."""
        some = np.linspace(0, len(self) - 1, min(256, len(self)), dtype=np.int64)
        return digest([str((self.shape, len(self))), self.chosen[some], *(self.read(int(index)) for index in some)])


Stored = FileColumn | ArrayColumn
"""Columns whose rows are read from disk one by one."""
Column = Array | Stored
C = TypeVar("C", bound=Column)


@dataclass(frozen=True)
class Table:
    """Columns whose rows belong together. In training, all columns of a table share order, crop and flip.

    Attributes:
        columns: by name, in the order of :data:`saddlepoint.types.BATCHES`. Images are uint8 [N, H, W, C], or on disk;
            points and embeddings are float32 [N, D].
        labels: int64 [N], or None.
        intensities: images, uint8 [N, H, W, C], that training reads in place of the column of that name. Each time that
            a row is read, its values are drawn anew: 255 with probability intensity / 255, else 0.
    """

    columns: Mapping[str, Column]
    labels: Labels | None = None
    intensities: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, rows: NDArray[np.int64]) -> Table:
        """Return the rows of the given indices."""
        columns = {name: taken(column, rows) for name, column in self.columns.items()}
        intensities = {name: column[rows] for name, column in self.intensities.items()}
        return Table(columns, None if self.labels is None else self.labels[rows], intensities)


def taken(column: C, rows: NDArray[np.int64]) -> C:
    """Return the rows of the given indices of a column; those on disk stay there."""
    chosen: Any = column.take(rows) if isinstance(column, Stored) else column[rows]
    return chosen


@dataclass(frozen=True)
class Contents:
    """An opened source.

    Attributes:
        splits: the tables of "train" and of "held_out": one, or two for unpaired data. Each has at least one row,
            except that sources that are never trained on may have no held-out rows.
        class_names: names of the labels 0 … K - 1; None without labels, or if labels are not conditions.
        digest: a hash of the content that does not depend on its location.
        files_shape: (H, W, C) of all files, if it is known without reading their headers; else None.
        aligned: whether equal rows of the held-out tables correspond to each other; False for unpaired data whose true
            counterparts are unknown.
        left_out: numbers of files that are not read, by suffix or folder.
    """

    splits: Mapping[Split, Sequence[Table]]
    class_names: tuple[str, ...] | None
    digest: str
    files_shape: tuple[int, int, int] | None = None
    aligned: bool = True
    left_out: Mapping[str, int] = field(default_factory=dict)

    def columns(self, split: Split) -> dict[str, Column]:
        """Return the columns of all tables of a split."""
        return {name: column for table in self.splits[split] for name, column in table.columns.items()}

    def part(self, fraction: float) -> Contents:
        """Return the contents with round(fraction · N) of the N training rows of each table, but at least one.

        They are chosen at random, equally in every run, in their order. Those of a smaller fraction are among those of
        a larger one. Held-out rows stay.
        """
        tables = [table.take(chosen_rows(len(table), fraction)) for table in self.splits["train"]]
        return replace(
            self, splits={**self.splits, "train": tables}, digest=digest([self.digest, f"fraction {fraction!r}"])
        )


def chosen_rows(n: int, fraction: float) -> NDArray[np.int64]:
    """Return the indices of a random ``fraction`` of ``n`` rows, sorted; the same for every call.

    >>> chosen_rows(10, 0.3), chosen_rows(10, 0.4)
    (array([2, 4, 8]), array([2, 4, 8, 9]))
    """
    # RandomState's numbers will not change between versions of NumPy (NEP 19); those of newer generators may.
    order = np.random.RandomState(0).permutation(n)
    return np.sort(order[: max(1, round(fraction * n))]).astype(np.int64)


class Source(ABC):
    """Base class of data sources; subclasses have a ``name`` and implement :meth:`open`."""

    name: str

    @abstractmethod
    def open(self) -> Contents:
        """Find the files, download them if they are missing and can be downloaded, and return their contents.

        Raises:
            UserError: files are missing, empty or corrupt. Its key, if any, is an argument of the source.
        """


def digest(parts: Iterable[bytes | str | NDArray[np.generic]]) -> str:
    """Return a hash of a sequence of byte strings, strings and arrays, and of the boundaries between them.

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
    """Return a hash of the values, intensities and labels of tables of arrays."""
    return digest(
        part
        for name, tables in sorted(splits.items())
        for table in tables
        for part in (
            name,
            *(
                column.digest() if isinstance(column, ArrayColumn) else column
                for column in table.columns.values()
                if not isinstance(column, FileColumn)
            ),
            *table.intensities.values(),
            "no labels" if table.labels is None else table.labels,
        )
    )
