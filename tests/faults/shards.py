"""Tar shards and parquet files of small images, for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def png(row: int, size: int = 8) -> bytes:
    """Return an image whose pixels are all (row, 255 - row, 7)."""
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (row, 255 - row, 7)).save(stream, "PNG")
    return stream.getvalue()


def noise(row: int, size: int = 8) -> bytes:
    """Return an image of random pixels."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(row).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """Write a tar file with these members, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_shards(folder: Path, shards: int = 3, images: int = 20, name: str = "train", first: int = 0) -> Path:
    """Write shards ``NAME-000000.tar`` …; image i has the pixels of ``png(i)`` and the label i modulo 3."""
    for shard in range(shards):
        rows = range(first + shard * images, first + (shard + 1) * images)
        members = [
            (f"{row:06d}.{suffix}", data)
            for row in rows
            for suffix, data in (("png", png(row)), ("cls", b"%d" % (row % 3)))
        ]
        write_tar(folder / f"{name}-{shard:06d}.tar", members)
    return folder


def write_parquet(path: Path, rows: Iterable[int], image: str = "struct", label: str | None = "label") -> Path:
    """Write a parquet file; image i has the pixels of ``png(i)`` and the label i modulo 3.

    Args:
        path: the file.
        rows: the images.
        image: how images are stored: ``struct`` of bytes and path, or ``binary``.
        label: name of the column of labels, or None.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(rows)
    images = [png(row) if image == "binary" else {"bytes": png(row), "path": f"{row}.png"} for row in rows]
    columns = {"image": images, **({label: [row % 3 for row in rows]} if label else {})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path
