"""The metrics by name. To add a metric, write its file, and add a line here and its directions to ``directions.py``."""

from __future__ import annotations

from collections.abc import Sequence

from saddlepoint.errors import UserError, suggestion
from saddlepoint.metrics.agreement import ClassAgreement
from saddlepoint.metrics.authenticity import Authenticity
from saddlepoint.metrics.base import Metric
from saddlepoint.metrics.classification_accuracy import ClassificationAccuracy
from saddlepoint.metrics.data_copying import DataCopying
from saddlepoint.metrics.duplicates import Duplicates
from saddlepoint.metrics.feature_likelihood import FeatureLikelihood
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.fid_infinity import FrechetInfinity
from saddlepoint.metrics.frechet import FrechetDistance
from saddlepoint.metrics.inception_score import InceptionScore
from saddlepoint.metrics.intra_fid import IntraFrechet
from saddlepoint.metrics.kernel import KernelDistance
from saddlepoint.metrics.manifold import Manifolds
from saddlepoint.metrics.memorisation import NearestTrain
from saddlepoint.metrics.modes import ClassHistogram, ClassModes
from saddlepoint.metrics.parzen import ParzenLogLikelihood
from saddlepoint.metrics.spectrum import Spectrum

METRICS: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (
        FrechetDistance,
        FrechetInfinity,
        InceptionScore,
        KernelDistance,
        Manifolds,
        NearestTrain,
        Authenticity,
        DataCopying,
        FeatureLikelihood,
        Duplicates,
        ClassHistogram,
        ClassModes,
        ClassAgreement,
        ClassificationAccuracy,
        IntraFrechet,
        Spectrum,
        ParzenLogLikelihood,
    )
}
DEFAULT = ("fid", "is", "kid", "precision", "nearest_train", "duplicates", "class_kl", "modes", "class_agreement")


def build(names: Sequence[str], extractor: FeatureExtractor, seed: int, splits: int) -> list[Metric]:
    """Return the named metrics, without those that the extractor does not support (no Inception Score without logits).

    Args:
        names: see :func:`names_of`.
        extractor: the features that the metrics are computed from.
        seed: of subsets and splits.
        splits: of the Inception Score.

    Raises:
        UserError: a name is unknown.
    """
    known = {name: family for family in METRICS.values() for name in names_of(family, extractor)}
    for name in names:
        if name not in known:
            short = [score for family in METRICS.values() for score in (family.name, *family.also)]
            remedy = suggestion(name, short) or f"choose from {', '.join(short)}"
            raise UserError(f"unknown metric '{name}'", "metrics", remedy)
    metrics = [family(seed, splits) for family in dict.fromkeys(known[name] for name in names)]
    return [metric for metric in metrics if metric.applies_to(extractor)]


def names_of(metric: Metric | type[Metric], extractor: FeatureExtractor) -> list[str]:
    """Return the names by which a metric's scores can be requested: with and without the name of the features."""
    ends = ("", f"_{extractor.name}", *(["_pixels"] if "pixels" in metric.needs else []))
    return [score + end for score in (metric.name, *metric.also) for end in ends]
