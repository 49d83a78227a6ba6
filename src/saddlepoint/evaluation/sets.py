"""The judge of sets of samples: Fréchet distance, Inception Score, duplicates and other scores from features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from saddlepoint.assembly.parts import located
from saddlepoint.errors import UserError
from saddlepoint.evaluation import pictures
from saddlepoint.evaluation.base import Judge, Settings, cache_directory, circumstances
from saddlepoint.evaluation.drawing import RUNNING, Drawing
from saddlepoint.evaluation.embedding import MOST as MOST_EMBEDDED
from saddlepoint.evaluation.embedding import Embedding
from saddlepoint.evaluation.embedding import draw as draw_embedding
from saddlepoint.evaluation.sharing import Generated, Samples, Task, announce
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.base import OF_LABELS
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import RealData
from saddlepoint.systems.game import Game

LARGEST_N = 10_000
"""Default limit on the number of samples; published scores use 50,000 (``n=50000``)."""
SMALLEST_N = 100
"""Default minimum, since a small folder may have only one held-out image."""


class SetJudge(Judge):
    """Scores sets of images by their features, with all metrics computed in one pass.

    Args:
        evaluator: extractor, reference statistics and metrics.
        samples: the source of the images; by default the system's generated samples.
        ema: evaluate the averaged weights, if there are any.
        judges_labels: whether the extractor's classes, if it has any, are those that the generator is conditioned on.
        real: the data set, for pictures of nearest training images; None if it is not available.
        suffix: of the scores' names, for systems with several sets.
        embedding: kind of plot of the features in two dimensions, or None.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        samples: Samples | None = None,
        ema: bool = True,
        judges_labels: bool = True,
        real: RealData | None = None,
        suffix: str = "",
        embedding: Embedding | None = None,
    ) -> None:
        self.evaluator, self.samples, self.real = evaluator, samples or Generated(), real
        self.ema, self.judges_labels, self.suffix, self.embedding = ema, judges_labels, suffix, embedding
        self.monitor = evaluator.monitor + suffix
        served = [name for metric in evaluator.metrics for name in catalogue.names_of(metric, evaluator.extractor)]
        self.names = [name + end for name in served for end in {"", suffix}]
        self.announced = False

    def score(self, system: Game) -> list[ScoreCard]:
        """Return the scores of n images, which are keyed by the evaluation's seed and shared among all processes."""
        evaluator = self.evaluator
        state = None if self.announced else evaluator.extractor.state()
        task = Task(evaluator.n, evaluator.seed, self.ema, self.judges_labels, evaluator.needs, state)
        announce(task)
        self.announced = True
        evaluator.extractor.to(system.device)
        images, wanted = self.samples.draw(system, task)
        drawing = self.samples.drawing if isinstance(self.samples, Generated) else RUNNING
        cards = evaluator.score(images, wanted, **circumstances(system, self.ema, drawing))
        return [dataclasses.replace(card, metric=card.metric + self.suffix) for card in cards] if self.suffix else cards

    def at(self, seed: int) -> SetJudge:
        """Return a judge with the same reference and another seed for samples and subsets."""
        return self._with(reseeded(self.evaluator, seed), self.samples)

    def drawn(self, drawing: Drawing) -> SetJudge | None:
        """Return a judge with the same reference of samples that are drawn in another way; None for translations."""
        if not isinstance(self.samples, Generated):
            return None
        return self._with(self.evaluator, Generated(drawing))

    def _with(self, evaluator: Evaluator, samples: Samples) -> SetJudge:
        return SetJudge(evaluator, samples, self.ema, self.judges_labels, self.real, self.suffix, self.embedding)

    def pictures(self, system: Game, cards: Sequence[ScoreCard]) -> Mapping[str, Image.Image]:
        """Draw the closest pairs, the curve of P(duplicate) and the classes, as far as the last scores include them."""
        own = [dataclasses.replace(c, metric=c.metric.removesuffix(self.suffix)) for c in cards]
        if not any(card.metric in self.evaluator.details for card in own):
            return {}
        images_at = self.samples.images_at(system, self.evaluator.seed, self.ema)
        drawn = pictures.draw(self.evaluator, own, images_at, self.real)
        if self.embedding is not None and self.real is not None:
            images = images_at(torch.arange(min(self.evaluator.n, MOST_EMBEDDED)))
            extractor, seed = self.evaluator.extractor, self.evaluator.seed
            drawn[self.embedding] = draw_embedding(self.embedding, extractor, images, self.real, seed)
        return {name + self.suffix: picture for name, picture in drawn.items()}

    def state(self) -> dict[str, Any] | None:
        """Return the extractor, the reference statistics if they are small, and n; None for translated images."""
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
    """Prepare an extractor and the real statistics of a data set, and return the judge that uses them.

    Args:
        extractor: not yet prepared.
        data: the data set.
        settings: of the evaluation.
        samples: the source of the images; by default the system's generated samples.
        most: number of images that ``samples`` can provide; None if it is not limited.
        suffix: of the scores' names.

    Raises:
        UserError: a metric is unknown or not supported, the extractor does not support these images, or there are too
            few held-out images or samples.
    """
    names = list(settings.metrics) if settings.metrics is not None else list(catalogue.DEFAULT)
    n = settings.n or min(LARGEST_N, max(SMALLEST_N, data.info.sizes["held_out"]))
    n = min(n, most or n)
    splits = settings.splits or default_splits(n)
    catalogue.build(names, extractor, settings.seed, splits)  # checks the names before an extractor is trained
    if n < splits:
        problem = f"{n} samples cannot be split into {splits} parts"
        raise UserError(problem, "splits", "reduce it")
    prepare(extractor, data)
    for size, kind in ((data.info.sizes["held_out"], "held-out"), (data.info.sizes["train"], "training")):
        if size < 2:
            problem = f"{data.info.name} has {size} {kind} image(s), and scores need at least two"
            raise UserError(problem, None, "add images, or use features=none")
    reference = RealStatistics.compute(
        data, extractor, cache_directory(), n=n, seed=settings.seed, metrics=names, splits=splits
    )
    evaluator = Evaluator(extractor, reference, names, n=n, seed=settings.seed, splits=splits)
    check_servable(settings.metrics, evaluator)
    return SetJudge(evaluator, samples, settings.ema, real=data, suffix=suffix)


def reseeded(evaluator: Evaluator, seed: int) -> Evaluator:
    """Return an evaluator with the same reference and another seed."""
    if seed == evaluator.seed:
        return evaluator
    names, splits = [metric.name for metric in evaluator.metrics], evaluator.metrics[0].splits
    return Evaluator(evaluator.extractor, evaluator.reference, names, evaluator.n, seed, splits)


def check_servable(names: Sequence[str] | None, evaluator: Evaluator, labelled: bool = True) -> None:
    """Check that the requested metrics can be computed; otherwise they would silently be omitted.

    Args:
        names: the requested metrics, or None.
        evaluator: of the samples.
        labelled: whether the samples have labels of the reference's classes.

    Raises:
        UserError: the features do not support a metric, or it needs more samples or labels.
    """
    extractor = evaluator.extractor
    for name in names or ():
        found = catalogue.build([name], extractor, 0, 1)
        if not found:
            problem = f"features={extractor.name} do not support the metric '{name}'"
            raise UserError(problem, "metrics", "choose other features")
        if found[0].needs & OF_LABELS and not labelled:
            problem = f"{name} needs samples with labels of the reference's classes"
            raise UserError(problem, "metrics", "leave it out")
        least = found[0].least_samples(extractor.dim)
        if evaluator.n < least:
            problem = f"{name} needs at least {least:,} samples with {extractor.dim} features"
            raise UserError(problem, "n", f"set it to {least}")


def default_splits(n: int) -> int:
    """Return the number of splits for the Inception Score of n samples: 10 as published, if each has at least 500.

    The score of small splits is far too low: that of 325 digits is 6.4 with ten splits and 9 with one.

    >>> default_splits(50_000), default_splits(2000), default_splits(325)
    (10, 4, 1)
    """
    return max(1, min(10, n // 500))
