"""MNIST and data sets in its format of four idx files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, cast

import numpy as np
import torchvision
from numpy.typing import NDArray

from saddlepoint.data.sources.base import Contents, Labels, Source, Table, digest_of
from saddlepoint.data.sources.torchvision_download import downloading
from saddlepoint.data.store import given_path, is_file, read_file
from saddlepoint.errors import UserError
from saddlepoint.types import Split


class MNIST(Source):
    """60,000 training and 10,000 held-out gray images of handwritten digits, 28x28 pixels (LeCun et al. 1998).

    Args:
        root: the folder that contains ``MNIST/raw``, as torchvision's; missing files are downloaded by torchvision.
    """

    name = "mnist"
    folder: ClassVar[str] = "MNIST"
    prefixes: tuple[str, str] = ("train", "t10k")
    class_names: tuple[str, ...] = tuple(str(digit) for digit in range(10))

    def __init__(self, root: str):
        self.root = given_path(root)

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        raw = self.root / self.folder / "raw"
        files = {
            prefix: (raw / f"{prefix}-images-idx3-ubyte", raw / f"{prefix}-labels-idx1-ubyte")
            for prefix in self.prefixes
        }
        if not all(is_file(path) for pair in files.values() for path in pair):
            missing = f"{raw}: {self.folder}'s four idx files are missing"
            with downloading(raw, missing, "copy them there unpacked, or give a folder that has them"):
                self._download()
        train, held_out = files.values()
        splits: dict[Split, list[Table]] = {"train": [self._table(*train)], "held_out": [self._table(*held_out)]}
        return Contents(splits, self.class_names, digest_of(splits))

    def _download(self) -> None:
        getattr(torchvision.datasets, self.folder)(self.root, download=True)

    def _table(self, images: Path, labels: Path) -> Table:
        pixels, classes = self._read(images, labels)
        if len(pixels) != len(classes) or len(pixels) == 0:
            problem = f"{images}: {len(pixels)} images but {len(classes)} labels"
            raise UserError(problem, None, "delete both files and run again")
        if wrong := classes[(classes < 0) | (classes >= len(self.class_names))].tolist():
            problem = f"{labels}: label {wrong[0]} is not a class"
            raise UserError(problem, None, "delete the file and run again")
        return Table({"images": pixels[..., None]}, classes)

    def _read(self, images: Path, labels: Path) -> tuple[NDArray[np.uint8], Labels]:
        return read_idx(images, 3), read_idx(labels, 1).astype(np.int64)


class FashionMNIST(MNIST):
    """60,000 training and 10,000 held-out gray images of clothes, 28x28 pixels in ten classes.

    Xiao et al. 2017, arXiv:1708.07747.

    Args:
        root: the folder that contains ``FashionMNIST/raw``; missing files are downloaded by torchvision.
    """

    name = "fashion_mnist"
    folder = "FashionMNIST"
    class_names = tuple(torchvision.datasets.FashionMNIST.classes)


class KMNIST(MNIST):
    """60,000 training and 10,000 held-out gray images of ten handwritten hiragana, 28x28 pixels.

    Clanuwat et al. 2018, arXiv:1812.01718.

    Args:
        root: the folder that contains ``KMNIST/raw``; missing files are downloaded by torchvision.
    """

    name = "kmnist"
    folder = "KMNIST"
    class_names = tuple(torchvision.datasets.KMNIST.classes)


class EMNIST(MNIST):
    """Gray images of handwritten letters and digits, 28x28 pixels, turned as those of MNIST.

    The files contain the transposed images. Cohen et al. 2017, arXiv:1702.05373.

    Args:
        root: the folder that contains ``EMNIST/raw``; missing files are downloaded by torchvision.
        subset: ``balanced`` (112,800 training and 18,800 held-out images of 47 classes), ``letters`` (124,800 and
            20,800 of 26), ``digits`` (240,000 and 40,000 of 10), ``byclass`` (697,932 and 116,323 of 62) or
            ``bymerge`` (the same of 47).
    """

    folder = "EMNIST"

    def __init__(self, root: str, subset: Literal["balanced", "letters", "digits", "byclass", "bymerge"] = "balanced"):
        super().__init__(root)
        self.subset = subset
        self.name = f"emnist_{subset}"
        self.prefixes = f"emnist-{subset}-train", f"emnist-{subset}-test"
        self.class_names = tuple(torchvision.datasets.EMNIST.classes_split_dict[subset])
        if subset == "letters":  # numbered from 1; torchvision adds a class 0 without images
            self.class_names = self.class_names[1:]

    def _download(self) -> None:
        torchvision.datasets.EMNIST(self.root, split=self.subset, download=True)

    def _read(self, images: Path, labels: Path) -> tuple[NDArray[np.uint8], Labels]:
        pixels, classes = super()._read(images, labels)
        return np.ascontiguousarray(pixels.transpose(0, 2, 1)), classes - (self.subset == "letters")


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
