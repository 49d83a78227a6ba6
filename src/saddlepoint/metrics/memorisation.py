"""Distances between samples and training images, which show whether a generator copies training images.

The baseline is real images that were not trained on: they too have some distance to their nearest training image.
Samples that are closer than those are suspected copies; a distance of zero is an exact copy. The figures do not measure
quality: noise is far from all training images.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.neighbours import nearest_neighbours

QUANTILE = 0.01
"""A sample counts as memorised if it is as close to a training image as the closest 1 % of held-out images."""


class NearestTrain(Metric):
    """Distances to the nearest training image in an extractor's features, compared with held-out images'.

    At most half a gigabyte of training images' features are searched (65,536 images with Inception's), a seeded choice
    if there are more. ``real_rows`` on the card is the number of images searched.

    ``nearest_train`` is the ratio of the medians: 1 for new real images, 0 for copies. ``memorised`` is the fraction
    of memorised samples: 1 % for new real images, 100 % for copies. Without held-out images, the baseline is the
    distance from training images to the nearest other training images.
    """

    name = "nearest_train"
    also = ("memorised",)
    needs = frozenset({"pool", "train_pool"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the training images' features, and the held-out images' sorted distances to them."""
        assert real.train_pool is not None
        if real.held_out is not None and real.held_out.pool is not None:
            fresh = nearest_neighbours(real.held_out.pool, 1, real.train_pool)[0]
        else:
            fresh = nearest_neighbours(real.train_pool, 1)[0]
        return {"rows": real.train_pool, "fresh": fresh.flatten().sort().values}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return ratio and fraction, medians and 1 % quantiles beside the ratio, each sample's nearest as details."""
        assert sample.pool is not None
        fresh, rows = reference["fresh"], reference["rows"]
        distances, indices = nearest_neighbours(sample.pool, 1, rows, device=extractor.device)
        distances = distances.flatten()
        own, real = (quantiles(lengths) for lengths in (distances, fresh))
        searched = {"real_rows": float(len(rows))}
        beside = {"median": own[1], "closest": own[0], "real_median": real[1], "real_closest": real[0], **searched}
        # If all held-out images are copies of training images, the ratio is undefined: 0 for copies, else 1.
        ratio = own[1] / real[1] if real[1] > 0 else float(own[1] > 0)
        details = {"nearest": indices.flatten(), "distances": distances}
        n = len(distances)
        share = float((distances <= real[0]).double().mean())
        return [
            Figure(extractor.score_name(self.name), ratio, n, details=details, beside=beside),
            Figure(extractor.score_name("memorised"), share, n, beside={"chance": QUANTILE, **searched}),
        ]


def quantiles(distances: Tensor) -> tuple[float, float]:
    """Return the 1 % quantile (one of the values, not interpolated) and the median of distances, float64 [N]."""
    ordered = distances.sort().values
    return float(ordered[max(round(QUANTILE * len(ordered)) - 1, 0)]), float(torch.quantile(ordered, 0.5))
