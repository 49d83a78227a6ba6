"""MNIST and data sets in its format of four idx files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torchvision
from numpy.typing import NDArray

from saddlepoint.data.sources.base import Contents, Labels, Source, Table, digest_of
from saddlepoint.data.store import given_path, is_file, leaving_no_empty_folders, read_file
from saddlepoint.errors import UserError
from saddlepoint.types import Split


class MNIST(Source):
    """60,000 training and 10,000 held-out gray images of handwritten digits, 28x28 pixels (LeCun et al. 1998).

    Args:
        root: the folder that contains ``MNIST/raw``, as torchvision's; missing files are downloaded by torchvision.
    """

    name = "mnist"
    folder: ClassVar[str] = "MNIST"
    class_names: ClassVar[tuple[str, ...]] = tuple(str(digit) for digit in range(10))

    def __init__(self, root: str):
        self.root = given_path(root)

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        raw = self.root / self.folder / "raw"
        files = {
            prefix: (raw / f"{prefix}-images-idx3-ubyte", raw / f"{prefix}-labels-idx1-ubyte")
            for prefix in ("train", "t10k")
        }
        if not all(is_file(path) for pair in files.values() for path in pair):
            self._download(raw)
        splits: dict[Split, list[Table]] = {
            "train": [self._table(*files["train"])],
            "held_out": [self._table(*files["t10k"])],
        }
        return Contents(splits, self.class_names, digest_of(splits))

    def _download(self, raw: Path) -> None:
        try:
            with leaving_no_empty_folders(raw):
                getattr(torchvision.datasets, self.folder)(self.root, download=True)
        except (OSError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            raise UserError(
                f"{raw}: {self.folder}'s four idx files are missing and the download failed ({reason})",
                "root",
                "copy them there unpacked, or give a folder that has them",
            ) from None

    def _table(self, images: Path, labels: Path) -> Table:
        pixels, classes = read_idx(images, 3), read_idx(labels, 1).astype(np.int64)
        if len(pixels) != len(classes) or len(pixels) == 0:
            problem = f"{images}: {len(pixels)} images but {len(classes)} labels"
            raise UserError(problem, None, "delete both files and run again")
        if classes.max() >= len(self.class_names):
            problem = f"{labels}: label {classes.max()} is not a class"
            raise UserError(problem, None, "delete the file and run again")
        return Table({"images": pixels[..., None]}, classes)


class FashionMNIST(MNIST):
    """60,000 training and 10,000 held-out gray images of clothes, 28x28 pixels in ten classes.

    Xiao et al. 2017, arXiv:1708.07747.

    Args:
        root: the folder that contains ``FashionMNIST/raw``; missing files are downloaded by torchvision.
    """

    name = "fashion_mnist"
    folder = "FashionMNIST"
    class_names = tuple(torchvision.datasets.FashionMNIST.classes)


def digits(mnist: Contents, split: Split) -> tuple[NDArray[np.uint8], Labels]:
    """Return a split's images, uint8 [N, 28, 28, 1], and labels, int64 [N]."""
    table = mnist.splits[split][0]
    return cast("NDArray[np.uint8]", table.columns["images"]), cast(Labels, table.labels)


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes: 0, 0, 8, the number of dimensions, their big-endian sizes, the data.

    Raises:
        UserError: the file cannot be read or has another format, or its length does not match its header.
    """
    raw = read_file(path)
    start = 4 + 4 * dimensions
    if len(raw) < start or raw[:4] != bytes((0, 0, 8, dimensions)):
        problem = f"{path}: not an idx file of unsigned bytes with {dimensions} dimension(s)"
        raise UserError(problem, None, "delete it and run again to download it")
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], dtype=">u4"))
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(raw) != expected:
        problem = f"{path}: {len(raw):,} bytes, but its header requires {expected:,}"
        raise UserError(problem, None, "delete it and run again to download it")
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)
