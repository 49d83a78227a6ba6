"""Counters of training progress, the budget of a run, and its training time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

from pydantic import PositiveFloat, PositiveInt


@dataclass
class Progress:
    """Counters of training progress, which are saved in checkpoints.

    Attributes:
        images_seen: number of training images of all rounds so far, summed over ranks.
        generator_updates: optimizer steps of the generator.
        rounds: number of rounds, one per batch.
        turns: number of turns of each player, which lazy regularization and the keys of random draws use.
        seconds: training time of all sessions of the run.
        updates_before: number of generator updates in the run from which the initial weights were loaded.
        images_averaged: value of ``images_seen`` at the end of the round of the last update of the averaged weights.
    """

    images_seen: int = 0
    generator_updates: int = 0
    rounds: int = 0
    turns: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    updates_before: int = 0
    images_averaged: int = 0

    def state(self) -> dict[str, object]:
        """Return the counters as plain containers."""
        return asdict(self)


@dataclass(frozen=True)
class Budget:
    """Limits of a run, which ends when it reaches the first of them.

    Attributes:
        images: number of training images; exact, as the last batch may be partial.
        generator_updates: number of generator updates.
        hours: training time in hours.
    """

    images: PositiveInt | None = None
    generator_updates: PositiveInt | None = None
    hours: PositiveFloat | None = None

    def fraction(self, progress: Progress) -> float:
        """Return the used fraction of the limit that is closest to being reached, in [0, 1]; 0 without limits.

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
        """Return whether a limit has been reached."""
        return self.fraction(progress) >= 1.0


class Stopwatch:
    """Measures wall-clock training time, excluding pauses such as evaluation.

    Attributes:
        alone: whether this is the only process. If so, the time is added to :attr:`Progress.seconds`. Otherwise all
            ranks use rank 0's time, which is reduced with the gradients, since a difference between clocks would lead
            to different learning rates and stopping times.
        own: seconds measured by this process in this session.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.alone = True
        self.own = 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Start or resume."""
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
        """Add the time since the last lap, then stop."""
        self.lap()
        self._since = None
