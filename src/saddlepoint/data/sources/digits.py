"""The handwritten digits of scikit-learn: real images that need no download, small enough to train on in a minute."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from saddlepoint.data.sources.base import Contents, Source, Table, digest_of
from saddlepoint.types import Split


class Digits(Source):
    """1,797 gray scans of 8x8 pixels in ten classes (Alpaydin & Kaynak 1998, UCI), their 17 levels scaled to 0 … 255.

    A fifth is held out by the hashes of the pixels, so that equal scans are never in both splits.
    """

    name = "digits"

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        bunch = load_digits()
        values = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
        labels = bunch.target.astype(np.int64)
        held_out = _held_out(values)
        splits: dict[Split, list[Table]] = {
            "train": [Table({"images": values[~held_out]}, labels[~held_out])],
            "held_out": [Table({"images": values[held_out]}, labels[held_out])],
        }
        return Contents(splits, tuple(str(digit) for digit in range(10)), digest_of(splits))


def _held_out(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    hashes = (hashlib.blake2b(value.tobytes(), digest_size=8).digest() for value in values)
    return np.array([int.from_bytes(content, "little") % 5 == 0 for content in hashes])
