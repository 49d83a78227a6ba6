"""Mean and covariance of features in a file, as a reference for Fréchet distances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from saddlepoint.data import DataModule
from saddlepoint.data.npz import read_moments
from saddlepoint.errors import UserError
from saddlepoint.evaluation.sets import prepare
from saddlepoint.metrics import cache, catalogue
from saddlepoint.metrics.features import FeatureExtractor
from saddlepoint.metrics.frechet import FrechetDistance
from saddlepoint.metrics.real import RealStatistics

NOTE = (
    "the reference is a file of mean and covariance, so its extractor, resize kernel and number of images are unknown; "
    "it must be of the features on this card"
)


def statistics(
    path: Path, samples: DataModule, extractor: FeatureExtractor, metrics: Sequence[str] | None
) -> RealStatistics:
    """Return the statistics in an ``.npz`` with ``mu`` and ``sigma``, and prepare the extractor.

    Args:
        path: the file.
        samples: the images that will be scored.
        extractor: not yet prepared.
        metrics: the requested metrics, or None.

    Raises:
        UserError: a metric needs images of the reference, the file's content is unsuitable, or the extractor is not
            available or would be trained on the samples.
    """
    for name in metrics or ():
        (metric,) = catalogue.build([name], extractor, 0, 1) or (None,)
        if metric is not None and FrechetDistance.name not in (metric.name, metric.reads):
            problem = f"'{name}' cannot be computed from {path}, which is read as mean and covariance"
            raise UserError(problem, "metrics", "leave it out, or give a reference of images")
    if extractor.predicts_labels or extractor.counts_modes:
        problem = f"the {extractor.name} is trained on images of the reference, and {path} contains none"
        raise UserError(problem, "features", "choose those that the file was computed with, such as inception")
    try:
        mean, covariance = (torch.from_numpy(array) for array in read_moments(path))
    except UserError as error:
        raise error.at("reference") from None
    prepare(extractor, samples)  # networks of some features have several sizes
    if len(mean) != extractor.dim:
        problem = f"{path} is of {len(mean)} features, and {extractor.name} has {extractor.dim}"
        raise UserError(problem, "reference", "give a file of these features, or choose others")
    digest = cache.digest({"mu": mean, "sigma": covariance})
    return RealStatistics.from_moments(path.stem, digest, mean, covariance, extractor)
