"""Authenticity: Alaa et al. 2022, "How Faithful is your Synthetic Data?", arXiv:2102.08921.

A sample is authentic if it is farther from its nearest training image than that image is from its own nearest
neighbour among the other training images. The percentage of authentic samples is also called AuthPct.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.memorisation import NearestTrain
from saddlepoint.metrics.neighbours import nearest_neighbours


class Authenticity(Metric):
    """The fraction of authentic samples, in [0, 1]: 0 for copies of training images.

    Real images that were not trained on are not all authentic: compare with ``real``. Samples that are far from all
    training images are authentic, however bad they are.
    """

    name = "authenticity"
    needs = frozenset({"pool", "train_pool"})
    reads = NearestTrain.name

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the training images' features."""
        assert real.train_pool is not None
        return {"rows": real.train_pool}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the fraction, and beside it the number of training images that were searched."""
        assert sample.pool is not None
        rows = reference["rows"]
        value = float(authentic(sample.pool, rows, extractor.device).double().mean())
        beside = {"real_rows": float(len(rows))}
        return [Figure(extractor.score_name(self.name), value, len(sample.pool), beside=beside)]


def authentic(samples: Tensor, train: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Return which samples are authentic, bool [N].

    Args:
        samples: features [N, F].
        train: features of at least two training images, [M, F].
        device: where the products are computed.

    >>> train = torch.tensor([[0.0], [1.0], [5.0]])
    >>> authentic(torch.tensor([[0.1], [2.5], [8.0], [10.0]]), train)
    tensor([False,  True, False,  True])
    """
    distances, indices = (found.flatten() for found in nearest_neighbours(samples, 1, train, device=device))
    nearest, inverse = indices.unique(return_inverse=True)
    # Among all training images, the nearest to one of them is itself, and the second its nearest other.
    others = nearest_neighbours(train[nearest], 2, train, device=device)[0][:, 1]
    return distances > others[inverse]
