"""Builds the scorers of a run: its extractor, and the real statistics that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs
import torch
from omegaconf import DictConfig

from saddlepoint.commands import build
from saddlepoint.commands.scorers import (
    MONITOR_OF_POINTS,
    POINTS,
    ImageScorer,
    NoScores,
    PointScorer,
    Scorer,
    git_revision,
)
from saddlepoint.commands.sharing import Assistant
from saddlepoint.data import DataModule
from saddlepoint.errors import UserError
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.evaluation import Evaluator
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.fid_infinity import FrechetInfinity, least_samples
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.types import DataInfo

LARGEST_N = 10_000
"""Samples in an evaluation during training, where as many are held out; published scores have 50,000 (``n=50000``)."""
SMALLEST_N = 100
"""A small folder may hold out one image only."""


def build_scorer(config: DictConfig, data: DataModule, info: DataInfo, device: torch.device) -> Scorer:
    """Build what a training run is scored by: prepares the extractor and the real statistics, before anything starts.

    Both on ``device``: 50,000 images take Inception hours on a CPU.

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
    extractor.to(device)
    return image_scorer(extractor, data, settings.n, settings.seed, settings.splits, settings.metrics)


def build_assistant(config: DictConfig, info: DataInfo) -> Scorer:
    """Build what ranks other than 0 take part in evaluations by; they need no data set for it."""
    if not info.is_image:
        return NoScores(MONITOR_OF_POINTS)
    extractor = build.build_extractor(config)
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
    evaluator = Evaluator(extractor, reference, names, n=n, seed=seed, splits=splits)
    check_servable(metrics, evaluator)
    return ImageScorer(evaluator, ema, real=data)


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


def scoring_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint carries for its evaluation.

    Raises:
        UserError: where it carries nothing.
    """
    scoring = about.get("scoring")
    if scoring is None:
        raise UserError("the run kept no scores (features=none); add data=NAME features=NAME to score it now")
    return dict(scoring)
