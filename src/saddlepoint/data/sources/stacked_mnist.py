"""Stacked MNIST: three random digits as the channels of an image, with 1000 modes that can be counted."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import PositiveInt

from saddlepoint import randomness
from saddlepoint.data.sources.base import Contents, Source, Table, digest
from saddlepoint.data.sources.mnist import MNIST, digits
from saddlepoint.data.store import given_path
from saddlepoint.types import Split

CHANNELS = 3


class StackedMNIST(Source):
    """Images of three channels of 28x28 pixels, each a digit of MNIST drawn at random (Metz et al. 2017).

    The label, 0 to 999, is the number formed by the three digits, starting with the first channel's. The modes are
    nearly equally frequent, since MNIST's digits are. Training images consist of digits of MNIST's train split,
    held-out images of digits of its test split. The choice is fixed and does not depend on the run's seed.

    Args:
        root: the folder that contains ``MNIST/raw``; missing files are downloaded by torchvision.
        train: number of training images.
        held_out: number of held-out images.
    """

    name = "stacked_mnist"

    def __init__(self, root: str, train: PositiveInt = 128_000, held_out: PositiveInt = 26_000):
        self.root = given_path(root)
        self.sizes: dict[Split, int] = {"train": train, "held_out": held_out}

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        single = MNIST(str(self.root)).open()
        splits: dict[Split, list[Table]] = {}
        for split, size in self.sizes.items():
            pixels, labels = digits(single, split)
            rows = triples(len(pixels), size, split)
            stacks = np.concatenate([pixels[rows[:, channel]] for channel in range(CHANNELS)], axis=3)
            splits[split] = [Table({"images": stacks}, labels[rows] @ np.array([100, 10, 1]))]
        names = tuple(f"{number:03d}" for number in range(1000))
        return Contents(splits, names, digest([single.digest, *(str(size) for size in self.sizes.values())]))


def triples(n: int, count: int, split: Split) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return the indices, out of n digits, of the three in each image, int64 [count, 3]; row i is fixed."""

    def draw(rows: int, random: torch.Generator) -> torch.Tensor:
        return torch.randint(n, (rows, CHANNELS), generator=random)

    return randomness.rows(draw, 0, f"stacked mnist {split}", 0, count).numpy()
