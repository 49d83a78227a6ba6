"""Fréchet distance between Gaussians fitted to features (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

d²((μ₁, Σ₁), (μ₂, Σ₂)) = ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)

With Σ₁ = L Lᵀ, the product Σ₁Σ₂ has the same eigenvalues as the symmetric matrix LᵀΣ₂L, so the trace of its root is the
sum of their roots. This takes one symmetric eigenvalue problem without complex numbers, and L is computed once for all
scores of a run. L is triangular because LAPACK forms LᵀΣ₂L (sygst) in a third of the time of two matrix products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from scipy.linalg.lapack import dsygst
from torch import Tensor

from saddlepoint.metrics.base import Figure, Metric, Sample
from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.moments import Moments


class Gaussian(NamedTuple):
    """A Gaussian given by its mean [F] and a lower triangular root L [F, F] of its covariance L Lᵀ, float64."""

    mean: Tensor
    root: Tensor


def real_root(covariance: Tensor) -> Tensor:
    """Return a real, lower triangular L with L Lᵀ = ``covariance`` [F, F], positive semidefinite up to rounding."""
    lower, failed = torch.linalg.cholesky_ex(covariance.double())
    if not failed:
        return lower.contiguous()
    # Cholesky, ten times faster, fails for singular matrices. With A Aᵀ = Σ and Aᵀ = Q R, Σ = Rᵀ R.
    values, vectors = torch.linalg.eigh(covariance.double())
    root = vectors * values.clamp(min=0).sqrt()
    return torch.linalg.qr(root.T, mode="r").R.T.contiguous()


def fit_gaussian(moments: Moments) -> Gaussian:
    """Return the Gaussian with these moments, on the CPU; they must be of at least two rows."""
    return Gaussian(moments.mean.cpu(), real_root(moments.covariance).cpu())


def frechet_distance(real: Gaussian, mean: Tensor, covariance: Tensor) -> float:
    """Return the squared Fréchet distance (known as FID) of a Gaussian from ``real``.

    Args:
        real: the reference.
        mean: [F].
        covariance: [F, F]; may be singular, as it is with fewer samples than features.

    Returns:
        A number >= 0: negative values due to rounding are set to 0.
    """
    real = Gaussian(real.mean.cpu(), real.root.cpu())
    mean, covariance = mean.double().cpu(), covariance.double().cpu()
    # LAPACK is column-major: passing transposes of row-major arrays avoids copies.
    product, _ = dsygst(covariance.numpy().T, real.root.numpy().T, itype=2, lower=0)
    cross = torch.linalg.eigvalsh(torch.from_numpy(product.T), UPLO="L").clamp(min=0).sqrt().sum()
    distance = (real.mean - mean).square().sum() + real.root.square().sum() + covariance.trace() - 2 * cross
    return max(float(distance), 0.0)


class FrechetDistance(Metric):
    """The Fréchet distance of any features; FID with Inception's. Real moments are of the whole reference split."""

    name = "fid"
    needs = frozenset({"moments"})

    def reference(self, real: Sample) -> dict[str, Tensor]:
        """Return the mean and the root of the covariance."""
        assert real.moments is not None
        return fit_gaussian(real.moments)._asdict()

    def figures(self, sample: Sample, reference: Mapping[str, Tensor], extractor: FeatureExtractor) -> list[Figure]:
        """Return the distance from the reference."""
        assert sample.moments is not None
        real = Gaussian(reference["mean"], reference["root"])
        value = frechet_distance(real, sample.moments.mean, sample.moments.covariance)
        return [Figure(extractor.score_name(self.name), value, sample.moments.n)]
