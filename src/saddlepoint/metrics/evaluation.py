"""Evaluation in one pass: the extractor is applied to each image once, then every metric is computed.

extractor.prepare(real, cache_dir)
reference = RealStatistics.compute(real, extractor, cache_dir, n=10_000)
evaluator = Evaluator(extractor, reference, n=10_000)
cards = evaluator.score((quantise(images) for images in samples), ema=True, ...)
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NotRequired, TypedDict, Unpack

import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.metrics import catalogue
from saddlepoint.metrics.base import Figure, Metric, Need, Sample, select_rows
from saddlepoint.metrics.cards import ScoreCard
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.modes import ceiling, expected_divergence, mode_coverage
from saddlepoint.metrics.real import RealStatistics
from saddlepoint.metrics.rows import as_many_as_real
from saddlepoint.metrics.sharding import collect, gather, shard


class Circumstances(TypedDict):
    """What the caller must provide for a score card; :class:`~saddlepoint.metrics.cards.ScoreCard` explains each."""

    ema: bool | None
    batchnorm: str
    labels: str
    images_seen: int
    generator_updates: int
    revision: str
    truncation: NotRequired[float | None]


class Evaluator:
    """Scores generated images against real statistics.

    Args:
        extractor: prepared, and the one that ``reference`` was computed with.
        reference: the real statistics.
        metrics: names as in :data:`catalogue.METRICS`; those that the extractor does not support are left out.
        n: number of generated samples, >= 2. Scores of different n are not comparable.
        seed: seeds subsets and splits; on the cards also the latents' seed.
        splits: of the Inception Score.

    Attributes:
        details: after :meth:`score`, tensors for plots by score name: closest "pairs" of duplicates, "histogram" of
            classes.

    Raises:
        UserError: a metric is unknown or has no real statistics, or ``reference`` was computed with other features.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        reference: RealStatistics,
        metrics: Sequence[str] = catalogue.DEFAULT,
        n: int = 10_000,
        seed: int = 0,
        splits: int = 10,
    ) -> None:
        if n < 2:
            raise UserError(f"must be at least 2, got {n}", "n")
        theirs, ours = (reference.header["features"], reference.header["version"]), (extractor.name, extractor.version)
        if theirs != ours:
            raise UserError(
                f"features {' '.join(ours)} cannot be compared with real statistics of features {' '.join(theirs)}",
                "reference",
                "compute the real statistics with the same features",
            )
        self.extractor, self.reference = extractor, reference
        self.n, self.seed = n, seed
        self.metrics = catalogue.build(metrics, extractor, seed, splits)
        self.references = {metric.name: reference.of_metric(metric) for metric in self.metrics}
        self.details: dict[str, dict[str, Tensor]] = {}

    @property
    def needs(self) -> frozenset[Need]:
        """What the metrics need a pass to keep."""
        return frozenset[Need]().union(*(metric.needs for metric in self.metrics))

    @property
    def monitor(self) -> str:
        """The score that defines the best checkpoint: the Fréchet distance, or else the first metric's."""
        names = [metric.name for metric in self.metrics]
        return self.extractor.score_name("fid" if "fid" in names or not names else names[0])

    def score(
        self, batches: Iterable[Tensor], wanted: Tensor | None = None, **circumstances: Unpack[Circumstances]
    ) -> list[ScoreCard]:
        """Score the first n images of ``batches``, which are consumed only as far as needed.

        In a run of several processes, each scores its :func:`~saddlepoint.metrics.sharding.shard` of the n images; the
        figures are those of a single process.

        Args:
            batches: uint8 [B, C, H, W], from :func:`~saddlepoint.metrics.quantise.quantise`, at least n images in all.
            wanted: the labels that the images were conditioned on, long [n]; None without labels.
            **circumstances: what the caller must provide; see :class:`Circumstances`.

        Returns:
            One card per figure, in the metrics' order; none on ranks other than 0.

        Raises:
            FloatingPointError: a figure is not finite.
            ValueError: ``batches`` contain fewer than n images.
        """
        begin = time.perf_counter()
        _, count = shard(self.n)
        sample = gather(collect(batches, count, self.needs, self.extractor, wanted))
        if sample is None:
            return []
        extraction = time.perf_counter() - begin
        cards: list[ScoreCard] = []
        self.details = {}
        for metric in self.metrics:
            begin = time.perf_counter()
            figures = self._figures(metric, sample)
            seconds = extraction + time.perf_counter() - begin
            cards += [self._card(figure, seconds, circumstances) for figure in figures]
            self.details |= {figure.name: dict(figure.details) for figure in figures}
        return cards

    def _figures(self, metric: Metric, sample: Sample) -> list[Figure]:
        """Return a metric's figures, from as many samples as there are real images where it is ``bound_to_n``."""
        reference, real = self.references[metric.name], self.reference.header["size"]
        if not metric.bound_to_n or self.n <= real:
            return metric.figures(sample, reference, self.extractor)
        rows = as_many_as_real(self.n, real, self.seed)
        figures = metric.figures(select_rows(sample, rows), reference, self.extractor)
        among_all = [
            {**figure.details, "pairs": rows[figure.details["pairs"]]} if "pairs" in figure.details else figure.details
            for figure in figures
        ]
        return [replace(figure, details=own) for figure, own in zip(figures, among_all, strict=True)]

    def _card(self, figure: Figure, seconds: float, circumstances: Circumstances) -> ScoreCard:
        ours = (self.extractor.name, self.extractor.version, self.extractor.resize)
        features, version, resize = figure.features or ours
        real, real_n = self.reference.held_out.get(figure.name, (None, None))
        return ScoreCard(
            metric=figure.name,
            value=figure.value,
            n=figure.n,
            splits=figure.splits,
            interval=figure.interval,
            reference=self.reference.reference,
            features=features,
            features_version=version,
            resize=resize,
            seed=self.seed,
            seconds=seconds,
            real=real,
            real_n=real_n,
            beside={**({} if figure.features else self.extractor.beside), **figure.beside} or None,
            note=figure.note,
            **circumstances,
        )


def evaluate_vectors(
    points: Tensor, means: Tensor, std: float, reference: str, seed: int, **circumstances: Unpack[Circumstances]
) -> list[ScoreCard]:
    """Score points [N, D] against a uniform mixture of isotropic Gaussians with ``means`` [M, D] and ``std``.

    Args:
        points: generated, float [N, D].
        means: of the modes.
        std: of every mode.
        reference: the mixture's name, for the cards.
        seed: of the latents, for the cards.
        **circumstances: what the caller must provide; see :class:`Circumstances`.

    Returns:
        Cards ``modes``, ``high_quality``, ``reverse_kl`` and ``mixture_kl``. Their ``real`` is the mixture's own value
        in the limit of large N: M, the mass within 3σ (98.9 % in two dimensions), 0 and 0. The "floor" beside the last
        two is its expected value for this N.

    Raises:
        FloatingPointError: the points are not finite.
    """
    begin = time.perf_counter()
    coverage = mode_coverage(points, means, std)
    seconds = time.perf_counter() - begin
    inside, uniform = ceiling(points.shape[1]), torch.ones(len(means))
    true = torch.cat([uniform * inside / len(means), torch.tensor([1 - inside])])
    values = (
        ("modes", float(coverage.modes), float(len(means)), None),
        ("high_quality", coverage.high_quality, inside, None),
        ("reverse_kl", coverage.reverse_kl, 0.0, {"floor": expected_divergence(uniform, len(points))}),
        ("mixture_kl", coverage.mixture_kl, 0.0, {"floor": expected_divergence(true, len(points))}),
    )
    return [
        ScoreCard(
            metric=name, value=value, real=real, n=len(points), splits=None, reference=reference, features="none",
            features_version="none", resize="none", seed=seed, seconds=seconds, beside=beside, **circumstances,
        )
        for name, value, real, beside in values
    ]  # fmt: skip
