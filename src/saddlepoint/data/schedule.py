"""The positions of the index stream that each batch consists of on each rank, up to an exact budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from saddlepoint.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """The positions of each batch. A position is a number of images consumed by all ranks together.

    The global batch at position p consists of positions p … p + size - 1. For unpaired data they apply to both tables.

    Attributes:
        batch_size: number of images per rank and batch, >= 1.
        stop: the budget in images over all ranks, or None for an endless schedule. It is met exactly: the last batch
            may be partial. If a rank would have fewer than two images of a partial batch, too few for BatchNorm, that
            batch is merged into the previous one, unless the batch size is one.
        rank: of this process, 0 … world_size - 1.
        world_size: number of processes. Each takes a contiguous share of every global batch.
    """

    batch_size: int
    stop: int | None = None
    rank: int = 0
    world_size: int = 1

    @property
    def global_batch(self) -> int:
        """Number of images per batch over all ranks."""
        return self.batch_size * self.world_size

    @property
    def smallest_batch(self) -> int:
        """Minimum number of images per batch over all ranks."""
        return min(2, self.batch_size) * self.world_size

    def spans(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield this rank's (first position, number of images) in each batch from position ``start`` on.

        Raises:
            UserError: the budget leaves too few images after ``start`` for one batch.

        >>> list(Schedule(batch_size=64, stop=129).spans(0))
        [(0, 64), (64, 65)]
        """
        for position, size in self._global_spans(start):
            first, last = (size * rank // self.world_size for rank in (self.rank, self.rank + 1))
            yield position + first, last - first

    def _global_spans(self, start: int) -> Iterator[tuple[int, int]]:
        position = start
        while self.stop is None or position < self.stop:
            size = self.size(position)
            yield position, size
            position += size

    def size(self, position: int) -> int:
        """Return the number of images, over all ranks, of the batch at ``position``.

        Raises:
            UserError: the budget leaves too few images after ``position`` for one batch.

        >>> [Schedule(batch_size=64, stop=129).size(position) for position in (0, 64)]
        [64, 65]
        """
        if self.stop is None:
            return self.global_batch
        left = self.stop - position
        if left < self.smallest_batch:
            raise UserError(
                f"{left} image(s) left after {position} are too few for a batch on {self.world_size} rank(s)",
                "budget.images",
                f"raise it by at least {self.smallest_batch - left}",
            )
        return left if left < self.global_batch + self.smallest_batch else self.global_batch
