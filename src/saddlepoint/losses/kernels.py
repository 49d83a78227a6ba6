"""Maximum mean discrepancy (MMD): kernels, unbiased estimator and witness function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.precision import full_precision

KernelName = Literal["gaussian", "rational_quadratic", "distance"]
"""Names of the kernel families."""


class Family(NamedTuple):
    """A family of kernels.

    Attributes:
        kernel: function of squared distances and a scale.
        scales: default scales, those of the paper.
        limit: maximum scale for which the function is a kernel.
    """

    kernel: Callable[[Tensor, float], Tensor]
    scales: tuple[float, ...]
    limit: float = float("inf")


FAMILIES: dict[KernelName, Family] = {
    # Bandwidths σ: Li et al. 2017, arXiv:1705.08584
    "gaussian": Family(lambda d2, sigma: (-d2 / (2 * sigma**2)).exp(), (1, 2, 4, 8, 16)),
    # α: Bińkowski et al. 2018, arXiv:1801.01401
    "rational_quadratic": Family(lambda d2, a: (1 + d2 / (2 * a)) ** -a, (0.2, 0.5, 1, 2, 5)),
    # Exponents β <= 2 of ½(‖x‖^β + ‖y‖^β - ‖x - y‖^β): Sejdinovic et al. 2013, arXiv:1207.6076. The first two terms
    # cancel in MMD² and in the witness's gradient. MMD² is half the energy distance of Székely & Rizzo.
    "distance": Family(lambda d2, beta: -_power(d2, beta / 2) / 2, (1,), 2),
}


def _power(d2: Tensor, exponent: float) -> Tensor:
    """Return d2^exponent with its first two derivatives at 0 set to 0."""
    apart = d2 > 0
    return torch.where(apart, torch.where(apart, d2, 1.0) ** exponent, 0.0)


class Kernel:
    """A sum of kernels of one family over several scales.

    Args:
        name: name of the family.
        scales: bandwidths σ of ``gaussian``, exponents α of ``rational_quadratic``, or exponents β of ``distance``; by
            default those of the paper.

    Raises:
        UserError: there is no scale, or a scale is out of range.
    """

    def __init__(self, name: KernelName, scales: Sequence[float] | None = None) -> None:
        family = FAMILIES[name]
        self.scales = family.scales if scales is None else tuple(scales)
        if not self.scales or not all(0 < scale <= family.limit for scale in self.scales):
            upper = "" if family.limit == float("inf") else f" up to {family.limit:g}"
            raise UserError(
                f"the {name} kernel takes one or more numbers > 0{upper}, got {list(self.scales)}", "scales"
            )
        self.kernel = family.kernel

    def __call__(self, squared: Tensor) -> Tensor:
        """Return the sum of the kernels at squared distances of any shape."""
        return torch.stack([self.kernel(squared, scale) for scale in self.scales]).sum(0)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return squared distances ‖x_i - y_j‖², [N, M], of rows [N, F] and [M, F]; twice differentiable.

    They are computed from norms and inner products after subtracting the common mean, which reduces cancellation.
    Autocast is disabled.
    """
    center = torch.cat([x, y]).detach().mean(0)
    x, y = x - center, y - center
    with full_precision(x.device):
        product = x @ y.T
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * product).clamp(min=0)


def unbiased_mmd2(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased estimate of MMD² from samples x [N, F] and y [M, F] (Gretton et al. 2012, lemma 6).

    It is 1/(N(N-1)) Σ_{i≠j} k(x_i, x_j) + 1/(M(M-1)) Σ_{i≠j} k(y_i, y_j) - 2/(NM) Σ_ij k(x_i, y_j), which can be
    negative. With fewer than two samples of either, it is undefined, and 0 with a zero gradient is returned.
    """
    if min(len(x), len(y)) < 2:
        return 0 * (x.sum() + y.sum())
    return _within(kernel, x) + _within(kernel, y) - 2 * kernel(squared_distances(x, y)).mean()


def witness(kernel: Kernel, x: Tensor, y: Tensor, at: Tensor) -> Tensor:
    """Return the witness function E_x k(x, t) - E_y k(y, t), [L], at the rows t of ``at``, [L, F]."""
    return kernel(squared_distances(at, x)).mean(1) - kernel(squared_distances(at, y)).mean(1)


def _within(kernel: Kernel, x: Tensor) -> Tensor:
    """Return the mean of the kernel over pairs of different rows."""
    n = len(x)
    # Indexing by a boolean mask would synchronize with the device.
    return kernel(squared_distances(x, x)).triu(1).sum() * 2 / (n * (n - 1))
