"""The interface of judges, which compute the score cards of a system."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import platformdirs
from PIL import Image
from torch import Tensor

from saddlepoint.data import DataModule
from saddlepoint.evaluation.drawing import RUNNING, Drawing
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Circumstances
from saddlepoint.networks.layers.statistics import uses_batch_statistics
from saddlepoint.revision import git_revision
from saddlepoint.systems.capabilities import Generates
from saddlepoint.systems.game import Game
from saddlepoint.types import Batch, Split

AT_ONCE = 250
"""Number of held-out samples that a system processes at a time."""
LARGEST_N = 10_000
"""Default limit on the number of held-out samples that are used."""


@dataclass(frozen=True)
class Settings:
    """How a system is evaluated.

    Attributes:
        n: number of samples; None for the number of held-out samples, clamped to 100 … 10,000.
        seed: of the samples and of all subsets.
        splits: of the Inception Score; None for 10, or fewer if a split would have under 500 samples.
        metrics: names of scores; None for all that the data and the features support.
        ema: evaluate the averaged weights, if there are any.
        importance: number of importance samples of a likelihood; with 0, only the bound that the system is trained on
            is computed.
    """

    n: int | None = None
    seed: int = 0
    splits: int | None = None
    metrics: Sequence[str] | None = None
    ema: bool = True
    importance: int = 0


class Judge:
    """Computes score cards of a system.

    This base class returns none, for runs without scores and for ranks that have no share in an evaluation.

    Attributes:
        monitor: the score that determines the best checkpoint, or None.
        names: the names by which its scores can be requested in ``metrics=[…]``.
    """

    monitor: str | None = None
    names: Sequence[str] = ()

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the scores of a system, computed on its device."""
        return []

    def at(self, seed: int) -> Judge:
        """Return a judge with the same reference and another seed."""
        return self

    def drawn(self, drawing: Drawing) -> Judge | None:
        """Return a judge of samples that are drawn in another way; None if the scores do not depend on it."""
        return None

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        """Return pictures, by name, of the samples behind ``cards``, the last scores of this system."""
        return {}

    def state(self) -> dict[str, Any] | None:
        """Return the state that a checkpoint stores to rebuild this judge without the data set, or None."""
        return None


class Panel(Judge):
    """Several judges combined.

    Args:
        judges: in the order of their cards; the first one with a monitor determines the best checkpoint.
    """

    def __init__(self, judges: Sequence[Judge]) -> None:
        self.judges = list(judges)
        self.monitor = next((judge.monitor for judge in judges if judge.monitor), None)
        self.names = [name for judge in judges for name in judge.names]

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the cards of all judges."""
        return [card for judge in self.judges for card in judge.score(system)]

    def at(self, seed: int) -> Panel:
        """Return the same judges with another seed."""
        return Panel([judge.at(seed) for judge in self.judges])

    def drawn(self, drawing: Drawing) -> Panel | None:
        """Return the judges whose scores depend on how samples are drawn; None if there are none."""
        judges = [judge for one in self.judges if (judge := one.drawn(drawing)) is not None]
        return Panel(judges) if judges else None

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        """Return the pictures of all judges."""
        return {name: picture for judge in self.judges for name, picture in judge.pictures(system, cards).items()}

    def state(self) -> dict[str, Any] | None:
        """Return the state of the judge that has one; at most one does."""
        return next((state for judge in self.judges if (state := judge.state()) is not None), None)


class HeldOutJudge(Judge):
    """Base class of judges that evaluate a system on held-out samples.

    Args:
        data: the data set whose held-out split is used.
        settings: of the evaluation; by default ``n`` is 10,000, limited to the number of held-out samples.
    """

    def __init__(self, data: DataModule, settings: Settings) -> None:
        self.data, self.settings = data, settings
        self.n = min(settings.n or LARGEST_N, data.info.sizes["held_out"])

    def at(self, seed: int) -> Self:
        """Return a judge with the same samples and another seed."""
        other = copy.copy(self)
        other.settings = replace(self.settings, seed=seed)
        return other

    def batches(self, split: Split = "held_out", n: int | None = None) -> Iterator[Batch]:
        """Yield the first n samples of a split in batches of floats; by default those that are evaluated."""
        n = self.n if n is None else n
        for start in range(0, n, AT_ONCE):
            yield self.data.batch(split, start, min(AT_ONCE, n - start))

    def card(self, system: Game, metric: str, values: Tensor, seconds: float, **about: Any) -> ScoreCard:
        """Return the card of a mean over samples, with the interval of plus and minus one standard error.

        Args:
            system: the evaluated system.
            metric: name of the score.
            values: one per sample, [N].
            seconds: time to compute them.
            about: further fields of the card, or replacements.
        """
        mean, error = float(values.double().mean()), float(values.double().std(correction=0)) / len(values) ** 0.5
        info = self.data.info
        return ScoreCard(
            **{
                "metric": metric,
                "value": mean,
                "n": len(values),
                "splits": None,
                "reference": f"{info.name}/held_out:{len(values)}@{info.fingerprint[:8]}",
                "features": "none",
                "features_version": "none",
                "resize": "none",
                "seed": self.settings.seed,
                "seconds": seconds,
                "interval": (mean - error, mean + error),
                **circumstances(system, self.settings.ema),
                **about,
            }
        )


def circumstances(system: Game, ema: bool, drawing: Drawing = RUNNING) -> Circumstances:
    """Return the fields of a score card that describe the system, and how its samples are drawn."""
    statistics = any(uses_batch_statistics(system.networks[role]) for role in system.averaged)
    return Circumstances(
        ema=ema and bool(system.averages),
        batchnorm=drawing.batchnorm if statistics else "none",
        labels="train" if isinstance(system, Generates) and system.num_classes else "none",
        images_seen=system.progress.images_seen,
        generator_updates=system.progress.generator_updates,
        revision=git_revision(),
        truncation=None if drawing.truncation == 1 else drawing.truncation,
    )


def cache_directory() -> Path:
    """Return the directory in which extractors and real statistics are cached between runs."""
    return Path(platformdirs.user_cache_dir("saddlepoint"))
