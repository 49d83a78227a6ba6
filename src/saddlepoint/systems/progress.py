"""How far a run is, and how far it is to go: counted in images and generator updates, never in optimizer steps."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

from pydantic import PositiveFloat, PositiveInt


@dataclass
class Progress:
    """Counters that a checkpoint keeps.

    Attributes:
        images_seen: data-set images consumed in the first turn of each round, summed over ranks.
        generator_updates: optimizer steps of the generator.
        rounds: batches played.
        turns: turns taken by each player; they count the intervals of lazy regularizers and key the randomness.
        seconds: training time so far, over all the sessions of the run.
        updates_before: steps that the generator had had in the run whose weights this one began with.
    """

    images_seen: int = 0
    generator_updates: int = 0
    rounds: int = 0
    turns: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    updates_before: int = 0

    def state(self) -> dict[str, object]:
        """Return the counters as plain containers."""
        return asdict(self)


@dataclass(frozen=True)
class Budget:
    """When a run ends: at the first limit that it reaches. At least one must be given.

    Attributes:
        images: data-set images, exact: the last batch may be partial.
        generator_updates: generator steps.
        hours: training time in hours.
    """

    images: PositiveInt | None = None
    generator_updates: PositiveInt | None = None
    hours: PositiveFloat | None = None

    def fraction(self, progress: Progress) -> float:
        """Return how much of the nearest limit is used, in [0, 1]; 0 without any limit.

        >>> Budget(images=100).fraction(Progress(images_seen=25))
        0.25
        """
        used = [
            done / limit
            for done, limit in (
                (progress.images_seen, self.images),
                (progress.generator_updates, self.generator_updates),
                (progress.seconds / 3600, self.hours),
            )
            if limit is not None
        ]
        return min(1.0, max(used, default=0.0))

    def reached(self, progress: Progress) -> bool:
        """Whether a limit is used up."""
        return self.fraction(progress) >= 1.0


class Stopwatch:
    """Adds the wall-clock time of training to :attr:`Progress.seconds`; pauses while scores are computed.

    Attributes:
        alone: whether this is the run's only process. Clocks of several would differ, and with them the learning rate
            and the end of a budget of hours: all go by rank 0's, which travels with the gradients.
        own: seconds measured here, in this session.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.alone = True
        self.own = 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Start, or go on."""
        self._since = time.monotonic()

    def lap(self) -> None:
        """Add the time since the last lap."""
        if self._since is not None:
            now = time.monotonic()
            self.own += now - self._since
            if self.alone:
                self.progress.seconds += now - self._since
            self._since = now

    def pause(self) -> None:
        """Add the time since the last lap, and stop counting."""
        self.lap()
        self._since = None
