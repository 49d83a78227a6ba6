"""What was read from the files of a data set, in words: one line, and notices of what a user may not expect."""

from __future__ import annotations

from saddlepoint.data.copies import count_copies
from saddlepoint.data.decoding import read_headers
from saddlepoint.data.images import FORMATS
from saddlepoint.data.sources.base import Contents, FileColumn
from saddlepoint.data.sources.folders import listed, suffix_of
from saddlepoint.types import DataInfo

SEVERAL = frozenset(FORMATS["TIFF"] + FORMATS["GIF"])
"""Suffixes of formats whose files often contain several pages or frames."""
NAMED_CLASSES = 5


def summary(contents: Contents, info: DataInfo) -> str:
    """Return one line about a data set: numbers of samples, size, classes, splits, and files that are left out."""
    shapes = info.columns or {"": info.shape}
    sizes = " and ".join(dict.fromkeys(_size(shape) for shape in shapes.values()))
    kind = "images" if info.is_image else "points"
    if info.columns is not None:
        kind = "pairs of images" if len(contents.splits["train"]) == 1 else "images of two domains"
    counts = [
        {split: len(tables[i]) for split, tables in contents.splits.items()}
        for i in range(len(contents.splits["train"]))
    ]
    total = " + ".join(f"{sum(of.values()):,}" for of in counts)
    parts = [f"{info.name}: {total} {kind} of {sizes}"]
    if info.class_names is not None:
        some = list(info.class_names[:NAMED_CLASSES]) + ["…"] * (info.num_classes > NAMED_CLASSES)
        parts.append(f"{info.num_classes} class{'es' * (info.num_classes > 1)} ({', '.join(some)})")
    held_out = " + ".join(f"{of['held_out']:,}" for of in counts)
    if any(of["held_out"] for of in counts):
        parts += [" + ".join(f"{of['train']:,}" for of in counts) + " train", f"{held_out} held out"]
    line = ", ".join(parts)
    if contents.left_out:
        number = sum(contents.left_out.values())
        line += f"; left out: {number:,} file{'s' * (number > 1)} ({listed(contents.left_out)})"
    return line


def _size(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"{shape[0]} dimension{'s' * (shape[0] > 1)}"
    channels, height, width = shape
    return f"{height}x{width}" + {1: " in gray", 3: "", 4: " with alpha"}[channels]


def notices(contents: Contents, info: DataInfo) -> list[str]:
    """Return sentences about held-out copies of training files, and about files with several pages or frames.

    Raises:
        UserError: a file cannot be read.
    """
    found = []
    if copies := count_copies(contents, info.batch.sampled):
        found.append(
            f"{copies} of the {info.sizes['held_out']} held-out images of {info.name} are copies of training images, "
            "so scores against them are too good"
        )
    if several := count_several(contents):
        found.append(f"{several} TIFF or GIF file(s) of {info.name} have several pages or frames; the first is used")
    return found


def count_several(contents: Contents) -> int:
    """Return the number of TIFF and GIF files with several pages or frames.

    Raises:
        UserError: a file cannot be read.
    """
    number = 0
    for split in contents.splits:
        for column in contents.columns(split).values():
            if isinstance(column, FileColumn):
                names = [name for name in column.names if suffix_of(name) in SEVERAL]
                number += sum(header.several for header in read_headers(FileColumn(column.store, names)))
    return number
