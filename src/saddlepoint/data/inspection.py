"""Inspection of a source: the size, channels and fingerprint of its data, given the user's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from saddlepoint.data.decoding import read_headers
from saddlepoint.data.fit import Fit, Policy
from saddlepoint.data.images import Channels
from saddlepoint.data.sources.base import Column, Contents, FileColumn, digest
from saddlepoint.errors import UserError
from saddlepoint.types import BATCHES, DataInfo

# Part of every fingerprint. Increase it when a change to decoding or fitting changes pixels, so that caches expire.
PIXELS_VERSION = 1

Shape = tuple[int, int, int]


def choose_fits(
    contents: Contents, name: str, size: tuple[int, int] | None, channels: Channels | None, policy: Policy
) -> dict[str, Fit]:
    """Return the fit of each image column, by name. All columns have the same size; the channels may differ.

    Headers are read only if size, channels and policy do not determine the result.

    Args:
        contents: the opened source.
        name: the source's name, for error messages.
        size: (H, W), or None for the common size of all images.
        channels: of every column; None for 1 if all images of a column are gray, else 3.
        policy: see :class:`~saddlepoint.data.fit.Fit`.

    Raises:
        UserError: a file is not an image, the images have different sizes and ``size`` is None, or an image is too
            large to be padded.
    """
    columns = {name: column for name, column in contents.columns("train").items() if _holds_images(column)}
    if size is not None and channels is not None and policy != "pad":
        return {column: Fit(*size, channels, policy) for column in columns}
    found = {column: _shapes(contents, column, name) for column in columns}
    sizes = sorted({shape[:2] for shapes in found.values() for shape in shapes})
    if size is None and len(sizes) > 1:
        some = ", ".join(f"{height}x{width}" for height, width in sizes[:3])
        raise UserError(
            f"{name} has images of {len(sizes)} sizes ({some} …)", "image_size", "set it, and set fit to crop or resize"
        )
    fits = {}
    for column, shapes in found.items():
        own = channels or cast(Channels, max(shape[2] for shape in shapes))
        fit = fits[column] = Fit(*(size or sizes[0]), own, policy)
        for (height, width, _), where in shapes.items():
            fit.check(height, width, where)
    return fits


def common_size(contents: Contents, column: str, name: str) -> tuple[int, int] | None:
    """Return the size (H, W) of all images of a column before they are fitted; None if they have different sizes."""
    sizes = {shape[:2] for shape in _shapes(contents, column, name)}
    return sizes.pop() if len(sizes) == 1 else None


def _holds_images(column: Column) -> bool:
    return not isinstance(column, np.ndarray) or column.ndim == 4


def _shapes(contents: Contents, column: str, name: str) -> dict[Shape, str]:
    """Return the different (height, width, channels) of a column's images, and where each occurs first."""
    if contents.files_shape is not None:
        return {contents.files_shape: name}
    found: dict[Shape, str] = {}
    for split in contents.splits:
        values = contents.columns(split)[column]
        if not isinstance(values, FileColumn):
            height, width, channels = values.shape[1:]
            found[height, width, min(channels, 3)] = name  # without alpha, as for files
            continue
        for index, header in enumerate(read_headers(values)):
            found.setdefault((header.height, header.width, header.channels), values.where(index))
    return found


def describe(contents: Contents, fits: Mapping[str, Fit], name: str, policy: Policy) -> DataInfo:
    """Return the description of the data set whose images are fitted by ``fits``."""
    shapes: dict[str, tuple[int, ...]] = {}
    for column, values in contents.columns("train").items():
        if isinstance(values, np.ndarray) and values.ndim == 2:
            shapes[column] = (values.shape[1],)
        else:
            height, width, channels = fits[column].shape
            shapes[column] = channels, height, width
    sampled = BATCHES[tuple(shapes)].sampled
    several = len(shapes) > 1
    seen = str(shapes if several else shapes[sampled])
    return DataInfo(
        name=name,
        shape=shapes[sampled],
        class_names=contents.class_names,
        sizes={split: len(contents.columns(split)[sampled]) for split in contents.splits},
        fingerprint=digest([str(PIXELS_VERSION), contents.digest, seen, policy if fits else ""]),
        columns=shapes if several else None,
        aligned=contents.aligned,
    )
