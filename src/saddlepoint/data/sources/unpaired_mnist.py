"""Two unpaired domains with known counterparts: MNIST's digits, and other digits transformed."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from saddlepoint.data.sources.base import Contents, Labels, Source, Table, digest_of
from saddlepoint.data.sources.mnist import MNIST, digits
from saddlepoint.data.store import given_path
from saddlepoint.types import Split

Transform = Literal["invert", "rotate", "colour"]

MARGIN = 2  # pads 28 to 32 pixels before the transform, so that inverted digits do not have a black frame
INK, PAPER = np.array([255, 220, 60]), np.array([20, 40, 120])
SHARE = np.arange(256)[:, None]
COLOURS = ((SHARE * INK + (255 - SHARE) * PAPER + 127) // 255).astype(np.uint8)
"""The colour of each of the 256 gray levels, uint8 [256, 3]."""


class UnpairedMNIST(Source):
    """Domain a: MNIST's digits, padded to 32x32 pixels. Domain b: transformed digits, gray or RGB.

    The training domains share no image: a has the even rows of MNIST's train split, b the odd rows. The held-out
    domains are aligned: row i of b is the transform of row i of a, a digit of MNIST's test split, so translations can
    be compared with the ground truth.

    Args:
        root: the folder that contains ``MNIST/raw``; missing files are downloaded by torchvision.
        transform: ``invert``, 255 - x; ``rotate``, by 90° anticlockwise; ``colour``, yellow digits on blue.
    """

    def __init__(self, root: str, transform: Transform = "invert"):
        self.root = given_path(root)
        self.transform = transform
        self.name = f"unpaired_mnist_{transform}"

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        mnist = MNIST(str(self.root)).open()
        images, labels = digits(mnist, "train")
        test_images, test_labels = digits(mnist, "held_out")
        splits: dict[Split, list[Table]] = {
            "train": [self._a(images[::2], labels[::2]), self._b(images[1::2], labels[1::2])],
            "held_out": [self._a(test_images, test_labels), self._b(test_images, test_labels)],
        }
        return Contents(splits, mnist.class_names, digest_of(splits))

    def _a(self, images: NDArray[np.uint8], labels: Labels) -> Table:
        return Table({"a": _padded(images)}, labels)

    def _b(self, images: NDArray[np.uint8], labels: Labels) -> Table:
        return Table({"b": transformed(_padded(images), self.transform)}, labels)


def _padded(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))


def transformed(images: NDArray[np.uint8], transform: Transform) -> NDArray[np.uint8]:
    """Return the counterparts in domain b, uint8 [N, 32, 32, 1 or 3], of images uint8 [N, 32, 32, 1]."""
    if transform == "invert":
        return 255 - images
    if transform == "rotate":
        return np.ascontiguousarray(np.rot90(images, axes=(1, 2)))
    return COLOURS[images[..., 0]]
