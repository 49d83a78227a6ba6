"""Scorers: what a run, and ``evaluate.py``, judge a system by; :mod:`~saddlepoint.commands.scoring` builds them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from saddlepoint import __version__
from saddlepoint.commands import diagnostics
from saddlepoint.commands.sharing import Task, announce, draw
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Circumstances, Evaluator, evaluate_vectors
from saddlepoint.metrics.real import RealData
from saddlepoint.networks.layers.statistics import uses_batch_statistics
from saddlepoint.systems.game import Game

POINTS = 2500
"""Of PacGAN's protocol."""
MONITOR_OF_POINTS = "mixture_kl"


class Scorer(Protocol):
    """Turns a system into score cards.

    Attributes:
        monitor: the score that says which checkpoint is best, or None.
        revision: of the code.
    """

    monitor: str | None
    revision: str

    def score(self, system: Game) -> list[ScoreCard]:
        """Sample and score; on the system's device."""

    def at(self, seed: int) -> Scorer:
        """Return a scorer against the same reference that samples by another seed."""

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        """Return pictures of what the last scores, of this system, rest on."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs to be scored without the data set."""


class NoScores:
    """For ``features=none`` on images; and for ranks other than 0 on points, which rank 0 draws and judges alone.

    Args:
        monitor: of rank 0's scorer: all ranks must come to the same evaluations, whoever computes them.
    """

    def __init__(self, monitor: str | None = None) -> None:
        self.monitor = monitor
        self.revision = git_revision()

    def score(self, system: Game) -> list[ScoreCard]:
        """Nothing."""
        return []

    def at(self, seed: int) -> Scorer:
        """Itself."""
        return self

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        """None."""
        return {}

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {"scoring": None}


class ImageScorer:
    """Scores images by features: one pass, every metric.

    Args:
        evaluator: extractor, reference statistics and metrics.
        ema: judge the averaged generator where there is one.
        judges_labels: whether the extractor's classes, if it has some, are those that the generator knows.
        real: the data set, for pictures of nearest training images; None where there is none at hand.
    """

    def __init__(
        self, evaluator: Evaluator, ema: bool = True, judges_labels: bool = True, real: RealData | None = None
    ) -> None:
        self.evaluator, self.real = evaluator, real
        self.ema, self.judges_labels = ema, judges_labels
        self.revision = git_revision()
        self.monitor: str | None = evaluator.monitor
        self.announced = False

    def score(self, system: Game) -> list[ScoreCard]:
        """Sample n images, keyed by the evaluation's seed, and score them; in a run of several processes, all share."""
        evaluator = self.evaluator
        state = None if self.announced else evaluator.extractor.state()
        task = Task(evaluator.n, evaluator.seed, self.ema, self.judges_labels, evaluator.needs, state)
        announce(task)
        self.announced = True
        evaluator.extractor.to(system.device)
        images, wanted = draw(system, task)
        return evaluator.score(images, wanted, **circumstances(system, self.ema, self.revision))

    def at(self, seed: int) -> Scorer:
        """Return a scorer against the same reference that samples, and draws subsets, by another seed."""
        return ImageScorer(reseeded(self.evaluator, seed), self.ema, self.judges_labels, self.real)

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        """Draw the closest pairs, the curve of P(duplicate) and the classes, where the last scores have them."""
        if not cards:
            return {}
        images_at = diagnostics.generated_at(system, self.evaluator.seed, self.ema)
        return diagnostics.draw(self.evaluator, cards, images_at, self.real)

    def state(self) -> dict[str, Any]:
        """Return the extractor, the reference statistics where they are small, and the settings."""
        evaluator = self.evaluator
        return {
            "scoring": {
                "kind": "images",
                "n": evaluator.n,
                "features": evaluator.extractor.name,
                "extractor": evaluator.extractor.state(),
                "reference": evaluator.reference.state() if evaluator.reference.embeddable else None,
            }
        }


class PointScorer:
    """Scores points on a mixture of Gaussians: modes, high-quality share, reverse KL.

    Args:
        means: [M, D].
        std: of every mode.
        reference: the mixture's name.
        n: points.
        seed: of their latents.
        ema: judge the averaged generator where there is one.
    """

    def __init__(
        self, means: Tensor, std: float, reference: str, n: int = POINTS, seed: int = 0, ema: bool = True
    ) -> None:
        self.means, self.std, self.reference = means, std, reference
        self.n, self.seed, self.ema = n, seed, ema
        self.revision = git_revision()
        self.monitor: str | None = MONITOR_OF_POINTS

    def score(self, system: Game) -> list[ScoreCard]:
        """Sample n points and score them."""
        points = system.sample(self.n, seed=self.seed, ema=self.ema).cpu()
        return evaluate_vectors(
            points, self.means, self.std, self.reference, self.seed, **circumstances(system, self.ema, self.revision)
        )

    def at(self, seed: int) -> Scorer:
        """Return a scorer against the same mixture that samples by another seed."""
        return PointScorer(self.means, self.std, self.reference, self.n, seed, self.ema)

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        """None: the scatter of points shows all."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return the mixture."""
        return {
            "scoring": {
                "kind": "points",
                "n": self.n,
                "means": self.means,
                "std": self.std,
                "reference": self.reference,
            }
        }


def circumstances(system: Game, ema: bool, revision: str) -> Circumstances:
    """Return what a score card says of the system."""
    generator = system.networks["generator"]
    return Circumstances(
        ema=ema and getattr(system, "ema_generator", None) is not None,
        batchnorm="running" if uses_batch_statistics(generator) else "none",
        labels="train" if system.num_classes else "none",
        images_seen=system.progress.images_seen,
        generator_updates=system.progress.generator_updates,
        revision=revision,
    )


def reseeded(evaluator: Evaluator, seed: int) -> Evaluator:
    """Return an evaluator of the same reference whose samples and subsets are another seed's."""
    if seed == evaluator.seed:
        return evaluator
    names, splits = [metric.name for metric in evaluator.metrics], evaluator.metrics[0].splits
    return Evaluator(evaluator.extractor, evaluator.reference, names, evaluator.n, seed, splits)


def git_revision() -> str:
    """Return the revision of this code, ``+`` where it has been changed since; the version where it is no checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return f"v{__version__}"
    try:
        asked = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return f"v{__version__}"
