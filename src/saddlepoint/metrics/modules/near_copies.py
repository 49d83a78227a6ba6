"""Near copies among generated samples, as torchmetrics modules."""

from __future__ import annotations

from torch import Tensor

from saddlepoint.metrics import support
from saddlepoint.metrics.duplicates import degrees, duplicate_rate, nearest_distances, threshold
from saddlepoint.metrics.modules.base import EqualSetsMetric


class DuplicateRate(EqualSetsMetric):
    r"""The fraction of generated samples that have a near copy among the other ones.

    .. math:: \frac{1}{N} \sum_i 1[\min_{j \ne i} \|y_i - y_j\| \le t]

    The threshold t is the 0.1 % quantile of the distances from N real samples to their nearest neighbours among
    themselves. It equals the score cards' ``duplicates_<features>``, and ``duplicates_pixels`` for rows that are
    :func:`~saddlepoint.metrics.base.small_pixels` of images. It is about 0.001 for real samples. Blurred samples have
    a high rate, too.

    Args:
        features: the number of features F of the rows that :meth:`update` is given, or a prepared extractor, for
            which it is given images.
        seed: seeds the choice of a subset of the larger of the two sets; as many real as generated samples are used.
        reset_real_features: whether :meth:`reset` discards the real samples too.
        **kwargs: of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: rows do not have F features; or on :meth:`compute`, there are fewer than two samples of a kind.

    Example:
        >>> import torch
        >>> from saddlepoint.metrics.modules import DuplicateRate
        >>> rate = DuplicateRate(features=1)
        >>> rate.update(torch.tensor([[0.0], [1.0], [2.0], [3.0]]), real=True)
        >>> rate.update(torch.tensor([[0.0], [0.5], [7.0], [9.0]]), real=False)
        >>> rate.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = False

    def compute(self) -> Tensor:
        """Return the rate, a float64 scalar in [0, 1]."""
        real, fake = self.equal_sets()
        radius = float(threshold(nearest_distances(real, self.device)))
        return self.result(duplicate_rate(nearest_distances(fake, self.device), radius))


class EffectiveSupport(EqualSetsMetric):
    r"""The number of different samples of a generator, estimated from the pairs of near copies among N of them.

    .. math:: \frac{N (N - 1) / 2 + 1}{C + 1}

    C is the number of pairs of near copies, with the threshold of :class:`DuplicateRate`. It estimates 1 / Σ p_i² for
    samples with probabilities p_i: the number of samples if they are equally likely, a lower bound otherwise (after
    Arora and Zhang 2017, arXiv:1706.08224). It equals the score cards' ``support_<features>``.

    Args:
        features: the number of features F of the rows that :meth:`update` is given, or a prepared extractor, for
            which it is given images.
        seed: seeds the choice of a subset of the larger of the two sets; as many real as generated samples are used.
        reset_real_features: whether :meth:`reset` discards the real samples too.
        **kwargs: of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: rows do not have F features; or on :meth:`compute`, there are fewer than two samples of a kind.

    Example:
        >>> import torch
        >>> from saddlepoint.metrics.modules import EffectiveSupport
        >>> support = EffectiveSupport(features=1)
        >>> support.update(torch.arange(200.0)[:, None] ** 2, real=True)
        >>> drawn = torch.randint(50, (200, 1), generator=torch.Generator().manual_seed(1))  # 50 different samples
        >>> support.update(100 * drawn, real=False)
        >>> {name: round(float(value)) for name, value in support.compute().items()}
        {'support': 49, 'at_least': 40, 'at_most': 55, 'real_support': 9950}
    """

    higher_is_better = True

    def compute(self) -> dict[str, Tensor]:
        """Return the estimate ``support``, its 95 % interval ``at_least`` to ``at_most``, and ``real_support``.

        Scalars, float64, >= 1. ``at_most`` is infinite without near copies. ``real_support`` is the estimate for the
        real samples, with the same threshold: a ``support`` of this size or above is no sign of collapse.
        """
        real, fake = self.equal_sets()
        nearest = nearest_distances(real, self.device)
        radius = float(threshold(nearest))
        baseline = support.estimate(degrees(real, nearest, radius, self.device))
        found = support.estimate(degrees(fake, nearest_distances(fake, self.device), radius, self.device))
        return {
            "support": self.result(found.size),
            "at_least": self.result(found.at_least),
            "at_most": self.result(found.at_most),
            "real_support": self.result(baseline.size),
        }
