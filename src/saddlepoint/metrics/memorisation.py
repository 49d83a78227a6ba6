"""How near the samples are to training images: whether a generator copies instead of learning.

Real images that training never saw are the measure: they lie at some distance from their nearest training image too.
Samples that lie nearer than those are suspect, and at distance zero they are copies. Neither figure says how good
samples are: noise is far from all training images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.neighbours import nearest_neighbours

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor

QUANTILE = 0.01
"""A sample is suspect when it lies as near to a training image as the nearest 1 % of held-out images do."""


class NearestTrain(Metric):
    """Distances to the nearest of *all* training images, in an extractor's features, beside the held-out images' own.

    ``nearest_train`` is the ratio of the medians: 1 for fresh real images, 0 for copies. ``memorised`` is the share of
    suspect samples: 1 % for fresh real images, 100 % for copies. Where no image is held out, the distances from
    training images to their nearest others stand in.
    """

    name = "nearest_train"
    lower_is_better = False
    also = {"memorised": True}  # noqa: RUF012
    needs = frozenset({"pool", "train_pool"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep the training images' features, and the held-out images' distances from them, sorted."""
        assert real.train_pool is not None
        if real.held_out is not None and real.held_out.pool is not None:
            fresh = nearest_neighbours(real.held_out.pool, 1, real.train_pool)[0]
        else:
            fresh = nearest_neighbours(real.train_pool, 1)[0]
        return {"rows": real.train_pool, "fresh": fresh.flatten().sort().values}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return ratio and share; beside the ratio medians and 1 % quantiles, as details each sample's nearest."""
        assert sample.pool is not None
        fresh = reference["fresh"]
        distances, indices = nearest_neighbours(sample.pool, 1, reference["rows"], device=extractor.device)
        distances = distances.flatten()
        own, real = (quantiles(lengths) for lengths in (distances, fresh))
        beside = {"median": own[1], "closest": own[0], "real_median": real[1], "real_closest": real[0]}
        # Held-out images may all be copies of training images; then nothing can be told from distances.
        ratio = own[1] / real[1] if real[1] > 0 else float(own[1] > 0)
        details = {"nearest": indices.flatten(), "distances": distances}
        n = len(distances)
        share = float((distances <= real[0]).double().mean())
        return [
            Figure(extractor.score_name(self.name), ratio, n, details=details, beside=beside),
            Figure(extractor.score_name("memorised"), share, n, beside={"chance": QUANTILE}),
        ]


def quantiles(distances: Tensor) -> tuple[float, float]:
    """Return the 1 % quantile, a distance that occurs, and the median of distances float64 [N]."""
    ordered = distances.sort().values
    return float(ordered[max(round(QUANTILE * len(ordered)) - 1, 0)]), float(torch.quantile(ordered, 0.5))
