"""Decoding of image files: row by row, or a whole column in parallel with the result cached on disk.

Measured on two cores: decoding CIFAR-10's 50,000 training images, WebP in a zip file, takes 5 to 12 s; reading the
154 MB array from the cache takes 0.1 to 0.6 s.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from saddlepoint.data.fit import Fit
from saddlepoint.data.images import Header, Pixels, decode, read_header
from saddlepoint.data.sources.base import ArrayColumn, FileColumn, Stored
from saddlepoint.errors import UserError
from saddlepoint.terminal import console
from saddlepoint.writing import locked, whole

T = TypeVar("T")

PROGRESS_FROM = 5_000
CHUNK = 64  # files per task: decoding a small file takes about 0.1 ms, less than the overhead of a task
THREADS = min(8, os.cpu_count() or 1)


class DecodedRows:
    """A column on disk that reads each image on access, for worker processes."""

    def __init__(self, column: Stored, fit: Fit):
        self.column = column
        self.fit = fit

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, index: int) -> Tensor:
        """Return an image, uint8 [H, W, C]."""
        return torch.from_numpy(decode_row(self.column, index, self.fit).copy())  # Pillow's buffer is read-only


def decode_row(column: Stored, index: int, fit: Fit) -> Pixels:
    """Decode one image and fit it: uint8 [H, W, C].

    Raises:
        UserError: the file is corrupt, or its image does not fit.
    """
    where = column.where(index)
    if isinstance(column, ArrayColumn):
        return fit.arrays(column.read(index)[None], where)[0]
    image = decode(column.store.read(column.names[index]), where, fit.channels)
    if column.half is not None:
        width = _half_width(image.width, where)
        left = 0 if column.half == "left" else image.width - width
        image = image.crop((left, 0, left + width, image.height))
    if column.square is not None:
        _check_square(column.square, image.height, image.width, where)
        left, top = (image.width - column.square) // 2, (image.height - column.square) // 2
        image = image.crop((left, top, left + column.square, top + column.square))
    return fit.image(image, where)


def decode_column(column: Stored, fit: Fit) -> Pixels:
    """Decode and fit all images of a column: uint8 [N, H, W, C].

    Raises:
        UserError: a file is corrupt, or its image does not fit.
    """
    values = np.empty((len(column), *fit.shape), dtype=np.uint8)

    def chunk(start: int) -> None:
        for index in range(start, min(start + CHUNK, len(column))):
            values[index] = decode_row(column, index, fit)

    with ThreadPoolExecutor(THREADS) as pool:
        tasks = [pool.submit(chunk, start) for start in range(0, len(column), CHUNK)]
        try:
            for _ in _progress((task.result() for task in tasks), len(column), "Decoding images"):
                pass
        except BaseException:  # a corrupt file or Ctrl-C: cancel the remaining tasks
            pool.shutdown(cancel_futures=True)
            raise
    return values


def cached_decode(column: FileColumn, fit: Fit, file: Path) -> Pixels:
    """Return the result of :func:`decode_column`, read from ``file`` if possible, else computed and written to it.

    Of several processes on one machine, one decodes, and the others wait and read the file. If the file cannot be
    written, each decodes and issues a warning.
    """
    shape = (len(column), *fit.shape)
    values = _cached(file, shape)
    if values is not None:
        return values
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # the folder cannot be written
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(file.with_suffix(".lock")))
        values = _cached(file, shape)  # another process may have written it meanwhile
        if values is None:
            values = decode_column(column, fit)
            _cache(file, values)
    return values


def _cached(file: Path, shape: tuple[int, ...]) -> Pixels | None:
    """Return the array in a file, uint8 of this shape; None if the file is missing, unreadable or of another kind."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        values: Pixels = np.load(file, allow_pickle=False)
        if values.shape == shape and values.dtype == np.uint8:
            return values
    return None


def _cache(file: Path, values: Pixels) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as part:
            np.save(part, values, allow_pickle=False)
    except OSError as error:
        warnings.warn(f"{file}: cannot cache decoded images ({error.strerror}); set another cache_dir", stacklevel=3)


def read_headers(column: FileColumn) -> list[Header]:
    """Return the headers of all images of a column.

    Raises:
        UserError: a file is not an image.
    """

    def chunk(start: int) -> list[Header]:
        return [_header(column, index) for index in range(start, min(start + CHUNK, len(column)))]

    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(chunk, range(0, len(column), CHUNK))
        return [header for part in _progress(parts, len(column), "Reading image headers") for header in part]


def _header(column: FileColumn, index: int) -> Header:
    where = column.where(index)
    header = read_header(column.store.read(column.names[index]), where)
    if column.square is not None:
        _check_square(column.square, header.height, header.width, where)
        return header._replace(height=column.square, width=column.square)
    return header if column.half is None else header._replace(width=_half_width(header.width, where))


def _check_square(side: int, height: int, width: int, where: str) -> None:
    if side > min(height, width):
        raise UserError(f"{where}: {height}x{width} is smaller than {side}x{side}", "source.crop", "reduce it")


def _half_width(width: int, where: str) -> int:
    """Return the width of each half; if the width is odd, the middle column of pixels belongs to neither."""
    if width < 2:
        raise UserError(f"{where}: 1 pixel wide, so it cannot hold two images side by side", None, "remove the file")
    return width // 2


def _progress(parts: Iterator[T], files: int, title: str) -> Iterator[T]:
    """Show a progress bar on stderr, if that is a terminal, while many files are read."""
    shown = console(stderr=True)
    with Progress(console=shown, transient=True, disable=files < PROGRESS_FROM or not shown.is_terminal) as progress:
        task = progress.add_task(title, total=files)
        for part in parts:
            progress.advance(task, CHUNK)
            yield part
