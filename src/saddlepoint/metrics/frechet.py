"""Fréchet distance between Gaussians fitted to features (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

d²((μ₁, Σ₁), (μ₂, Σ₂)) = ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)

With Σ₁ = A Aᵀ the product Σ₁Σ₂ has the eigenvalues of the symmetric AᵀΣ₂A, so the last trace is the sum of their
roots: one symmetric eigenvalue problem, no complex numbers, and A is computed once for all the scores of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample

if TYPE_CHECKING:
    from saddlepoint.metrics.features.base import FeatureExtractor


class Gaussian(NamedTuple):
    """A Gaussian by its mean [F] and a real root A [F, F] of its covariance A Aᵀ, float64."""

    mean: Tensor
    root: Tensor


def real_root(covariance: Tensor) -> Tensor:
    """Return A with A Aᵀ = ``covariance`` [F, F], symmetric and positive semidefinite up to rounding."""
    values, vectors = torch.linalg.eigh(covariance.double())
    return vectors * values.clamp(min=0).sqrt()


def frechet_distance(real: Gaussian, mean: Tensor, covariance: Tensor) -> float:
    """Return the squared Fréchet distance (what the literature calls FID) of a Gaussian from ``real``.

    Args:
        real: the reference, by its root.
        mean: [F].
        covariance: [F, F]; may be singular, as it is with fewer samples than features.

    Returns:
        A number >= 0: rounding that would take it below is cut off.
    """
    device = real.root.device
    mean, covariance = mean.double().to(device), covariance.double().to(device)
    product = real.root.T @ covariance @ real.root
    # Rounding leaves the product unsymmetric in the last bits; eigvalsh reads one triangle only.
    cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    distance = (real.mean - mean).square().sum() + real.root.square().sum() + covariance.trace() - 2 * cross
    return max(float(distance), 0.0)


class FrechetDistance(Metric):
    """FID and its kin on other features: real moments over the whole reference split, never over a part of it."""

    name = "fid"
    lower_is_better = True
    needs = frozenset({"moments"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Keep the mean and the root of the covariance."""
        assert real.moments is not None
        return {"mean": real.moments.mean.cpu(), "root": real_root(real.moments.covariance).cpu()}

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the distance from the reference."""
        assert sample.moments is not None
        real = Gaussian(reference["mean"], reference["root"])
        value = frechet_distance(real, sample.moments.mean, sample.moments.covariance)
        return [Figure(extractor.score_name(self.name), value, sample.moments.n)]
