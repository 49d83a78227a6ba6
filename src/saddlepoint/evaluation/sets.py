"""The judge of samples as a set: Fréchet distance, Inception Score, duplicates and all else that features allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from saddlepoint.assembly.parts import located
from saddlepoint.errors import UserError
from saddlepoint.evaluation import pictures
from saddlepoint.evaluation.base import Judge, Settings, cache_directory, circumstances
from saddlepoint.evaluation.sharing import Generated, Samples, Task, announce
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.fid_infinity import FrechetInfinity, least_samples
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import RealData
from saddlepoint.systems.game import Game

LARGEST_N = 10_000
"""Samples in an evaluation during training, where as many are held out; published scores have 50,000 (``n=50000``)."""
SMALLEST_N = 100
"""A small folder may hold out one image only."""


class SetJudge(Judge):
    """Scores images by features: one pass, every metric.

    Args:
        evaluator: extractor, reference statistics and metrics.
        samples: where the images come from.
        ema: judge the averaged weights where there are some.
        judges_labels: whether the extractor's classes, if it has some, are those that the generator knows.
        real: the data set, for pictures of nearest training images; None where there is none at hand.
        suffix: of the scores' names, where a system has several sets.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        samples: Samples | None = None,
        ema: bool = True,
        judges_labels: bool = True,
        real: RealData | None = None,
        suffix: str = "",
    ) -> None:
        self.evaluator, self.samples, self.real = evaluator, samples or Generated(), real
        self.ema, self.judges_labels, self.suffix = ema, judges_labels, suffix
        self.monitor = evaluator.monitor + suffix
        self.announced = False

    def score(self, system: Game) -> list[ScoreCard]:
        """Draw n images, keyed by the evaluation's seed, and score them; in a run of several processes, all share."""
        evaluator = self.evaluator
        state = None if self.announced else evaluator.extractor.state()
        task = Task(evaluator.n, evaluator.seed, self.ema, self.judges_labels, evaluator.needs, state)
        announce(task)
        self.announced = True
        evaluator.extractor.to(system.device)
        images, wanted = self.samples.draw(system, task)
        cards = evaluator.score(images, wanted, **circumstances(system, self.ema))
        return [dataclasses.replace(card, metric=card.metric + self.suffix) for card in cards] if self.suffix else cards

    def at(self, seed: int) -> SetJudge:
        """Return a judge against the same reference that samples, and draws subsets, by another seed."""
        evaluator = reseeded(self.evaluator, seed)
        return SetJudge(evaluator, self.samples, self.ema, self.judges_labels, self.real, self.suffix)

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        """Draw the closest pairs, the curve of P(duplicate) and the classes, where the last scores have them."""
        own = [dataclasses.replace(c, metric=c.metric.removesuffix(self.suffix)) for c in cards]
        if not any(card.metric in self.evaluator.details for card in own):
            return {}
        images_at = self.samples.images_at(system, self.evaluator.seed, self.ema)
        drawn = pictures.draw(self.evaluator, own, images_at, self.real)
        return {name + self.suffix: picture for name, picture in drawn.items()}

    def state(self) -> dict[str, Any] | None:
        """Return the extractor, the reference statistics where they are small, and the settings."""
        if not isinstance(self.samples, Generated):
            return None
        evaluator = self.evaluator
        return {
            "kind": "images",
            "n": evaluator.n,
            "features": evaluator.extractor.name,
            "extractor": evaluator.extractor.state(),
            "reference": evaluator.reference.state() if evaluator.reference.embeddable else None,
        }


def prepare(extractor: FeatureExtractor, data: RealData) -> None:
    """Train, load or download an extractor's network for a data set, or read it from the cache.

    Raises:
        UserError: the extractor does not support these images, or its weights are not available.
    """
    try:
        extractor.prepare(data, cache_directory())
    except UserError as error:
        raise located(error, "features", {}) from None


def set_judge(
    extractor: FeatureExtractor,
    data: RealData,
    settings: Settings,
    samples: Samples | None = None,
    most: int | None = None,
    suffix: str = "",
) -> SetJudge:
    """Prepare an extractor and the real statistics of a data set, and build the judge on them.

    Args:
        extractor: not yet prepared.
        data: the data set.
        settings: of the evaluation.
        samples: where the images come from.
        most: as many images as there are of them; None for any number.
        suffix: of the scores' names.
    """
    names = list(settings.metrics) if settings.metrics is not None else list(catalogue.DEFAULT)
    n = settings.n or min(LARGEST_N, max(SMALLEST_N, data.info.sizes["held_out"]))
    n = min(n, most or n)
    splits = settings.splits or default_splits(n)
    catalogue.build(names, extractor, settings.seed, splits)  # refuse a wrong name before anything is trained
    if n < splits:
        raise UserError(f"n={n} samples cannot be split in {splits}", "callbacks.scores.splits", "set it lower")
    prepare(extractor, data)
    if (held_out := data.info.sizes["held_out"]) < 2:
        raise UserError(
            f"{data.info.name} holds out {held_out} image, and scores need two to compare with",
            None,
            "add images, or use features=none",
        )
    reference = RealStatistics.compute(
        data, extractor, cache_directory(), n=n, seed=settings.seed, metrics=names, splits=splits
    )
    evaluator = Evaluator(extractor, reference, names, n=n, seed=settings.seed, splits=splits)
    check_servable(settings.metrics, evaluator)
    return SetJudge(evaluator, samples, settings.ema, real=data, suffix=suffix)


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
            raise UserError(
                f"features={extractor.name} cannot give the metric '{name}'", "metrics", "use other features"
            )
    least = least_samples(extractor.dim)
    if FrechetInfinity.name in (names or ()) and evaluator.n < least:
        raise UserError(
            f"fid_infinity fits a line over at least {least:,} samples of {extractor.dim} features",
            "n",
            f"set n={least}",
        )


def default_splits(n: int) -> int:
    """Return in how many parts the Inception Score of n samples is taken: 10, as published, if each has 500 or more.

    The score of a small part is far too low: 325 digits in ten parts give 6.4 where one part gives 9.

    >>> default_splits(50_000), default_splits(2000), default_splits(325)
    (10, 4, 1)
    """
    return max(1, min(10, n // 500))
