"""Columns of an opened source, fitted to the networks' input size: decoded on first access, then kept in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from saddlepoint.data.decoding import DecodedRows, cached_decode, decode_column
from saddlepoint.data.fit import Fit
from saddlepoint.data.images import Pixels
from saddlepoint.data.loader import Readable, Rows
from saddlepoint.data.sources.base import ArrayColumn, Column, Contents, FileColumn, Stored, Table
from saddlepoint.data.tars import Tars
from saddlepoint.types import DataInfo, Split


class Columns:
    """Access to a source's columns by split and name.

    A ``margin`` makes images larger by that many pixels in height and width, for random crops.

    Args:
        contents: the opened source.
        fits: the :class:`~saddlepoint.data.fit.Fit` of each image column, by name.
        info: description of the data set.
        cache_dir: directory in which decoded files are cached between runs.
    """

    def __init__(self, contents: Contents, fits: Mapping[str, Fit], info: DataInfo, cache_dir: Path):
        self.contents = contents
        self.fits = fits
        self.info = info
        self.cache_dir = cache_dir
        self._kept: dict[tuple[Split, str, int], Tensor] = {}

    def table(self, split: Split, column: str) -> Table:
        """Return the table that contains a column."""
        return next(table for table in self.contents.splits[split] if column in table.columns)

    def labels(self, split: Split, column: str) -> Tensor | None:
        """Return the labels of a column's rows, long [N], or None."""
        labels = self.table(split, column).labels
        return None if labels is None else torch.from_numpy(labels)

    def gigabytes(self, split: Split, column: str | None = None, margin: int = 0) -> float:
        """Return the memory needed for one column, or for all columns of a split, in 10⁹ bytes."""
        columns = self.contents.columns(split)
        return sum(self._bytes(columns[name], name, margin) for name in ([column] if column else columns)) / 1e9

    def _bytes(self, values: Column, name: str, margin: int) -> int:
        fit = self.fits.get(name)
        if fit is None:
            return cast(np.ndarray, values).nbytes
        return len(values) * math.prod(fit.larger(margin).shape)

    def rows(self, split: Split, column: str, rows: slice, limit: float) -> Tensor:
        """Return a slice of a column: uint8 [n, H, W, C] or float32 [n, D].

        Args:
            split: "train" or "held_out".
            column: name of the column.
            rows: the slice.
            limit: memory limit in 10⁹ bytes. If the whole column exceeds it, only the requested files are decoded.
        """
        values = self.table(split, column).columns[column]
        if isinstance(values, Stored) and self.gigabytes(split, column) > limit:
            return torch.from_numpy(decode_column(values.rows(rows), self.fits[column]))
        return self.whole(split, column)[rows]

    def whole(self, split: Split, column: str, margin: int = 0) -> Tensor:
        """Return a whole column, which is then kept in memory: uint8 [N, H, W, C] or float32 [N, D].

        Raises:
            UserError: a file is corrupt, or its image does not fit.
        """
        key = split, column, margin
        if key not in self._kept:
            values = self._decoded(*key)
            self._kept[key] = torch.from_numpy(values if values.flags.writeable else values.copy())
        return self._kept[key]

    def _decoded(self, split: Split, column: str, margin: int) -> np.ndarray:
        values, fit = self.table(split, column).columns[column], self.fits.get(column)
        if fit is None:
            return cast(np.ndarray, values)
        fit = fit.larger(margin)
        if isinstance(values, ArrayColumn):
            return decode_column(values, fit)
        if not isinstance(values, Stored):
            return fit.arrays(cast(Pixels, values), self.info.name)
        several = [column] if self.info.columns else []
        parts = [self.info.fingerprint, split, *several, *([str(margin)] if margin else [])]
        return cached_decode(values, fit, self.cache_dir / f"{'-'.join(parts)}.npy")

    def tables(self, split: Split, margin: int, in_memory: bool) -> list[Rows[Any]]:
        """Return a split's tables for a loader, either decoded or with files that are decoded row by row on access."""

        def column(table: Table, name: str, values: Column) -> Readable:
            if name in table.intensities:
                intensities = cast(Pixels, table.intensities[name])
                return torch.tensor(self.fits[name].larger(margin).arrays(intensities, self.info.name))
            if isinstance(values, Stored) and not in_memory:
                return DecodedRows(values, self.fits[name].larger(margin))
            return self.whole(split, name, margin)

        return [
            Rows(
                {name: column(table, name, values) for name, values in table.columns.items()},
                self._conditions(split, table),
                _blocks(next(iter(table.columns.values()))),
                next((self.fits[name].shape for name in table.intensities), None),
            )
            for table in self.contents.splits[split]
        ]

    def _conditions(self, split: Split, table: Table) -> Tensor | None:
        """Return the labels that batches take from a table: the samples' if labels are conditions, else None."""
        sampled = self.info.batch.sampled
        return self.labels(split, sampled) if self.info.class_names and sampled in table.columns else None


def _blocks(column: Column) -> list[int] | None:
    """Return the numbers of consecutive rows that should be read together; None if any order is as fast."""
    if isinstance(column, FileColumn) and isinstance(column.store, Tars):
        return column.store.blocks(column.names)
    return None
