"""How the samples of an evaluation are drawn from noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.systems.capabilities import Generates, HasLatents
from saddlepoint.systems.game import Game
from saddlepoint.systems.standing import standing_statistics


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn.

    Attributes:
        truncation: of the latents, in (0, 1]; 1 is no truncation.
        batchnorm: ``running`` statistics of BatchNorm, or ``standing`` ones, which are estimated at this truncation.
    """

    truncation: float = 1.0
    batchnorm: Literal["running", "standing"] = "running"

    def check(self, system: Game) -> None:
        """Check that the system generates samples that can be drawn in this way.

        Raises:
            UserError: it does not, or its latents cannot be truncated.
        """
        key = "batchnorm" if self.truncation == 1 else "truncation"
        if self != RUNNING and not isinstance(system, Generates):
            raise UserError("this model does not generate samples from noise", key, "leave it out")
        if self.truncation != 1:
            if not isinstance(system, HasLatents):
                raise UserError("this model has no latents", key, "leave it out")
            system.draw(0, 0, 1, self.truncation)  # refused by systems with codes

    def statistics(self, system: Game, seed: int, ema: bool) -> AbstractContextManager[None]:
        """Return a context in which BatchNorm has these statistics."""
        if self.batchnorm == "running":
            return nullcontext()
        return standing_statistics(system, seed, self.truncation, ema)

    def blocks(self, system: Game, n: int, seed: int, ema: bool, start: int = 0) -> Iterator[Tensor]:
        """Yield the samples ``start … start + n - 1`` of a seed in blocks."""
        assert isinstance(system, Generates)
        with self.statistics(system, seed, ema):
            yield from system.sample_blocks(n, seed=seed, truncation=self.truncation, ema=ema, start=start)

    def starting_at(self, system: Game, starts: Sequence[int], n: int, seed: int, ema: bool) -> list[Tensor]:
        """Return n samples of a seed from each index of ``starts`` on."""
        assert isinstance(system, Generates)
        with self.statistics(system, seed, ema):
            return [system.sample(n, seed=seed, truncation=self.truncation, ema=ema, start=start) for start in starts]


RUNNING = Drawing()
"""Without truncation, by running statistics, as during training."""


def truncations(given: float | Sequence[float]) -> list[float]:
    """Return the different truncations of ``truncation=``, which is a number or a list, in their order.

    >>> truncations(1), truncations([0.5, 1, 0.5])
    ([1.0], [0.5, 1.0])
    """
    return [float(given)] if isinstance(given, int | float) else list(dict.fromkeys(map(float, given)))
