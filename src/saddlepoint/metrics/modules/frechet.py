"""The Fréchet distance between real and generated samples, as a torchmetrics module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from saddlepoint.metrics.features.base import FeatureExtractor
from saddlepoint.metrics.frechet import fit_gaussian, frechet_distance
from saddlepoint.metrics.modules.base import TwoSampleMetric, check_enough
from saddlepoint.metrics.moments import Moments


class FrechetFeatureDistance(TwoSampleMetric):
    r"""The Fréchet distance between Gaussians fitted to features (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

    .. math:: d^2 = \|\mu_1 - \mu_2\|^2 + \mathrm{tr}(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2})

    With :class:`~saddlepoint.metrics.features.InceptionFeatures` it is FID. It equals the score cards' ``fid``,
    ``fid_classifier`` and so on. Means and covariances are accumulated, and merged over processes, in float64.

    Args:
        features: the number of features F of the rows that :meth:`update` is given, or a prepared extractor, for
            which it is given images.
        reset_real_features: whether :meth:`reset` discards the real samples too. With False, the real samples need to
            be given only once.
        **kwargs: of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: rows do not have F features; or on :meth:`compute`, there are fewer than two samples of a kind.

    Example:
        >>> import torch
        >>> from saddlepoint.metrics.modules import FrechetFeatureDistance
        >>> rows = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
        >>> distance = FrechetFeatureDistance(features=2)
        >>> distance.update(rows, real=True)
        >>> distance.update(2 * rows + 3, real=False)
        >>> round(float(distance.compute()), 4)  # 3² + 3² + 2 (2 - 1)² · 2/3
        19.3333
    """

    higher_is_better = False
    real_state = "real_moments"
    real_moments: Tensor
    fake_moments: Tensor

    def __init__(self, features: int | FeatureExtractor, reset_real_features: bool = True, **kwargs: Any) -> None:
        super().__init__(features, reset_real_features, **kwargs)
        for name in ("real_moments", "fake_moments"):
            self.add_state(name, default=packed(Moments(self.dim)), dist_reduce_fx=merged)

    def update(self, samples: Tensor, real: bool) -> None:
        """Add real or generated samples.

        Args:
            samples: rows [N, F] of any floating type; or for an extractor images, uint8 [N, C, H, W].
            real: whether the samples are real.
        """
        moments = unpacked(self.real_moments if real else self.fake_moments)
        moments.update(self.rows(samples))
        setattr(self, "real_moments" if real else "fake_moments", packed(moments))

    def compute(self) -> Tensor:
        """Return the distance, a float64 scalar >= 0."""
        real, fake = unpacked(self.real_moments), unpacked(self.fake_moments)
        check_enough(real.n, fake.n)
        distance = frechet_distance(fit_gaussian(real), fake.mean, fake.covariance)
        return torch.tensor(distance, dtype=torch.float64, device=self.device)


def packed(moments: Moments) -> Tensor:
    """Return moments of F features as one tensor, float64 [F + 1, F + 1]: n and the mean, then the scatter."""
    first = torch.cat([moments.mean.new_tensor([moments.n]), moments.mean])
    rest = torch.cat([torch.zeros_like(moments.mean)[:, None], moments.scatter], 1)
    return torch.cat([first[None], rest])


def unpacked(state: Tensor) -> Moments:
    """Return the moments of :func:`packed`."""
    moments = Moments(len(state) - 1)
    moments.n = int(state[0, 0])
    moments.mean, moments.scatter = state[0, 1:].clone(), state[1:, 1:].clone()
    return moments


def merged(states: Tensor) -> Tensor:
    """Return the packed moments of all processes, given each one's, [R, F + 1, F + 1]."""
    whole = Moments(states.shape[1] - 1)
    for state in states:
        whole.merge(unpacked(state))
    return packed(whole).to(states.device)
