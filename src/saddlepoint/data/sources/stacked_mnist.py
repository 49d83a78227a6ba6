"""Stacked MNIST: three random digits as the channels of one image, a thousand modes that can be counted."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import PositiveInt

from saddlepoint import randomness
from saddlepoint.data.sources.base import ArraySplit, Contents, Source, digest
from saddlepoint.data.sources.mnist import MNIST
from saddlepoint.data.store import given_path
from saddlepoint.types import Split

CHANNELS = 3


class StackedMNIST(Source):
    """Images of three channels of 28x28 pixels, each a digit of MNIST drawn at random (Metz et al. 2017).

    The label, 0 to 999, is the number that the digits spell, the first channel's first. MNIST's digits are nearly
    equally frequent, so that the modes nearly are. Training images stack digits of MNIST's train split, held-out ones
    of its test split; which ones is fixed, and no run's seed moves it.

    Args:
        root: the folder above ``MNIST/raw``; what is missing there is downloaded through torchvision.
        train: training images.
        held_out: held-out images.
    """

    name = "stacked_mnist"

    def __init__(self, root: str, train: PositiveInt = 128_000, held_out: PositiveInt = 26_000):
        self.root = given_path(root)
        self.sizes: dict[Split, int] = {"train": train, "held_out": held_out}

    def open(self) -> Contents:
        """See :meth:`Source.open`."""
        single = MNIST(str(self.root)).open()
        splits: dict[Split, ArraySplit] = {}
        for split, size in self.sizes.items():
            digits = single.splits[split]
            assert isinstance(digits, ArraySplit)
            assert digits.labels is not None
            rows = triples(len(digits), size, split)
            pixels = digits.values.astype(np.uint8, copy=False)
            stacks = np.concatenate([pixels[rows[:, channel]] for channel in range(CHANNELS)], axis=3)
            splits[split] = ArraySplit(stacks, digits.labels[rows] @ np.array([100, 10, 1]))
        names = tuple(f"{number:03d}" for number in range(1000))
        return Contents(splits, names, digest([single.digest, *(str(size) for size in self.sizes.values())]))


def triples(digits: int, count: int, split: Split) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return which of ``digits`` digits each of ``count`` images stacks, int64 [count, 3]; row i is always the same."""

    def draw(n: int, random: torch.Generator) -> torch.Tensor:
        return torch.randint(digits, (n, CHANNELS), generator=random)

    return randomness.rows(draw, 0, f"stacked mnist {split}", 0, count).numpy()
