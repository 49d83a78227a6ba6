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

    Names may have the endings of scores: ``fid_classifier`` is ``fid`` with an extractor of this name.

    Raises:
        UserError: a name is unknown.
    """
    families = {score: metric for metric in METRICS.values() for score in (metric.name, *metric.also)}
    known = dict(families)
    for score, family in families.items():
        ends = (extractor.name, *(["pixels"] if "pixels" in family.needs else []))
        known |= {f"{score}_{end}": family for end in ends}
    for name in names:
        if name not in known:
            remedy = suggestion(name, families) or f"choose from {', '.join(families)}"
            raise UserError(f"unknown metric '{name}'", "metrics", remedy)
    metrics = [family(seed, splits) for family in dict.fromkeys(known[name] for name in names)]
    return [metric for metric in metrics if metric.applies_to(extractor)]
