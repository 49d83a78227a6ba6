"""The metrics by name. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saddlepoint.errors import UserError, did_you_mean
from saddlepoint.metrics.agreement import ClassAgreement
from saddlepoint.metrics.base import Metric
from saddlepoint.metrics.duplicates import Duplicates
from saddlepoint.metrics.fid_infinity import FrechetInfinity
from saddlepoint.metrics.frechet import FrechetDistance
from saddlepoint.metrics.inception_score import InceptionScore
from saddlepoint.metrics.intra_fid import IntraFrechet
from saddlepoint.metrics.kernel import KernelDistance
from saddlepoint.metrics.manifold import Manifolds
from saddlepoint.metrics.memorisation import NearestTrain
from saddlepoint.metrics.modes import ClassHistogram, ClassModes

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor

METRICS: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (
        FrechetDistance,
        FrechetInfinity,
        InceptionScore,
        KernelDistance,
        Manifolds,
        NearestTrain,
        Duplicates,
        ClassHistogram,
        ClassModes,
        ClassAgreement,
        IntraFrechet,
    )
}
POINT_METRICS = {"modes": False, "high_quality": False, "reverse_kl": True, "mixture_kl": True}
"""Scores of points on a known mixture: name and whether lower is better."""
DEFAULT = ("fid", "is", "kid", "precision", "nearest_train", "duplicates", "class_kl", "modes", "class_agreement")


def build(names: Sequence[str], extractor: FeatureExtractor, seed: int, splits: int) -> list[Metric]:
    """Return the named metrics, less those that the extractor cannot serve (no Inception Score without logits).

    Raises:
        UserError: a name is unknown.
    """
    families = {score: metric for metric in METRICS.values() for score in (metric.name, *metric.also)}
    for name in names:
        if name not in families:
            raise UserError(f"unknown metric '{name}'{did_you_mean(name, families)}; known are {', '.join(families)}")
    metrics = [family(seed, splits) for family in dict.fromkeys(families[name] for name in names)]
    return [metric for metric in metrics if metric.applies_to(extractor)]


def lower_is_better(score: str) -> bool:
    """Return which way is up for a score's full name.

    >>> lower_is_better("fid_classifier"), lower_is_better("is"), lower_is_better("duplicates_pixels")
    (True, False, True)

    Raises:
        UserError: no metric gives such a score.
    """
    directions = dict(POINT_METRICS)
    for metric in METRICS.values():
        directions |= {metric.name: metric.lower_is_better, **metric.also}
    # A family's score may begin with another's name: the longer one is meant.
    for name, lower in sorted(directions.items(), key=lambda pair: -len(pair[0])):
        if score == name or score.startswith(f"{name}_"):
            return lower
    raise UserError(
        f"unknown score '{score}'{did_you_mean(score, directions)}; scores begin with {', '.join(directions)}"
    )
