"""Scorers: what a run, and ``evaluate.py``, judge a system by."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import platformdirs
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from saddlepoint import __version__
from saddlepoint.commands import build, diagnostics
from saddlepoint.commands.sharing import Assistant, Task, announce, draw
from saddlepoint.data import DataModule
from saddlepoint.errors import UserError
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Circumstances, Evaluator, evaluate_vectors
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.fid_infinity import FrechetInfinity, least_samples
from saddlepoint.metrics.real import RealData, RealStatistics
from saddlepoint.networks.layers.statistics import uses_batch_statistics
from saddlepoint.systems.game import Game
from saddlepoint.types import DataInfo

LARGEST_N = 10_000
"""Samples in an evaluation during training, where as many are held out; published scores have 50,000 (``n=50000``)."""
SMALLEST_N = 100
"""A small folder may hold out one image only."""
POINTS = 2500
"""Of PacGAN's protocol."""


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
    """For ``features=none`` on images."""

    monitor: str | None = None

    def __init__(self) -> None:
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
        self.monitor: str | None = "mixture_kl"

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


def build_scorer(config: DictConfig, data: DataModule, info: DataInfo) -> Scorer:
    """Build what a training run is scored by: prepares the extractor and the real statistics, before anything starts.

    Raises:
        UserError: where the features cannot be had for this data.
    """
    settings = config.callbacks.scores
    if not info.is_image:
        source: Any = data.source
        means = torch.as_tensor(source.means, dtype=torch.float32)
        return PointScorer(means, float(source.std), info.name, settings.n or POINTS, settings.seed)
    extractor = build.build_extractor(config)
    if extractor is None:
        return NoScores()
    return image_scorer(extractor, data, settings.n, settings.seed, settings.splits, settings.metrics)


def build_assistant(config: DictConfig, info: DataInfo) -> Scorer:
    """Build what ranks other than 0 take part in evaluations by; they need no data set for it."""
    extractor = build.build_extractor(config) if info.is_image else None
    return NoScores() if extractor is None else Assistant(type(extractor), cache_directory(), git_revision())


def image_scorer(
    extractor: FeatureExtractor,
    data: DataModule,
    n: int | None,
    seed: int,
    splits: int | None,
    metrics: Sequence[str] | None,
    ema: bool = True,
) -> ImageScorer:
    """Prepare an extractor and the real statistics of a data set, and build the scorer on them.

    Args:
        extractor: not yet prepared.
        data: the data set.
        n: samples; by default as many as are held out, but 100 to 10,000.
        seed: of the samples and all subsets.
        splits: of the Inception Score; by default 10, fewer where a split would have under 500 samples.
        metrics: names; by default all that the features allow.
        ema: judge the averaged generator.
    """
    names = list(metrics) if metrics is not None else list(catalogue.DEFAULT)
    n = n or min(LARGEST_N, max(SMALLEST_N, data.info.sizes["held_out"]))
    splits = splits or default_splits(n)
    catalogue.build(names, extractor, seed, splits)  # a wrong name ends here, before anything is trained or downloaded
    if n < splits:
        raise UserError(f"scores.n={n} samples cannot be split in {splits}; set callbacks.scores.splits lower")
    extractor.prepare(data, cache_directory())
    if (held_out := data.info.sizes["held_out"]) < 2:
        raise UserError(
            f"{data.info.name} holds out {held_out} image, and scores need two to compare with: "
            "add images, or take features=none"
        )
    reference = RealStatistics.compute(data, extractor, cache_directory(), n=n, seed=seed, metrics=names, splits=splits)
    return ImageScorer(Evaluator(extractor, reference, names, n=n, seed=seed, splits=splits), ema, real=data)


def reseeded(evaluator: Evaluator, seed: int) -> Evaluator:
    """Return an evaluator of the same reference whose samples and subsets are another seed's."""
    if seed == evaluator.seed:
        return evaluator
    names, splits = [metric.name for metric in evaluator.metrics], evaluator.metrics[0].splits
    return Evaluator(evaluator.extractor, evaluator.reference, names, evaluator.n, seed, splits)


def check_servable(names: Sequence[str] | None, evaluator: Evaluator) -> None:
    """Refuse a metric that was asked for by name and would silently be missing.

    Raises:
        UserError: naming it.
    """
    extractor = evaluator.extractor
    for name in names or ():
        if not catalogue.build([name], extractor, 0, 1):
            raise UserError(f"features={extractor.name} cannot give the metric '{name}'; take other features")
    least = least_samples(extractor.dim)
    if FrechetInfinity.name in (names or ()) and evaluator.n < least:
        raise UserError(
            f"fid_infinity fits a line over at least {least:,} samples of {extractor.dim} features; set n={least}"
        )


def default_splits(n: int) -> int:
    """Return in how many parts the Inception Score of n samples is taken: 10, as published, if each has 500 or more.

    The score of a small part is far too low: 325 digits in ten parts give 6.4 where one part gives 9.

    >>> default_splits(50_000), default_splits(2000), default_splits(325)
    (10, 4, 1)
    """
    return max(1, min(10, n // 500))


def cache_directory() -> Path:
    """Return where extractors and real statistics are kept between runs."""
    return Path(platformdirs.user_cache_dir("saddlepoint"))


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


def scoring_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint carries for its evaluation.

    Raises:
        UserError: where it carries nothing.
    """
    scoring = about.get("scoring")
    if scoring is None:
        raise UserError("the run kept no scores (features=none); add data=NAME features=NAME to score it now")
    return dict(scoring)
