"""The metrics by name. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saddlepoint.errors import UserError, did_you_mean
from saddlepoint.metrics.base import Metric
from saddlepoint.metrics.duplicates import Duplicates
from saddlepoint.metrics.frechet import FrechetDistance
from saddlepoint.metrics.inception_score import InceptionScore
from saddlepoint.metrics.kernel import KernelDistance
from saddlepoint.metrics.modes import ClassHistogram

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor

METRICS: dict[str, type[Metric]] = {
    metric.name: metric for metric in (FrechetDistance, InceptionScore, KernelDistance, Duplicates, ClassHistogram)
}
POINT_METRICS = {"modes": False, "high_quality": False, "reverse_kl": True, "mixture_kl": True}
"""Scores of points on a known mixture: name and whether lower is better."""
DEFAULT = ("fid", "is", "kid", "duplicates")


def build(names: Sequence[str], extractor: FeatureExtractor, seed: int, splits: int) -> list[Metric]:
    """Return the named metrics, less those that the extractor cannot serve (no Inception Score without logits).

    Raises:
        UserError: a name is unknown.
    """
    for name in names:
        if name not in METRICS:
            raise UserError(f"unknown metric '{name}'{did_you_mean(name, METRICS)}; known are {', '.join(METRICS)}")
    metrics = [METRICS[name](seed, splits) for name in dict.fromkeys(names)]
    return [metric for metric in metrics if metric.applies_to(extractor)]


def lower_is_better(score: str) -> bool:
    """Return which way is up for a score's full name.

    >>> lower_is_better("fid_classifier"), lower_is_better("is"), lower_is_better("duplicates_pixels")
    (True, False, True)

    Raises:
        UserError: no metric gives such a score.
    """
    directions = POINT_METRICS | {name: metric.lower_is_better for name, metric in METRICS.items()}
    for name, lower in directions.items():
        if score == name or score.startswith(f"{name}_"):
            return lower
    raise UserError(
        f"unknown score '{score}'{did_you_mean(score, directions)}; scores begin with {', '.join(directions)}"
    )
