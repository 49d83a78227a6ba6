"""C_T, a test of data copying.

Meehan et al. 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models", arXiv:2004.05675.

Let L(x) be the distance of x to the nearest training image. If the generator copies, L is smaller for samples than for
real images that were not trained on. Whether it is, is tested by ranks (Mann-Whitney), separately in each cell of a
partition of the space, since a generator can copy in one region and be too far from the data in another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from torch import Tensor

from saddlepoint import randomness
from saddlepoint.errors import UserError
from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.neighbours import nearest_neighbours

CELLS = 3
"""Number of cells of the partition, by k-means of the training images."""
ENOUGH = 20
"""Cells with at most this number of samples are left out (τ = 20 / m)."""
STARTS = 10
"""Number of initializations of k-means."""


class DataCopying(Metric):
    """C_T, a mean of z-scores: near 0 if samples are as far from training images as new real images are.

    Below about -3, samples are significantly closer, which is a sign of copying; above 3, they are significantly
    farther. z-scores of the same generator grow with the square root of the number of images: compare at equal n.
    """

    name = "data_copying"
    needs = frozenset({"pool", "train_pool"})

    def least_samples(self, dim: int) -> int:
        """Return a number of samples of which at least one cell has enough."""
        return CELLS * ENOUGH + 1

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the training images' features, the cells' centres, and held-out images' cells and distances.

        Raises:
            UserError: there are no held-out images, or fewer training images than cells.
        """
        assert real.train_pool is not None
        if real.held_out is None or real.held_out.pool is None:
            raise UserError("data_copying needs held-out images", "metrics", "leave it out")
        rows = real.train_pool
        if len(rows) < CELLS:
            raise UserError(f"data_copying needs at least {CELLS} training images", "metrics", "leave it out")
        seed = randomness.key(self.seed, self.name) % 2**32
        means = KMeans(CELLS, n_init=STARTS, random_state=seed).fit(rows.numpy()).cluster_centers_
        centres = torch.from_numpy(np.asarray(means, dtype=np.float32))
        cells, distances = in_cells(real.held_out.pool, rows, centres)
        return {"rows": rows, "centres": centres, "cells": cells, "distances": distances}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return C_T; nothing if no cell has enough samples and held-out images.

        Beside it are the lowest z-score, the number of cells, and the number of training images that were searched.
        The detail "z" has each cell's z-score, NaN for cells that are left out.
        """
        assert sample.pool is not None
        rows = reference["rows"]
        cells, distances = in_cells(sample.pool, rows, reference["centres"], extractor.device)
        z = z_scores(cells, distances, reference["cells"], reference["distances"])
        if not z.isfinite().any():
            return []
        value = mean_z_score(z, reference["cells"])
        there = z.isfinite()
        beside = {"lowest_z": float(z[there].min()), "cells": float(there.sum()), "real_rows": float(len(rows))}
        return [Figure(extractor.score_name(self.name), value, len(cells), details={"z": z}, beside=beside)]

    def real_figures(
        self, held_out: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor
    ) -> list[Figure]:
        """Return none, since held-out images are what samples are compared with."""
        return []


def in_cells(
    samples: Tensor, train: Tensor, centres: Tensor, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Return each sample's cell, long [N], and its distance to the nearest training image of that cell, float64 [N].

    Args:
        samples: features [N, F].
        train: features of training images, [M, F].
        centres: of the cells, [K, F]; no cell is without training images.
        device: where the products are computed.
    """
    own, theirs = (nearest_neighbours(rows, 1, centres)[1].flatten() for rows in (samples, train))
    distances = torch.full((len(samples),), torch.inf, dtype=torch.float64)
    for cell in own.unique():
        there, others = own == cell, train[theirs == cell]
        distances[there] = nearest_neighbours(samples[there], 1, others, device=device)[0].flatten()
    return own, distances


def z_scores(cells: Tensor, distances: Tensor, test_cells: Tensor, test_distances: Tensor) -> Tensor:
    """Return each cell's z-score, float64 [K]; NaN for cells with too few samples or without held-out images.

    With m samples and n held-out images in a cell, U is the number of pairs in which the sample is farther from the
    training images (a tie counts half), and z = (U - mn/2 + 1/2) / √(mn (m + n + 1) / 12), with the authors' correction
    for continuity.

    Args:
        cells: of the samples, long [N].
        distances: of the samples, float64 [N].
        test_cells: of the held-out images.
        test_distances: of the held-out images.
    """
    z = torch.full((CELLS,), torch.nan, dtype=torch.float64)
    for cell in range(CELLS):
        own, test = distances[cells == cell], test_distances[test_cells == cell]
        m, n = len(own), len(test)
        if m <= ENOUGH or n == 0:
            continue
        ranks = rankdata(torch.cat([own, test]).numpy())[:m].sum()
        u = float(ranks) - m * (m + 1) / 2
        z[cell] = (u - m * n / 2 + 0.5) / math.sqrt(m * n * (m + n + 1) / 12)
    return z


def mean_z_score(z: Tensor, test_cells: Tensor) -> float:
    """Return C_T, the mean of the z-scores that are not NaN, weighted by the held-out images in the cells."""
    weights = torch.bincount(test_cells, minlength=len(z)).double()
    there = z.isfinite()
    return float((weights[there] * z[there]).sum() / weights[there].sum())
