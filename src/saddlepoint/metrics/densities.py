"""Two densities on a grid: the optimal discriminator between them, and their Jensen-Shannon divergence.

Goodfellow et al. 2014, arXiv:1406.2661: for a fixed generator the optimal discriminator is
D*(x) = p_data(x) / (p_data(x) + p_g(x)) (proposition 1), for which the value of the game is
2 JS(p_data ‖ p_g) - log 4 (theorem 1). Where p_data is known, a trained discriminator can be compared with both.

p_g is known only through samples, so it is estimated by a histogram smoothed by a Gaussian of width h. p_data is
convolved with the same Gaussian exactly, so that the two are comparable. The divergence at this resolution is smaller
than the true one.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import logsigmoid

Array = NDArray[np.float64]

MARGIN = 0.25
"""The grid extends this far beyond the outermost means, in units of their extent, and at least eight σ."""
DISPLAY = 100
"""Number of cells a side in a plot of the plane; the grid has a multiple of it."""
CELLS_PER_BANDWIDTH = 2
BANDWIDTHS = {1: 0.25, 2: 1.0}
"""h in units of the modes' σ, by dimension; in the plane, a smaller one would need more samples."""
NOWHERE = 1e-6
"""D* is undefined where the sum of the densities is below this fraction of p_data's maximum."""
TINY = 1e-280
"""Densities below this are treated as zero."""


class OnGrid(NamedTuple):
    """Samples on a grid: their density, and the fraction outside the grid."""

    density: Array
    outside: float


class Grid:
    """A regular grid over a mixture of isotropic Gaussians in one or two dimensions.

    Args:
        means: of the modes, [M, D] with D = 1 or 2.
        std: σ > 0 of each.

    Attributes:
        bandwidth: h.
        centres: of the cells, float64 [K] for each dimension.
        volume: of a cell.
        data: p_data smoothed by h, at the centres, [K] or [K, L].
    """

    def __init__(self, means: Tensor, std: float) -> None:
        places = means.double().cpu().numpy()
        self.bandwidth = BANDWIDTHS[places.shape[1]] * std
        low, high = places.min(0), places.max(0)
        margin = max(MARGIN * float((high - low).max()), 8 * std)
        wanted = float((high - low).max() + 2 * margin) * CELLS_PER_BANDWIDTH / self.bandwidth
        cells = math.ceil(wanted / DISPLAY) * DISPLAY
        self.edges = [np.linspace(a - margin, b + margin, cells + 1) for a, b in zip(low, high, strict=True)]
        self.centres = [(edge[1:] + edge[:-1]) / 2 for edge in self.edges]
        self.volume = math.prod(float(edge[1] - edge[0]) for edge in self.edges)
        self.data = mixture_density(places, math.hypot(std, self.bandwidth), self.centres)

    def estimate(self, points: Tensor) -> OnGrid:
        """Return the density of points [N, D], smoothed by h."""
        values = points.double().cpu().numpy()
        counts = np.histogramdd(values, self.edges)[0]
        sigmas = [self.bandwidth / float(edge[1] - edge[0]) for edge in self.edges]
        smooth = gaussian_filter(counts, sigmas, mode="constant") / (len(values) * self.volume)
        return OnGrid(smooth, 1 - float(counts.sum()) / len(values))

    def shown(self, density: Array) -> Array:
        """Return a density in the plane averaged down to 100 cells a side; one on a line is returned unchanged."""
        if density.ndim == 1:
            return density
        factors = [size // DISPLAY for size in density.shape]
        parts: Array = density.reshape(DISPLAY, factors[0], DISPLAY, factors[1]).mean((1, 3))
        return parts

    def shown_points(self) -> Tensor:
        """Return the centres of the cells of :meth:`shown`, float32 [P, D], the last dimension fastest."""
        axes = [c if len(self.centres) == 1 else c.reshape(DISPLAY, -1).mean(1) for c in self.centres]
        return torch.from_numpy(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))).float()

    def divergence(self, generated: OnGrid) -> float:
        """Return JS(p_data ‖ p_g) in nats at the resolution of h; p_data is taken as 0 outside the grid."""
        inside = jensen_shannon(self.data, generated.density, self.volume)
        return min(inside + 0.5 * generated.outside * math.log(2), math.log(2))


def mixture_density(means: Array, std: float, centres: list[Array]) -> Array:
    """Return an equal mixture's density on the grid that ``centres`` span; ``means`` [M, D]."""
    factors = [
        np.exp(-0.5 * ((axis - means[:, d : d + 1]) / std) ** 2) / (std * math.sqrt(2 * math.pi))
        for d, axis in enumerate(centres)
    ]
    density: Any = reduce(lambda a, b: np.einsum("mi,mj->mij", a, b), factors).mean(0)
    return np.asarray(density, dtype=np.float64)


def optimal_discriminator(data: Array, generated: Array) -> Array:
    """Return D* = p_data / (p_data + p_g), NaN where both are negligible."""
    total = data + generated
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > NOWHERE * data.max(), data / total, np.nan)


def jensen_shannon(p: Array, q: Array, volume: float) -> float:
    """Return JS(p ‖ q) in nats by quadrature: ½ ∫ p log(2p / (p + q)) + ½ ∫ q log(2q / (p + q)), in [0, log 2]."""
    total = p + q
    with np.errstate(invalid="ignore", divide="ignore"):
        # Far tails are excluded, since the quotient of a denormal number could be 0 and its logarithm infinite.
        terms = [np.where(one > TINY, one * np.log(2 * one / total), 0.0) for one in (p, q)]
    return float(0.5 * volume * (terms[0].sum() + terms[1].sum()))


def jensen_shannon_of_discriminator(real: Tensor, fake: Tensor) -> float:
    """Return a lower bound on JS in nats from a discriminator's logits of real and generated samples, [N] and [M].

    log 2 + ½ E log D(x) + ½ E log(1 - D(G(z))) equals JS for D* and is smaller for every other D; it may be negative.
    """
    value = 0.5 * (logsigmoid(real.double()).mean() + logsigmoid(-fake.double()).mean())
    return math.log(2) + float(value)
