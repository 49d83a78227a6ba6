"""From what the files are, and what the user asked for, to one size and number of channels."""

from __future__ import annotations

from typing import cast

from saddlepoint.data.decoding import read_headers
from saddlepoint.data.fit import Fit, Policy
from saddlepoint.data.images import Channels
from saddlepoint.data.sources.base import ArraySplit, Contents
from saddlepoint.errors import UserError

Shape = tuple[int, int, int]


def choose_fit(
    contents: Contents, name: str, size: tuple[int, int] | None, channels: Channels | None, policy: Policy
) -> Fit:
    """Choose what networks see. No header is read where size, channels and policy already say everything.

    Args:
        contents: the opened source, of images.
        name: the source's name, for messages.
        size: (H, W), or None for the files' common size.
        channels: None for 1 if every file is gray, else 3.
        policy: see :class:`~saddlepoint.data.fit.Fit`.

    Raises:
        UserError: a file is no image; the files have no common size and none was asked for; one is too large to pad.
    """
    if size is not None and channels is not None and policy != "pad":
        return Fit(*size, channels, policy)
    found = _shapes(contents, name)
    sizes = sorted({shape[:2] for shape in found})
    if size is None and len(sizes) > 1:
        some = ", ".join(f"{height}x{width}" for height, width in sizes[:3])
        raise UserError(f"{name}: images of {len(sizes)} sizes ({some} …); say data.image_size=64 data.fit=crop")
    fit = Fit(*(size or sizes[0]), channels or cast(Channels, max(shape[2] for shape in found)), policy)
    for (height, width, _), where in found.items():
        fit.check(height, width, where)
    return fit


def _shapes(contents: Contents, name: str) -> dict[Shape, str]:
    """Return each (height, width, channels) that occurs, and where for the first time."""
    if contents.files_shape is not None:
        return {contents.files_shape: name}
    found: dict[Shape, str] = {}
    for split in contents.splits.values():
        if isinstance(split, ArraySplit):
            found[cast(Shape, split.values.shape[1:])] = name
            continue
        for file, header in zip(split.names, read_headers(split), strict=True):
            found.setdefault((header.height, header.width, header.channels), f"{split.store.path}: {file}")
    return found
