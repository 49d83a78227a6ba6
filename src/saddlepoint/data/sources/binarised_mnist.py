"""Binarised MNIST, for likelihoods of binary images."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from saddlepoint.data.sources.base import Contents, Source, Table, digest_of
from saddlepoint.data.sources.mnist import MNIST, digits
from saddlepoint.data.store import given_path
from saddlepoint.types import Split

Binarisation = Literal["static", "dynamic", "threshold"]

STREAMS: dict[Split, int] = {"train": 0, "held_out": 1}
CHUNK = 1000  # images per draw, to limit memory


class BinarisedMNIST(Source):
    """MNIST's digits, 28x28 pixels of 0 or 255.

    Likelihoods under different binarisations cannot be compared, so the binarisation is part of the name.

    ``static`` draws each pixel once, white with probability intensity / 255 (Salakhutdinov & Murray 2008). The draws
    are fixed and the same on all machines, but they are not those of the published file
    (``binarized_mnist_train.amat``, Larochelle & Murray 2011), which also splits off 10,000 images for validation.
    Likelihoods are therefore not exactly comparable with published ones.

    ``dynamic`` draws each pixel of a training image anew, with the same probability, each time that it is read (Burda
    et al. 2016, arXiv:1509.00519). Held-out images, and training images in evaluations, are those of ``static``.

    Args:
        root: the folder that contains ``MNIST/raw``; missing files are downloaded by torchvision.
        binarisation: ``static`` or ``dynamic`` as above, or ``threshold``: white for intensities of at least 128.
    """

    def __init__(self, root: str, binarisation: Binarisation = "static"):
        self.root = given_path(root)
        self.binarisation = binarisation
        self.name = f"binarised_mnist_{binarisation}"

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        mnist = MNIST(str(self.root)).open()
        splits: dict[Split, list[Table]] = {}
        for split, stream in STREAMS.items():
            images, labels = digits(mnist, split)
            white = images >= 128 if self.binarisation == "threshold" else drawn(images, stream)
            redrawn = {"images": images} if (self.binarisation, split) == ("dynamic", "train") else {}
            splits[split] = [Table({"images": np.where(white, np.uint8(255), np.uint8(0))}, labels, redrawn)]
        return Contents(splits, mnist.class_names, digest_of(splits))


def drawn(images: NDArray[np.uint8], stream: int) -> NDArray[np.bool_]:
    """Return a Bernoulli draw for each pixel of uint8 [N, H, W, C], True with probability intensity / 255.

    The draws are the raw output of NumPy's Philox, 32 bits per pixel in order, which is the same in all versions.
    """
    random, white = np.random.Philox(key=stream), np.empty(images.shape, dtype=np.bool_)
    for start in range(0, len(images), CHUNK):
        some = images[start : start + CHUNK].astype(np.uint64)
        words = random.random_raw((some.size + 1) // 2).astype("<u8").view("<u4")[: some.size]
        white[start : start + CHUNK] = words.reshape(some.shape).astype(np.uint64) * 255 < some << np.uint64(32)
    return white
