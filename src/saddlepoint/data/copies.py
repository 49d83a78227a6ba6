"""Held-out files that are copies of training files, which make scores against held-out images too good."""

from __future__ import annotations

from collections.abc import Collection

from saddlepoint.data.sources.base import Contents, FileColumn

COMPARED_BYTES = 256 << 20
"""At most this much is compared, which took 0.4 seconds for files that the system had in memory."""


def count_copies(contents: Contents, column: str) -> int | None:
    """Return the number of held-out files of a column that have the size and CRC-32 of a training file.

    Args:
        contents: the opened source.
        column: name of the column.

    Returns:
        The number, or None if the column does not consist of files, or too many of them have equal sizes.

    Raises:
        UserError: a file cannot be read.
    """
    train, held_out = (contents.columns(split)[column] for split in ("train", "held_out"))
    if not (isinstance(train, FileColumn) and isinstance(held_out, FileColumn)):
        return None
    sizes = [_sizes(files) for files in (train, held_out)]
    common = set(sizes[0].values()) & set(sizes[1].values())
    if sum(size for of_split in sizes for size in of_split.values() if size in common) > COMPARED_BYTES:
        return None
    seen = set(_checksums(train, sizes[0], common))
    return sum(found in seen for found in _checksums(held_out, sizes[1], common))


def _sizes(files: FileColumn) -> dict[str, int]:
    return {name: files.store.size(name) for name in files.names}


def _checksums(files: FileColumn, sizes: dict[str, int], common: Collection[int]) -> list[tuple[int, int]]:
    return [(size, files.store.crc32(name)) for name, size in sizes.items() if size in common]
