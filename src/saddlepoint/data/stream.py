"""The order in which training sees a data set: one endless sequence, so that a position in it is one number."""

from __future__ import annotations

import torch
from torch import Tensor

from saddlepoint.randomness import generator


class IndexStream:
    """The indices 0 … n - 1 in an endless sequence of epochs, each a permutation keyed by (seed, epoch).

    ``take(start, count)`` is a pure function of the position: a run that resumes at the number of images it has
    consumed goes on exactly, batches may straddle epochs, and ranks share a batch by slicing it.

    Args:
        n: number of samples, >= 1.
        seed: the order's seed.

    >>> stream = IndexStream(5, seed=0)
    >>> sorted(stream.take(10, 5).tolist())
    [0, 1, 2, 3, 4]
    >>> torch.equal(stream.take(3, 4), stream.take(0, 7)[3:])
    True
    """

    def __init__(self, n: int, seed: int):
        if n < 1:
            raise ValueError(f"a stream needs at least one sample, not {n}")
        self.n = n
        self.seed = seed
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
            while len(self._permutations) >= 2:  # a batch straddles two epochs at most, unless the data is tiny
                del self._permutations[next(iter(self._permutations))]
            order = torch.randperm(self.n, generator=generator("cpu", self.seed, "order", epoch))
            self._permutations[epoch] = order
        return self._permutations[epoch]
