"""The metrics by name, and the direction of every score. To add a metric, write its file and add a line here."""

from __future__ import annotations

from collections.abc import Sequence

from saddlepoint.errors import UserError, suggestion
from saddlepoint.metrics.agreement import ClassAgreement
from saddlepoint.metrics.base import Metric
from saddlepoint.metrics.duplicates import Duplicates
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.fid_infinity import FrechetInfinity
from saddlepoint.metrics.frechet import FrechetDistance
from saddlepoint.metrics.inception_score import InceptionScore
from saddlepoint.metrics.intra_fid import IntraFrechet
from saddlepoint.metrics.kernel import KernelDistance
from saddlepoint.metrics.manifold import Manifolds
from saddlepoint.metrics.memorisation import NearestTrain
from saddlepoint.metrics.modes import ClassHistogram, ClassModes

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
DEFAULT = ("fid", "is", "kid", "precision", "nearest_train", "duplicates", "class_kl", "modes", "class_agreement")

LOWER_IS_BETTER: dict[str, bool] = {
    # of points on a known mixture
    "high_quality": False,
    "reverse_kl": True,
    "mixture_kl": True,
    # of pairs of images
    "l1": True,
    "psnr": False,
    "ssim": False,
    "ms_ssim": False,
    "lpips": True,
    "features": True,  # of images and their reconstructions
    # of likelihoods: log-likelihood bounds, and their negatives in nats and in bits per dimension
    "elbo": False,
    "nll": True,
    "bits_per_dim": True,
    # of codes and latents
    "code_accuracy": False,
    "nearest_neighbour_accuracy": False,
    **{metric.name: metric.lower_is_better for metric in METRICS.values()},
    **{name: lower for metric in METRICS.values() for name, lower in metric.also.items()},
}
"""The direction of every score by name; :func:`register_score` adds to it."""

PREFIX = "reconstruction_"
"""The prefix of scores of reconstructions, such as ``reconstruction_psnr``."""


def build(names: Sequence[str], extractor: FeatureExtractor, seed: int, splits: int) -> list[Metric]:
    """Return the named metrics, without those that the extractor does not support (no Inception Score without logits).

    Raises:
        UserError: a name is unknown.
    """
    families = {score: metric for metric in METRICS.values() for score in (metric.name, *metric.also)}
    for name in names:
        if name not in families:
            remedy = suggestion(name, families) or f"choose from {', '.join(families)}"
            raise UserError(f"unknown metric '{name}'", "metrics", remedy)
    metrics = [family(seed, splits) for family in dict.fromkeys(families[name] for name in names)]
    return [metric for metric in metrics if metric.applies_to(extractor)]


def register_score(name: str, lower_is_better: bool) -> None:
    """Add a score to those that :func:`lower_is_better` knows.

    Args:
        name: without a suffix such as ``_classifier`` or ``_a_to_b``, which any score may have, and without the prefix
            ``reconstruction_``.
        lower_is_better: the score's direction.

    Raises:
        ValueError: the score is known with the other direction.
    """
    if LOWER_IS_BETTER.setdefault(name, lower_is_better) != lower_is_better:
        raise ValueError(f"score '{name}' is already registered with lower_is_better={not lower_is_better}")


def lower_is_better(score: str) -> bool:
    """Return the direction of a score, given its full name.

    >>> lower_is_better("fid_classifier"), lower_is_better("is"), lower_is_better("duplicates_pixels")
    (True, False, True)
    >>> lower_is_better("l1_a_to_b"), lower_is_better("reconstruction_psnr")
    (True, False)

    Raises:
        UserError: the score is unknown.
    """
    plain = score.removeprefix(PREFIX)
    # A score's name may begin with that of another: the longest match counts.
    for name, lower in sorted(LOWER_IS_BETTER.items(), key=lambda pair: -len(pair[0])):
        if plain == name or plain.startswith(f"{name}_"):
            return lower
    remedy = suggestion(plain, LOWER_IS_BETTER) or f"choose from {', '.join(LOWER_IS_BETTER)}"
    raise UserError(f"unknown score '{score}'", None, remedy)
