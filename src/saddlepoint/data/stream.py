"""Random draws for the rows of a table: order, flips, crops and thresholds, each a function of the position alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from saddlepoint.data import transforms
from saddlepoint.randomness import generator

SHARDS_AT_ONCE = 4
"""Number of blocks, which are shards that are downloaded, whose rows are shuffled together."""


class Draws(NamedTuple):
    """The random draws for a table's rows of a batch.

    Attributes:
        indices: of the rows, long [n].
        flips: whether each row is mirrored, bool [n], or None.
        corners: the top left corner of each crop, long [n, 2], or None.
        thresholds: of the values of images that are binarised, uint8 [n, H, W, C], or None.
    """

    indices: Tensor
    flips: Tensor | None
    corners: Tensor | None
    thresholds: Tensor | None


class IndexStream:
    """The indices 0 … n - 1 in an endless sequence of epochs, each a permutation keyed by (seed, purpose, epoch).

    ``take(start, count)`` is a pure function of the position, so a run that resumes at the number of images that it has
    consumed continues exactly, batches may span two epochs, and ranks take slices of a global batch.

    Args:
        n: number of rows, >= 1.
        seed: of the order.
        purpose: distinguishes the orders of several tables.
        blocks: numbers of consecutive rows that should be read together, with the sum n. Each epoch permutes the
            blocks, and the rows within each :data:`SHARDS_AT_ONCE` consecutive blocks of that order. None permutes all
            rows.

    >>> stream = IndexStream(5, seed=0)
    >>> sorted(stream.take(10, 5).tolist())
    [0, 1, 2, 3, 4]
    >>> torch.equal(stream.take(3, 4), stream.take(0, 7)[3:])
    True
    """

    def __init__(self, n: int, seed: int, purpose: str = "order", blocks: Sequence[int] | None = None):
        if n < 1:
            raise ValueError(f"a stream needs at least one row, got {n}")
        self.n = n
        self.seed = seed
        self.purpose = purpose
        self.blocks = blocks
        self._permutations: dict[int, Tensor] = {}

    def take(self, start: int, count: int) -> Tensor:
        """Return the indices at positions ``start … start + count - 1``, long [count], on the CPU."""
        pieces = []
        position, end = start, start + count
        while position < end:
            epoch, offset = divmod(position, self.n)
            length = min(self.n - offset, end - position)
            pieces.append(self._permutation(epoch)[offset : offset + length])
            position += length
        return torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.long)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch not in self._permutations:
            while len(self._permutations) >= 2:  # a batch spans at most two epochs
                del self._permutations[next(iter(self._permutations))]
            random = generator("cpu", self.seed, self.purpose, epoch)
            order = torch.randperm(self.n, generator=random) if self.blocks is None else _by_blocks(self.blocks, random)
            self._permutations[epoch] = order
        return self._permutations[epoch]


def _by_blocks(blocks: Sequence[int], random: torch.Generator) -> Tensor:
    """Return a permutation of the rows of blocks, see :class:`IndexStream`."""
    rows = torch.arange(sum(blocks)).split(list(blocks))
    order = torch.randperm(len(blocks), generator=random).tolist()
    shuffled = []
    for start in range(0, len(order), SHARDS_AT_ONCE):
        group = torch.cat([rows[block] for block in order[start : start + SHARDS_AT_ONCE]])
        shuffled.append(group[torch.randperm(len(group), generator=random)])
    return torch.cat(shuffled)


class Stream:
    """The draws of one table.

    Args:
        n: number of rows, >= 1.
        seed: of all draws.
        flip: mirror half of the rows.
        jitter: largest offset of a crop in pixels; 0 for no crops.
        name: distinguishes the draws of several tables; empty if there is only one.
        blocks: of rows, see :class:`IndexStream`.
        binarised: shape (H, W, C) of images that are binarised at random, or None.
    """

    def __init__(
        self,
        n: int,
        seed: int,
        flip: bool = False,
        jitter: int = 0,
        name: str = "",
        blocks: Sequence[int] | None = None,
        binarised: Sequence[int] | None = None,
    ):
        self.seed, self.flip, self.jitter, self.name, self.binarised = seed, flip, jitter, name, binarised
        self.indices = IndexStream(n, seed, self._purpose("order"), blocks)

    def draw(self, start: int, count: int) -> Draws:
        """Return the draws at positions ``start … start + count - 1``, on the CPU."""
        at = self.seed, start, count
        return Draws(
            self.indices.take(start, count),
            transforms.flips(*at, self._purpose("flip")) if self.flip else None,
            transforms.corners(*at, self.jitter, self._purpose("crop")) if self.jitter else None,
            transforms.thresholds(*at, self.binarised, self._purpose("threshold")) if self.binarised else None,
        )

    def _purpose(self, what: str) -> str:
        return f"{what} {self.name}" if self.name else what
